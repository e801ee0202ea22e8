"""The rows of a ladder, before anything is drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.model import Attempt, Evidence, Incident, LogLine, Message, Outcome, Proof, Session
from analyzer.model import Ending as End
from analyzer.reports.rungs import INCIDENTS_KEPT, Kind, Rung, loose_log, rungs
from dissectors.events import Direction, How, Status
from tests.analyzer.reports.example import DOWN, MISMATCH, UP, session, stage

BARE = {"stages": (), "attempts": (), "messages": (), "findings": (), "log": (), "incidents": ()}
FIN = End("cloud", How.FIN, 30, 0.1)


def play(**changes: object) -> list[tuple[Kind, str]]:
    return [(row.kind, row.label) for row in rungs(_bare(**changes))]


def _bare(**changes: object) -> Session:
    return session(**{**BARE, "ending": FIN, **changes})


def test_ending_stands_between_what_was_seen_and_what_never_came() -> None:
    stages = (
        stage("nonce", direction=DOWN, frames=(1,), at=0.0),
        stage("identity", frames=(2,), at=0.1),
        stage("session-key", Status.ABSENT, DOWN),
    )
    assert play(stages=stages) == [
        (Kind.STAGE, "nonce"),
        (Kind.STAGE, "identity"),
        (Kind.END, "the cloud closes (FIN)"),
        (Kind.STAGE, "session-key"),
    ]


def test_a_session_that_begins_in_the_middle_has_its_missing_start_on_top() -> None:
    stages = (stage("connect", Status.ABSENT), stage("session", frames=(1, 9), at=4.0))
    assert play(stages=stages)[0] == (Kind.STAGE, "connect")
    assert rungs(_bare(stages=stages))[0].state == "not in the capture"


@pytest.mark.parametrize(
    ("ending", "kind", "label", "direction"),
    [
        (FIN, Kind.END, "the cloud closes (FIN)", DOWN),
        (End("device", How.RST, 9, 0.1), Kind.END, "the device resets (RST)", UP),
        (End("cloud", How.ALERT, 9, 0.1), Kind.END, "the cloud sends a fatal alert", DOWN),
        (End("device", How.SILENCE, None, 3.0), Kind.SILENCE, "the device falls silent", UP),
        (End("device", How.TIMEOUT, None, 3.0), Kind.SILENCE, "the device gives up waiting", UP),
        (End("network", How.ICMP, 9, 0.1), Kind.NETWORK, "ICMP error from the network", DOWN),
        (End("capture", How.CAPTURE_END, 9), Kind.OPEN, "still open when the capture ends", None),
    ],
)
def test_each_ending_is_told_with_who_and_how(ending: End, kind: Kind, label: str, direction: Direction | None) -> None:
    row = rungs(_bare(ending=ending))[-1]
    assert (row.kind, row.label, row.direction) == (kind, label, direction)


def test_incidents_stand_where_they_happened_and_runs_are_one_row() -> None:
    stages = (stage("nonce", direction=DOWN, frames=(1,), at=0.0), stage("identity", frames=(5,), at=0.1))
    incidents = (
        Incident("retransmission", UP, (7,)),
        Incident("retransmission", UP, (6,)),
        Incident("retransmission", DOWN, (3,)),
        Incident("gap", DOWN, (2,), 0.0, 30),
        Incident("gap", DOWN, (4,), 0.0, 12),
    )
    rows = rungs(_bare(stages=stages, incidents=incidents))
    assert [(row.label, row.frames, row.measure) for row in rows[:-1]] == [
        ("nonce", (1,), ""),
        ("not in the capture", (2,), "30 B"),
        ("sent again", (3,), ""),
        ("not in the capture", (4,), "12 B"),
        ("identity", (5,), ""),
        ("sent again", (6, 7), ""),
    ]


def test_what_a_stage_or_the_ending_says_already_gets_no_row() -> None:
    stages = (stage("nonce", Status.PARTIAL, DOWN, (1, 2), 0.0, 40, missing_at=(10, 30)),)
    incidents = (Incident("cut", DOWN, (2,), 0.0, 30), Incident("icmp", DOWN, (30,)))
    rows = rungs(_bare(stages=stages, incidents=incidents))
    assert [row.kind for row in rows] == [Kind.STAGE, Kind.END]
    assert [note.text for note in rows[0].notes] == ["30 bytes of it are not in the capture"]


def test_a_flood_of_incidents_is_counted_not_drawn() -> None:
    sides = (UP, DOWN)
    incidents = tuple(Incident("retransmission", sides[number % 2], (number,)) for number in range(100, 600))
    rows = rungs(_bare(stages=(stage("nonce", frames=(1,), at=0.0),), incidents=incidents))
    assert len(rows) < INCIDENTS_KEPT + 5
    assert f"{500 - INCIDENTS_KEPT} more such rows are left out" in [row.label for row in rows]


def test_pauses_of_a_second_are_told_and_time_never_runs_back() -> None:
    stages = tuple(
        stage(name, frames=(frame,), at=at)
        for frame, (name, at) in enumerate([("a", 0.0), ("b", 0.9), ("c", 3.0), ("d", 1.0), ("e", 3.5)], 1)
    )
    assert play(stages=stages) == [
        (Kind.STAGE, "a"),
        (Kind.STAGE, "b"),
        (Kind.PAUSE, "2.1 s pass"),
        (Kind.STAGE, "c"),
        (Kind.STAGE, "d"),
        (Kind.STAGE, "e"),
        (Kind.END, "the cloud closes (FIN)"),
    ]


def test_waiting_for_the_end_is_told_once() -> None:
    ending = replace(FIN, after_s=20.0)
    rows = rungs(_bare(stages=(stage("a", frames=(1,), at=0.0),), ending=ending))
    assert [(row.kind, row.label, row.notes) for row in rows[1:]] == [
        (Kind.PAUSE, "20.0 s pass", ()),
        (Kind.END, "the cloud closes (FIN)", ()),
    ]


def test_a_session_begins_with_its_first_message_and_lasts_to_its_last_record() -> None:
    messages = (Message(UP, (3,), "", "hello", "", 0.2), Message(UP, (7,), "", "ping", "", 2.0))
    rows = rungs(
        _bare(
            stages=(stage("hello", frames=(3,), at=0.2), stage("session", frames=(7, 9, 12), at=60.0)),
            messages=messages,
        )
    )
    row = next(row for row in rows if row.label == "session")
    assert (row.offset_s, row.until_s, row.frames_shown(1), row.direction) == (2.0, 60.0, "7-12", None)


def _notes(*attempts: Attempt, evidence: str = "") -> list[str]:
    verdict = replace(MISMATCH, evidence=(Evidence(evidence),))
    rows = rungs(_bare(stages=(stage("identity", frames=(1,), at=0.0),), attempts=attempts, verdict=verdict))
    return [f"{note.outcome}: {note.text}" for note in rows[0].notes]


def test_the_fitting_key_silences_keys_that_were_merely_tried() -> None:
    fits = Attempt("identity", "a.pem", Outcome.PROVED, Proof.NONCE_ECHO, "opens")
    other = Attempt("identity", "b.pem", Outcome.REFUTED, Proof.PADDING, "does not open")
    assert _notes(other, fits) == ["proved: a.pem: opens"]
    assert _notes(other, fits, evidence="b.pem did not sign it") == [
        "proved: a.pem: opens",
        "refuted: b.pem: does not open",
    ]
    assert _notes(other, other, other, other) == [
        *["refuted: b.pem: does not open"] * 2,
        "refuted: 2 more keys do not fit",
    ]


def test_log_lines_stand_beside_their_stage_and_the_rest_apart() -> None:
    lines = tuple(
        LogLine("x.log", number, None, name, f"line {number}")
        for number, name in enumerate(("nonce", None, "session", "elsewhere"))
    )
    subject = _bare(stages=(stage("nonce", frames=(1,), at=0.0), stage("session", Status.ABSENT)), log=lines)
    assert [line.text for line in rungs(subject)[0].log] == ["line 0"]
    assert [line.text for line in loose_log(subject)] == ["line 1", "line 2", "line 3"]


@pytest.mark.parametrize(
    ("subject", "size"),
    [
        (stage("nonce", Status.ABSENT), "40 B"),
        (stage("session-key", Status.PARTIAL, DOWN, (1,), 0.0, 300), "300 of 384 B"),
        (stage("session-key", direction=DOWN, frames=(1,), at=0.0, size=384), "384 B"),
        (stage("connect", frames=(1, 2, 3), at=0.0), "SYN, SYN-ACK, ACK"),
        (stage("connect", Status.PARTIAL, frames=(1,), at=0.0), "SYN"),
        (stage("session", frames=(1,), at=0.0, records_up=3, records_down=1), "3 up, 1 down"),
        (stage("server-hello-done", frames=(1,), at=0.0), ""),
    ],
)
def test_size_says_what_came_of_what_was_due(subject: object, size: str) -> None:
    row = next(row for row in rungs(_bare(stages=(subject,))) if row.kind is Kind.STAGE)
    assert row.measure == size


def test_a_row_knows_the_word_for_its_state() -> None:
    states = {status: Rung(Kind.STAGE, "nonce", status).state for status in Status}
    assert states == {
        Status.SEEN: "",
        Status.PARTIAL: "incomplete",
        Status.MALFORMED: "malformed",
        Status.ABSENT: "never came",
    }
