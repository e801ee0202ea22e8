"""Losing, cutting, damaging or reordering packets never makes a DTLS verdict wrongly proven, and never breaks the run."""

from __future__ import annotations

import io
import struct
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty
from analyzer.pipeline import analyze_capture

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
#: Longer captures repeat themselves.
LONGEST = 14_000


class Packet(NamedTuple):
    time: bytes
    length: int
    data: bytes


class Golden(NamedTuple):
    name: str
    header: bytes
    packets: list[Packet]
    ring: KeyRing
    allowed: frozenset[str]


@cache
def golden() -> list[Golden]:
    found = []
    for folder in sorted(CAPTURES.glob("*dtls-*")):
        spec = tomllib.loads((folder / "case.toml").read_text())
        raw = (folder / spec["capture"]).read_bytes()
        if not 100 < len(raw) < LONGEST or raw[:4] != b"\xd4\xc3\xb2\xa1":
            continue
        packets, offset = [], 24
        while offset < len(raw):
            held, length = struct.unpack_from("<II", raw, offset + 8)
            packets.append(Packet(raw[offset : offset + 8], length, raw[offset + 16 : offset + 16 + held]))
            offset += 16 + held
        paths = [path for path in (folder / "keys", folder / "sslkeys.log") if path.exists()]
        truth = spec["truth"]
        codes = {
            code for mode in ("with_keys", "without_keys") for row in truth.get(mode, ()) for code in row["verdicts"]
        }
        # A damaged byte is what record-corrupt says; a session that ends badly is healthy as long as it lasts.
        if codes & {"session-dropped", "session-lost", "record-corrupt"}:
            codes.add("healthy")
        found.append(
            Golden(
                folder.name,
                raw[:24],
                packets,
                load_keys(paths) if paths else KeyRing(),
                frozenset(codes | {"record-corrupt"}),
            )
        )
    return found


def check(case: Golden, packets: list[Packet]) -> None:
    raw = case.header + b"".join(p.time + struct.pack("<II", len(p.data), p.length) + p.data for p in packets)
    for ring in (case.ring, KeyRing()):
        report = analyze_capture(io.BytesIO(raw), ring, name="changed.pcap")
        for session in report.sessions:
            if session.verdict.certainty is Certainty.PROVEN:
                assert session.verdict.code.value in case.allowed, (case.name, session.verdict)


def test_there_are_captures_to_change():
    assert len(golden()) >= 30


_CASES = st.integers(0, 10**6).map(lambda n: golden()[n % len(golden())])
SLOW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(_CASES, st.data())
@SLOW
def test_packets_lost(case: Golden, data: st.DataObject):
    lost = data.draw(st.sets(st.integers(0, len(case.packets) - 1), max_size=len(case.packets)))
    check(case, [packet for number, packet in enumerate(case.packets) if number not in lost])


@given(_CASES, st.data())
@SLOW
def test_packets_damaged(case: Golden, data: st.DataObject):
    packets = list(case.packets)
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(packets) - 1))
        body = bytearray(packets[number].data)
        # Behind Ethernet, IP and UDP headers: a damaged header is another packet, or none.
        first = min(42, len(body) - 1)
        body[data.draw(st.integers(first, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        packets[number] = packets[number]._replace(data=bytes(body))
    check(case, packets)


@given(_CASES, st.integers(0, 220))
@SLOW
def test_packets_cut(case: Golden, snap: int):
    check(case, [packet._replace(data=packet.data[:snap]) for packet in case.packets])


@given(_CASES, st.data())
@SLOW
def test_capture_begins_late_and_ends_early(case: Golden, data: st.DataObject):
    first = data.draw(st.integers(0, len(case.packets) - 1))
    last = data.draw(st.integers(first, len(case.packets)))
    check(case, case.packets[first : last + 1])


@given(_CASES, st.data())
@SLOW
def test_packets_out_of_order(case: Golden, data: st.DataObject):
    contents = [(packet.length, packet.data) for packet in case.packets]
    for _ in range(data.draw(st.integers(1, 6))):
        number = data.draw(st.integers(0, len(contents) - 1))
        other = min(max(number + data.draw(st.integers(-3, 3)), 0), len(contents) - 1)
        contents[number], contents[other] = contents[other], contents[number]
    check(
        case, [Packet(packet.time, length, body) for packet, (length, body) in zip(case.packets, contents, strict=True)]
    )


@pytest.mark.parametrize("side", [0, 1])
def test_one_direction_alone(side: int):
    for case in golden():
        link = 14 if case.header[20:24] == b"\1\0\0\0" else 0
        first = case.packets[0].data[link + 12 : link + 16]
        check(case, [p for p in case.packets if (p.data[link + 12 : link + 16] == first) == (side == 0)])
