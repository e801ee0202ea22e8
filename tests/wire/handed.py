"""What the tests of this folder share: the genuine captures, and their verdicts before and after something is done to them."""

from __future__ import annotations

import io
import tomllib
from functools import cache
from pathlib import Path

from analyzer.keys import KeyRing, load_keys
from analyzer.model import CaptureReport, Certainty, Code, Session
from analyzer.pipeline import analyze_capture
from tests.wire import frames

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
GENUINE = sorted(
    path.parent.name for path in CAPTURES.glob("*/case.toml") if path.parent.name.startswith(("tcp-", "dtls-"))
)


@cache
def ring(name: str, keyed: bool = True) -> KeyRing:
    """The keys of a genuine case."""
    folder = CAPTURES / name
    spec = tomllib.loads((folder / "case.toml").read_text())
    paths = [folder / "keys", folder / spec.get("secrets", "sslkeys.log")]
    return load_keys([path for path in paths if path.exists()] if keyed else [])


@cache
def genuine(name: str) -> tuple[int, tuple[frames.Frame, ...]]:
    """The link type and the frames of a genuine case."""
    link, found = frames.read(CAPTURES / name / "capture.pcap")
    return link, tuple(found)


def report(data: bytes, name: str, keyed: bool = True) -> CaptureReport:
    """The report on a capture with the keys of a case."""
    return analyze_capture(io.BytesIO(data), ring(name, keyed), name="capture.pcap")


@cache
def original(name: str, keyed: bool = True) -> CaptureReport:
    """The report on the case as it is."""
    link, found = genuine(name)
    return report(frames.pcap(link, found), name, keyed)


def verdicts(found: CaptureReport) -> list[tuple[Code, Certainty]]:
    """Code and certainty of each session."""
    return [(session.verdict.code, session.verdict.certainty) for session in found.sessions]


def weaker(session: Session, truth: set[Code]) -> bool:
    """Whether its verdict says one of ``truth``, or leaves it open."""
    verdict = session.verdict
    if verdict.code in truth or verdict.code is Code.CAPTURE_INCOMPLETE:
        return True
    return verdict.certainty is not Certainty.PROVEN and bool(truth & set(verdict.alternatives))
