"""From known lines to attempts: where one begins, what it reached, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from analyzer.devicelog.records import LogAttempt, LogEvent, Outcome
from analyzer.firmware.families import known_host
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
#: So many copies of one message without an answer are one too many.
_AGAIN = 3
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
    named = [known for event in events if (known := known_host(event.values.get("host", ""))) is not None]
    return LogAttempt(
        index=index,
        boot=events[0].boot,
        events=events,
        outcome=_outcome(events),
        device_id=device or next((known.device for known in named if known.device), None),
        transport=_transport(events, [known.transport for known in named]),
        family=next((e.family for e in events if e.family), None),
        host=values.get("host"),
        address=values.get("address"),
        # 0 and 65535 (erased flash) mean: not set (device-os server address block, tcp.md 4.3).
        port=port if 0 < port < 65535 else None,
        address_type=address.number if address else None,
    )


def _outcome(events: tuple[LogEvent, ...]) -> Outcome:
    if any(e.kind is LineKind.CONNECTED or (e.stage == "session" and e.kind is LineKind.REACHED) for e in events):
        return "connected"
    bad = (LineKind.FAILED, LineKind.RESULT, LineKind.LOST)
    return "failed" if any(e.kind in bad for e in events) or is_resent(events) else "unfinished"


def is_resent(events: Iterable[LogEvent]) -> bool:
    """Whether the last lines show one message going out again and again: three times and more, with nothing behind it."""
    sent, spoken = 0, False
    for event in events:
        if event.kind is LineKind.SENT:
            sent += spoken
        elif event.kind in (LineKind.REACHED, LineKind.FAILED, LineKind.CONNECTED, LineKind.RESULT):
            sent, spoken = 0, event.kind is LineKind.REACHED and event.stage == "device-hello"
    return sent >= _AGAIN


def _transport(events: tuple[LogEvent, ...], named: list[str]) -> Literal["tcp", "udp"] | None:
    """By a line that only one of them has, else by a name or port that is one's, else by a line that TCP always has.

    A TCP device that has a name stored, or nothing, resolves one before it connects, and says so ("Resolved host", "unable to
    resolve IP"; device-os system_cloud_internal.cpp v0.6.1-v1.4.4); a UDP device of 0.6 and 0.7 does not.
    """
    found = next((e.transport for e in events if e.transport in ("tcp", "udp")), None)
    if found is None:
        found = next((transport for transport in named if transport == "udp"), None)
    ports = {event.values["port"] for event in events if "port" in event.values}
    if found is None and len(ports & {"5683", "5684"}) == 1:
        found = "udp" if "5684" in ports else "tcp"
    if found is None and _connects_without_a_name(events):
        found = "udp"
    if found == "tcp":
        return "tcp"
    return "udp" if found == "udp" else None


def _connects_without_a_name(events: tuple[LogEvent, ...]) -> bool:
    address = next((e for e in events if e.kind is LineKind.ADDRESS), None)
    if address is None or address.number == 0:
        return False
    connect = next((e for e in events if e.stage == "connect"), None)
    return connect is not None and not any(e.stage == "name-resolution" for e in events)
