"""Logs in the report: beside the sessions of a capture or, where no capture shows one, as sessions of their own.

How it works. `analyzer.devicelog` reads, pairs and judges; here its answers become rows of the report. A session told by
a device's log alone has no frames, and its times count from the device's start, which is all a device knows of time. Servers'
logs come first (`serverlogged`), so that a device's log can be laid beside what a server's tells, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

from analyzer import serverlogged
from analyzer.devicelog import Alignment, DeviceLog, LogAttempt, LogEvent, attach, judge_attempt, judge_log, spoken
from analyzer.devicelog.agree import log_lines
from analyzer.firmware.case import RemedyContext, Transport
from analyzer.firmware.evidence import missing_evidence
from analyzer.firmware.judgements import asks_for_keys
from analyzer.firmware.lines import Line, LineKind, match_line
from analyzer.firmware.remedies import remedy
from analyzer.firmware.shows import device_shows
from analyzer.keys import KeyRing
from analyzer.keys.faults import Fault, faults_of, only_device
from analyzer.model import (
    LOG_FORMAT,
    CaptureReport,
    Certainty,
    Cloud,
    Code,
    Device,
    Ending,
    Evidence,
    Finding,
    InputProblem,
    Remedy,
    Session,
    Stage,
    Verdict,
)
from analyzer.stories import tell
from analyzer.times import rfc3339
from analyzer.witnesses import Log, Logs
from dissectors.events import Direction, How, Status
from dissectors.handshakes import USUAL, usual_port

#: More attempts of one log than this tell nothing more; the last ones are kept.
_ATTEMPTS = 200
#: Notes for a capture without a session that a log's verdicts make superfluous.
_TOLD_BY_VERDICT = frozenset({"device-key-damaged"})
#: Line numbers that are named for one thing a log says again and again.
_LINES = 6
_FROM_CLOUD = frozenset(
    {
        *("nonce", "session-key", "cloud-hello"),
        *("hello-verify", "server-hello", "server-key-exchange", "certificate-request", "server-hello-done"),
        *("cloud-finished", "hello-ack"),
    }
)
#: What the transport's number says about how the connection ended (device-os hal photon wiced_result.h; tcp.md 2.7).
_ENDINGS: dict[int, tuple[Literal["cloud", "device"], How]] = {
    -19: ("cloud", How.FIN),
    -18: ("cloud", How.RST),
    -0x7780: ("cloud", How.ALERT),
}
#: Verdicts whose causes look alike on the wire and not on the device: it says by a number which half it could not use.
_TOLD_APART = frozenset({Code.SESSION_KEY_UNUSABLE})
#: Findings of a log that are about every attempt in it, and said once.
_ONCE = frozenset({"retry-loop", "network-reset", "secret-in-log"})


def with_logs(captures: Sequence[CaptureReport], logs: Logs, ring: KeyRing | None = None) -> tuple[CaptureReport, ...]:
    """The captures with what the logs say beside their sessions.

    When no capture holds a session, the logs' own attempts become sessions of the first capture that could be read.
    A log that fits no session says by itself what it can, among the problems of the first capture with sessions.
    """
    if not logs.all:
        return tuple(captures)
    result: list[CaptureReport] = []
    # By what they are: logs of two servers may be called alike.
    fitting: set[int] = set()
    for whole in captures:
        capture, known = serverlogged.beside_capture(whole, logs.server, ring)
        sessions, alignments = attach(capture.sessions, logs.device)
        fitting |= {id(log) for log in known}
        fitting |= {id(log) for log, alignment in zip(logs.device, alignments, strict=True) if alignment.sessions}
        sessions = tuple(
            _decided(_with_findings(session, alignments, logs.device), alignments, logs.device) for session in sessions
        )
        if len(captures) == 1:
            sessions = tuple(_with_strangers(session, alignments) for session in sessions)
        paired = bool(known) or any(alignment.sessions for alignment in alignments)
        result.append(replace(capture, sessions=sessions, stories=tell(sessions) if paired else capture.stories))
    place = next((index for index, capture in enumerate(result) if capture.sessions), None)
    if place is None:
        place = next((index for index, capture in enumerate(result) if capture.status != "failed"), None)
        if place is not None:
            result[place] = _told_by_logs(result[place], logs, ring)
    elif len(logs.all) > len(fitting):
        strangers = [log for log in logs.all if id(log) not in fitting]
        apart = (item for log in strangers for item in _apart(log))
        result[place] = replace(result[place], problems=(*result[place].problems, *apart))
    if place is not None:
        result[place] = _cut_short(result[place], logs.device)
        result[place] = serverlogged.cut_short(result[place], [log for log in logs.server if id(log) in fitting])
    return tuple(result)


def log_reports(logs: Logs, ring: KeyRing | None = None) -> tuple[CaptureReport, ...]:
    """Each log as a report of its own, where there is no capture at all.

    A device's log that fits what servers' tell stands beside it instead: one attempt, two witnesses.
    """
    told = {
        number: serverlogged.server_report(logs.places[number], log)
        for number, log in enumerate(logs.all)
        if not isinstance(log, DeviceLog)
    }
    told, beside = _beside_servers(told, logs.device)
    finished: list[CaptureReport] = []
    for number, log in enumerate(logs.all):
        if not isinstance(log, DeviceLog):
            finished.append(replace(told[number], stories=tell(told[number].sessions)))
        elif log not in beside:
            empty = _empty(logs.places[number][0], log)
            finished.append(_cut_short(_told_by_logs(empty, Logs((log,)), ring), (log,)))
    return tuple(finished)


def _beside_servers(
    reports: dict[int, CaptureReport], logs: Sequence[DeviceLog]
) -> tuple[dict[int, CaptureReport], tuple[DeviceLog, ...]]:
    """Servers' logs' reports with the devices' logs that fit their connections, and which those are.

    A device that calls one server and then another has one log: all servers' sessions are laid beside it together.
    """
    every = [
        replace(session, id=f"{number}/{session.id}")
        for number, report in reports.items()
        if report.first_time is not None
        for session in report.sessions
    ]
    if not every or not logs:
        return reports, ()
    _, alignments = attach(every, logs)
    chosen = []
    for alignment, log in zip(alignments, logs, strict=True):
        agreed = [
            here for here in alignment.sessions.values() if here.agrees and here.attempt not in alignment.doubtful
        ]
        if agreed and len(agreed) == len(alignment.sessions):
            chosen.append(log)
    sessions, alignments = attach(every, chosen)
    decided = {
        session.id: _decided(_with_findings(session, alignments, chosen), alignments, chosen) for session in sessions
    }
    result = {
        number: replace(
            report,
            sessions=tuple(
                replace(decided.get(f"{number}/{session.id}", session), id=session.id) for session in report.sessions
            ),
        )
        for number, report in reports.items()
    }
    return result, tuple(chosen)


def sessions_of(log: DeviceLog, first: int = 1, ring: KeyRing | None = None) -> tuple[Session, ...]:
    """The finished attempts of a log as sessions, numbered from ``first``; an unfinished one counts when there is no other.

    Where the log leaves open which key it is, the keys of ``ring`` may decide.
    """
    finished = [attempt for attempt in log.attempts if attempt.outcome != "unfinished"][-_ATTEMPTS:]
    attempts = finished or list(log.attempts[-1:])
    faults = _Faults(ring)
    found = [_session(log, attempt, f"s{number}", faults) for number, attempt in enumerate(attempts, first)]
    if found:
        once = tuple(finding for finding in log.findings if finding.code in _ONCE)
        found[0] = replace(found[0], findings=(*found[0].findings, *once))
    return tuple(found)


# -- beside a capture ------------------------------------------------------------------------------------------------


def _with_findings(session: Session, alignments: Iterable[Alignment], logs: Sequence[DeviceLog]) -> Session:
    """What a log finds in the attempt that is this session, and, with its first session, in the log as a whole."""
    found: list[Finding] = []
    for alignment, log in zip(alignments, logs, strict=True):
        here = alignment.sessions.get(session.id)
        if here is None:
            continue
        first = min(item.attempt for item in alignment.sessions.values())
        lost = log.attempts[here.attempt].address_lost
        for finding in log.findings:
            if (finding.code == "server-address-lost" and lost) or (finding.code in _ONCE and here.attempt == first):
                found.append(finding)
    known = {finding.code for finding in session.findings}
    return replace(session, findings=(*session.findings, *(item for item in found if item.code not in known)))


def _decided(session: Session, alignments: Iterable[Alignment], logs: Sequence[DeviceLog]) -> Session:
    """The session with a verdict that the capture leaves open and the device's log decides, or narrows.

    Never more than inferred: a log knows what the device saw. Only a pairing without doubt or contradiction counts.
    """
    for alignment, log in zip(alignments, logs, strict=True):
        here = alignment.sessions.get(session.id)
        if here is None or here.agrees is not True or here.attempt in alignment.doubtful:
            continue
        verdict = session.verdict
        if verdict.certainty is not Certainty.UNDETERMINED:
            return session
        attempt = log.attempts[here.attempt]
        if attempt.outcome == "unfinished":
            continue
        said = judge_attempt(log, attempt)
        evidence = (*verdict.evidence, *said.evidence)
        if said.certainty is Certainty.INFERRED and said.code in verdict.alternatives:
            decided = replace(
                said, frames=verdict.frames, stage=verdict.stage, evidence=evidence, would_settle=verdict.would_settle
            )
            return replace(session, verdict=decided)
        left = tuple(code for code in verdict.alternatives if code in said.alternatives)
        if said.code is verdict.code and said.code in _TOLD_APART and 0 < len(left) < len(verdict.alternatives):
            settle = tuple(text for text in verdict.would_settle if "device's log" not in text)
            return replace(session, verdict=replace(verdict, alternatives=left, evidence=evidence, would_settle=settle))
    return session


def _with_strangers(session: Session, alignments: Iterable[Alignment]) -> Session:
    found = tuple(finding for alignment in alignments for finding in alignment.findings)
    return replace(session, findings=(*session.findings, *found)) if found else session


def _apart(log: Log) -> Iterator[InputProblem]:
    """What a log that fits no session says by itself."""
    if not isinstance(log, DeviceLog):
        yield from serverlogged.apart(log)
        return
    if not log.attempts:
        yield from _without_attempt(log, f"{log.name}: ")
        return
    verdict = judge_log(log)
    whose = f" of {log.device_id}" if log.device_id else ""
    yield InputProblem(
        "log-unmatched",
        f"{log.name}{whose} fits no session here; by itself it says {verdict.code.value} ({verdict.certainty.value}): {verdict.summary}",
    )


# -- without a capture -----------------------------------------------------------------------------------------------


def _empty(path: str, log: DeviceLog) -> CaptureReport:
    return CaptureReport(
        path=path,
        sha256=log.sha256,
        format=LOG_FORMAT,
        status="ok",
        problems=(),
        packets=0,
        bytes=log.bytes,
        link_types=(),
        first_time=None,
        last_time=None,
        sessions=(),
    )


def _told_by_logs(capture: CaptureReport, logs: Logs, ring: KeyRing | None) -> CaptureReport:
    sessions: list[Session] = []
    problems = list(capture.problems)
    for log in logs.all:
        if not isinstance(log, DeviceLog):
            told = serverlogged.server_report((log.name,), log)
            sessions += serverlogged.server_sessions(log, len(sessions) + 1)
            problems += told.problems
            continue
        found = sessions_of(log, len(sessions) + 1, ring)
        sessions += found
        if not found:
            problems += _without_attempt(log, _named(log, capture))
    if sessions:
        problems = [item for item in problems if item.code not in _TOLD_BY_VERDICT]
    advice: tuple[Remedy, ...] = ()
    if not sessions:
        before = [known[0].text for log in logs.device if (known := _before(log)) is not None]
        lacking = [Remedy(text) for text in before] or [missing_evidence("attempt-in-log", RemedyContext("tcp"))]
        advice = (*capture.advice, *lacking)
    return replace(capture, sessions=tuple(sessions), stories=tell(sessions), problems=tuple(problems), advice=advice)


def _cut_short(report: CaptureReport, logs: Iterable[DeviceLog]) -> CaptureReport:
    """With a log that was not read to its end: said, and the report is not whole."""
    found = tuple(
        InputProblem("log-cut", f"{_named(log, report)}{log.cut}; what was read until then was used")
        for log in logs
        if log.cut
    )
    return replace(report, status="partial", problems=(*report.problems, *found)) if found else report


def _named(log: DeviceLog, report: CaptureReport) -> str:
    """How a sentence about a log begins: with its name, unless the report is about that log and nothing else."""
    return "" if report.format == LOG_FORMAT else f"{log.name}: "


def _without_attempt(log: DeviceLog, where: str) -> Iterator[InputProblem]:
    """That a log holds no attempt, and which of its lines are known all the same."""
    known = spoken(log)
    early = _before(log)
    if early is not None:
        # What it means and what to do about it stands in the advice.
        here = next((item for item in known if early[1].line in item.lines), None)
        known = tuple(item for item in known if item is not here)
        numbers = _numbers(here.lines if here is not None else (early[1].line,))
        text = f"the device never got as far as its cloud, so no key is concerned: {numbers}: {early[1].text}"
        yield InputProblem("before-the-cloud", f"{where}{text}")
    lines = f"{log.lines:,} line{'' if log.lines == 1 else 's'}"
    yield InputProblem("log-without-attempt", f"{where}{lines} read, no connection attempt in them")
    for item in known:
        yield InputProblem("known-line", f"{where}{_numbers(item.lines)} ({item.said}): {item.means}")


def _numbers(lines: Sequence[int]) -> str:
    """Lines by their numbers, not too many of them."""
    shown = ", ".join(map(str, lines[:_LINES])) + (", ..." if len(lines) > _LINES else "")
    return f"line{'s' if len(lines) > 1 else ''} {shown}"


def _before(log: DeviceLog) -> tuple[Line, LogEvent] | None:
    """The first line that says why the device did not get as far as its cloud, and what it means."""
    event = next((event for event in log.events if event.kind is LineKind.BEFORE), None)
    found = match_line(event.text) if event is not None else None
    return (found[0], event) if found is not None and event is not None else None


class _Faults:
    """What the key folder says is wrong with a device; looked up once for each."""

    def __init__(self, ring: KeyRing | None) -> None:
        self._ring = ring
        self._known: dict[tuple[str, Transport], tuple[Fault, ...]] = {}

    def of(self, attempt: LogAttempt, device: str | None) -> tuple[Fault, ...]:
        """Those of the device that made this attempt; the folder's only device when the log names none."""
        # Without its address a device calls another cloud: how its keys fit this one says nothing about the attempt.
        if self._ring is None or attempt.address_lost or attempt.transport is None:
            return ()
        device = device or only_device(self._ring)
        if device is None:
            return ()
        key = (device, attempt.transport)
        if key not in self._known:
            self._known[key] = faults_of(self._ring, *key)
        return self._known[key]


def _settled(said: Verdict, faults: Iterable[Fault], attempt: LogAttempt, device: str | None) -> Verdict:
    """A log's verdict with what the keys in hand add: the one cause among the open ones that the folder shows.

    Never more than inferred: the file is a copy, and what the device holds by now only a dump tells.
    """
    if said.code is Code.HEALTHY:
        return said
    shown = [fault for fault in faults if fault.code in (said.code, *said.alternatives)]
    if len({fault.code for fault in shown}) != 1:
        return said
    fault = shown[0]
    transport = attempt.transport or "tcp"
    own = said.code is fault.code
    return replace(
        said,
        code=fault.code,
        certainty=Certainty.INFERRED,
        summary=f"{said.summary}. The keys in hand {'show it' if own else 'say which'}: {fault.text}",
        alternatives=(),
        evidence=(*said.evidence, Evidence(f"{fault.file}: {fault.text}")),
        would_settle=tuple(text for text in said.would_settle if text not in asks_for_keys()),
        remedy=said.remedy
        if own
        else remedy(fault.code, RemedyContext(transport, device_id=device, host=attempt.host, port=attempt.port)),
        device_shows=said.device_shows
        if own
        else device_shows(fault.code, transport, family=attempt.family, how=_ending(attempt).how, stage=said.stage),
    )


def _session(log: DeviceLog, attempt: LogAttempt, session_id: str, faults: _Faults) -> Session:
    verdict = judge_attempt(log, attempt) if attempt.outcome != "unfinished" else judge_log(log)
    device = attempt.device_id or log.device_id
    if attempt.outcome == "failed":
        verdict = _settled(verdict, faults.of(attempt, device), attempt, device)
    transport = attempt.transport or ("udp" if attempt.port == usual_port("udp") else "tcp")
    times = [event.time_ms for event in attempt.events if event.time_ms is not None]
    start, end = (times[0], times[-1]) if times else (0, 0)
    text = f"told by {log.name} lines {attempt.first_line}-{attempt.last_line} alone: no capture shows this attempt, times count from the device's start"
    lost = tuple(item for item in log.findings if item.code == "server-address-lost" and attempt.address_lost)
    session = Session(
        id=session_id,
        transport=transport,
        protocol=USUAL[transport] if attempt.transport else "unknown",
        stream=None,
        filter="",
        device=Device("", 0, device, "log" if device else None),
        cloud=Cloud(attempt.address or "", attempt.port or usual_port(transport), attempt.host),
        first_frame=0,
        last_frame=0,
        start_time=rfc3339(start * 1_000_000),
        duration_s=round((end - start) / 1000, 3),
        history="",
        stages=_stages(attempt, verdict.stage, start),
        attempts=(),
        messages=(),
        ending=_ending(attempt),
        verdict=verdict,
        findings=(Finding("log-alone", Certainty.PROVEN, text), *lost),
    )
    lines = log_lines(log.name, attempt, session)
    return replace(session, log=tuple(replace(line, agrees=None) for line in lines))


def _stages(attempt: LogAttempt, last: str | None, start_ms: int) -> tuple[Stage, ...]:
    """What the log says was reached, in the order in which it says so, and the stage at which it failed."""
    rows: dict[str, Stage] = {}
    for event in attempt.events:
        if event.stage is None or event.stage in rows or event.kind not in (LineKind.REACHED, LineKind.CONNECTED):
            continue
        at = event.time_ms
        rows[event.stage] = Stage(
            event.stage,
            Status.SEEN,
            Direction.DOWN if event.stage in _FROM_CLOUD else Direction.UP,
            time=rfc3339(at * 1_000_000) if at is not None else None,
            offset_s=round((at - start_ms) / 1000, 3) if at is not None else None,
        )
    failed = next((event.stage for event in attempt.events if event.kind is LineKind.FAILED and event.stage), last)
    for stage in (failed, last):
        if stage is not None and stage not in rows and attempt.outcome == "failed":
            rows[stage] = Stage(stage, Status.ABSENT, Direction.DOWN if stage in _FROM_CLOUD else Direction.UP)
    return tuple(rows.values())


def _ending(attempt: LogAttempt) -> Ending:
    number = next((event.number for event in attempt.events if event.kind is LineKind.FAILED), None)
    if attempt.outcome != "failed" and not any(event.kind is LineKind.LOST for event in attempt.events):
        return Ending("capture", How.CAPTURE_END)
    by, how = _ENDINGS.get(number or 0, ("device", How.TIMEOUT))
    return Ending(by, how)
