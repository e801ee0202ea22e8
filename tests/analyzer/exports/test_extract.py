"""One session's packets as a capture: judged alone as it was among the others, and read by Wireshark with its comments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from analyzer import analyze_capture
from analyzer.errors import InputError
from analyzer.exports.extract import extract

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
GATEWAY = CAPTURES / "tcp-17-gateway-mixed"


@pytest.fixture(scope="module")
def gateway():
    return analyze_capture(GATEWAY / "capture.pcap", GATEWAY / "keys").captures[0]


@pytest.mark.parametrize("number", [0, 1, 2])  # the fourth is judged by its neighbours
def test_a_session_alone_is_judged_as_among_the_others(gateway, number: int, tmp_path: Path) -> None:
    session = gateway.sessions[number]
    done = extract(gateway, session, GATEWAY / "capture.pcap", tmp_path / "s.pcapng")
    assert 0 < done.kept < done.frames == gateway.packets
    (alone,) = analyze_capture(tmp_path / "s.pcapng", GATEWAY / "keys").captures[0].sessions
    assert (alone.verdict.code, alone.device, alone.cloud) == (session.verdict.code, session.device, session.cloud)
    assert [stage.bytes for stage in alone.stages] == [stage.bytes for stage in session.stages]
    assert alone.start_time[:26] == session.start_time[:26]


@pytest.mark.parametrize("name", ["dtls-04a-private-key-not-matching-silent", "tcp-01f-good-by-name-with-dns"])
def test_datagrams_and_look_ups_come_along(name: str, tmp_path: Path) -> None:
    case = CAPTURES / name
    report = analyze_capture(case / "capture.pcap", case / "keys").captures[0]
    session = report.sessions[0]
    extract(report, session, case / "capture.pcap", tmp_path / "s.pcapng")
    alone = analyze_capture(tmp_path / "s.pcapng", case / "keys").captures[0].sessions[0]
    assert [(stage.stage, stage.status) for stage in alone.stages] == [(s.stage, s.status) for s in session.stages]
    assert alone.cloud.host == session.cloud.host


def test_wireshark_shows_which_frame_each_was(gateway, tshark: str, tmp_path: Path) -> None:
    session = gateway.sessions[2]
    extract(gateway, session, GATEWAY / "capture.pcap", tmp_path / "s.pcapng")
    words = [tshark, "-r", str(tmp_path / "s.pcapng"), "-T", "fields", "-e", "frame.number", "-e", "frame.comment"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown
    assert f"frame {session.first_frame} of capture.pcap" in shown[0]
    assert any(session.verdict.code.value in line for line in shown)
    want = [tshark, "-r", str(GATEWAY / "capture.pcap"), "-Y", session.filter, "-T", "fields", "-e", "frame.number"]
    numbers = subprocess.run(want, capture_output=True, text=True, check=True).stdout.split()
    inside = [number for number in numbers if session.first_frame <= int(number) <= session.last_frame]
    assert all(any(f"frame {number} of" in line for line in shown) for number in inside)


def test_a_session_that_only_a_log_tells_has_no_packets(gateway, tmp_path: Path) -> None:
    from dataclasses import replace

    told = replace(
        gateway.sessions[0],
        first_frame=0,
        last_frame=0,
        stages=(),
        incidents=(),
        attempts=(),
        messages=(),
        findings=(),
        ending=replace(gateway.sessions[0].ending, frame=None),
        verdict=replace(gateway.sessions[0].verdict, frames=(), evidence=()),
    )
    with pytest.raises(InputError, match="no packet of session"):
        extract(gateway, told, GATEWAY / "capture.pcap", tmp_path / "s.pcapng")
    assert not (tmp_path / "s.pcapng").exists()


def test_the_command_says_what_it_wrote_and_which_sessions_there_are(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "analyzer", "extract", str(GATEWAY / "capture.pcap")]
    out = ["--keys", str(GATEWAY / "keys"), "--output", str(tmp_path / "s.pcapng")]
    done = subprocess.run([*words, "--session", "3", *out], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "packets, device-key-mismatch" in done.stderr
    done = subprocess.run([*words, "--session", "99", *out], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "has sessions 1 to" in done.stderr
