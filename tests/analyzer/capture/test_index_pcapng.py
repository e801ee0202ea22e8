"""The index reads pcapng in blocks of packets and misses nothing either: the same conversations as record by record."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import open_capture, reader
from analyzer.capture.records import Limits
from analyzer.conversations import Conversations
from captures.synth.capfile import ETHERNET, SLL, Frame, Interface, pcapng
from tests.analyzer.capture.screening import read

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
FILES = sorted(CAPTURES.glob("*/capture*.pcap"))
NG_FILES = sorted(CAPTURES.glob("*/capture*.pcapng"))


@pytest.fixture(autouse=True)
def blocks_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_SMALL", 24)


def _same(data: bytes, limits: Limits = Limits()) -> dict[str, Any]:  # noqa: B008
    screened = read(data, screened=True, limits=limits)
    assert screened == read(data, screened=False, limits=limits)
    return screened


def _frames(link: int) -> list[Frame]:
    """The packets of every golden capture of one link type, with times that rise."""
    frames: list[Frame] = []
    for file in FILES:
        data = file.read_bytes()
        if data[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack_from("<I", data, 20)[0] != link:
            continue
        at = 24
        while at + 16 <= len(data):
            seconds, micros, captured, length = struct.unpack_from("<IIII", data, at)
            packet = data[at + 16 : at + 16 + captured]
            if len(packet) == captured:
                frames.append(Frame(seconds * 10**9 + micros * 1000, packet, length))
            at += 16 + captured
    return frames


ON_ETHERNET, COOKED = _frames(ETHERNET), _frames(SLL)


def _mixed(seed: int) -> tuple[list[Frame], list[Interface]]:
    """Runs of packets of three interfaces: two Ethernets with other clocks, one cooked; some with a comment."""
    rng = random.Random(seed)
    interfaces = [Interface(ETHERNET), Interface(SLL, 9, "any"), Interface(ETHERNET, 9)]
    frames: list[Frame] = []
    now = 1_700_000_000 * 10**9
    while len(frames) < 1500:
        interface = rng.randrange(3)
        pool = COOKED if interface == 1 and COOKED else ON_ETHERNET
        start = rng.randrange(len(pool))
        for frame in pool[start : start + rng.choice((1, 5, 40, 200))]:
            now += rng.randrange(5_000_000) // 1000 * 1000
            comment = "noted" if rng.random() < 0.02 else ""
            frames.append(
                Frame(now, frame.data, frame.length, interface if pool is COOKED or interface != 1 else 0, comment)
            )
    return frames, interfaces


@pytest.mark.parametrize("block", [1000, 100_000, 4 << 20])
@pytest.mark.parametrize("seed", range(6))
def test_runs_of_several_interfaces(seed: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_BLOCK", block)
    frames, interfaces = _mixed(seed)
    found = _same(pcapng(frames, interfaces, order="<>"[seed % 2]))
    assert found["packets"] == len(frames)
    assert found["conversations"]


@pytest.mark.parametrize("file", [*NG_FILES, *FILES], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_golden_capture_as_pcapng(file: Path) -> None:
    data = file.read_bytes()
    if file.suffix == ".pcap":
        magic, link = struct.unpack_from("<I", data)[0], struct.unpack_from("<I", data, 20)[0]
        if magic != 0xA1B2C3D4:
            pytest.skip("another byte order or clock: what is inside is in another capture too")
        frames, at = [], 24
        while at + 16 <= len(data):
            seconds, micros, captured, length = struct.unpack_from("<IIII", data, at)
            if at + 16 + captured > len(data):
                break
            frames.append(Frame(seconds * 10**9 + micros * 1000, data[at + 16 : at + 16 + captured], length))
            at += 16 + captured
        data = pcapng(frames, [Interface(link)])
    _same(data)


def _resolution(value: int, offset: int = 0) -> bytes:
    """An interface block with that if_tsresol and if_tsoffset."""
    options = struct.pack("<HHB3x", 9, 1, value) + struct.pack("<HHq", 14, 8, offset) + bytes(4)
    body = struct.pack("<HHI", ETHERNET, 0, 0) + options
    return struct.pack("<II", 1, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def _packets(frames: list[Frame], ticks: list[int]) -> bytes:
    parts = []
    for frame, tick in zip(frames, ticks, strict=True):
        body = struct.pack("<IIIII", 0, tick >> 32, tick & 0xFFFFFFFF, len(frame.data), frame.length)
        body += frame.data + bytes(-len(frame.data) % 4)
        parts.append(struct.pack("<II", 6, len(body) + 12) + body + struct.pack("<I", len(body) + 12))
    return b"".join(parts)


SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)


@pytest.mark.parametrize(
    ("resolution", "offset", "first", "step"),
    [
        (6, 0, 1_700_000_000 * 10**6, 1000),
        (9, 3600, 1_700_000_000 * 10**9, 1000),
        (9, -3600, 1_700_000_000 * 10**9, 1000),
        (0, 0, 1_700_000_000, 0),
        (12, 0, 1_700_000 * 10**12, 999_999_999),
        (0x80 | 10, 0, 1_700_000_000 << 10, 3),
        (0x80 | 20, 7, 1_700_000_000 << 20, 12345),
        (0x80 | 32, 0, 1_700_000_000 << 32, 0xFFFFFFF),
        (0x80 | 40, 0, 1_700_000 << 40, 0xFFFFFFFFF),
        (6, 0, (1 << 64) - 60, 1),
        (6, 0, 9_100_000_000 * 10**6, 10**12),
    ],
)
def test_every_clock(resolution: int, offset: int, first: int, step: int) -> None:
    frames = ON_ETHERNET[:60]
    ticks = [first + step * number for number in range(60)]
    _same(SECTION + _resolution(resolution, offset) + _packets(frames, ticks))


def _in_a_row(count: int) -> list[bytes]:
    return [_packets([frame], [10**15 + number]) for number, frame in enumerate(ON_ETHERNET[:count])]


@pytest.mark.parametrize(
    "what",
    [
        struct.pack("<IIHHI", 5, 20, 0, 0, 0) + bytes(0) + struct.pack("<I", 20),
        struct.pack("<III", 0xBAD, 16, 7) + struct.pack("<I", 16),
        struct.pack("<III", 3, 16, 0) + struct.pack("<I", 16),
        SECTION,
        struct.pack("<IIIIIIII", 6, 32, 9, 0, 0, 0, 0, 32),
        struct.pack("<IIIIIIII", 6, 32, 0, 0, 0, 0, 0, 36),
        struct.pack("<IIIIIIII", 6, 32, 0, 0, 0, 64, 64, 32),
        struct.pack("<IIIIIIII", 6, 28, 0, 0, 0, 0, 0, 28),
        struct.pack("<II", 6, 34) + bytes(28),
    ],
    ids=["statistics", "custom", "simple", "section", "unknown-interface", "lengths", "captured", "short", "unpadded"],
)
def test_what_stands_between_packets(what: bytes) -> None:
    rows = _in_a_row(80)
    for at in (0, 3, 16, 40):
        _same(SECTION + _resolution(6) + b"".join(rows[:at]) + what + b"".join(rows[at:]))


def test_packets_come_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared above really goes through blocks."""
    counted: list[int] = []
    monkeypatch.setattr(
        reader.Capture, "_count_block", lambda self, block: counted.append(len(block.starts)), raising=True
    )
    data = SECTION + _resolution(6) + b"".join(_in_a_row(80))
    list(open_capture(io.BytesIO(data), name="test").screened(Conversations()))
    assert counted == [80]


@pytest.mark.parametrize("most", [0, 1, 15, 16, 79, 80, 81])
def test_a_limit_within_a_block(most: int) -> None:
    found = _same(SECTION + _resolution(6) + b"".join(_in_a_row(80)), Limits(packets=most))
    assert found["packets"] == min(most, 80)
    assert [problem.code for problem in found["problems"]] == (["limit-packets"] if most < 80 else [])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 5), st.data())
def test_damaged_files(seed: int, data: st.DataObject) -> None:
    frames, interfaces = _mixed(seed)
    raw = bytearray(pcapng(frames[:200], interfaces))
    for _ in range(data.draw(st.integers(0, 5))):
        raw[data.draw(st.integers(12, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(40, len(raw)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_BLOCK", data.draw(st.sampled_from([64, 5000, 1 << 20])))
        _same(bytes(raw[:cut]))
