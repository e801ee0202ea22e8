"""Does what the device logged agree with what the capture shows of the same attempt?"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.devicelog.records import LogAttempt, LogEvent
from analyzer.firmware.lines import LineKind
from analyzer.model import Certainty, Code, LogLine, Session
from dissectors.events import How, Status

#: Stages of the log as the two transports' sessions call them. DTLS logs are coarser than the wire.
_WIRE: dict[str, tuple[str, ...]] = {
    "connect": ("connect", "client-hello", "resumed"),
    "nonce": ("nonce",),
    "identity": ("identity",),
    "session-key": ("session-key",),
    "device-hello": ("device-hello",),
    "cloud-hello": ("cloud-hello", "hello-ack"),
    "session": ("cloud-hello", "hello-ack", "session"),
    "resumed": ("resumed",),
    "client-hello": ("client-hello",),
    "server-hello": ("server-hello",),
    "name-resolution": ("name-resolution",),
}
#: Findings that say the capture does not hold everything: what it lacks may have happened all the same.
_HOLES = frozenset({"one-direction-only", "mid-session-start", "packet-loss"})


def stage_offset(session: Session, log_stage: str) -> float | None:
    """Seconds from the session's start at which the wire shows a stage of the log, or None."""
    for name in _WIRE.get(log_stage, ()):
        for stage in session.stages:
            if stage.stage == name and stage.status is Status.SEEN and stage.offset_s is not None:
                return stage.offset_s
    return None


def status_of(session: Session, log_stage: str) -> Status | None:
    """How much of a stage of the log the wire shows; None when the session has no such row."""
    rows = [stage.status for name in _WIRE.get(log_stage, ()) for stage in session.stages if stage.stage == name]
    return Status.SEEN if Status.SEEN in rows else rows[0] if rows else None


def is_whole(session: Session) -> bool:
    """Whether the capture holds all of this session, so that what it does not show did not happen on this wire."""
    if session.verdict.code is Code.CAPTURE_INCOMPLETE or session.ending.by == "capture":
        return False
    return not any(finding.code in _HOLES for finding in session.findings)


def contradictions(attempt: LogAttempt, session: Session) -> Iterator[str]:
    """Sentences for what cannot both be true. A capture with holes contradicts only by what it shows."""
    whole = is_whole(session)
    for stage, what in (("nonce", "the 40 bytes"), ("session-key", "the 384 bytes")):
        failed = next((e for e in attempt.events if e.stage == stage and e.kind is LineKind.FAILED), None)
        reached = attempt.reached(stage)
        wire = status_of(session, stage)
        if reached and wire is Status.ABSENT and whole:
            yield f"the device logs that {what} came, the capture shows none"
        if failed is not None and not reached and wire is Status.SEEN:
            yield f"the device logs that {what} did not come ({failed.text}), the capture shows them"
    if attempt.outcome == "connected" and whole and not attempt.reached("resumed"):
        answered = status_of(session, "cloud-hello")
        if answered is Status.ABSENT:
            yield "the device logs a connection, in the capture the cloud never answered its Hello"
    if attempt.outcome == "failed" and session.verdict.code is Code.HEALTHY:
        failure = attempt.failure()
        yield f"the device logs a failure ({failure.text if failure else 'no reason'}), the capture shows a good session"
    yield from _against_proof(attempt, session)
    alert = any(e.kind is LineKind.FAILED and e.number == -0x7780 for e in attempt.events)
    if (
        alert
        and whole
        and session.transport == "udp"
        and session.ending.how is not How.ALERT
        and not _shows_alert(session)
    ):
        yield "the device logs a fatal alert from the cloud (-7780), the capture shows none"


def _against_proof(attempt: LogAttempt, session: Session) -> Iterator[str]:
    if session.verdict.certainty is not Certainty.PROVEN:
        return
    logged = {
        e.number for e in attempt.events if e.kind in (LineKind.RESULT, LineKind.FAILED) and "protocol" in e.spaces
    }
    key = (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT)
    if 6 in logged and session.verdict.code is Code.SERVER_SIGNATURE_MISMATCH:
        yield "the device logs that the session key does not open (6), the capture proves that only its signature is wrong"
    if 8 in logged and session.verdict.code in key:
        yield "the device logs a wrong signature (8), the capture proves that the session key does not open"


def _shows_alert(session: Session) -> bool:
    return any("alert" in message.type for message in session.messages) or any(
        "alert" in stage.stage or "alert" in stage.fields for stage in session.stages
    )


def log_lines(name: str, attempt: LogAttempt, session: Session) -> tuple[LogLine, ...]:
    """The attempt's lines beside the stages they belong to, in the session's own words for them."""
    whole = is_whole(session)
    return tuple(
        LogLine(
            name,
            event.line,
            event.time_ms,
            _wire_stage(event, session),
            event.text,
            _line_agrees(event, session, whole),
        )
        for event in attempt.events
        if event.kind is not LineKind.SECRET
    )


def _wire_stage(event: LogEvent, session: Session) -> str | None:
    if event.stage is None:
        return None
    names = {stage.stage for stage in session.stages}
    return next((name for name in _WIRE.get(event.stage, ()) if name in names), event.stage)


def _line_agrees(event: LogEvent, session: Session, whole: bool) -> bool | None:
    if event.stage is None:
        return None
    wire = status_of(session, event.stage)
    if wire is None:
        return None
    if event.kind in (LineKind.REACHED, LineKind.CONNECTED):
        return True if wire is Status.SEEN else (False if whole and wire is Status.ABSENT else None)
    if event.kind is LineKind.FAILED and event.stage in ("nonce", "name-resolution", "cloud-hello"):
        return wire is not Status.SEEN
    if event.kind is LineKind.FAILED and event.stage == "session-key" and "nable to receive" in event.text:
        return wire is not Status.SEEN
    return None
