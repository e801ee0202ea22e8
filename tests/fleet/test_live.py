"""Verdicts while packets arrive: those of the whole capture, and none lost on stopping."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.keys import load_keys
from analyzer.live import Desk
from analyzer.pipeline import analyze_capture

ROOT = Path(__file__).parents[2]
CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "tcp-01e-good-three-devices", "dtls-01-good", "synth-connect-refused")


@pytest.mark.parametrize("case", CASES)
def test_one_packet_at_a_time_gives_the_verdicts_of_the_capture(captures, case):
    path, keys = captures / case / "capture.pcap", captures / case / "keys"
    ring = load_keys((keys,) if keys.exists() else ())
    desk = Desk(ring)
    told = [session for packet in open_capture(path, name="x") for session in desk.feed(packet)]
    told += desk.finish()
    expected = analyze_capture(path, ring).sessions
    assert sorted((s.filter, s.verdict.code, s.verdict.certainty) for s in told) == sorted(
        (s.filter, s.verdict.code, s.verdict.certainty) for s in expected
    )


def test_a_session_is_told_when_time_has_passed_and_not_only_at_the_end(captures):
    case = captures / "tcp-02a-cloud-wrong-devkey-brewskey"
    desk = Desk(load_keys((case / "keys",)), end_after_s=1.0)
    last = 0
    told = []
    for packet in open_capture(case / "capture.pcap", name="x"):
        told += desk.feed(packet)
        last = packet.time_ns
    told += desk.tell_time(last + 120_000_000_000)
    assert [session.verdict.code.value for session in told] == ["device-key-mismatch"] * 2
    assert desk.finish() == []


FAKE = """#!{python}
import signal, sys, time
signal.signal(signal.SIGINT, lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
data = open({capture!r}, "rb").read()
out = sys.stdout.buffer
half = len(data) // 2
try:
    out.write(data[:half]); out.flush()
    time.sleep(60)
except KeyboardInterrupt:
    out.write(data[half:]); out.flush()  # what it had caught and not yet handed on
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 1)])
def test_told_to_stop_it_loses_nothing_that_was_caught(captures, tmp_path, number, status):
    """A stand-in for dumpcap holds half of the packets back until it is told to stop."""
    case = captures / "tcp-02a-cloud-wrong-devkey-brewskey"
    fake = tmp_path / "dumpcap"
    fake.write_text(FAKE.format(python=sys.executable, capture=str(case / "capture.pcap")))
    fake.chmod(0o700)
    kept = tmp_path / "kept.pcap"
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", "live", "-i", "any", "--keys", str(case / "keys"), "--write", str(kept), "--format", "jsonl"],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (not kept.exists() or not kept.stat().st_size):
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == status
    assert [json.loads(line)["verdict"]["code"] for line in told.splitlines()] == ["device-key-mismatch"] * 2
    assert kept.read_bytes() == (case / "capture.pcap").read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.tshark
def test_an_interface_that_is_not_there_is_one_line(tshark, analyze):
    done = analyze("live", "-i", "nosuchinterface0")
    assert done.returncode == 3
    assert "nosuchinterface0" in done.stderr
    assert "Traceback" not in done.stderr
