"""The index misses nothing: what it hands on makes the same conversations as reading every packet."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import index, open_capture, reader
from analyzer.conversations import Conversations, Options
from analyzer.errors import InputError
from analyzer.packet import ACK, SYN, TCP, UDP
from captures.synth import capfile, wire
from tests.analyzer.capture.screening import read
from tests.analyzer.conversations.talk import Talk, session

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
FILES = sorted(CAPTURES.glob("*/capture*.pcap"))


def _read(data: bytes, *, screened: bool) -> dict[str, Any] | None:
    try:
        return read(data, screened=screened)
    except InputError:
        return None


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)
    monkeypatch.setattr(reader, "_BLOCK", 3000)


@pytest.fixture
def big_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)


def _same(data: bytes) -> None:
    assert _read(data, screened=True) == _read(data, screened=False)


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_golden_capture_block_by_block(file: Path, tiny_blocks: None) -> None:
    _same(file.read_bytes())


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_golden_capture_in_one_block(file: Path, big_blocks: None) -> None:
    _same(file.read_bytes())


@pytest.mark.parametrize("file", FILES[::7], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_gzip_ed_captures_block_by_block(file: Path, tiny_blocks: None) -> None:
    """What gzip gives and what a block takes are of different sizes: nothing is lost or doubled between them."""
    data = file.read_bytes()
    half = len(data) // 2
    packed = gzip.compress(data[:half], mtime=0) + gzip.compress(data[half:], mtime=0)
    _same(packed)
    _same(packed[:-9])
    screened, plainly = read(packed, screened=True), read(data, screened=True)
    assert screened["sha256"] == hashlib.sha256(packed).hexdigest()
    assert {**screened, "sha256": plainly["sha256"]} == plainly


def _mixed(seed: int) -> bytes:
    """Packets of many captures of one link type shuffled together, times made to rise."""
    rng = random.Random(seed)
    packets: list[bytes] = []
    for file in FILES:
        data = file.read_bytes()
        if data[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack_from("<I", data, 20)[0] != 1:
            continue
        at = 24
        while at + 16 <= len(data):
            length = struct.unpack_from("<I", data, at + 8)[0]
            if len(data) < at + 16 + length:
                break
            packets.append(data[at : at + 16 + length])
            at += 16 + length
    chosen = rng.sample(packets, min(len(packets), 1500))
    start = 1_700_000_000
    return b"".join(
        struct.pack("<II", start + number // 50, number % 50) + packet[8:] for number, packet in enumerate(chosen)
    )


@pytest.mark.parametrize("seed", range(8))
def test_shuffled_packets_of_all_captures(seed: int, tiny_blocks: None) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + _mixed(seed)
    _same(data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_damaged_captures(file: Path, data: st.DataObject) -> None:
    raw = bytearray(file.read_bytes()[:20_000])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(24, len(raw)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_SMALL", 24)
        patch.setattr(reader, "_BLOCK", data.draw(st.sampled_from([64, 1000, 1 << 20])))
        _same(bytes(raw[:cut]))


def test_without_numpy_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch, big_blocks: None) -> None:
    data = FILES[0].read_bytes()
    with_numpy = _read(data, screened=True)
    monkeypatch.setenv("ANALYZE_NO_INDEX", "1")
    assert _read(data, screened=True) == with_numpy


def test_what_nobody_needs_is_not_decoded(big_blocks: None) -> None:
    """The point of the index: of a long TLS-like flow only its beginning is looked at."""
    frames = []
    ends = (b"\x0a\0\0\x01", b"\x0a\0\0\x02")

    def tcp(up: bool, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
        source, target = ends if up else ends[::-1]
        ports = (40000, 443) if up else (443, 40000)
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + len(payload), 1, 0, 64, 6, 0, source, target)
        return (
            b"\0" * 12 + b"\x08\0" + ip + struct.pack("!HHIIBBHHH", *ports, seq, ack, 0x50, flags, 1000, 0, 0) + payload
        )

    frames += [tcp(True, 1, 0, 2), tcp(False, 9, 2, 0x12), tcp(True, 2, 10, 0x10)]
    frames += [tcp(bool(n % 2), 2 + n, 10 + n, 0x18, b"x" * 100) for n in range(1, 200)]
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    data += b"".join(struct.pack("<IIII", n, 0, len(frame), len(frame)) + frame for n, frame in enumerate(frames))
    table = Conversations()
    capture = open_capture(io.BytesIO(data), name="test")
    decoded = sum(1 for _ in capture.screened(table))
    assert capture.packets == len(frames)
    assert decoded <= 4
    assert decoded < len(list(open_capture(io.BytesIO(data), name="test")))


def _crowd(count: int) -> bytes:
    """Web and other flows of both families around a device's session, as bare IP."""
    rng = random.Random(count)
    packets: list[bytes] = []
    device = [
        wire.ip(p.source, p.destination, TCP, p.header + p.payload, ident=p.ip_id) for p in session(Talk()).packets
    ]
    for number in range(count):
        six = number % 3 == 0
        client, server = (rng.randbytes(16 if six else 4) for _ in range(2))
        port = rng.randrange(20_000, 60_000)

        def tcp(up: bool, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
            ends, ports = ((client, server), (port, 443)) if up else ((server, client), (443, port))  # noqa: B023
            return wire.ip(*ends, TCP, wire.tcp(*ends, *ports, seq, ack, flags, 1000, payload=payload))

        packets += [tcp(True, 9, 0, SYN), tcp(False, 99, 10, SYN | ACK), tcp(True, 10, 100, ACK, bytes(50))]
        packets += [wire.ip(client, server, UDP, wire.udp(client, server, port, 9999, bytes(20)))] * 2
        if number * len(device) // count > (number - 1) * len(device) // count:
            packets.append(device[number * len(device) // count])
    frames = [
        capfile.Frame(1_700_000_000_000_000_000 + n * 1_000_000, data, len(data)) for n, data in enumerate(packets)
    ]
    return capfile.pcap(frames, capfile.RAW, nano=True)


@pytest.mark.parametrize("flows", [1_000_000, 300, 40, 0])
def test_a_crowd_of_both_families(flows: int, tiny_blocks: None) -> None:
    """Also beyond the number of flows that are counted: from there on nothing has a stream number, either way."""
    data, options = _crowd(200), Options(flows=flows)
    screened, whole = (read(data, screened=screened, options=options) for screened in (True, False))
    assert screened == whole
    assert [found.device.port for found in whole["conversations"]] == [40000]
    assert (whole["conversations"][0].stream is None) == (flows == 0)


def test_the_settled_are_found_again_however_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table grows with them up to a size; from there on some are asked about again, and none is made up."""
    np = pytest.importorskip("numpy")
    monkeypatch.setattr(index.Settled, "_FEWEST", 1 << 10)
    monkeypatch.setattr(index.Settled, "_MOST", 1 << 13)
    rng = np.random.default_rng(1)
    numbers = rng.integers(1, 1 << 63, 2000, dtype=np.uint64)
    others = rng.integers(1, 1 << 63, 2000, dtype=np.uint64)
    settled = index.Settled()
    for start in range(0, 2000, 100):
        settled.add(numbers[start : start + 100])
        assert settled.has(numbers[start : start + 100]).mean() > 0.9
    assert settled.has(numbers).mean() > 0.7
    assert not settled.has(others).any()
    assert settled._places.size == 1 << 13
