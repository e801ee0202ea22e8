"""The ladder of one session as rows, for every format that draws one: what to say is decided here, how it looks is not.

How it works. Stages come in the order of the protocol; incidents (data sent again, gaps) stand behind the last row that
began before them; a pause of a second or more is a row of its own, because waiting is what a device mostly does when
something is wrong. The ending follows what was seen, and what never came stands below it, as in the time that was
waited for it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from analyzer.model import Attempt, Code, Incident, LogLine, Outcome, Session, Stage
from analyzer.reports.ladder import duration_text, frames_text
from dissectors.events import Direction, Fact, How, Status
from dissectors.lightssl.stages import STAGE

#: A pause this long (s) is shown.
PAUSE_S = 1.0
#: Rows for incidents; a capture with more of them is better told in numbers.
INCIDENTS_KEPT = 24
#: Keys that did not fit, named beside one stage.
_REFUTED_KEPT = 2
_LOG_KEPT = 12
_FRAMES_KEPT = 64


class Kind(StrEnum):
    """What a row is."""

    STAGE = "stage"
    AGAIN = "again"
    GAP = "gap"
    NETWORK = "network"
    PAUSE = "pause"
    END = "end"
    SILENCE = "silence"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Note:
    """A remark beside a row; ``outcome`` when it says what became of a key."""

    text: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """One row. ``direction`` None: both ways, or neither. ``label`` is the message, ``size`` what it measures."""

    kind: Kind
    label: str
    status: Status = Status.SEEN
    direction: Direction | None = None
    frames: tuple[int, ...] = ()
    offset_s: float | None = None
    size: str = ""
    notes: tuple[Note, ...] = ()
    log: tuple[LogLine, ...] = ()
    #: Seconds since the last data, for a row whose ``offset_s`` is not known.
    after_s: float | None = None
    #: Bytes a gap lacks.
    missing: int = 0
    #: A stage that is absent because the capture does not show that time, not because it never came.
    unwatched: bool = False
    #: When it was over, for what lasts.
    until_s: float | None = None

    def frames_shown(self, limit: int) -> str:
        """Frame numbers as text, at most ``limit`` runs of them; those of what lasts as one range."""
        if self.until_s is not None and self.frames:
            first, last = min(self.frames), max(self.frames)
            return str(first) if first == last else f"{first}-{last}"
        return frames_text(self.frames, limit)

    @property
    def measure(self) -> str:
        """What stands beside the label."""
        return f"{self.missing} B" if self.missing else self.size

    @property
    def state(self) -> str:
        """The word for a stage that is not simply there."""
        connecting = self.label == "connect"
        if self.status is Status.ABSENT:
            return "not in the capture" if connecting or self.unwatched else "never came"
        if connecting and self.status is Status.PARTIAL:
            return "not completed"
        return {Status.PARTIAL: "incomplete", Status.MALFORMED: "malformed"}.get(self.status, "")


def rungs(session: Session) -> tuple[Rung, ...]:
    """All rows of the session's ladder, from the top."""
    seen, missing = _stages(session)
    rows = _merged(seen, _worth_a_row(session))
    rows.append(_ending(session))
    return (*_with_pauses(rows), *missing)


def loose_log(session: Session) -> tuple[LogLine, ...]:
    """Log lines that stand beside no row of the ladder."""
    beside = {stage.stage for stage in session.stages if not _omitted(stage)}
    return tuple(line for line in session.log if line.stage not in beside)


def _omitted(stage: Stage) -> bool:
    return stage.stage == "session" and stage.status is Status.ABSENT


def _stages(session: Session) -> tuple[list[Rung], list[Rung]]:
    """Rows of the stages up to the last that is there, and of those that should have followed."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in session.attempts:
        attempts[attempt.stage].append(attempt)
    lines: dict[str | None, list[LogLine]] = defaultdict(list)
    for line in session.log:
        lines[line.stage].append(line)
    shown = [stage for stage in session.stages if not _omitted(stage)]
    evidence = "\n".join(item.text for item in session.verdict.evidence)
    repeated = any(item.kind == "retransmission" for item in session.incidents)
    rows = [_stage(stage, attempts[stage.stage], lines[stage.stage], evidence, counts=not repeated) for stage in shown]
    if rows and rows[-1].label == "session":
        # A stage's time is that of its last byte; a session is told from its first message on.
        first = min(rows[-1].frames, default=0)
        begun = next((item.offset_s for item in session.messages if item.frames and item.frames[0] >= first), None)
        rows[-1] = replace(rows[-1], offset_s=begun, until_s=rows[-1].offset_s)
    last = max((index for index, row in enumerate(rows) if row.status is not Status.ABSENT), default=-1)
    # What a later stage shows to have been, and what the capture is too incomplete to miss.
    open_end = session.verdict.code is Code.CAPTURE_INCOMPLETE
    rows = [
        replace(row, unwatched=row.status is Status.ABSENT and (index < last or open_end))
        for index, row in enumerate(rows)
    ]
    if last < 0:  # nothing at all was seen: what did not come stays where the protocol has it
        return rows, []
    return rows[: last + 1], rows[last + 1 :]


def _stage(stage: Stage, attempts: list[Attempt], lines: list[LogLine], evidence: str, *, counts: bool) -> Rung:
    both = stage.stage in ("connect", "session", "resumed", "name-resolution") and stage.status is not Status.ABSENT
    if stage.stage == "connect" and stage.status is not Status.SEEN:
        both = False
    return Rung(
        kind=Kind.STAGE,
        label=stage.stage,
        status=stage.status,
        direction=None if both else stage.direction,
        frames=stage.frames,
        offset_s=stage.offset_s,
        size=_size(stage),
        notes=(*_key_notes(attempts, evidence), *map(Note, _fact_notes(stage.fields, counts=counts))),
        log=tuple(lines[:_LOG_KEPT]),
    )


def _size(stage: Stage) -> str:
    known = STAGE.get(stage.stage)
    expected = known.size if known is not None else None
    if stage.stage == "connect":
        # Without frames it is a log that tells of it: no packet was seen.
        return (
            ""
            if stage.status is Status.ABSENT or not stage.frames
            else "SYN, SYN-ACK" + ", ACK" * (stage.fields.get("ack") is not False)
            if stage.status is Status.SEEN
            else "SYN" + "-ACK" * (stage.fields.get("syn") == 0)
        )
    if stage.status is Status.ABSENT:
        return f"{expected} B" if expected else ""
    if stage.stage == "session":
        up, down = stage.fields.get("records_up"), stage.fields.get("records_down")
        if isinstance(up, int) and isinstance(down, int):
            return f"{up} up, {down} down"
    if expected and stage.status is Status.PARTIAL and stage.bytes < expected:
        return f"{stage.bytes} of {expected} B"
    return f"{stage.bytes} B" if stage.bytes else ""


def _key_notes(attempts: list[Attempt], evidence: str) -> Iterator[Note]:
    """The key that fits and the one the verdict rests on that does not; of keys that were merely tried a few."""
    proved = [attempt for attempt in attempts if attempt.outcome is Outcome.PROVED]
    refuted = [attempt for attempt in attempts if attempt.outcome is Outcome.REFUTED]
    if proved:
        refuted = [attempt for attempt in refuted if attempt.key and attempt.key in evidence][:1]
    yield from (_key_note(attempt) for attempt in (*proved[:1], *refuted[:_REFUTED_KEPT]))
    if len(refuted) > _REFUTED_KEPT:
        yield Note(f"{len(refuted) - _REFUTED_KEPT} more keys do not fit", Outcome.REFUTED)


def _key_note(attempt: Attempt) -> Note:
    return Note(f"{attempt.key}: {attempt.detail}" if attempt.detail else attempt.key, attempt.outcome)


def _fact_notes(facts: Mapping[str, Fact], *, counts: bool) -> Iterator[str]:
    """What the bytes of a stage tell; ``counts``: no row of its own says how often it was sent."""
    if facts.get("looks_like"):
        yield f"looks like {facts['looks_like']}" + (f": {facts['answer']}" if facts.get("answer") else "")
    elif facts.get("summary"):
        yield str(facts["summary"])
    if facts.get("looks_random") is False:
        yield "these bytes do not look random"
    for name, what in (("syn", "SYN sent"), ("copies", "sent")):
        count = facts.get(name)
        if isinstance(count, int) and count > 1 and (counts or name == "syn"):
            yield f"{what} {count} times"
    holes = facts.get("missing_at")
    if isinstance(holes, tuple) and holes:
        yield f"{sum(size for size in holes[1::2] if isinstance(size, int))} bytes of it are not in the capture"
    if facts.get("copies_differ"):
        yield "the copies differ"


_INCIDENTS = {
    "retransmission": (Kind.AGAIN, "sent again"),
    "gap": (Kind.GAP, "not in the capture"),
    "cut": (Kind.GAP, "cut by the snap length"),
    "icmp": (Kind.NETWORK, "ICMP error"),
    "reset": (Kind.NETWORK, "reset"),
    "keepalive": (Kind.NETWORK, "keep-alive"),
    "zero-window": (Kind.NETWORK, "window closed"),
    "out-of-order": (Kind.NETWORK, "arrives late"),
}


def _worth_a_row(session: Session) -> Iterator[Incident]:
    """Incidents that neither the ending nor a stage's own notes tell already."""
    told = {frame for stage in session.stages if stage.fields.get("missing_at") for frame in stage.frames}
    for item in session.incidents:
        is_hole = item.kind in ("gap", "cut")
        if session.ending.frame in item.frames or (is_hole and told.issuperset(item.frames)):
            continue
        yield item


def _incident(incident: Incident) -> Rung:
    kind, label = _INCIDENTS[incident.kind]
    return Rung(
        kind=kind,
        label=label,
        direction=incident.direction,
        frames=incident.frames,
        offset_s=incident.offset_s,
        missing=incident.bytes,
    )


def _continues(row: Rung, following: Rung) -> bool:
    """Whether two incidents are one run: the same thing to data of the same direction."""
    return (row.kind, row.label, row.direction) == (following.kind, following.label, following.direction)


def _joined(row: Rung, following: Rung) -> Rung:
    frames = (*row.frames, *following.frames)[:_FRAMES_KEPT]
    return replace(row, frames=frames, missing=row.missing + following.missing)


def _merged(stages: list[Rung], incidents: Iterable[Incident]) -> list[Rung]:
    """Stages and incidents in one column; a run of repeats is one row."""
    waiting = deque(_incident(item) for item in sorted(incidents, key=lambda item: item.frames[:1]))
    rows: list[Rung] = []
    dropped = 0
    for index, stage in enumerate(stages):
        following = next((row.frames[0] for row in stages[index + 1 :] if row.frames), None)
        rows.append(stage)
        while waiting and (following is None or waiting[0].frames[:1] < (following,)):
            row = waiting.popleft()
            if not dropped and _continues(rows[-1], row):
                rows[-1] = _joined(rows[-1], row)
            elif not dropped and len(rows) - index <= INCIDENTS_KEPT:
                rows.append(row)
            else:
                dropped += 1
    if dropped or waiting:
        rows.append(Rung(Kind.PAUSE, f"{dropped + len(waiting)} more such rows are left out"))
    return rows


def _with_pauses(rows: list[Rung]) -> Iterator[Rung]:
    clock: float | None = None
    for row in rows:
        waited = row.after_s
        if row.offset_s is not None:
            waited = row.offset_s - clock if clock is not None else None
            clock = max(clock or 0.0, row.offset_s)  # stages overlap when a flight was sent again
        if row.until_s is not None:
            clock = row.until_s
        if waited is not None and waited >= PAUSE_S:
            yield Rung(Kind.PAUSE, f"{duration_text(waited)} pass")
        yield row


_HOW = {
    How.FIN: "closes (FIN)",
    How.RST: "resets (RST)",
    How.ALERT: "sends a fatal alert",
    How.TIMEOUT: "gives up waiting",
    How.ICMP: "answers with an ICMP error",
    How.SILENCE: "falls silent",
    How.CAPTURE_END: "is still open",
}


def ending_text(session: Session) -> str:
    """Who ended it and how, as a clause: ``the cloud closes (FIN)``."""
    ending = session.ending
    if ending.by == "network" and ending.how is How.ICMP:
        return "ICMP error from the network"
    if ending.by == "network":
        return "no answer comes"
    if ending.by == "capture" or ending.how is How.CAPTURE_END:
        return "still open when the capture ends"
    return f"the {ending.by} {_HOW[ending.how]}"


def _ending(session: Session) -> Rung:
    ending = session.ending
    is_open = ending.by == "capture" or ending.how is How.CAPTURE_END
    direction = {"device": Direction.UP, "cloud": Direction.DOWN, "network": Direction.DOWN}.get(ending.by)
    kind = Kind.OPEN if is_open else Kind.NETWORK if ending.how is How.ICMP else Kind.END
    if kind is Kind.END and ending.how in (How.SILENCE, How.TIMEOUT):
        kind = Kind.SILENCE
    after = ending.after_s
    notes = (
        (Note(f"{duration_text(after)} after the last data"),)
        if after is not None and not is_open and after < PAUSE_S
        else ()
    )
    return Rung(
        kind=kind,
        label=ending_text(session),
        direction=direction,
        frames=(ending.frame,) if ending.frame and not is_open else (),
        notes=notes,
        after_s=after,
    )
