"""Servers' logs in the report: beside the sessions of a capture or, where no capture shows one, as sessions of their own.

How it works. `analyzer.serverlog` reads, judges and pairs; here its answers become rows of the report. A log decides what
the wire leaves open, and is named as the premise of a verdict that rests on it; what the wire proves it can only contradict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from analyzer.firmware.case import RemedyContext
from analyzer.firmware.remedies import finding_remedy, remedy
from analyzer.firmware.serverlines import Says
from analyzer.firmware.shows import device_shows
from analyzer.keys import KeyRing
from analyzer.model import (
    SERVER_LOG_FORMAT,
    CaptureReport,
    Certainty,
    Cloud,
    Code,
    Device,
    Ending,
    Evidence,
    Finding,
    InputProblem,
    LogLine,
    Remedy,
    Role,
    Session,
    Stage,
    Verdict,
)
from analyzer.serverlog import Beside, Clock, Connection, Judged, ServerLog, beside, judge
from analyzer.times import rfc3339
from dissectors.events import Direction, How, Status
from dissectors.handshakes import usual_port

#: More connections of one log than this tell nothing more; the last ones are told.
_TOLD = 200
#: A clock that is off by less is not worth a word (s).
_OFF = 2.0
_ZONE = 900.0
#: The stages of a session as a server passes through them.
_STAGES = ("connect", "nonce", "identity", "session-key", "device-hello", "cloud-hello", "session")
_DOWN = frozenset({"nonce", "session-key", "cloud-hello"})
#: What a session that stood may have come to by the server's word, though the wire shows no more than its end.
_LATER = frozenset({Code.SESSION_DISPLACED, Code.RECORD_CORRUPT, Code.SESSION_DROPPED, Code.SERVER_FAULT})
#: Verdicts that say how a session ended and not why.
_CLASSES = frozenset(
    {Code.IDENTITY_REJECTED, Code.SESSION_KEY_UNUSABLE, Code.HANDSHAKE_REJECTED, Code.HANDSHAKE_STALLED}
)
_MOST_ABOUT = 6


def beside_capture(
    capture: CaptureReport, logs: Sequence[ServerLog], ring: KeyRing | None
) -> tuple[CaptureReport, tuple[ServerLog, ...]]:
    """The capture with what servers' logs say beside its sessions, and the logs that fit one."""
    sessions = list(capture.sessions)
    fitting: list[ServerLog] = []
    problems: list[InputProblem] = []
    for log in logs:
        found = beside(log, sessions, partial(_disagrees, log))
        if not any(judge(log, pairing.connection) for pairing in found.pairs.values()):
            continue
        fitting.append(log)
        first = True
        for position, session in enumerate(sessions):
            pairing = found.pairs.get(session.id)
            if pairing is None:
                continue
            sessions[position] = _with_connection(session, log, pairing.connection, found, ring, sure=pairing.sure)
            if first:
                sessions[position] = _with_notes(sessions[position], log, found)
                first = False
    return replace(capture, sessions=tuple(sessions), problems=(*capture.problems, *problems)), tuple(fitting)


def server_sessions(log: ServerLog, first: int = 1) -> tuple[Session, ...]:
    """The connections of a log as sessions, numbered from ``first``: those of which it says how they went."""
    judged = [(connection, said) for connection in log.connections if (said := judge(log, connection)) is not None]
    sessions = [
        _session(log, connection, said, f"s{number}")
        for number, (connection, said) in enumerate(judged[-_TOLD:], first)
    ]
    if sessions:
        sessions[0] = replace(sessions[0], findings=(*sessions[0].findings, *_about_all(log)))
    return tuple(sessions)


def server_report(paths: Sequence[str], log: ServerLog) -> CaptureReport:
    """A log as a report of its own, where there is no capture at all. ``paths``: its files, the newest first."""
    sessions = server_sessions(log)
    times = [session.start_time for session in sessions if log.clock is Clock.ABSOLUTE]
    return CaptureReport(
        path=paths[0],
        sha256=log.sha256,
        format=SERVER_LOG_FORMAT,
        status="partial" if log.cut else "ok",
        problems=tuple(_problems(log, "", told=len(sessions))),
        packets=0,
        bytes=log.bytes,
        link_types=(),
        first_time=min(times, default=None),
        last_time=max(times, default=None),
        sessions=sessions,
        joined=tuple(paths[1:]),
    )


def apart(log: ServerLog) -> Iterator[InputProblem]:
    """What a log that fits no session says by itself."""
    where = f"{log.name}: "
    yield from _problems(log, where, told=None)
    fates: dict[str, int] = {}
    for connection in log.connections:
        said = judge(log, connection)
        if said is not None:
            fates[said.code.value] = fates.get(said.code.value, 0) + 1
    if fates:
        shown = ", ".join(f"{count} {code}" for code, count in sorted(fates.items(), key=lambda item: -item[1])[:4])
        text = f"{log.name} fits no session here (another time, other devices, or another server); by itself it tells of {shown}"
        yield InputProblem("log-unmatched", text)
    elif log.connections:
        lines = f"{log.lines:,} line{'' if log.lines == 1 else 's'}"
        yield InputProblem(
            "log-without-attempt", f"{where}{lines} of a server's log read, and how a connection went is in none"
        )


# -- beside a capture ------------------------------------------------------------------------------------------------


def _with_connection(
    session: Session, log: ServerLog, connection: Connection, found: Beside, ring: KeyRing | None, *, sure: bool
) -> Session:
    said = judge(log, connection)
    reasons = tuple(_contradictions(session, connection, said)) if said is not None and sure else ()
    agrees = None if not sure else not reasons
    session = replace(session, log=session.log + _lines(log, connection, said, session, found.offset_s, agrees))
    if said is None or not sure:
        return session
    where = f"({log.cite(said.line)}: {said.text})"
    if reasons:
        finding = Finding("log-disagrees", Certainty.INFERRED, f"{'; '.join(reasons)} {where}", _frames(session))
        return replace(session, findings=(*session.findings, finding))
    session = _named(session, connection)
    verdict = _decided(session, log, connection, said, found, ring)
    extra = tuple(_every(log, said))
    return replace(session, verdict=verdict, findings=(*session.findings, *extra))


def _named(session: Session, connection: Connection) -> Session:
    """The session with the id that the log gives for it."""
    if session.device.id is not None or connection.device is None:
        return session
    return replace(session, device=replace(session.device, id=connection.device, id_source="log"))


def _disagrees(log: ServerLog, session: Session, connection: Connection) -> bool:
    said = judge(log, connection)
    return said is not None and any(True for _ in _contradictions(session, connection, said))


def _contradictions(session: Session, connection: Connection, said: Judged) -> Iterator[str]:
    wire = {stage.stage: stage.status for stage in session.stages}
    whole = session.verdict.code is not Code.CAPTURE_INCOMPLETE and session.ending.by != "capture"
    failed = connection.says is not None and connection.says.kind is Says.FAILED
    if failed and said.stage == "identity" and wire.get("session-key") is Status.SEEN:
        yield "the server logs that it refused the device's message, the capture shows that it answered it"
    if failed and said.stage == "session-key" and whole and wire.get("session-key") is Status.ABSENT:
        yield "the server logs that it sent the session key, the capture shows none"
    if connection.up and whole and Status.ABSENT in (wire.get("session-key"), wire.get("cloud-hello")):
        yield "the server logs that the device connected, in the capture it never answered its Hello"
    if session.verdict.certainty is not Certainty.PROVEN:
        return
    proven = session.verdict.code
    if failed and proven is Code.HEALTHY:
        yield "the server logs a failure, the capture shows a good session"
    elif failed and proven in said.rules_out:
        yield f"the server's line cannot mean {proven.value}, which the capture proves"


def _decided(
    session: Session, log: ServerLog, connection: Connection, said: Judged, found: Beside, ring: KeyRing | None
) -> Verdict:
    verdict = session.verdict
    if verdict.certainty is Certainty.PROVEN:
        return verdict
    said = _in_pieces(session, said)
    open_ = {verdict.code, *verdict.alternatives}
    later = verdict.code is Code.HEALTHY and said.code in _LATER and connection.up
    # What the capture does not hold the log may tell.
    later = later or verdict.code is Code.CAPTURE_INCOMPLETE
    if said.certainty is Certainty.INFERRED and (later or (said.code in open_ and said.code is not verdict.code)):
        left = tuple(code for code in said.alternatives if code in open_ or later)
        return _by_the_log(session, log, said, said.code, left, found, ring)
    left = tuple(code for code in verdict.alternatives if code not in said.rules_out and _allows(said, code, verdict))
    if left == verdict.alternatives or (verdict.code in _CLASSES and not left):
        return verdict
    if len(left) == 1 and verdict.code in _CLASSES and left[0] not in _CLASSES:
        return _by_the_log(session, log, said, left[0], (), found, ring)
    premise = _premise(log, session, found)
    return replace(
        verdict,
        alternatives=left,
        evidence=(*verdict.evidence, *_evidence(log, said)),
        would_settle=tuple(_still(verdict)),
        remedy=_steps(said, verdict.code, _context(session, ring)) if _names(said, verdict.code) else verdict.remedy,
        premises=(*verdict.premises, premise),
    )


def _names(said: Judged, code: Code) -> bool:
    """Whether the line names one of several causes of this verdict."""
    return said.repair is not None and said.code is code


def _steps(said: Judged, code: Code, context: RemedyContext) -> tuple[Remedy, ...]:
    """What to do: for exactly what the line says, where it names one of several causes of the verdict."""
    return (
        finding_remedy(said.repair, context)
        if said.repair is not None and _names(said, code)
        else remedy(code, context)
    )


def _in_pieces(session: Session, said: Judged) -> Judged:
    """What "does not open" means, by the pieces in which the wire shows that message: both JavaScript servers read once."""
    if said.stage != "identity" or said.code is not Code.SERVER_KEY_MISMATCH or not said.alternatives:
        return said
    pieces = next((len(stage.frames) for stage in session.stages if stage.stage == "identity"), 0)
    if pieces > 1:
        summary = f"the server could not open the device's message, which came in {pieces} pieces; it reads one only"
        return replace(said, code=Code.SERVER_FAULT, alternatives=(Code.SERVER_KEY_MISMATCH,), summary=summary)
    if pieces == 1 and said.whole_only:
        return replace(said, alternatives=tuple(code for code in said.alternatives if code is not Code.SERVER_FAULT))
    return said


def _allows(said: Judged, code: Code, verdict: Verdict) -> bool:
    """Whether a line leaves this alternative: where it is about the same thing as the verdict, only what it names."""
    return code in said.allowed if said.code is verdict.code else True


def _by_the_log(
    session: Session,
    log: ServerLog,
    said: Judged,
    code: Code,
    left: tuple[Code, ...],
    found: Beside,
    ring: KeyRing | None,
) -> Verdict:
    verdict = session.verdict
    transport: Literal["tcp"] = "tcp"
    context = _context(session, ring)
    return replace(
        verdict,
        code=code,
        certainty=Certainty.INFERRED,
        summary=f"By the server's log, {said.summary}.",
        alternatives=left,
        evidence=(*_evidence(log, said), *verdict.evidence),
        would_settle=() if code is Code.HEALTHY else tuple(_still(verdict)),
        remedy=(*_for_all(said, code), *_steps(said, code, context)),
        device_shows=device_shows(code, transport, how=session.ending.how, stage=verdict.stage),
        premises=(*verdict.premises, _premise(log, session, found)),
    )


def _for_all(said: Judged, code: Code) -> Iterator[Remedy]:
    """What to do first when no device can use the server's key: it is less work than to write a key to each of them."""
    if code is Code.SERVER_KEY_MISMATCH and said.peers > 1 and not said.connected:
        text = (
            "It is so for every device that called: has the server another key than before (a new data folder, a new"
            " container)? Then give it the default_key.pem back that the devices know, and restart it."
        )
        yield Remedy(text)


def _still(verdict: Verdict) -> Iterator[str]:
    """What would settle it, without what is in hand now."""
    return (text for text in verdict.would_settle if "server's log" not in text)


def _evidence(log: ServerLog, said: Judged) -> tuple[Evidence, ...]:
    return (Evidence(f"{log.cite(said.line)}: {said.text}"),)


def _premise(log: ServerLog, session: Session, found: Beside) -> str:
    clock = f", by a clock {_clock_words(found.offset_s)}" if _is_off(found.offset_s) else ""
    when = "this attempt (it has no times)" if log.clock is Clock.NONE else "this time"
    by = ""
    if found.by_time_alone:
        only = "nothing in it names a device" if log.clock is Clock.NONE else "only the times met"
        by = f"; {only}, no address in it is one of the capture's"
    return f"{log.title} is the server's log of the cloud at {session.cloud.address}, of {when}{clock}{by}"


def _is_off(offset_s: float | None) -> bool:
    return offset_s is not None and abs(offset_s) >= _OFF


def _clock_words(offset_s: float | None) -> str:
    """How the log's clock lies to the capture's."""
    offset = offset_s or 0.0
    side = "behind the capture's" if offset > 0 else "ahead of the capture's"
    zones = round(abs(offset) / _ZONE)
    rest = abs(offset) - zones * _ZONE
    if zones and abs(rest) < _OFF:
        hours, quarter = divmod(zones, 4)
        return f"{hours} h{f' {quarter * 15} min' if quarter else ''} {side} (a time zone)"
    return f"{abs(offset):,.1f} s {side}"


def _with_notes(session: Session, log: ServerLog, found: Beside) -> Session:
    notes = []
    if _is_off(found.offset_s):
        text = f"the clock of {log.name} is {_clock_words(found.offset_s)}; its lines are placed by the capture's"
        notes.append(Finding("log-clock", Certainty.INFERRED, text))
    return replace(session, findings=(*session.findings, *notes, *_secret(log)))


def _every(log: ServerLog, said: Judged) -> Iterator[Finding]:
    if said.peers > 2 and not said.connected:
        text = f"{log.name}: {said.peers} devices got the line of line {log.place(said.line)[1]}, and none connected in that run of the server"
        yield Finding("server-wide", Certainty.INFERRED, text)


def _secret(log: ServerLog) -> Iterator[Finding]:
    if log.secret_line is not None:
        text = "{} prints a private key (line {}): remove that line before the log goes to anybody".format(
            *log.place(log.secret_line)
        )
        yield Finding("secret-in-log", Certainty.PROVEN, text)


def _lines(
    log: ServerLog,
    connection: Connection,
    said: Judged | None,
    session: Session,
    offset_s: float | None,
    agrees: bool | None,
) -> tuple[LogLine, ...]:
    from analyzer.times import seconds_of

    start = seconds_of(session.start_time)

    def at(time: float | None) -> float | None:
        return None if time is None or offset_s is None else round(time + offset_s - start, 3)

    names = {stage.stage for stage in session.stages}
    lines = []
    if connection.up:
        stage = next((name for name in ("cloud-hello", "session") if name in names), "session")
        shows = agrees if said is not None and said.code is Code.HEALTHY else None
        lines.append(
            _line(
                log,
                connection.up_line or connection.line,
                stage,
                "the device is connected",
                at(connection.up_at),
                shows,
            )
        )
    if said is not None and said.code is not Code.HEALTHY:
        stage_shown = (
            said.stage
            if said.stage in names
            else next((name for name in reversed(_STAGES) if name in names), said.stage)
        )
        time = connection.at if connection.says is not None else connection.ended_at
        lines.append(_line(log, said.line, stage_shown, said.text, at(time), agrees))
    elif connection.ended is not None:
        lines.append(
            _line(
                log,
                connection.ended_line,
                "session",
                connection.text or "the session ended",
                at(connection.ended_at),
                None,
            )
        )
    return tuple(lines)


def _line(
    log: ServerLog, number: int, stage: str | None, text: str, offset: float | None, agrees: bool | None
) -> LogLine:
    name, line = log.place(number)
    return LogLine(name, line, None, stage, text, agrees, "server", offset)


def _frames(session: Session) -> tuple[int, ...]:
    return (session.first_frame, session.last_frame) if session.first_frame else ()


def _context(session: Session, ring: KeyRing | None) -> RemedyContext:
    official = any(finding.code == "official-particle-cloud" for finding in session.findings)
    context = RemedyContext(
        transport="tcp",
        device_id=session.device.id,
        host=session.cloud.host or session.cloud.address or None,
        port=session.cloud.port,
        stored_address=session.cloud.host or session.cloud.address or None,
        device_address=session.device.address or None,
        is_particle_cloud=None if official else False,
    )
    if ring is None:
        return context
    own = ring.for_device(session.device.id) if session.device.id else ()
    names = {
        "cloud_private": [key.file for key in ring.by_role(Role.CLOUD_PRIVATE) if key.status == "ok"],
        "cloud_public": [key.file for key in ring.by_role(Role.CLOUD_PUBLIC) if key.status == "ok"],
        "device_private": [key.file for key in own if key.role is Role.DEVICE_PRIVATE and key.status == "ok"],
        "cloud_copy": [key.file for key in own if key.role is Role.CLOUD_COPY],
    }
    only = {name: files[0] for name, files in names.items() if len(files) == 1}
    return replace(
        context,
        cloud_private=only.get("cloud_private"),
        cloud_public=only.get("cloud_public"),
        device_private=only.get("device_private"),
        cloud_copy=only.get("cloud_copy"),
    )


# -- without a capture -----------------------------------------------------------------------------------------------


def _session(log: ServerLog, connection: Connection, said: Judged, session_id: str) -> Session:
    begins = connection.begins if log.clock in (Clock.ABSOLUTE, Clock.LOCAL) else None
    start = begins or 0.0
    end = max(
        (time for time in (connection.ended_at, connection.at, connection.up_at) if time is not None), default=None
    )
    port = log.ports[0] if len(log.ports) == 1 else usual_port("tcp")
    clock = (
        "times are the server's"
        if begins is not None
        else "it has no times"
        if log.clock is Clock.NONE
        else "its times have no date"
    )
    text = f"told by {log.span(connection.line, connection.last_line)} alone: no capture shows this connection, {clock}"
    session = Session(
        id=session_id,
        transport="tcp",
        protocol="lightssl",
        stream=None,
        filter="",
        device=Device(
            connection.address or "", connection.port or 0, connection.device, "log" if connection.device else None
        ),
        cloud=Cloud("", port),
        first_frame=0,
        last_frame=0,
        start_time=rfc3339(int(start * 1e6) * 1000),
        duration_s=round(end - begins, 3) if begins is not None and end is not None and end > begins else 0.0,
        history="",
        stages=tuple(_stages(connection, said)),
        attempts=(),
        messages=(),
        ending=_ending(connection),
        verdict=Verdict(said.code, said.certainty, said.stage, (), said.summary),
        findings=(Finding("log-alone", Certainty.PROVEN, text), *_every(log, said)),
    )
    context = _context(session, None)
    verdict = Verdict(
        code=said.code,
        certainty=said.certainty,
        stage=said.stage,
        frames=(),
        summary=said.summary,
        alternatives=said.alternatives,
        evidence=_evidence(log, said),
        would_settle=()
        if said.code is Code.HEALTHY
        else ("a capture of the same attempt, taken on the gateway, with the key folder",),
        remedy=(*_for_all(said, said.code), *_steps(said, said.code, context)),
        device_shows=device_shows(said.code, "tcp", how=session.ending.how, stage=said.stage),
        premises=(f"{log.title} is the server's log and tells all of it",),
    )
    session = replace(session, verdict=verdict)
    offset = 0.0 if begins is not None else None
    return replace(session, log=_lines(log, connection, said, session, offset, None))


def _stages(connection: Connection, said: Judged) -> Iterator[Stage]:
    """What the log implies was reached, and the stage that then did not come."""
    failed = said.stage if connection.says is not None and not connection.up else None
    missing = {"identity": "session-key", "session-key": "device-hello", "device-hello": "cloud-hello"}.get(
        failed or ""
    )
    if said.code is Code.NO_IDENTITY:
        failed, missing = "nonce", "identity"
    last = "session" if connection.up else failed or "connect"
    for stage in _STAGES[: _STAGES.index(last) + 1]:
        yield Stage(stage, Status.SEEN, Direction.DOWN if stage in _DOWN else Direction.UP)
    if missing:
        yield Stage(missing, Status.ABSENT, Direction.DOWN if missing in _DOWN else Direction.UP)


def _ending(connection: Connection) -> Ending:
    name = connection.ended.name if connection.ended is not None else ""
    says = connection.says.name if connection.says is not None else ""
    if name == "socket-reset":
        return Ending("device", How.RST)
    if name == "device-closed" or says.startswith("device-left") or says == "hello-did-not-come":
        return Ending("device", How.FIN)
    if says or name:
        return Ending("cloud", How.FIN)
    return Ending("capture", How.CAPTURE_END)


def _about_all(log: ServerLog) -> Iterator[Finding]:
    yield from _secret(log)
    for line, text, says in log.about[:_MOST_ABOUT]:
        if says.kind is Says.SERVER:
            yield Finding("server-says", Certainty.INFERRED, f"{log.cite(line)}: {text}. {says.text}")


def _problems(log: ServerLog, where: str, *, told: int | None) -> Iterator[InputProblem]:
    if log.cut:
        yield InputProblem("log-cut", f"{where}{log.cut}; what was read until then was used")
    if told == 0 or (told is None and not log.connections):
        lines = f"{log.lines:,} line{'' if log.lines == 1 else 's'}"
        yield InputProblem(
            "log-without-attempt", f"{where}{lines} of a server's log read, no device's connection in them"
        )
        for line, text, says in log.about[:_MOST_ABOUT]:
            yield InputProblem("known-line", f"{where}line {log.place(line)[1]} ({text}): {says.text}")
    hidden = len(log.connections) + log.dropped - (told or 0)
    if told and hidden > 0 and told >= _TOLD:
        yield InputProblem("log-long", f"{where}the last {told} connections are told, {hidden:,} earlier ones are not")
    if told == 0 and log.secret_line is not None:
        yield InputProblem(
            "secret-in-log",
            f"{where}a private key stands in line {log.secret_line}: remove it before the log goes to anybody",
        )


def cut_short(report: CaptureReport, logs: Iterable[ServerLog]) -> CaptureReport:
    """With a log that was not read to its end: said, and the report is not whole."""
    found = tuple(
        InputProblem("log-cut", f"{log.name}: {log.cut}; what was read until then was used") for log in logs if log.cut
    )
    return replace(report, status="partial", problems=(*report.problems, *found)) if found else report
