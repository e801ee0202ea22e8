"""A datagram that changed on the way looks like a key that does not fit; its UDP checksum tells it apart."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import Certainty, Code, Session
from analyzer.pipeline import analyze_capture

CAPTURES = Path(__file__).resolve().parents[2] / "captures"


def judged(folder: str, data: bytes) -> Session:
    (session,) = analyze_capture(io.BytesIO(data), load_keys([CAPTURES / folder / "keys"]), name="x").sessions
    return session


def record_at(data: bytes, number: int) -> int:
    """Where the pcap record with that frame number begins."""
    at = 24
    for _ in range(number - 1):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    return at


@pytest.mark.parametrize("checksum", [None, b"\0\0"], ids=["left as it was", "wiped out"])
def test_a_damaged_record_with_a_damaged_checksum_proves_nothing(checksum: bytes | None) -> None:
    folder = "dtls-16b-app-record-corrupted-to-device"
    data = bytearray((CAPTURES / folder / "capture.pcap").read_bytes())
    sound = judged(folder, bytes(data))
    assert (sound.verdict.code, sound.verdict.certainty) == (Code.RECORD_CORRUPT, Certainty.PROVEN)
    frames = sound.verdict.frames
    for frame in frames:
        start = record_at(data, frame) + 16
        if checksum is None:
            data[start + 42 + 20] ^= 1  # Ethernet, IPv4, UDP, and into the record
        else:
            data[start + 40 : start + 42] = checksum
    verdict = judged(folder, bytes(data)).verdict
    if checksum is None:
        assert verdict.code is Code.HEALTHY  # no receiver takes it: what changed that record is another matter
        return
    assert (verdict.code, verdict.certainty) == (Code.RECORD_CORRUPT, Certainty.INFERRED)
    assert "checksum" in verdict.evidence[-1].text
    assert verdict.evidence[-1].frames == frames


def test_a_damaged_signature_does_not_prove_a_wrong_server_key() -> None:
    folder = "dtls-01-good"
    data = bytearray((CAPTURES / folder / "capture.pcap").read_bytes())
    stage = next(row for row in judged(folder, bytes(data)).stages if row.stage == "server-key-exchange")
    start = record_at(data, stage.frames[0]) + 16
    end = start + int.from_bytes(data[start - 8 : start - 4], "little")
    data[end - 20] ^= 1
    verdict = judged(folder, bytes(data)).verdict
    assert verdict.certainty is not Certainty.PROVEN or verdict.code is Code.HEALTHY
