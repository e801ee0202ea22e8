"""A first look: the capture that is shipped, and what of the surroundings is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import demo
from analyzer.cli.demo import Mark

ROOT = Path(__file__).resolve().parents[3]


def test_the_demo_is_the_genuine_capture_and_says_how_to_read_it() -> None:
    case = ROOT / "captures" / "tcp-02a-cloud-wrong-devkey-brewskey"
    shipped = ROOT / "analyzer" / "demo"
    assert (shipped / "capture.pcap").read_bytes() == (case / "capture.pcap").read_bytes()
    assert {p.name: p.read_bytes() for p in (shipped / "keys").iterdir()} == {
        p.name: p.read_bytes() for p in (case / "keys").iterdir()
    }
    done = subprocess.run([sys.executable, "-m", "analyzer", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "device-key-mismatch (proven)" in done.stdout
    assert "How to read it" in done.stdout


def test_the_doctor_says_what_is_there_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-m", "analyzer", "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert {"analyze", "tshark", "dumpcap", "py7zr", "variables"} <= {
        line[2:].split()[0] for line in done.stdout.splitlines()
    }
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("ANALYZE_SECONDS", "5")
    found = {check.name: check for check in demo.checks()}
    for program in ("tshark", "editcap", "dumpcap"):
        assert found[program].mark is Mark.LESS
        assert "install Wireshark" in found[program].advice
    assert "ANALYZE_SECONDS=5" in found["variables"].there


def test_a_dumpcap_without_rights_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dumpcap"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = (check for check in demo.checks() if check.name == "dumpcap")
    assert check.mark is Mark.LESS
    assert "wireshark-common" in check.advice
