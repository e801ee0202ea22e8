"""Gateway captures: one story for each device, each with its own fate, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import Session, Story
from analyzer.pipeline import analyze_paths

#: Device or, where it never says who it is, its address: attempts and the one verdict they share. The truth of the real
#: ones was written down by the laboratory that made them.
FATES = {
    "tcp-17-gateway-mixed": {
        "530024001147343334333832": (1, "healthy"),
        "45002b001147343335393534": (1, "healthy"),
        "3a0029001147343337313234": (3, "device-key-mismatch"),
        "1e0025001147343337323730": (3, "server-key-mismatch"),
        "3a002c001147343330333437": (2, "device-unknown"),
        "450012001147343335343638": (1, "no-nonce"),
        "45002c001147343333373632": (1, "healthy"),
    },
    "dtls-13-several-devices": {
        "0a10aced202194944a042f01": (1, "healthy"),
        "10.77.0.12": (11, "server-key-mismatch"),
        "0a10aced202194944a042f03": (11, "device-key-mismatch"),
        "0a10aced202194944a042f05": (2, "device-key-corrupt"),
        "0a10aced202194944a042f04": (1, "healthy"),
    },
    "synth-gateway": {
        "2b0032001147343336343734": (1, "healthy"),
        "3a0043001147343330343839": (1, "device-key-mismatch"),
        "450053001147343338303331": (1, "device-unknown"),
        "2b003a001147343337393637": (1, "healthy"),
    },
}


@pytest.mark.parametrize("name", FATES)
def test_one_story_per_device(captures: Path, name: str):
    case = captures / name
    keys = [path for path in (case / "keys", case / "sslkeys.log") if path.exists()]
    (capture,) = analyze_paths([str(case / "capture.pcap")], load_keys(keys)).captures
    sessions = {session.id: session for session in capture.sessions}
    assert {story.device: fate(story, sessions) for story in capture.stories} == FATES[name]
    # Every session is in exactly one story.
    assert sorted(each for story in capture.stories for each in story.sessions) == sorted(sessions)


def fate(story: Story, sessions: dict[str, Session]) -> tuple[int, str]:
    (code,) = {sessions[each].verdict.code.value for each in story.sessions}
    return story.attempts, code


def test_a_guess_is_called_one(captures: Path):
    case = captures / "tcp-17-gateway-mixed"
    (capture,) = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"])).captures
    # Two devices never show who they are: one by a key nobody can open, one because the server never spoke.
    assert {story.device for story in capture.stories if story.guess} == {
        "1e0025001147343337323730",
        "450012001147343335343638",
    }
