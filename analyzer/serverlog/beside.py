"""Lay a server's log beside a capture: which connection is which session, by device, address and time.

How it works. Pairs of a session and a connection of the same address (or id) propose an offset between the two clocks;
proposals are counted in bins, and the fullest bin near what clocks do (agree, or differ by a time zone) wins. Without
times, the order decides, or that all connections of one address say the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from analyzer.model import Session
from analyzer.serverlog.records import Clock, Connection, ServerLog
from analyzer.serverlog.when import in_year_of, on_day_of
from analyzer.times import seconds_of
from dissectors.events import Status

#: Width of a bin, and how far a connection may lie from where the offset puts it (s).
_BIN = 0.5
_TOLERANCE = 1.5
#: Without an address in common only so near counts.
_NEAR = 0.5
#: Clocks of two machines that are kept differ by no more than this (s); zones are quarters of an hour.
_KEPT = 120.0
_ZONE = 900.0
_ZONES = 14 * 3600.0
#: Pairs that vote for an offset, for each address and in all.
_VOTES_EACH = 40_000
_VOTES = 400_000
#: An offset that is neither small nor a zone's needs so many pairs.
_PAIRS = 3
#: Offsets that are tried out, by sessions of this number; how sharp two instants agree (s; a log may have whole seconds
#: only); what is as good as the best; how far clocks may differ where only the times meet (s).
_TRIED, _SCORED = 24, 300
_SHARP = 0.2
_AS_GOOD = 0.9
_ALONE = 5.0


@dataclass(frozen=True, slots=True)
class Pairing:
    """A session's connection. ``sure`` is False when another connection fits as well and says something else."""

    connection: Connection
    sure: bool
    offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """A log beside a capture. ``offset_s``: the capture's clock minus the log's; ``by_time_alone``: no address of the log is
    one of the capture's (NAT, a container), only the times met."""

    log: ServerLog
    pairs: Mapping[str, Pairing] = field(default_factory=dict)
    offset_s: float | None = None
    by_time_alone: bool = False


def beside(
    log: ServerLog, sessions: Iterable[Session], disagree: Callable[[Session, Connection], bool] = lambda *_: False
) -> Beside:
    """Pair the log's connections with the capture's TCP sessions.

    ``disagree`` says whether both cannot be of one attempt: it chooses where neither times nor addresses do.
    """
    usable = [session for session in sessions if session.transport == "tcp" and session.first_frame]
    if not usable or not log.connections:
        return Beside(log)
    moment = seconds_of(usable[0].start_time)
    groups = _groups(log, moment, frozenset(place for session in usable for place in _known(session)))
    shared = {session.id: [place for place in _known(session) if place in groups] for session in usable}
    alone = not any(shared.values())
    if alone:
        groups = _groups(log, moment, None)
        shared = {session.id: [""] for session in usable}
    if log.clock is Clock.NONE:
        if alone:
            # Without times and without addresses, the only device and what the log tells of nobody else may belong together.
            groups = {"": [item for item in groups[""] if item[2].address is None]}
        several = len({session.device.address for session in usable}) > 1
        return Beside(
            log, {} if alone and several else _by_order(usable, shared, groups, disagree), by_time_alone=alone
        )
    # A session that began before the capture did has no time of its own.
    begun = [session for session in usable if _has_begun(session)]
    offset = _offset(begun, shared, groups, log.clock, alone=alone)
    if offset is None and (begun or log.clock is not Clock.ABSOLUTE):
        return Beside(log)
    pairs = _by_time(begun, shared, groups, offset or 0.0, _NEAR if alone else _TOLERANCE)
    pairs |= _around([session for session in usable if not _has_begun(session)], shared, groups, offset or 0.0, pairs)
    return Beside(log, pairs, offset, alone)


_Timed = tuple[float, int, Connection]
_Groups = dict[str, list[_Timed]]


def _groups(log: ServerLog, moment: float, wanted: frozenset[str] | None) -> _Groups:
    """Connections by those of their addresses and ids that are ``wanted`` (None: all under no name), in their order; times
    as ones of the capture's year or day."""
    groups: dict[str, list[_Timed]] = defaultdict(list)
    for number, connection in enumerate(log.connections):
        if wanted is not None and connection.address not in wanted and connection.device not in wanted:
            continue
        begins = connection.begins
        if begins is None:
            when = float(number)
        elif log.clock is Clock.YEARLESS:
            when = in_year_of(begins, moment)
        elif log.clock is Clock.DAYLESS:
            when = on_day_of(begins, moment)
        else:
            when = begins
        if begins is None and log.clock is not Clock.NONE:
            continue
        known = (connection.address, connection.device)
        for place in [""] if wanted is None else [item for item in known if item is not None and item in wanted]:
            groups[place].append((when, number, connection))
    for timed in groups.values():
        timed.sort(key=lambda item: item[:2])
    return groups


def _known(session: Session) -> list[str]:
    """What a log may call a session's device by."""
    device = session.device.id.lower() if session.device.id else None
    return [place for place in (session.device.address, device) if place]


def _fits(session: Session, connection: Connection) -> bool:
    known = session.device.id
    return known is None or connection.device is None or known.lower() == connection.device


def _has_begun(session: Session) -> bool:
    return any(stage.stage == "connect" and stage.status is Status.SEEN for stage in session.stages)


def _around(
    sessions: Sequence[Session],
    shared: Mapping[str, list[str]],
    groups: _Groups,
    offset: float,
    taken: Mapping[str, Pairing],
) -> dict[str, Pairing]:
    """Sessions that stood when the capture began: the one connection of the address that was open then."""
    used = {id(pairing.connection) for pairing in taken.values()}
    pairs: dict[str, Pairing] = {}
    for session in sessions:
        moment = seconds_of(session.start_time) - offset
        for place in shared[session.id]:
            timed = groups[place]
            before = timed[max(0, bisect_left(timed, moment, key=lambda item: item[0]) - 8) :]
            open_ = [
                connection
                for when, _, connection in before
                if when <= moment
                and (connection.ended_at is None or connection.ended_at >= moment)
                and id(connection) not in used
                and _fits(session, connection)
            ][:9]
            if open_:
                pairs[session.id] = Pairing(open_[-1], len(open_) == 1, offset)
                break
    return pairs


def _offset(
    sessions: Sequence[Session], shared: Mapping[str, list[str]], groups: _Groups, clock: Clock, *, alone: bool
) -> float | None:
    votes: Counter[int] = Counter()
    left = _VOTES
    for session in sessions:
        start = seconds_of(session.start_time)
        for place in shared[session.id]:
            timed = groups[place]
            # Near first: clocks that are kept, then zones, then anything.
            first = bisect_left(timed, start - _ZONES - _KEPT, key=lambda item: item[0])
            last = bisect_left(timed, start + _ZONES + _KEPT, key=lambda item: item[0])
            chosen = timed[first:last] or timed
            if len(chosen) * len(sessions) > _VOTES_EACH:
                middle = bisect_left(chosen, start, key=lambda item: item[0])
                reach = max(4, _VOTES_EACH // len(sessions) // 2)
                chosen = chosen[max(0, middle - reach) : middle + reach]
            for when, _, connection in chosen:
                if _fits(session, connection):
                    votes[round((start - when) / _BIN)] += 1
            left -= len(chosen)
        if left < 0:
            break
    if not votes:
        return None
    summed: Counter[int] = Counter()
    for bin_, count in votes.items():
        for near in (bin_ - 1, bin_, bin_ + 1):
            summed[near] += count
    likely = [bin_ for bin_ in summed if _likely(bin_ * _BIN, clock)]
    tried = sorted(likely, key=lambda bin_: (-summed[bin_], abs(_past_zone(bin_ * _BIN, clock)), abs(bin_)))[:_TRIED]
    scored = [_scored(sessions, shared, groups, bin_ * _BIN) for bin_ in tried]
    # A loop of attempts fits itself at many offsets: then the one nearest to what clocks do is meant.
    best = max((score for score, _ in scored), default=0.0)
    good = [offset for score, offset in scored if score >= _AS_GOOD * best > 0]
    if good:
        offset = min(good, key=lambda value: (round(abs(_past_zone(value, clock)) / 2), abs(value)))
        return None if alone and abs(_past_zone(offset, clock)) > _ALONE else offset
    bin_, count = max(summed.items(), key=lambda item: (item[1], -abs(item[0])))
    if alone or count < _PAIRS or 2 * count < len(sessions):
        return None
    return _scored(sessions, shared, groups, bin_ * _BIN)[1]


def _scored(
    sessions: Sequence[Session], shared: Mapping[str, list[str]], groups: _Groups, offset: float
) -> tuple[float, float]:
    """How well all sessions lie at this offset, and the offset as their middle puts it."""
    apart = []
    for session in sessions[:_SCORED]:
        start = seconds_of(session.start_time)
        near = [found for place in shared[session.id] if (found := _nearest(groups[place], start - offset)) is not None]
        if near:
            nearest = min(near, key=lambda item: abs(start - offset - item[0]))
            if abs(start - offset - nearest[0]) <= _TOLERANCE:
                apart.append(start - nearest[0])
    if not apart:
        return 0.0, offset
    middle = median(apart)
    whole = all(when == int(when) for place in groups for when, _, _ in groups[place][:50])
    width = 1.0 if whole else _SHARP
    return sum(1 / (1 + ((value - middle) / width) ** 2) for value in apart), middle


def _likely(offset: float, clock: Clock) -> bool:
    if abs(offset) <= _KEPT:
        return True
    return clock is not Clock.ABSOLUTE and abs(offset) <= _ZONES and abs(_past_zone(offset, clock)) <= _KEPT


def _past_zone(offset: float, clock: Clock) -> float:
    """What is left of an offset behind whole time zones."""
    if clock is Clock.ABSOLUTE:
        return offset
    return offset - round(offset / _ZONE) * _ZONE


def _nearest(timed: Sequence[_Timed], when: float) -> _Timed | None:
    at = bisect_left(timed, when, key=lambda item: item[0])
    near = timed[max(0, at - 1) : at + 1]
    return min(near, key=lambda item: abs(item[0] - when)) if near else None


def _by_time(
    sessions: Sequence[Session], shared: Mapping[str, list[str]], groups: _Groups, offset: float, tolerance: float
) -> dict[str, Pairing]:
    found: list[tuple[float, str, int, Connection]] = []
    for session in sessions:
        expected = seconds_of(session.start_time) - offset
        for place in shared[session.id]:
            timed = groups[place]
            first = bisect_left(timed, expected - tolerance, key=lambda item: item[0])
            for when, number, connection in timed[first : first + 32]:
                if when > expected + tolerance:
                    break
                if _fits(session, connection):
                    found.append((abs(when - expected), session.id, number, connection))
    found.sort(key=lambda item: item[:3])
    pairs: dict[str, Pairing] = {}
    taken: set[int] = set()
    for apart, session_id, number, connection in found:
        if session_id in pairs or number in taken:
            continue
        rivals = (
            [
                other
                for distance, other_session, other_number, other in found
                if other_session == session_id and other_number != number and distance < apart + 0.1
            ]
            if len(found) <= 2000
            else []
        )
        sure = all(_name(other) == _name(connection) for other in rivals)
        pairs[session_id] = Pairing(connection, sure, offset)
        taken.add(number)
    return pairs


def _by_order(
    sessions: Sequence[Session],
    shared: Mapping[str, list[str]],
    groups: _Groups,
    disagree: Callable[[Session, Connection], bool],
) -> dict[str, Pairing]:
    waiting: dict[str, list[Session]] = defaultdict(list)
    for session in sessions:
        if shared[session.id]:
            waiting[shared[session.id][-1]].append(session)
    pairs: dict[str, Pairing] = {}
    for place, theirs in waiting.items():
        connections = [
            connection for _, _, connection in groups[place] if connection.says or connection.up or connection.ended
        ]
        if not connections:
            continue
        same = len({_name(connection) for connection in connections}) == 1
        even = len(connections) == len(theirs)
        for number, session in enumerate(theirs):
            connection, sure = connections[min(number, len(connections) - 1)], same or even
            if not sure or disagree(session, connection):
                # What the wire contradicts is of another attempt.
                left = [item for item in connections if _fits(session, item) and not disagree(session, item)]
                if len({_name(item) for item in left}) == 1:
                    connection, sure = left[-1], True
            if _fits(session, connection):
                pairs[session.id] = Pairing(connection, sure)
    return pairs


def _name(connection: Connection) -> str:
    if connection.says is not None:
        return connection.says.name
    return "up" if connection.up else ""
