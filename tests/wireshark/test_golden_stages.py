"""tshark with the dissector on every golden capture: no Lua error, our stages, nothing of a handshake misread."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture

ROOT = Path(__file__).resolve().parents[2] / "captures"
CASES = sorted(path.parent for path in ROOT.glob("*/case.toml"))
#: Stages the dissector names; `connect` and `name-resolution` are Wireshark's own business.
NOT_OURS = {"connect", "name-resolution"}
#: Stages whose records stock Wireshark may decrypt when the capture brings the secrets along.
PROTECTED = {"device-finished", "cloud-finished", "device-hello", "hello-ack", "session", "resumed"}


def capture_of(case: Path) -> Path:
    return case / tomllib.loads((case / "case.toml").read_text())["capture"]


def sessions_of(case: Path) -> list[dict]:
    """The sessions of the case's expected report, or of the report we make now when it has none yet."""
    expected = case / "expected.json"
    if expected.exists():
        report = json.loads(expected.read_text())
        return [session for capture in report["captures"] for session in capture["sessions"]]
    return [dataclasses.asdict(session) for session in analyze_capture(capture_of(case), load_keys([])).sessions]


@pytest.mark.tshark
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stages_equal_ours_and_no_frame_is_misread(case: Path, dissect: Callable[..., dict]) -> None:
    frames = dissect(capture_of(case))
    for frame in frames.values():
        assert not (frame.stages and frame.malformed), frame
        assert PROTECTED.intersection(frame.stages) or not frame.stages or "coap" not in frame.protocols, frame
    seen: dict[str, set[int]] = {}
    for frame in frames.values():
        for stage in frame.stages:
            seen.setdefault(stage, set()).add(frame.number)
    expected: dict[str, set[int]] = {}
    loose: set[str] = {"session"}
    for session in sessions_of(case):
        for stage in session["stages"]:
            if stage["stage"] in NOT_OURS or not stage["frames"]:
                continue
            expected.setdefault(stage["stage"], set()).update(stage["frames"])
            if "answers" in stage["fields"] or "change_cipher_spec" in stage["fields"]:
                # The report shows the last answer of the cloud, or the next best record; tshark reads each as it comes.
                loose.add(stage["stage"])
    for stage, ours in expected.items():
        theirs = seen.get(stage, set())
        # Of `session` the report gives the first and the last frames.
        assert ours <= theirs if stage in loose else ours == theirs, (stage, sorted(ours), sorted(theirs))
    assert set(seen) - set(expected) <= {"session"}
