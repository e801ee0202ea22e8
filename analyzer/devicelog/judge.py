"""A verdict from a device's log alone: what the device saw, and what only the wire or a key can decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from analyzer.devicelog.records import DeviceLog, LogAttempt, LogEvent
from analyzer.firmware.case import RemedyContext
from analyzer.firmware.families import known_host
from analyzer.firmware.judgements import Judgement, judgements
from analyzer.firmware.lines import LineKind
from analyzer.firmware.numbers import number
from analyzer.firmware.remedies import finding_remedy, remedy
from analyzer.firmware.shows import device_shows
from analyzer.model import Certainty, Code, Evidence, Verdict

_MOST_EVIDENCE = 8


def judge_log(log: DeviceLog) -> Verdict:
    """What the log says about its last finished attempt. Never PROVEN: a log knows what the device saw, not what was sent."""
    attempt = _last_finished(log)
    if attempt is None:
        return _nothing(log)
    return judge_attempt(log, attempt)


def judge_attempt(log: DeviceLog, attempt: LogAttempt) -> Verdict:
    """What the log says about one attempt."""
    rule = _rule(log, attempt)
    transport = attempt.transport or "tcp"
    # A device that has lost its address asks for Particle's name, whatever server it belongs to.
    server = None if attempt.address_lost else attempt.host or attempt.address
    context = RemedyContext(
        transport=transport,
        device_id=attempt.device_id or log.device_id,
        host=server,
        port=attempt.port,
        stored_address=server,
        is_particle_cloud=_particle(attempt),
        family=attempt.family,
        platform=log.platform,
    )
    lost = finding_remedy("server-address-lost", context) if attempt.address_lost else ()
    return Verdict(
        code=rule.code,
        certainty=rule.certainty,
        stage=rule.stage,
        frames=(),
        summary=rule.summary,
        alternatives=rule.alternatives,
        evidence=_evidence(log, attempt),
        would_settle=rule.settle,
        remedy=tuple(dict.fromkeys([*lost, *remedy(rule.code, context)])),
        device_shows=device_shows(rule.code, transport, family=attempt.family, stage=rule.stage),
    )


def _last_finished(log: DeviceLog) -> LogAttempt | None:
    finished = [attempt for attempt in log.attempts if attempt.outcome != "unfinished"]
    return finished[-1] if finished else None


def _rule(log: DeviceLog, attempt: LogAttempt) -> Judgement:
    initial = [e.text for e in log.events if e.kind is LineKind.INIT and e.boot == attempt.boot]
    return next(rule for rule in judgements() if _fits(rule, attempt, initial))


def _fits(rule: Judgement, attempt: LogAttempt, initial: list[str]) -> bool:
    failed = next((e for e in attempt.events if e.kind is LineKind.FAILED), None)
    results = {e.number for e in attempt.events if e.kind is LineKind.RESULT}
    lost = [e for e in attempt.events if e.kind is LineKind.LOST]
    texts = [*initial, *(event.text for event in attempt.events)]
    # A retried step can fail first and pass later within one attempt; what it came to counts.
    if rule.outcome != "connected" and attempt.outcome == "connected":
        return False
    asked = (
        (rule.transport, attempt.transport in (rule.transport, None)),
        (rule.outcome, attempt.outcome == rule.outcome),
        (rule.failed, failed is not None and failed.stage == (None if rule.failed == "any" else rule.failed)),
        (rule.n, failed is not None and failed.number in rule.n),
        (rule.result, bool(results & set(rule.result))),
        (rule.lost, any(e.number in rule.lost for e in lost)),
        (rule.lost_any, bool(lost)),
        (rule.seen, all(any(word in text for text in texts) for word in rule.seen)),
        (rule.unseen, not any(word in text for word in rule.unseen for text in texts)),
        (rule.resumed, attempt.resumed),
        (rule.resent, attempt.resent),
        (rule.address_lost, attempt.address_lost),
    )
    return all(holds for condition, holds in asked if condition)


def _particle(attempt: LogAttempt) -> bool | None:
    if attempt.address_lost or attempt.host is None:
        return False if attempt.address_type == 0 else None
    known = known_host(attempt.host)
    return known.particle if known else False


def _evidence(log: DeviceLog, attempt: LogAttempt) -> tuple[Evidence, ...]:
    initial = [e for e in log.events if e.kind is LineKind.INIT and e.boot == attempt.boot]
    kinds = (LineKind.ADDRESS, LineKind.FAILED, LineKind.RESULT, LineKind.LOST, LineKind.CONNECTED, LineKind.REPAIR)
    waited = next((e for e in reversed(attempt.events) if e.kind is LineKind.WAITING), None)
    chosen = [*initial, *(e for e in attempt.events if e.kind in kinds or e is waited)]
    result = [
        Evidence(f"{log.name} line {event.line}: {event.text}{_meaning(event)}") for event in chosen[:_MOST_EVIDENCE]
    ]
    delay = _waited_ms(attempt)
    if delay is not None:
        result.append(Evidence(f"the device had waited {delay} ms for the {_stage_words(attempt)} when it ended"))
    finished = [item for item in log.attempts if item.outcome != "unfinished"]
    if len(finished) > 1:
        counts = Counter(_rule(log, item).code.value for item in finished)
        words = ", ".join(f"{count} {code}" for code, count in counts.most_common(4))
        result.append(Evidence(f"{len(finished)} finished attempts in {log.name}: {words}"))
    return tuple(result)


def _meaning(event: LogEvent) -> str:
    if event.number is None or event.kind in (LineKind.ADDRESS, LineKind.REPAIR):
        return ""
    for space in event.spaces:
        item = number(space, event.number)
        if item:
            return f" ({item.name})"
    return ""


def _waited_ms(attempt: LogAttempt) -> int | None:
    failed = next((e for e in attempt.events if e.kind is LineKind.FAILED), None)
    if failed is None or failed.stage is None or failed.time_ms is None:
        return None
    since = attempt.time_of(failed.stage, LineKind.WAITING)
    return failed.time_ms - since if since is not None and failed.time_ms >= since else None


def _stage_words(attempt: LogAttempt) -> str:
    words: Mapping[str, str] = {"nonce": "nonce", "session-key": "session key", "cloud-hello": "cloud's Hello"}
    failed = next(e for e in attempt.events if e.kind is LineKind.FAILED)
    return words.get(failed.stage or "", "answer")


def _nothing(log: DeviceLog) -> Verdict:
    begun = bool(log.attempts)
    summary = (
        f"{log.name} ends before its attempt does"
        if begun
        else f"{log.name} holds no attempt to reach a cloud that is known here"
    )
    return Verdict(
        code=Code.CAPTURE_INCOMPLETE,
        certainty=Certainty.UNDETERMINED,
        stage=None,
        frames=(),
        summary=summary,
        evidence=(Evidence(f"{log.lines} lines read, {len(log.events)} of them known"),),
        would_settle=('a log that covers a whole attempt, from "Cloud: connecting" on', "a capture of an attempt"),
    )
