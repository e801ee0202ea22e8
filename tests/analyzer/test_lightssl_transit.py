"""A byte that changed on the way looks like a wrong key; it is told from one, wherever in the handshake it stands."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import Certainty, Code, Session
from analyzer.pipeline import analyze_capture

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
GOOD = CAPTURES / "synth-healthy-photon"


def _fixed(frame: bytearray) -> None:
    """Recompute the TCP checksum of an Ethernet/IPv4/TCP frame (RFC 9293, 3.1)."""
    header = (frame[14] & 15) * 4
    total = struct.unpack_from("!H", frame, 16)[0]
    start, end = 14 + header, 14 + total
    struct.pack_into("!H", frame, start + 16, 0)
    body = bytes(frame[26:34]) + struct.pack("!BBH", 0, 6, end - start) + bytes(frame[start:end])
    body += b"\0" * (len(body) % 2)
    value = sum(struct.unpack(f"!{len(body) // 2}H", body))
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    struct.pack_into("!H", frame, start + 16, ~value & 0xFFFF)


def _cut_and_flipped(stage: str, offset: int, bit: int) -> Session:
    """The healthy capture, one bit of ``stage`` flipped on the way, the device or cloud giving up right after it."""
    data = (GOOD / "capture.pcap").read_bytes()
    report = analyze_capture(io.BytesIO(data), load_keys([GOOD / "keys"]), name="good")
    step = next(item for item in report.sessions[0].stages if item.stage == stage)
    assert len(step.frames) == 1
    out, at, number = bytearray(data[:24]), 24, 0
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        record, frame = bytearray(data[at : at + 16]), bytearray(data[at + 16 : at + 16 + length])
        number += 1
        at += 16 + length
        if number == step.frames[0]:
            payload = 14 + (frame[14] & 15) * 4 + (frame[14 + (frame[14] & 15) * 4 + 12] >> 4) * 4
            frame[payload + offset] ^= 1 << bit
            _fixed(frame)
        out += record + frame
        if number == step.frames[0]:
            # Ten quiet seconds, so that the end of the capture is no excuse: the same segment's sender closes.
            fin = bytearray(frame[: 14 + struct.unpack_from("!H", frame, 16)[0]])
            head = 14 + (fin[14] & 15) * 4
            size = len(fin) - head - (fin[head + 12] >> 4) * 4
            del fin[head + (fin[head + 12] >> 4) * 4 :]
            struct.pack_into("!H", fin, 16, len(fin) - 14)
            source, target = bytes(fin[26:30]), bytes(fin[30:34])
            sequence, acknowledgement = struct.unpack_from("!II", fin, head + 4)
            fin[26:30], fin[30:34] = target, source
            fin[head : head + 4] = fin[head + 2 : head + 4] + fin[head : head + 2]
            struct.pack_into("!II", fin, head + 4, acknowledgement, sequence + size)
            fin[head + 13] = 0x11
            _fixed(fin)
            seconds, micros = struct.unpack_from("<II", record)
            out += struct.pack("<IIII", seconds + 1, micros, len(fin), len(fin)) + fin
            break
    changed = analyze_capture(io.BytesIO(bytes(out)), load_keys([GOOD / "keys"]), name="flipped")
    return changed.sessions[0]


@pytest.mark.parametrize(("offset", "bit"), [(0, 0), (3, 7), (100, 4), (255, 1)])
def test_a_bit_of_the_identity(offset: int, bit: int) -> None:
    session = _cut_and_flipped("identity", offset, bit)
    assert session.verdict.code is Code.IDENTITY_REJECTED
    assert session.verdict.certainty is not Certainty.PROVEN
    found = [finding for finding in session.findings if finding.code == "corrupted-in-transit"]
    assert len(found) == 1
    assert f"byte {offset} " in found[0].summary


@pytest.mark.parametrize(("offset", "bit"), [(0, 0), (60, 3), (127, 5), (128, 0), (200, 6), (383, 1)])
def test_a_bit_of_the_session_key_or_its_signature(offset: int, bit: int) -> None:
    session = _cut_and_flipped("session-key", offset, bit)
    assert session.verdict.code is Code.SESSION_KEY_UNUSABLE, session.verdict
    found = [finding for finding in session.findings if finding.code == "corrupted-in-transit"]
    assert len(found) == 1
    assert f"byte {offset} " in found[0].summary


def test_nobody_is_told_to_change_a_key_that_fits() -> None:
    remedies = _cut_and_flipped("session-key", 60, 3).verdict.remedy
    assert [remedy.commands for remedy in remedies] == [()]
    assert "Leave the keys alone" in remedies[0].text
