"""Two sessions side by side: what a healthy one does and this one does not, and where they part.

How it works. Both are rows of the same report: facts (who, with whom, which keys fit, who ended it) and stages. A row is a pair
of values; the stage at which they part is the first whose outcome, size or keys differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analyzer.model import Code, Outcome, Report, Session
from dissectors.events import Status

#: Stages that take so much longer are told as different (s): retries and round trips stay below.
_LONGER = 1.0
#: Longer once the server has given a cookie.
_VARIES = frozenset({"client-hello"})


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one stage in a session; ``offset_s`` counts from the session's start, ``opened`` is what fits it."""

    status: Status
    bytes: int
    offset_s: float | None
    frames: tuple[int, ...]
    proved: tuple[str, ...] = ()
    refuted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One thing of both: a fact by its name, or a stage. Values are None where a session has none."""

    name: str
    good: object
    bad: object

    @property
    def differs(self) -> bool:
        """Whether they are not the same."""
        return self.good != self.bad


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sessions; the facts and the stages of both; ``parts_at``: the stage where they part, None where they do not."""

    good: Session
    bad: Session
    facts: tuple[Row, ...]
    stages: tuple[tuple[str, Step | None, Step | None], ...]
    parts_at: str | None


def chosen(report: Report, number: int | None, *, healthy: bool) -> Session | None:
    """The session with that number (from 1, over all captures), else the first that is, or is not, healthy; else the first."""
    sessions = [session for capture in report.captures for session in capture.sessions]
    if number is not None:
        return sessions[number - 1] if number <= len(sessions) else None
    wanted = (session for session in sessions if (session.verdict.code is Code.HEALTHY) is healthy)
    return next(wanted, sessions[0] if sessions else None)


def compared(good: Session, bad: Session) -> Comparison:
    """What is to be said of these two."""
    names = list(dict.fromkeys(stage.stage for session in _longer_first(good, bad) for stage in session.stages))
    stages = tuple((name, *_steps(good, bad, name)) for name in names)
    # Another cloud's key fits another cloud: that keys differ tells something where a verdict rests on it.
    judged = {good.verdict.stage, bad.verdict.stage}
    apart = next(
        (name for name, one, other in stages if _apart(one, other, keys=name in judged, sizes=name not in _VARIES)),
        None,
    )
    return Comparison(good, bad, tuple(_facts(good, bad)), stages, apart)


def _longer_first(good: Session, bad: Session) -> tuple[Session, Session]:
    return (good, bad) if len(good.stages) >= len(bad.stages) else (bad, good)


def _facts(good: Session, bad: Session) -> Iterator[Row]:
    for name, value in (
        ("verdict", lambda session: f"{session.verdict.code.value} ({session.verdict.certainty.value})"),
        ("device", lambda session: session.device.id or session.device.address),
        ("cloud", lambda session: f"{session.cloud.address}:{session.cloud.port}"),
        ("name", lambda session: session.cloud.host),
        ("protocol", lambda session: f"{session.protocol} over {session.transport}"),
        ("firmware", _firmware),
        ("keys that fit", _fitting),
        ("ended by", lambda session: f"{session.ending.by}, {session.ending.how.value}"),
        ("lasted", lambda session: f"{session.duration_s:.1f} s"),
        ("history", lambda session: session.history),
    ):
        yield Row(name, value(good), value(bad))


def _firmware(session: Session) -> str | None:
    return next((item.summary for item in session.findings if item.code == "firmware-family"), None)


def _fitting(session: Session) -> str | None:
    return ", ".join(dict.fromkeys(item.key for item in session.attempts if item.outcome is Outcome.PROVED)) or None


def _steps(good: Session, bad: Session, name: str) -> tuple[Step | None, Step | None]:
    """A stage of both. Of keys that do not fit only those tell something that fit in the other, or beside which none fits."""
    one, other = _step(good, name), _step(bad, name)
    return _told(one, other), _told(other, one)


def _told(step: Step | None, beside: Step | None) -> Step | None:
    if step is None or not step.proved:
        return step
    return replace(step, refuted=tuple(key for key in step.refuted if beside is not None and key in beside.proved))


def _step(session: Session, name: str) -> Step | None:
    stage = next((stage for stage in session.stages if stage.stage == name), None)
    if stage is None:
        return None
    tried = [item for item in session.attempts if item.stage == name]
    return Step(
        stage.status,
        stage.bytes,
        stage.offset_s,
        stage.frames,
        tuple(item.key for item in tried if item.outcome is Outcome.PROVED),
        tuple(item.key for item in tried if item.outcome is Outcome.REFUTED),
    )


def _apart(one: Step | None, other: Step | None, *, keys: bool, sizes: bool) -> bool:
    if one is None or other is None:
        return (one or other) is not None and Status.SEEN in {step.status for step in (one, other) if step is not None}
    if one.status != other.status or (keys and bool(one.refuted) != bool(other.refuted)):
        return True
    # A session's records may be as many as they like; a signature (DER) may be some bytes longer or shorter.
    return sizes and abs(one.bytes - other.bytes) > _SIGNATURE and one.status is Status.SEEN and len(one.frames) < _FEW


#: A message of a handshake comes in so few packets, and differs by no more bytes in length.
_FEW, _SIGNATURE = 8, 4


def slower(one: Step | None, other: Step | None) -> bool:
    """Whether a stage that both have came more than a second later in one of them."""
    if one is None or other is None or one.offset_s is None or other.offset_s is None:
        return False
    return abs(one.offset_s - other.offset_s) > _LONGER
