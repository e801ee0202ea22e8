"""The default action's words: what is read without the option parser is what the option parser would read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from analyzer.cli import capturing, default
from analyzer.cli.app import app
from analyzer.cli.capturing import Engine, Request
from analyzer.cli.exits import UsageError
from analyzer.cli.quick import OPTIONS, understood

ROOT = Path(__file__).resolve().parents[3]


def _parser() -> Any:  # noqa: ANN401 - the parser's own command type is private
    return typer.main.get_command(app).commands[default.NAME]  # type: ignore[attr-defined]


def test_the_table_has_every_option_of_the_parser() -> None:
    options = [item for item in _parser().params if item.name not in ("paths", "help")]
    told = {
        word: (item.name, item.is_flag, item.multiple)
        for item in options
        for word in (*item.opts, *item.secondary_opts)
    }
    assert {word: (spec.field, spec.value is None, spec.many) for word, spec in OPTIONS.items()} == told
    assert {item.name for item in options} | {"paths"} == set(Request._fields)
    assert {item.name: item.default for item in options if item.default} == {
        "engine": Request().engine,
    }


LINES = [
    ["a.pcap"],
    ["a.pcap", "b.pcap", "--keys", "k", "--keys", "l"],
    ["a.pcap", "--format", "json", "-o", "out.json", "-q", "-v"],
    ["-", "--port", "tcp/1", "--port", "udp/2", "--engine", "scapy", "-j", "2"],
    ["--log", "d.log"],
    ["a.pcap", "--redact", "--show-secrets", "--passphrase-file", "p", "--jobs", "1", "--quiet", "--verbose"],
    ["a.pcap", "--output", "x", "--format", "html"],
]


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_both_read_the_same(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Request] = []

    def run(request: Request) -> int:
        taken.append(request)
        return 0

    monkeypatch.setattr(default, "run", run)
    with pytest.raises(SystemExit) as end:
        app(words, prog_name="analyze")
    assert end.value.code == 0
    quick = understood(words)
    assert quick is not None

    def plain(request: Request) -> list[Any]:
        return [list(item) if isinstance(item, list | tuple) else item for item in request]

    assert [item or None for item in plain(quick)] == [item or None for item in plain(taken[0])]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["-h"],
        ["--version"],
        ["keys", "folder"],
        ["explain", "-19"],
        ["schema"],
        ["captures"],  # may be a sub-command one day
        ["a.pcap", "--help"],
        ["a.pcap", "--unknown"],
        ["a.pcap", "--format=json"],
        ["a.pcap", "--format", "pdf"],
        ["a.pcap", "--jobs", "0"],
        ["a.pcap", "--jobs", "x"],
        ["a.pcap", "--keys"],
        ["a.pcap", "--keys", "--redact"],
        ["a.pcap", "-qv"],
        ["a.pcap", "--", "b.pcap"],
    ],
    ids=" ".join,
)
def test_doubt_is_left_to_the_parser(words: list[str]) -> None:
    assert understood(words) is None


def test_completion_is_left_to_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ANALYZE_COMPLETE", "complete_bash")
    assert understood(["a.pcap"]) is None


def test_defaults_are_those_of_the_contract() -> None:
    request = understood(["./a.pcap"])
    assert request == Request(paths=["./a.pcap"])
    assert (Request().format, Request().engine) == (None, Engine.AUTO), "None: by the ending of --output, else text"
    assert capturing.ports_of(["tcp/5683", "udp/1"]) == (("tcp", 5683), ("udp", 1))
    for word in ("tcp", "tcp/0", "tcp/65536", "sctp/1", "tcp/x", "tcp/²", "tcp/" + "9" * 5000):
        with pytest.raises(UsageError, match=word):
            capturing.ports_of([word])


def test_a_small_capture_does_not_import_what_it_does_not_need() -> None:
    capture = ROOT / "captures" / "tcp-02a-cloud-wrong-devkey-brewskey" / "capture.pcap"  # without look-ups
    heavy = (
        "typer click pydantic rich numpy dns scapy tomli multiprocessing analyzer.devicelog dissectors.dtls.handshake"
    )
    program = (
        "import sys\nfrom analyzer.cli import main\nsys.argv = ['analyze', sys.argv[1], '-q']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy.split()} + ['cryptography.x509', 'importlib.metadata'] if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(capture)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
