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


def match_clocks(
    attempts: Sequence[Instant], sessions: Sequence[Instant], likeness: Callable[[int, int], float | None]
) -> Match | None:
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


def _walk(
    attempts: Sequence[Instant],
    sessions: Sequence[Instant],
    offset: float,
    likeness: Callable[[int, int], float | None],
) -> tuple[tuple[tuple[int, int], ...], float, float]:
    """Pair each attempt with the nearest session still free at this offset, following slow drift; score the pairs."""
    pairs: list[tuple[int, int]] = []
    residuals: list[float] = []
    likes: list[float] = []
    start = 0
    drift = offset
    for attempt, at in attempts:
        expected = at + drift
        while start < len(sessions) and sessions[start][1] < expected - _TOLERANCE:
            start += 1
        best: tuple[float, int, float] | None = None
        for position in range(start, len(sessions)):
            session, when = sessions[position]
            if when > expected + _TOLERANCE:
                break
            like = likeness(attempt, session)
            if like is None:
                continue
            rank = abs(when - expected) - 0.2 * like
            if best is None or rank < best[0]:
                best = (rank, position, like)
        if best is None:
            continue
        _, position, like = best
        when = sessions[position][1]
        pairs.append((attempt, sessions[position][0]))
        residuals.append(when - at)
        likes.append(like)
        start = position + 1
        drift = 0.7 * drift + 0.3 * (when - at)
    if not pairs:
        return (), 0.0, offset
    centre = median(residuals)
    score = 0.0
    for index, (residual, like) in enumerate(zip(residuals, likes, strict=True)):
        # Against its neighbours, so that drift over hours costs nothing.
        near = median(residuals[max(0, index - 2) : index + 3])
        score += like + closeness(residual - near)
    return tuple(pairs), score, centre
