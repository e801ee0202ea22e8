"""Sessions told once, and the words formats share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.model import Certainty, Code, Device
from analyzer.reports.grouping import Tone, alike, by_weight, counted
from analyzer.reports.ladder import duration_text, frames_text, offset_text, span_text
from tests.analyzer.reports.example import HEALTHY, MISMATCH, REJECTED, session


def test_only_sessions_of_one_device_cloud_verdict_and_certainty_are_alike() -> None:
    first = session(id="s1")
    others = [
        session(id="s2"),
        session(id="s3", device=Device("192.168.1.50", 1, None)),
        session(id="s4", cloud=replace(first.cloud, port=5684)),
        session(id="s5", verdict=REJECTED),
        session(id="s6", verdict=replace(MISMATCH, certainty=Certainty.INFERRED)),
        session(id="s7"),
    ]
    groups = alike([first, *others])
    assert [[item.id for item in group.sessions] for group in groups] == [
        ["s1", "s2", "s7"],
        ["s3"],
        ["s4"],
        ["s5"],
        ["s6"],
    ]
    assert groups[0].numbers == (1, 2, 7)


def test_what_fails_comes_first_and_otherwise_the_order_stays() -> None:
    verdicts = (HEALTHY, REJECTED, MISMATCH, HEALTHY, MISMATCH)
    sessions = [
        session(id=f"s{number}", verdict=verdict, device=Device("a", number)) for number, verdict in enumerate(verdicts)
    ]
    sessions = [replace(item, device=Device(item.id, 1)) for item in sessions]
    assert [group.first.id for group in by_weight(alike(sessions))] == ["s2", "s4", "s1", "s0", "s3"]


@pytest.mark.parametrize("certainty", Certainty)
@pytest.mark.parametrize("code", Code)
def test_tone_of_every_verdict(code: Code, certainty: Certainty) -> None:
    tone = Tone.of(replace(MISMATCH, code=code, certainty=certainty))
    if code is Code.HEALTHY:
        assert tone is Tone.OK
    elif code is Code.CAPTURE_INCOMPLETE or certainty is Certainty.UNDETERMINED:
        assert tone is Tone.UNSURE
    else:
        assert tone is Tone.BAD


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0874, "87 ms"),
        (0.9994, "999 ms"),
        (0.99996, "1.0 s"),
        (2.14, "2.1 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min"),
        (250, "4 min 10 s"),
        (3_600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_are_told_as_people_do(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_words_of_frames_offsets_and_counts() -> None:
    assert frames_text((9, 3, 4, 5, 5)) == "3-5, 9"
    assert frames_text(range(1, 40, 2), limit=2) == "1, 3, ..."
    assert (offset_text(0.2184), offset_text(None)) == ("+0.218", "")
    assert (span_text(session()), span_text(session(last_frame=3))) == ("frames 3-30", "frame 3")
    assert (counted(1, "session"), counted(0, "session"), counted(5_000, "session")) == (
        "1 session",
        "0 sessions",
        "5,000 sessions",
    )
