"""Slips that have one plain meaning are taken so, and told; the others get a line that says what to type."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.cli import capturing

CASE = Path(__file__).resolve().parents[3] / "captures" / "tcp-02a-cloud-wrong-devkey-brewskey"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    shutil.copy(CASE / "capture.pcap", tmp_path / "capture.pcap")
    shutil.copytree(CASE / "keys", tmp_path / "keys")
    shutil.copy(CASE / "device.log", tmp_path / "device.log")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "analyzer", *words]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)

    return run


def verdicts(report: str) -> list[str]:
    sessions = json.loads(report)["captures"][0]["sessions"]
    return [f"{session['verdict']['code']} {session['verdict']['certainty']}" for session in sessions]


@pytest.mark.parametrize("words", [("capture.pcap", "keys/"), ("./keys", "capture.pcap")])
def test_keys_without_their_option_are_used_and_told(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--format", "json")
    assert verdicts(done.stdout) == ["device-key-mismatch proven"] * 2
    assert "used as --keys keys" in done.stderr
    assert "used as" not in run("capture.pcap", "--keys", "keys").stderr


def test_a_log_without_its_option_is_used_and_told(run: Run) -> None:
    done = run("capture.pcap", "device.log", "--format", "json")
    assert "device.log is a log and is no capture: used as --log device.log" in done.stderr
    assert json.loads(done.stdout) == json.loads(run("capture.pcap", "--log", "device.log", "--format", "json").stdout)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--log", "capture.pcap"), "capture.pcap is a capture, and no log"),
        (("capture.pcap", "--keys", "capture.pcap"), "capture.pcap is a capture, and no key"),
        (("keys", "./capture.pcap"), "is a capture: `analyze capture.pcap` reads it"),
    ],
)
def test_a_capture_where_none_is_due_is_named(run: Run, words: tuple[str, ...], told: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr


def test_a_mistyped_file_is_asked_for_by_its_name(run: Run) -> None:
    done = run("captur.pcap")
    assert done.returncode == 3
    assert "did you mean capture.pcap?" in done.stderr
    assert "did you mean" not in run("somethingelse.bin").stderr


def test_help_of_a_command_in_both_orders(run: Run) -> None:
    assert run("help", "keys").stdout == run("keys", "--help").stdout
    assert run("help").stdout == run("--help").stdout


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("x.html", "<!doctype html>"),
        ("x.json", "{"),
        ("x.md", "# "),
        ("x.csv", "capture,"),
        ("x.sarif", "{"),
        ("x.XML", "<?xml"),
    ],
)
def test_the_ending_of_the_output_chooses_the_format(run: Run, tmp_path: Path, name: str, begins: str) -> None:
    run("capture.pcap", "-o", name)
    assert (tmp_path / name).read_text().startswith(begins)
    run("capture.pcap", "-o", name, "--format", "jsonl")
    assert (tmp_path / name).read_text().startswith('{"'), "what is asked for by name goes before the ending"


def test_open_shows_the_page_in_a_private_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(shown.append(url)) or True)
    status = capturing.run(capturing.Request([str(CASE / "capture.pcap")], open=True, quiet=True))
    assert status == 1
    (url,) = shown
    page = Path(url.removeprefix("file://"))
    assert page.read_text().startswith("<!doctype html>")
    assert page.stat().st_mode & 0o777 == 0o600
    page.unlink()
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    capturing.run(capturing.Request([str(CASE / "capture.pcap")], open=True, quiet=True, output=page))
    assert str(page) in capsys.readouterr().err
    page.unlink()
