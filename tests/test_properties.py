"""What must hold for any capture: cut anywhere, damaged anywhere, the answer may get weaker and never stronger."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.keys import KeyRing, load_keys
from analyzer.model import CaptureReport, Certainty, Code
from analyzer.pipeline import analyze_capture

CAPTURES = Path(__file__).resolve().parent.parent / "captures"
#: Small cases of different faults.
CASES = (
    "synth-healthy-core",
    "synth-device-key-mismatch-brewskey",
    "synth-server-key-mismatch",
    "synth-server-signature-mismatch",
    "synth-record-corrupt",
    "seed-001",
)


def _ring(case: str) -> KeyRing:
    return load_keys([CAPTURES / case / "keys"])


def _analyze(data: bytes, ring: KeyRing) -> CaptureReport | None:
    try:
        return analyze_capture(io.BytesIO(data), ring, name="mutated")
    except InputError:
        return None


def _strengths(report: CaptureReport | None) -> dict[Code, Certainty]:
    found: dict[Code, Certainty] = {}
    for session in report.sessions if report else ():
        verdict = session.verdict
        found[verdict.code] = max(
            found.get(verdict.code, Certainty.UNDETERMINED), verdict.certainty, key=lambda item: item.rank
        )
    return found


def _packet_ends(data: bytes) -> list[int]:
    ends, at = [], 24
    while at < len(data):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
        ends.append(at)
    return ends


@pytest.mark.parametrize("case", CASES)
def test_cut_after_every_packet_nothing_wrong_is_proven(case: str) -> None:
    data, ring = (CAPTURES / case / "capture.pcap").read_bytes(), _ring(case)
    whole = _strengths(_analyze(data, ring))
    for end in _packet_ends(data):
        for code, certainty in _strengths(_analyze(data[:end], ring)).items():
            if certainty is Certainty.PROVEN:
                assert code is Code.HEALTHY or whole.get(code) is Certainty.PROVEN, (end, code)


@pytest.mark.parametrize("case", CASES)
def test_cut_inside_every_packet_is_partial_and_uses_what_is_before(case: str) -> None:
    data, ring = (CAPTURES / case / "capture.pcap").read_bytes(), _ring(case)
    ends = _packet_ends(data)
    for number, end in enumerate(ends[:-1], 1):
        report = _analyze(data[: end + 20], ring)
        assert report is not None
        assert report.status == "partial"
        assert report.packets == number
        assert any(problem.frame == number + 1 for problem in report.problems), report.problems


@pytest.mark.parametrize("case", CASES)
def test_without_any_one_packet_nothing_wrong_is_proven(case: str) -> None:
    data, ring = (CAPTURES / case / "capture.pcap").read_bytes(), _ring(case)
    whole = _strengths(_analyze(data, ring))
    ends = [24, *_packet_ends(data)]
    for start, end in zip(ends, ends[1:], strict=False):
        for code, certainty in _strengths(_analyze(data[:start] + data[end:], ring)).items():
            if certainty is Certainty.PROVEN:
                assert code is Code.HEALTHY or whole.get(code) is Certainty.PROVEN, (start, code)


@pytest.mark.parametrize("case", CASES)
def test_a_flipped_byte_proves_nothing_new(case: str) -> None:
    data, ring = (CAPTURES / case / "capture.pcap").read_bytes(), _ring(case)
    whole = _strengths(_analyze(data, ring))
    for at in range(24, len(data), 31):
        mutated = bytearray(data)
        mutated[at] ^= 0x55
        for code, certainty in _strengths(_analyze(bytes(mutated), ring)).items():
            if certainty is Certainty.PROVEN:
                assert code is Code.HEALTHY or whole.get(code) is Certainty.PROVEN, (at, code)
