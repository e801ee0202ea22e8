"""Look-ups and internet tests that are looked at last: what is told of them is what reading every packet tells."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from random import Random

import pytest

from analyzer import analyze_capture
from analyzer.capture import deferred, index, open_capture, reader
from analyzer.conversations import Conversations
from analyzer.model import Session
from analyzer.names import NameLog
from analyzer.packet import Packet
from captures.synth import capfile
from captures.synth.talk import Host, Trace
from tests.benchmarks import gateway

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
NAMED = CAPTURES / "tcp-01f-good-by-name-with-dns"


def records(data: bytes) -> list[tuple[int, bytes]]:
    """Time (ns) and whole record of each packet of a little-endian pcap of microseconds."""
    found, at = [], 24
    while at < len(data):
        seconds, micros, captured, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + micros * 1000, data[at : at + 16 + captured]))
        at += 16 + captured
    return found


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A genuine session by name among the look-ups of a provider's network."""
    rng = Random(5)
    genuine = records((NAMED / "capture.pcap").read_bytes())
    around: list[tuple[int, bytes]] = []
    for number in range(1500):
        trace = Trace(
            genuine[0][0] - 2 * 10**9 + rng.randrange(25 * 10**9) // 1000 * 1000, rng, gateway.talk.ethernet()
        )
        one = Host.of(f"10.16.{number >> 8}.{number & 255}", f"02:10:00:00:{number >> 8:02x}:{number & 255:02x}")
        gateway._uplink(rng, trace, one, Host.of("198.51.100.9", "02:00:5e:00:01:01", 57), rng.random() * 0.9)
        for frame in trace.frames:
            head = struct.pack(
                "<IIII", frame.time_ns // 10**9, frame.time_ns % 10**9 // 1000, len(frame.data), frame.length
            )
            around.append((frame.time_ns, head + frame.data))
    return capfile.pcap([]) + b"".join(record for _, record in sorted(genuine + around, key=lambda item: item[0]))


def told(session: Session) -> tuple[object, ...]:
    return session.cloud.host, [(stage.stage, stage.frames, stage.fields) for stage in session.stages], session.verdict


@pytest.mark.parametrize("block", [4096, reader._BLOCK])
def test_a_device_among_many_look_ups_is_told_as_without_the_index(
    crowded: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", block)
    assert index.available()
    fast = analyze_capture(io.BytesIO(crowded), NAMED / "keys").captures[0]
    monkeypatch.setenv("ANALYZE_NO_INDEX", "1")
    slow = analyze_capture(io.BytesIO(crowded), NAMED / "keys").captures[0]
    assert fast.sessions[0].cloud.host == "device.mycloud.example"
    assert [told(session) for session in fast.sessions] == [told(session) for session in slow.sessions]
    assert fast.problems == slow.problems


def passed_on(data: bytes, words: tuple[bytes, ...] | None) -> list[Packet]:
    found: list[Packet] = []
    table = Conversations(on_other=found.append, words=words)
    for packet in open_capture(io.BytesIO(data), name="test").screened(table):
        list(table.feed(packet))
    list(table.finish())
    return found


def test_only_look_ups_that_may_matter_are_passed_on(crowded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    everything = passed_on(crowded, None)
    wanted = passed_on(crowded, NameLog.words(["host17.example.com"]))
    assert len(everything) > 1500
    assert 0 < len(wanted) < 100
    device = [
        packet for packet in everything if packet.source[:2] == b"\xc0\xa8" or packet.destination[:2] == b"\xc0\xa8"
    ]
    assert {packet.number for packet in device} <= {packet.number for packet in wanted}
    named = {packet.number for packet in everything if b"\x06host17\x07example" in packet.payload}
    assert named <= {packet.number for packet in wanted}


def test_the_last_look_ups_are_kept_and_the_first_tests(crowded: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", 4096)
    everything = passed_on(crowded, None)
    lookups, tests = (
        [packet.number for packet in everything if (53 in (packet.source_port, packet.destination_port)) is dns]
        for dns in (True, False)
    )
    monkeypatch.setattr(deferred, "_LOOKUPS", 300)
    monkeypatch.setattr(deferred, "_TESTS", 60)
    kept = [packet.number for packet in passed_on(crowded, None)]
    assert set(sorted(lookups)[-300:]) <= set(kept), "of those that are kept elsewhere none is lost"
    assert set(sorted(tests)[:60]) <= set(kept)
    assert len(kept) < len(everything) / 3
