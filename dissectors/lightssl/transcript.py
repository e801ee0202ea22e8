"""From what both lanes collected to the transcript: one row per stage, the records, the history, the notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dissectors.detect import Answer, foreign, looks_random
from dissectors.events import Direction, Fact, Record, Status, Step, Transcript
from dissectors.lightssl.cipher import is_stray_ping
from dissectors.lightssl.records import HEADER
from dissectors.lightssl.stages import HELLO, ODD_SESSION_KEY, STAGE, STAGES, Lane, Leg, Stage
from dissectors.lightssl.stream import join_frames

PROTOCOL = "lightssl"
#: Letters kept in ``history``; a longer one ends in ``+``.
HISTORY_KEPT = 400


@dataclass(slots=True)
class Heard:
    """What the machine noticed that no lane holds."""

    #: (turn, letter) of gaps and closes.
    happened: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Who spoke first, and how many bytes before the other side did.
    first_run: tuple[Direction, int] | None = None
    mid_session: bool = False

    def happen(self, turn: int, letter: str, direction: Direction) -> None:
        """Remember a gap or a close for the history."""
        if len(self.happened) < HISTORY_KEPT:
            self.happened.append((turn, _cased(letter, direction)))

    def note(self, note: str) -> None:
        """Remember a note once."""
        if note not in self.notes:
            self.notes.append(note)


def tell(lanes: Mapping[Direction, Lane], heard: Heard) -> Transcript:
    """The transcript of what ``lanes`` collected (their record streams finished)."""
    answers = {} if heard.mid_session else _answers(lanes)
    records = {
        direction: [] if direction in answers else list(zip(lane.records.turns, lane.records.records, strict=True))
        for direction, lane in lanes.items()
    }
    second_nonce = _second_nonce([record for _, record in records[Direction.DOWN]])
    _add_notes(heard, lanes, answers, second_nonce=second_nonce)
    steps = [
        *(_leg_step(stage, lanes[stage.direction], answers.get(stage.direction)) for stage in STAGES if stage.size),
        *(
            _hello_step(HELLO[direction], lanes[direction], records[direction], heard, second_nonce)
            for direction in (Direction.UP, Direction.DOWN)
        ),
        _session_step(lanes, records, heard),
    ]
    in_order = sorted(
        (entry for entries in records.values() for entry in entries), key=lambda entry: (entry[0], entry[1].index)
    )
    return Transcript(
        protocol=PROTOCOL,
        steps=_rows(steps, foreign_side=bool(answers)),
        records=tuple(record for _, record in in_order),
        history=_history(lanes, records, answers, heard),
        notes=tuple(heard.notes),
    )


def _cased(letter: str, direction: Direction) -> str:
    return letter.upper() if direction is Direction.UP else letter.lower()


def _answers(lanes: Mapping[Direction, Lane]) -> dict[Direction, Answer]:
    """The sides that speak another protocol. A dull pattern is none: a bad random generator still makes a nonce."""
    found = {direction: foreign(bytes(lane.head), cut=not lane.head_open) for direction, lane in lanes.items()}
    return {direction: answer for direction, answer in found.items() if answer and answer.kind != "pattern"}


def _add_notes(
    heard: Heard, lanes: Mapping[Direction, Lane], answers: Mapping[Direction, Answer], *, second_nonce: bool
) -> None:
    if heard.first_run and heard.first_run[0] is Direction.UP and not heard.mid_session:
        heard.note("device-spoke-first")
        if heard.first_run[1] == STAGE["nonce"].size:
            heard.note("roles-look-reversed")
    if lanes[Direction.UP].early_records and lanes[Direction.DOWN].bytes:
        heard.note("bytes-before-session-key")
    if second_nonce:
        heard.note("second-nonce")
    if not heard.mid_session and any(_is_stray(record) for record in lanes[Direction.UP].records.records[:1]):
        heard.note("stray-ping")
    if Direction.DOWN in answers:
        heard.note("not-the-cloud")
    if Direction.UP in answers:
        heard.note("not-a-device")
    if any(lane.records.dropped for lane in lanes.values()):
        heard.note("records-not-kept")
    kept = [lane.records for direction, lane in lanes.items() if direction not in answers]
    if any(record.status is Status.MALFORMED for stream in kept for record in stream.records):
        heard.note("malformed-record")


def _second_nonce(down: list[Record]) -> bool:
    """Where the cloud's Hello belongs there are 40 bytes (or 40 + 384) that no record can be: a new handshake."""
    if not down or down[0].status is not Status.MALFORMED:
        return False
    data = down[0].header + down[0].fragment
    sizes = (STAGE["nonce"].size or 0, (STAGE["nonce"].size or 0) + (STAGE["session-key"].size or 0))
    return len(data) in sizes and looks_random(data)


def _rows(steps: list[Step], *, foreign_side: bool) -> tuple[Step, ...]:
    """All rows up to the last that is there, and the first that should have followed it (in this protocol)."""
    ordered = {step.stage: step for step in steps}
    rows = [ordered[stage.name] for stage in STAGES]
    present = [index for index, step in enumerate(rows) if step.status is not Status.ABSENT]
    last = present[-1] + 1 if present else 0
    # Silence after the cloud's Hello is no missing stage: nothing has to follow it.
    return tuple(rows[:last] if foreign_side or last >= len(rows) - 1 else rows[: last + 1])


def _leg_step(stage: Stage, lane: Lane, answer: Answer | None) -> Step:
    leg = lane.leg(stage.name)
    if leg is None or not leg.position:
        return Step(stage.name, Status.ABSENT, stage.direction)
    facts: dict[str, Fact] = {}
    status = Status.SEEN if leg.complete and not leg.missing else Status.PARTIAL
    if answer is None and leg is not lane.legs[0]:
        answer = foreign(bytes(leg.data), cut=bool(leg.missing))
    if answer is not None and answer.kind == "pattern":
        facts["looks_random"] = False
    elif answer is not None:
        status = Status.MALFORMED
        facts["looks_like"] = answer.kind
        if leg is lane.legs[0]:
            facts |= {"answer": answer.summary, "all_bytes": lane.bytes, **answer.facts}
    elif not looks_random(bytes(leg.data)):
        facts["looks_random"] = False
    if leg.holes:
        facts["missing_at"] = tuple(value for hole in leg.holes for value in hole)
    if leg.early:
        facts["early_bytes"] = leg.early
    if stage.name == "session-key" and status is Status.PARTIAL and not leg.missing:
        facts |= _odd_size(leg)
    return Step(
        stage=stage.name,
        status=status,
        direction=stage.direction,
        frames=leg.frames,
        start_ns=leg.start_ns,
        time_ns=leg.time_ns,
        data=bytes(leg.data),
        missing=leg.missing,
        fields=facts,
    )


def _odd_size(leg: Leg) -> dict[str, Fact]:
    names = [name for sizes, name in ODD_SESSION_KEY.items() if leg.position in sizes]
    return {"odd_size": names[0]} if names else {}


def _hello_step(stage: Stage, lane: Lane, records: list[tuple[int, Record]], heard: Heard, second_nonce: bool) -> Step:
    missing = lane.records.missing_first
    if heard.mid_session or not (records or missing):
        return Step(stage.name, Status.ABSENT, stage.direction)
    if missing:
        return Step(stage.name, Status.PARTIAL, stage.direction, missing=missing)
    record = records[0][1]
    facts: dict[str, Fact] = {"record_bytes": len(record.fragment)}
    if lane.early_records:
        facts["early_bytes"] = lane.early_records
    if second_nonce:
        facts["second_nonce" if stage.direction is Direction.DOWN else "before_second_nonce"] = True
    status = record.status
    if _is_stray(record):
        # An old Core that could not use the session key: what stands here is no Hello.
        status, facts["stray_ping"] = Status.MALFORMED, True
    return Step(
        stage=stage.name,
        status=status,
        direction=stage.direction,
        frames=record.frames,
        start_ns=record.time_ns,
        time_ns=record.time_ns,
        data=record.header + record.fragment,
        fields=facts,
    )


def _session_step(
    lanes: Mapping[Direction, Lane], records: Mapping[Direction, list[tuple[int, Record]]], heard: Heard
) -> Step:
    later: list[tuple[int, Record]] = []
    for direction, entries in records.items():
        has_hello = not heard.mid_session and not lanes[direction].records.missing_first
        later += entries[1:] if has_hello else entries
    later.sort(key=lambda entry: (entry[0], entry[1].index))
    if not later:
        return Step("session", Status.ABSENT, Direction.UP)
    found = [record for _, record in later]
    statuses = [record.status for record in found]
    facts: dict[str, Fact] = {
        "records_up": sum(record.direction is Direction.UP for record in found),
        "records_down": sum(record.direction is Direction.DOWN for record in found),
        "bytes": sum(HEADER + len(record.fragment) for record in found),
    }
    for status in (Status.PARTIAL, Status.MALFORMED):
        if status in statuses:
            facts[status.value] = statuses.count(status)
    unread = sum(lane.records.unread for lane in lanes.values())
    if unread:
        facts["unread_bytes"] = unread
    best = next(status for status in (Status.SEEN, Status.PARTIAL, Status.MALFORMED) if status in statuses)
    return Step(
        stage="session",
        status=best,
        direction=found[0].direction,
        frames=join_frames(found[0].frames, found[-1].frames),
        start_ns=found[0].time_ns,
        time_ns=found[-1].time_ns,
        fields=facts,
    )


def _history(
    lanes: Mapping[Direction, Lane],
    records: Mapping[Direction, list[tuple[int, Record]]],
    answers: Mapping[Direction, Answer],
    heard: Heard,
) -> str:
    """Letters by the turn in which each thing became complete; within a turn in stream order."""
    things: list[tuple[int, int, str]] = [(turn, 0, letter) for turn, letter in heard.happened]
    for direction, lane in lanes.items():
        for index, leg in enumerate(lane.legs):
            if leg.position:
                letter = leg.stage.letter if leg.complete and not leg.missing else "p"
                things.append((leg.turn, index, _cased("m" if direction in answers else letter, direction)))
        for turn, record in records[direction]:
            things.append((turn, 10 + record.index, _cased(_record_letter(record, lane, heard), direction)))
    letters = "".join(letter for _, _, letter in sorted(things, key=lambda thing: thing[:2]))
    return letters if len(letters) <= HISTORY_KEPT else letters[:HISTORY_KEPT] + "+"


def _is_stray(record: Record) -> bool:
    return record.direction is Direction.UP and record.status is Status.SEEN and is_stray_ping(record.fragment)


def _record_letter(record: Record, lane: Lane, heard: Heard) -> str:
    if record.status is not Status.SEEN:
        return "m" if record.status is Status.MALFORMED else "p"
    first = record.index == 0 and not heard.mid_session and not lane.records.missing_first
    return "h" if first and not _is_stray(record) else "r"
