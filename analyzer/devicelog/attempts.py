"""From known lines to attempts: where one begins, what it reached, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from analyzer.devicelog.records import LogAttempt, LogEvent, Outcome
from analyzer.firmware.lines import LineKind

#: Stages in the order a log passes through them; a step back means a new attempt (logs without "Cloud: connecting").
_ORDER = ("address", "name-resolution", "connect", "nonce", "identity", "session-key", "device-hello", "cloud-hello")
_IN_ATTEMPT = frozenset(
    {
        *(LineKind.ATTEMPT, LineKind.ADDRESS, LineKind.WAITING, LineKind.REACHED),
        *(LineKind.FAILED, LineKind.RESULT, LineKind.CONNECTED),
    }
)
#: Lines that open a handshake and nothing else; a second one within an attempt that failed is a new attempt.
_OPENING = ("tarting handshake", "Establish secure connection")


def attempts_of(events: Iterable[LogEvent]) -> tuple[LogAttempt, ...]:
    """Group events into attempts. Lines before the first attempt and between attempts belong to none."""
    result: list[LogAttempt] = []
    current: list[LogEvent] = []
    device: str | None = None
    owner: str | None = None

    def close() -> None:
        if any(event.kind in _IN_ATTEMPT for event in current):
            result.append(_attempt(len(result), tuple(current), owner))
        current.clear()

    for event in events:
        if event.kind in (LineKind.BOOT, LineKind.FACT) and "device" in event.values:
            device = event.values["device"].lower()
        if current and (event.boot != current[-1].boot or event.kind is LineKind.BOOT or _begins_anew(current, event)):
            close()
        if current or event.kind in _IN_ATTEMPT or _opens(event):
            if not current:
                owner = device
            current.append(event)
    close()
    return tuple(result)


def _begins_anew(current: list[LogEvent], event: LogEvent) -> bool:
    if event.kind is LineKind.ATTEMPT:
        return True
    rank = _rank(event)
    over = any(e.kind in (LineKind.RESULT, LineKind.ENDED) for e in current)
    if over and (rank is not None or _opens(event)):
        return event.kind is not LineKind.FAILED
    if rank is None or event.kind not in (LineKind.ADDRESS, LineKind.WAITING, LineKind.REACHED):
        return False
    furthest = max((_rank(e) or 0 for e in current), default=0)
    again = event.kind is LineKind.WAITING and any(e.kind is LineKind.FAILED for e in current)
    return (rank < furthest or (again and rank == furthest)) and rank <= _ORDER.index("nonce")


def _rank(event: LogEvent) -> int | None:
    if event.kind is LineKind.ADDRESS:
        return 0
    return _ORDER.index(event.stage) if event.stage in _ORDER else None


def _opens(event: LogEvent) -> bool:
    return any(word in event.text for word in _OPENING)


def _attempt(index: int, events: tuple[LogEvent, ...], device: str | None) -> LogAttempt:
    address = next((e for e in events if e.kind is LineKind.ADDRESS), None)
    values: dict[str, str] = {}
    for event in events:
        for name in ("host", "address", "port"):
            if name in event.values and event.kind is not LineKind.FACT:
                values.setdefault(name, event.values[name])
    port = int(values.get("port", "0"))
    return LogAttempt(
        index=index,
        boot=events[0].boot,
        events=events,
        outcome=_outcome(events),
        device_id=device,
        transport=_transport(events),
        family=next((e.family for e in events if e.family), None),
        host=values.get("host"),
        address=values.get("address"),
        port=port if 0 < port < 65536 else None,
        address_type=address.number if address else None,
    )


def _outcome(events: tuple[LogEvent, ...]) -> Outcome:
    if any(e.kind is LineKind.CONNECTED or (e.stage == "session" and e.kind is LineKind.REACHED) for e in events):
        return "connected"
    bad = (LineKind.FAILED, LineKind.RESULT, LineKind.LOST)
    return "failed" if any(e.kind in bad for e in events) else "unfinished"


def _transport(events: tuple[LogEvent, ...]) -> Literal["tcp", "udp"] | None:
    found = next((e.transport for e in events if e.transport in ("tcp", "udp")), None)
    if found == "tcp":
        return "tcp"
    return "udp" if found == "udp" else None
