"""`--engine tshark`: the same report by way of tshark and pyshark, and clear refusals."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from analyzer.capture.tshark_reader import TsharkCapture
from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.pipeline import Options, analyze_capture
from analyzer.reports.json import plain

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
#: One of each path to a payload; `tests/test_engines.py --all` style runs over everything are by hand.
CASES = (
    "tcp-02a-cloud-wrong-devkey-brewskey/capture.pcap", "tcp-21a-formats-good/capture_any_SLL.pcap", "tcp-21a-formats-good/capture_any_SLL2.pcap",
    "tcp-21a-formats-good/capture_qinq.pcap", "tcp-21a-formats-good/capture_pppoe.pcap", "tcp-21a-formats-good/capture_null.pcap",
    "tcp-21a-formats-good/capture_rawip.pcap", "tcp-21a-formats-good/capture.pcapng", "tcp-20b-snaplen96-wrong-server-key/capture.pcap",
    "synth-path-fragments/capture.pcap", "synth-path-ipv6-extensions/capture.pcap", "dtls-09-icmp-port-unreachable/capture.pcap",
    "dtls-30-engine-222e/capture.pcap", "tcp-12-syn-refused/capture.pcap",
)  # fmt: skip

pytestmark = pytest.mark.tshark


@pytest.mark.parametrize("case", CASES)
def test_same_report_as_our_own_reader(case: str, tshark: str) -> None:
    path = CAPTURES / case
    keys = path.parent / "keys"
    ring = load_keys([keys] if keys.exists() else [])
    own = analyze_capture(path, ring, name="c")
    theirs = analyze_capture(path, ring, Options(engine="tshark"), name="c")
    assert plain(theirs) == plain(own)


def test_a_format_only_wireshark_reads(tshark: str, tmp_path: Path) -> None:
    source = CAPTURES / "tcp-12-syn-refused" / "capture.pcap"
    snoop = tmp_path / "capture.snoop"
    subprocess.run(["editcap", "-F", "snoop", str(source), str(snoop)], check=True, capture_output=True)
    with pytest.raises(InputError):
        analyze_capture(snoop, load_keys([]))
    report = analyze_capture(snoop, load_keys([]), Options(engine="tshark"))
    assert [session.verdict.code for session in report.sessions] == [
        session.verdict.code for session in analyze_capture(source, load_keys([])).sessions
    ]
    assert report.packets > 0


def test_a_cut_file_keeps_what_is_before(tshark: str) -> None:
    path = CAPTURES / "tcp-21a-formats-good" / "capture_cut_short.pcap"
    own, theirs = analyze_capture(path, load_keys([])), analyze_capture(path, load_keys([]), Options(engine="tshark"))
    assert theirs.status == own.status == "partial"
    assert [problem.frame for problem in theirs.problems] == [problem.frame for problem in own.problems]
    assert plain(theirs.sessions) == plain(own.sessions)


def test_no_capture_is_one_clear_line(tshark: str, tmp_path: Path) -> None:
    nothing = tmp_path / "x.pcap"
    nothing.write_bytes(struct.pack("<I", 7) * 40)
    with pytest.raises(InputError, match="tshark cannot read it"):
        list(TsharkCapture(nothing, name="x.pcap"))


def test_without_tshark_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="tshark is not installed"):
        TsharkCapture(CAPTURES / CASES[0], name="c")


def test_an_old_tshark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tshark: str) -> None:
    monkeypatch.setattr("pyshark.tshark.tshark.get_tshark_version", lambda *_: "2.6.20")
    with pytest.raises(InputError, match="too old"):
        TsharkCapture(CAPTURES / CASES[0], name="c")


def dying(folder: Path, tshark: str, how: str) -> None:
    """A tshark in front of the real one on the PATH that writes the beginning of its output and dies."""
    script = folder / "tshark"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-r*) {tshark} "$@" | head -c 20000; {how};; *) exec {tshark} "$@";; esac\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("how", ["exit 2", "kill -9 $$", "kill -TERM $$", "exit 0"])
def test_a_tshark_that_dies_half_way_leaves_a_partial_report(
    tshark: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(tmp_path, tshark, how)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = CAPTURES / "tcp-01a-good-brewskey-fw063" / "capture.pcap"
    report = analyze_capture(path, load_keys([]), Options(engine="tshark"))
    assert report.status == "partial"
    assert [problem.code for problem in report.problems] == ["read-error"]
    assert "tshark stopped after" in report.problems[0].message
