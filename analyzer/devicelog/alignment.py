"""Lay a device's log beside a capture: which attempt is which session, by stages and intervals, not by the time of day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analyzer.devicelog.agree import contradictions, is_whole, log_lines, stage_offset, status_of
from analyzer.devicelog.clock import Instant, Match, closeness, match_clocks
from analyzer.devicelog.records import DeviceLog, LogAttempt
from analyzer.model import Certainty, Finding, LogLine, Session
from analyzer.times import seconds_of
from dissectors.events import Status

#: More than this of either is not compared pair by pair (the last ones are taken).
_MOST = 500
#: Intervals within an attempt that differ by more than this (s) are not the same interval.
_FAR = 1.0
_STAGES = ("nonce", "identity", "session-key", "device-hello", "cloud-hello", "session")
#: So many boots are tried against each other; a device that crashes in a loop has hundreds.
_RUNS_COMPARED = 12
_Run = tuple[int, str | None]


@dataclass(frozen=True, slots=True)
class SessionLog:
    """What a log says about one session. ``agrees`` is None when the pairing or the capture leaves it open."""

    attempt: int
    lines: tuple[LogLine, ...]
    agrees: bool | None
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """A log beside a capture. ``sessions`` goes by session id; ``unmatched`` are attempts without a session;
    ``doubtful`` are attempts for which another pairing fits nearly as well; ``offsets_s`` is capture time minus device time, per boot."""

    log: str
    sessions: Mapping[str, SessionLog] = field(default_factory=dict)
    unmatched: tuple[int, ...] = ()
    doubtful: frozenset[int] = frozenset()
    offsets_s: Mapping[int, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def align(log: DeviceLog, sessions: Iterable[Session]) -> Alignment:
    """Pair the log's attempts with the capture's sessions, keeping their order.

    Attempts may be missing on either side. Devices are kept apart by id where both sides know it, else by address.
    """
    usable = [session for session in sessions if session.transport in ("tcp", "udp")]
    pairs: dict[int, Session] = {}
    offsets: dict[int, float] = {}
    doubtful: frozenset[int] = frozenset()
    waiting = sorted(_runs(log).items(), key=lambda run: -len(run[1]))
    while waiting:
        # The clearest run first: what it takes, and where it lies in time, narrows the choice for the others.
        found = [(_best(attempts, _free(run, usable, pairs, log)), run) for run, attempts in waiting[:_RUNS_COMPARED]]
        match, run = max(found, key=lambda item: item[0][0].score if item[0] else -1.0)
        waiting = [item for item in waiting if item[0] != run]
        if match is None:
            waiting = waiting[_RUNS_COMPARED - 1 :]
            continue
        best, chosen = match
        offsets[run[0]] = best.offset_s
        doubtful |= best.doubtful
        pairs |= {attempt: chosen[session] for attempt, session in best.pairs}
    sessions_of = {
        session.id: _session_log(log, log.attempts[index], session, index not in doubtful)
        for index, session in pairs.items()
    }
    unmatched = tuple(attempt.index for attempt in log.attempts if attempt.index not in pairs)
    return Alignment(log.name, sessions_of, unmatched, doubtful, offsets, tuple(_strangers(log, usable, bool(pairs))))


def attach(sessions: Iterable[Session], logs: Iterable[DeviceLog]) -> tuple[tuple[Session, ...], tuple[Alignment, ...]]:
    """The sessions with the lines of the logs beside their stages, agreement or ``log-disagrees`` among the findings."""
    result = list(sessions)
    alignments = tuple(align(log, result) for log in logs)
    for alignment in alignments:
        for position, session in enumerate(result):
            found = alignment.sessions.get(session.id)
            if found is None:
                continue
            findings = session.findings + ((found.finding,) if found.finding else ())
            result[position] = replace(session, log=session.log + found.lines, findings=findings)
    return tuple(result), alignments


def _runs(log: DeviceLog) -> dict[_Run, list[LogAttempt]]:
    """Attempts on one clock: same boot, same device."""
    runs: dict[_Run, list[LogAttempt]] = {}
    for attempt in log.attempts:
        runs.setdefault((attempt.boot, attempt.device_id), []).append(attempt)
    return {key: attempts[-_MOST:] for key, attempts in runs.items()}


def _same_device(device: str | None, session: Session) -> bool:
    return device is None or session.device.id is None or session.device.id.lower() == device


def _free(run: _Run, sessions: list[Session], pairs: Mapping[int, Session], log: DeviceLog) -> list[Session]:
    """Sessions that may be this run's: of its device, not taken, and in time between those of earlier and later boots."""
    boot, device = run
    taken = {session.id for session in pairs.values()}
    free = [session for session in sessions if session.id not in taken and _same_device(device, session)]
    # Several devices in one file: their boots follow each other in the file, not in time.
    if len(log.device_ids) > 1:
        return free
    before = [_start(s) for index, s in pairs.items() if log.attempts[index].boot < boot]
    after = [_start(s) for index, s in pairs.items() if log.attempts[index].boot > boot]
    earliest, latest = max(before, default=float("-inf")), min(after, default=float("inf"))
    return [session for session in free if earliest < _start(session) < latest]


def _best(attempts: Sequence[LogAttempt], sessions: list[Session]) -> tuple[Match, list[Session]] | None:
    """The best match over the devices in the capture (by id or address): one log is of one device."""
    devices: dict[str, list[Session]] = {}
    ids: dict[str, set[str]] = {}
    for session in sessions:
        if session.device.id is not None:
            ids.setdefault(session.device.address, set()).add(session.device.id)
    for session in sessions:
        # A session that was refused has an address only; where one device calls from it, that is the one.
        only = ids.get(session.device.address, set())
        whose = session.device.id or (next(iter(only)) if len(only) == 1 else session.device.address)
        devices.setdefault(whose, []).append(session)
    found = []
    for chosen in devices.values():
        chosen.sort(key=_start)
        del chosen[:-_MOST]
        match = _match(attempts, chosen)
        if match is not None:
            found.append((match, chosen))
    found.sort(key=lambda item: -item[0].score)
    if not found:
        return None
    best, chosen = found[0]
    if len(found) > 1 and found[1][0].score >= 0.9 * best.score:
        return replace(best, doubtful=frozenset(attempt for attempt, _ in best.pairs)), chosen
    return best, chosen


def _match(attempts: Sequence[LogAttempt], sessions: Sequence[Session]) -> Match | None:
    by_index = {attempt.index: attempt for attempt in attempts}
    known: dict[tuple[int, int], float | None] = {}

    def likeness(attempt: int, session: int) -> float | None:
        if (attempt, session) not in known:
            known[attempt, session] = _likeness(by_index[attempt], sessions[session])
        return known[attempt, session]

    timed: list[Instant] = [(a.index, a.anchor_ms / 1000) for a in attempts if a.anchor_ms is not None]
    if timed:
        anchors = [(index, _start(session) + _base(session)) for index, session in enumerate(sessions)]
        return match_clocks(timed, anchors, likeness)
    return _match_order([a.index for a in attempts], len(sessions), likeness)


def _match_order(attempts: list[int], sessions: int, likeness: Callable[[int, int], float | None]) -> Match | None:
    """Without times: the longest common order of attempts and sessions that look alike."""
    best = [[0.0] * (sessions + 1) for _ in range(len(attempts) + 1)]
    for i in range(len(attempts) - 1, -1, -1):
        for j in range(sessions - 1, -1, -1):
            like = likeness(attempts[i], j)
            taken = best[i + 1][j + 1] + like if like is not None and like > 0 else 0.0
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(attempts) and j < sessions:
        like = likeness(attempts[i], j)
        if like is not None and like > 0 and best[i][j] == best[i + 1][j + 1] + like:
            pairs.append((attempts[i], j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    # Without times, only a complete pairing leaves no choice.
    complete = len(pairs) == len(attempts) == sessions
    doubtful = frozenset() if complete else frozenset(attempt for attempt, _ in pairs)
    return Match(tuple(pairs), 0.0, best[0][0], doubtful) if pairs else None


def _likeness(attempt: LogAttempt, session: Session) -> float | None:
    """About 1 for two that tell the same story, negative for two that contradict each other, None for impossible ones."""
    if attempt.transport is not None and attempt.transport != session.transport:
        return None
    # A session known to be this device's is worth more than one that only looks alike.
    known = attempt.device_id is not None and attempt.device_id == (session.device.id or "").lower()
    score, compared = 1.0 + known, 0
    start = attempt.anchor_ms
    base = _base(session)
    for stage in _STAGES:
        at = attempt.time_of(stage)
        reached = attempt.reached(stage)
        offset = stage_offset(session, stage)
        if reached and offset is not None:
            if at is not None and start is not None:
                compared += 1
                apart = abs((at - start) / 1000 - (offset - base))
                score += closeness(apart) if apart < _FAR else -1.0
            continue
        missing = reached and status_of(session, stage) is Status.ABSENT
        unlogged = not reached and offset is not None and attempt.outcome == "failed" and stage != "session"
        if missing or unlogged:
            score -= 1.0
    if attempt.address and attempt.address != session.cloud.address:
        score -= 0.5
    if attempt.resumed != any(stage.stage == "resumed" for stage in session.stages):
        score -= 1.0
    if attempt.outcome == "unfinished" and session.ending.by != "capture":
        score -= 0.3
    return score / (1 + compared)


def _base(session: Session) -> float:
    """Seconds from the session's start to the instant `LogAttempt.anchor_ms` stands for."""
    return stage_offset(session, "nonce") or stage_offset(session, "connect") or 0.0


def _session_log(log: DeviceLog, attempt: LogAttempt, session: Session, sure: bool) -> SessionLog:
    reasons = list(contradictions(attempt, session))
    lines = log_lines(log.name, attempt, session)
    if not sure:
        return SessionLog(attempt.index, lines, None if reasons else True)
    if not reasons:
        return SessionLog(attempt.index, lines, True)
    where = f"{log.name} lines {attempt.first_line}-{attempt.last_line}"
    frames = (session.first_frame, session.last_frame)
    finding = Finding("log-disagrees", Certainty.INFERRED, f"{'; '.join(reasons)} ({where})", frames)
    return SessionLog(attempt.index, lines, False, finding)


def _strangers(log: DeviceLog, sessions: Sequence[Session], paired: bool) -> Iterable[Finding]:
    ids = {session.device.id.lower() for session in sessions if session.device.id}
    if log.device_ids and ids and not paired and not ids & set(log.device_ids):
        shown = ", ".join(log.device_ids[:3])
        summary = f"{log.name} is the log of {shown}; the capture holds {', '.join(sorted(ids)[:3])}"
        yield Finding("log-disagrees", Certainty.INFERRED, summary)
    elif log.attempts and sessions and not paired and all(is_whole(session) for session in sessions):
        yield Finding("log-disagrees", Certainty.INFERRED, f"no attempt in {log.name} fits a session of the capture")


def _start(session: Session) -> float:
    """The session's start in seconds since 1970, to about a microsecond."""
    return seconds_of(session.start_time)
