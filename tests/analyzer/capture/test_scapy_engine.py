"""`--engine scapy` reads with scapy, and sees what our own reader sees."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.capture.scapy_link import ScapyDecoder, ScapyLinks
from analyzer.keys import load_keys
from analyzer.pipeline import Options, analyze_capture

ROOT = Path(__file__).resolve().parents[3] / "captures"
CAPTURES = {
    path.parent.name: path.parent / tomllib.loads(path.read_text())["capture"] for path in ROOT.glob("*/case.toml")
}


def test_every_golden_capture_has_the_same_packets_and_scapy_read_nearly_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read = {True: 0, False: 0}
    segment = ScapyLinks.segment

    def counted(self: ScapyLinks, number: int, time_ns: int, link_type: int, data: bytes):
        found = segment(self, number, time_ns, link_type, data)
        read[found is not None] += 1
        return found

    monkeypatch.setattr(ScapyLinks, "segment", counted)
    different = [
        name
        for name, path in CAPTURES.items()
        if list(open_capture(path, name=name)) != list(open_capture(path, name=name, decoder=ScapyDecoder))
    ]
    assert len(CAPTURES) > 150
    assert different == []
    assert read[True] > 20 * read[False]


@pytest.mark.parametrize("case", ["dtls-01-good", "tcp-17-gateway-mixed", "synth-path-fragments"])
def test_the_report_is_the_same(case: str) -> None:
    ring = load_keys([ROOT / case / "keys"])
    ours, theirs = (
        analyze_capture(CAPTURES[case], ring, Options(engine=engine), name=case) for engine in ("auto", "scapy")
    )
    assert ours.sessions
    assert ours == theirs


def test_frames_that_scapy_cannot_read_are_left_to_our_reader() -> None:
    links = ScapyLinks()
    assert links.segment(1, 0, 1, b"\0" * 10) is None
    assert links.segment(1, 0, 1, bytes(12) + b"\x08\x00\x45" + bytes(60)) is None
    assert links.segment(1, 0, 999999, bytes(60)) is None
