"""Find the offset between a device's clock, which starts at boot, and a capture's clock.

*How it works*: every pair (attempt of the log, session of the capture) proposes an offset. Proposals are counted in
narrow bins; the fullest bins are tried out, and the one whose pairs fit best wins: instants agree to milliseconds at the
right offset, and to a tenth of a second at an offset that is wrong by one turn of a retry loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

#: Width of a bin, and how far an instant may lie from where the offset puts it (s). Wi-Fi and logging add some 10 ms.
_BIN = 0.2
_TOLERANCE = 0.6
#: Residual at which a pair counts half (s).
_SHARP = 0.03
#: Crystals drift by up to 100 ppm; it is followed from pair to pair.
_TRIED_BINS = 16
#: Another pairing this close to the best leaves the matter open.
_AMBIGUOUS = 0.9

Instant = tuple[int, float]
"""An index and its time in seconds."""


@dataclass(frozen=True, slots=True)
class Match:
    """Pairs (attempt, session) in time order; ``score`` grows with their number and fit. ``doubtful`` are the attempts
    for which another pairing, nearly as good, names another session."""

    pairs: tuple[tuple[int, int], ...]
    offset_s: float
    score: float
    doubtful: frozenset[int] = frozenset()


def match_clocks(attempts: Sequence[Instant], sessions: Sequence[Instant], likeness: Likeness) -> Match | None:
    """The best order-preserving pairing of two series of instants on clocks with an unknown, constant offset.

    ``likeness(attempt, session)`` is about 1 for two that look alike, below 0 for two that contradict each other, None
    for two that cannot belong together. Returns None when no pair has a positive score. Both series sorted by time.
    """
    votes: Counter[int] = Counter()
    for attempt, at in attempts:
        for session, when in sessions:
            if likeness(attempt, session) is not None:
                votes[round((when - at) / _BIN)] += 1
    summed = {bin_: votes[bin_ - 1] + count + votes[bin_ + 1] for bin_, count in votes.items()}
    tried = sorted(summed, key=lambda bin_: (-summed[bin_], bin_))[: 3 * _TRIED_BINS]
    found: dict[tuple[tuple[int, int], ...], Match] = {}
    for bin_ in tried:
        pairs, score, offset = _walk(attempts, sessions, bin_ * _BIN, likeness)
        if score > 0 and (pairs not in found or found[pairs].score < score):
            found[pairs] = Match(pairs, offset, score)
    if not found:
        return None
    ranked = sorted(found.values(), key=lambda match: (-match.score, match.offset_s))
    best = ranked[0]
    rivals = [match for match in ranked[1:] if match.score >= _AMBIGUOUS * best.score]
    return replace(best, doubtful=doubts(best, rivals))


def doubts(best: Match, rivals: Iterable[Match]) -> frozenset[int]:
    """The attempts to which a rival gives another session than ``best`` does. Leaving one out is no contradiction."""
    chosen = dict(best.pairs)
    return frozenset(
        attempt for rival in rivals for attempt, session in rival.pairs if chosen.get(attempt, session) != session
    )


def closeness(apart_s: float) -> float:
    """1 for two instants that agree, half at 30 ms apart, towards 0 beyond."""
    return 1 / (1 + (apart_s / _SHARP) ** 2)


Likeness = Callable[[int, int], float | None]
_Pair = tuple[int, int, float, float]
"""Attempt, session, session time minus attempt time, likeness."""


def _walk(
    attempts: Sequence[Instant], sessions: Sequence[Instant], offset: float, likeness: Likeness
) -> tuple[tuple[tuple[int, int], ...], float, float]:
    """Pair attempts and sessions at this offset, from the middle outwards so that slow drift can be followed; score them."""
    seeds = [i for i, (_, at) in enumerate(attempts) if any(abs(when - at - offset) <= _BIN for _, when in sessions)]
    if not seeds:
        return (), 0.0, offset
    middle = seeds[len(seeds) // 2]
    onwards = _one_way(attempts[middle:], sessions, offset, likeness)
    limit = onwards[0][1] if onwards else None
    before = [instant for instant in sessions if limit is None or instant[0] != limit]
    if onwards:
        first = next(when for session, when in sessions if session == limit)
        before = [(session, when) for session, when in before if when < first]
    mirrored = [(attempt, -at) for attempt, at in reversed(attempts[:middle])]
    start = -(onwards[0][2] if onwards else offset)
    back = _one_way(mirrored, [(session, -when) for session, when in reversed(before)], start, likeness)
    pairs = [(a, s, -residual, like) for a, s, residual, like in reversed(back)] + onwards
    residuals = [pair[2] for pair in pairs]
    score = 0.0
    for index, (_, _, residual, like) in enumerate(pairs):
        # Against its neighbours, so that drift over hours costs nothing.
        score += like + closeness(residual - median(residuals[max(0, index - 2) : index + 3]))
    centre = median(residuals) if residuals else offset
    return tuple((attempt, session) for attempt, session, _, _ in pairs), score, centre


def _one_way(
    attempts: Sequence[Instant], sessions: Sequence[Instant], offset: float, likeness: Likeness
) -> list[_Pair]:
    """Pair each attempt with the nearest session still free, forwards in time."""
    pairs: list[_Pair] = []
    start = 0
    for attempt, at in attempts:
        expected = at + offset
        while start < len(sessions) and sessions[start][1] < expected - _TOLERANCE:
            start += 1
        best: tuple[float, int, float] | None = None
        for position in range(start, len(sessions)):
            session, when = sessions[position]
            if when > expected + _TOLERANCE:
                break
            like = likeness(attempt, session)
            if like is not None and (best is None or abs(when - expected) - 0.2 * like < best[0]):
                best = (abs(when - expected) - 0.2 * like, position, like)
        if best is None:
            continue
        session, when = sessions[best[1]]
        pairs.append((attempt, session, when - at, best[2]))
        start = best[1] + 1
        offset = 0.5 * offset + 0.5 * (when - at)
    return pairs
