"""The terminal report, whole: each picture is a file to be read as a user reads it.

`pytest tests/analyzer/reports/test_text.py --update-expected` rewrites them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.model import Device, Ending, Report, Session
from analyzer.reports.text import format_text
from analyzer.reports.writing import Style
from analyzer.safe import printable
from dissectors.events import Direction, How, Status
from tests.analyzer.reports import example
from tests.analyzer.reports.payloads import PAYLOADS, planted

EXPECTED = Path(__file__).parent / "text"
_SGR = re.compile(r"\x1b\[[0-9;]*m")


def _text(report: Report, **style: object) -> str:
    return "".join(format_text(report, Style(**style)))  # type: ignore[arg-type]


def _undetermined() -> Report:
    session = example.session(verdict=example.REJECTED, messages=(), log=(), incidents=(), findings=())
    return example.report(example.capture(session, problems=()), keys=())


def _gateway() -> Report:
    verdicts = (example.HEALTHY, example.MISMATCH, example.MISMATCH, example.REJECTED)
    short = example.session().stages[:4]
    sessions = [
        example.session(
            id=f"s{index}",
            verdict=verdict,
            device=Device("10.0.0.9", 1000 + index, f"{min(index, 2):024x}"),
            stages=short,
            incidents=(),
            log=(),
        )
        for index, verdict in enumerate(verdicts)
    ]
    return example.report(example.capture(*sessions, problems=()), keys=())


def _several() -> Report:
    captures = [
        replace(item, path=f"site/{index}.pcap")
        for index, item in enumerate((*_gateway().captures, *_undetermined().captures))
    ]
    empty = replace(example.capture(), path="site/empty.pcap", sessions=(), stories=(), problems=(), status="ok")
    failed = replace(empty, path="site/failed.pcap", status="failed", problems=example.capture().problems)
    return example.report(*captures, empty, failed)


def _endings() -> Report:
    """Silence, a reset, an ICMP error, an open end: everything an arrow can be."""
    stages = (example.stage("connect", Status.PARTIAL, frames=(1,), at=0.0),)
    endings = (
        Ending("device", How.SILENCE, None, 20.0),
        Ending("cloud", How.RST, 4, 0.01),
        Ending("network", How.ICMP, 5, 0.003),
        Ending("capture", How.CAPTURE_END),
    )
    sessions = [
        example.session(
            id=f"s{index}",
            device=Device("10.0.0.9", 1000, f"{index:024x}"),
            ending=ending,
            stages=stages,
            attempts=(),
            messages=(),
            findings=(),
            log=(),
            incidents=(),
        )
        for index, ending in enumerate(endings)
    ]
    return example.report(example.capture(*sessions, problems=()), keys=())


def _nothing() -> Report:
    return example.report(replace(example.capture(), sessions=(), stories=(), status="ok"))


PICTURES: dict[str, tuple[Callable[[], Report], dict[str, object]]] = {
    "everything-80": (example.report, {"width": 80}),
    "everything-140": (example.report, {"width": 140}),
    "everything-60": (example.report, {"width": 60}),
    "everything-80-ascii": (example.report, {"width": 80, "unicode": False}),
    "everything-100-verbose": (example.report, {"width": 100, "verbose": True}),
    "everything-quiet": (example.report, {"quiet": True}),
    "undetermined-80": (_undetermined, {"width": 80}),
    "gateway-80": (_gateway, {"width": 80}),
    "endings-100": (_endings, {"width": 100}),
    "several-80": (_several, {"width": 80}),
    "several-140": (_several, {"width": 140}),
    "several-quiet": (_several, {"width": 80, "quiet": True}),
    "nothing-80": (_nothing, {"width": 80}),
}
every_picture = pytest.mark.parametrize("name", PICTURES)


@every_picture
def test_the_whole_report_is_the_expected_one(name: str, request: pytest.FixtureRequest) -> None:
    make, style = PICTURES[name]
    told = _text(make(), **style)
    file = EXPECTED / f"{name}.txt"
    if request.config.getoption("--update-expected"):
        file.write_text(told, encoding="utf-8")
    assert told == file.read_text(encoding="utf-8")


@every_picture
def test_colour_adds_nothing_but_colour(name: str) -> None:
    make, style = PICTURES[name]
    coloured = _text(make(), **style, color=True)
    assert _SGR.sub("", coloured) == _text(make(), **style)
    assert coloured != _text(make(), **style) or name == "nothing"
    for line in coloured.splitlines():
        codes = _SGR.findall(line)
        assert not codes or codes[-1] == "\x1b[0m", "no colour runs on into the next line"


@every_picture
def test_lines_fit_and_can_be_pasted(name: str) -> None:
    make, style = PICTURES[name]
    width = int(str(style.get("width", 100)))
    report = make()
    whole = {
        command
        for capture in report.captures
        for session in capture.sessions
        for remedy in session.verdict.remedy
        for command in remedy.commands
    }
    for line in _text(report, **style).splitlines():
        assert line == line.rstrip()
        assert "\t" not in line
        if line.strip() not in whole and not style.get("quiet"):
            assert len(line) < width, line


@pytest.mark.parametrize("width", [60, 140])
@pytest.mark.parametrize("payload", [text for _, text in PAYLOADS], ids=[name for name, _ in PAYLOADS])
def test_hostile_text_cannot_steer_the_terminal_or_add_lines(payload: str, width: int) -> None:
    for style in ({}, {"quiet": True}, {"verbose": True}, {"unicode": False}):
        told = _text(planted(example.report(), payload), width=width, **style)
        assert all(char == "\n" or printable(char) == char for char in told)
        if "unicode" in style:
            assert told.isascii()
        if "quiet" in style:
            assert told.count("\n") == 1


def test_every_arrow_has_the_length_of_the_lane() -> None:
    for make in (example.report, _endings, _gateway):
        for width, lane in ((60, 13), (80, 21), (140, 21)):
            for line in _text(make(), width=width).splitlines():
                if line[23:24] in "│┊" and line[23:24]:
                    assert line[23 + 1 + lane] in "│┊", line


def test_rows_of_the_ladder_are_those_of_the_html_report() -> None:
    """Both draw `rungs`; here the words of each are found in the text."""
    told = _text(example.report(), width=140)
    for word in (
        "name-resolution",
        "sent again",
        "20.2 s pass",
        "! incomplete",
        "✗ malformed",
        "the cloud closes (FIN)",
        "✗ never came",
        "log 1.306 Unable to receive key -19  ! disagrees",
    ):
        assert told.count(word) >= 1, word


def _session_of(number: int) -> Session:
    return example.session(id=f"s{number}", device=Device("10.0.0.9", 1000, f"{number:024x}"))


def test_a_capture_of_thousands_is_told_shortly_and_counted() -> None:
    report = example.report(example.capture(*map(_session_of, range(5_000))))
    told = _text(report, width=100)
    assert told.count("\n") < 800
    assert "5,000 verdicts in this capture" in told
    assert "and 4,960 more (--verbose shows all)" in told
    assert "4,992 more verdicts in the list above; --verbose tells each of them." in told
    same = _text(
        example.report(example.capture(*(example.session(id=str(number)) for number in range(5_000)))), width=100
    )
    assert "The same in 4,999 more sessions" in same
    assert same.count("\n") < 120


def test_direction_is_told_by_the_arrow() -> None:
    stages = (
        example.stage("nonce", direction=Direction.DOWN, frames=(1,), at=0.0, size=40),
        example.stage("identity", frames=(2,), at=0.1, size=256),
    )
    told = _text(
        example.report(example.capture(example.session(stages=stages, attempts=(), log=(), incidents=()))), width=80
    )
    assert "│◀─────── 40 B ───────│  nonce" in told
    assert "│────── 256 B ───────▶│  identity" in told
