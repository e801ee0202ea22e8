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

from analyzer import live
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


def test_secrets_that_come_with_the_packets_open_them(captures):
    """As dumpcap hands them on: the desk uses them for the sessions it tells from then on."""
    case = captures / "synth-dtls-healthy-v2"
    (log,) = (case / "keys").glob("*.keylog")
    packets = list(open_capture(case / "capture.pcap", name="x"))
    without, desk = Desk(load_keys(())), Desk(load_keys(()))
    desk.with_secrets([log.read_bytes()])
    told = []
    for each in (without, desk):
        for packet in packets:
            assert each.feed(packet) == []
        told.append(each.finish())
    assert [bool(session.messages) for (session,) in told] == [False, True]
    expected = analyze_capture(case / "capture.pcap", load_keys((log,))).sessions
    assert [[(message.frames, message.summary) for message in session.messages] for session in told[1]] == [
        [(message.frames, message.summary) for message in session.messages] for session in expected
    ]


def test_what_is_remembered_of_devices_is_bounded(captures, monkeypatch):
    monkeypatch.setattr(live, "_DEVICES", 2)
    case = captures / "tcp-01e-good-three-devices"
    desk = Desk(load_keys((case / "keys",)))
    told = [session for packet in open_capture(case / "capture.pcap", name="x") for session in desk.feed(packet)]
    told += desk.finish()
    assert len({session.device.address for session in told}) == 3
    assert list(desk._recent) == [session.device.address for session in told[-2:]]


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


def test_for_a_person_each_session_is_a_line(captures, tmp_path):
    """The same run in words, with no copy kept; dumpcap ends of itself."""
    case = captures / "tcp-02a-cloud-wrong-devkey-brewskey"
    fake = tmp_path / "dumpcap"
    fake.write_text(f"#!/bin/sh\ncat {case / 'capture.pcap'}\n")
    fake.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "live", "-i", "any", "--keys", str(case / "keys")],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    sessions = analyze_capture(case / "capture.pcap", load_keys((case / "keys",))).sessions
    assert done.stdout.splitlines() == [
        f"{s.start_time}  {s.verdict.code} ({s.verdict.certainty})  {s.device.id} -> {s.cloud.address}:{s.cloud.port}  {s.verdict.summary}"
        for s in sessions
    ]


def test_a_copy_that_cannot_be_written_is_one_clear_line(captures, tmp_path):
    fake = tmp_path / "dumpcap"
    fake.write_text(f"#!/bin/sh\ncat {captures / 'synth-connect-refused' / 'capture.pcap'}\n")
    fake.chmod(0o700)
    copy = tmp_path / "no such folder" / "copy.pcap"
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "live", "-i", "any", "--write", str(copy)],
        cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"analyze: {copy}: cannot be written: No such file or directory"
    assert "Traceback" not in done.stderr


def test_without_dumpcap_one_clear_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "live", "-i", "any"],
        cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        3, "analyze: any: dumpcap is not installed (it comes with Wireshark (tshark))\n",
    )  # fmt: skip


@pytest.mark.tshark
def test_an_interface_that_is_not_there_is_one_line(tshark, analyze):
    done = analyze("live", "-i", "nosuchinterface0")
    assert done.returncode == 3
    assert "nosuchinterface0" in done.stderr
    assert "Traceback" not in done.stderr
