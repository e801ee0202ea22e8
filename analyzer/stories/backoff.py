"""Where on the firmware's ladder of waits a device stands: from the pauses between its attempts.

How it works. After its n-th failure in a row the firmware waits a time that only n decides. One pause leaves five
candidates for n (of the longest, any number from 36 on); each further pause must fit the next number, which narrows them.
A pause that fits only the ladder's beginning starts a new run: the device, or its network, was restarted in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyzer.firmware.timers import retry_wait_s, timer

_RETRY = timer("retry")
_MOST = 1000
#: The ladder: waits in seconds, and the failure numbers that lead to each (the last without end).
_STEPS = tuple(
    (wait, range(first, _MOST + 1 if wait == _RETRY.seconds[-1] else first + _RETRY.each))
    for wait, first in zip(_RETRY.seconds, range(1, _MOST, _RETRY.each), strict=False)
)
#: How far a pause may lie from the wait it is. The firmware counts from the failure itself (measured on v0.6.3, v0.6.4:
#: 1.000 to 1.015 s); a Core's or a busy application's loop comes round later.
_EARLY, _LATE, _DRIFT = 0.06, 0.35, 0.04


@dataclass(frozen=True, slots=True)
class Run:
    """Failures in a row on one turn of the ladder.

    ``first`` is the range of numbers the run's first attempt may have; attempt ``index`` counts within the streak.
    ``pauses`` are the waits it rests on, in seconds.
    """

    index: int
    first: range
    pauses: tuple[float, ...]

    @property
    def last(self) -> range:
        """The numbers of the failure after which nothing more is known."""
        step = len(self.pauses)
        return range(self.first.start + step, self.first.stop + step)

    @property
    def next_waits(self) -> tuple[float, float]:
        """The shortest and the longest time after which the next attempt would follow, in seconds."""
        return retry_wait_s(self.last.start), retry_wait_s(self.last.stop - 1)


def runs(starts: Sequence[float], failures: Iterable[Sequence[float]]) -> tuple[Run, ...]:
    """The runs of a streak of failed attempts; empty when most pauses are none of the ladder's.

    ``starts`` are the instants at which the attempts began, each of ``failures`` a guess at those at which they failed, in
    seconds; the guess that fits the ladder best is taken.
    """
    found = [_runs([start - end for start, end in zip(starts[1:], ends[:-1], strict=True)]) for ends in failures]
    return max(found, key=_weight, default=())


def numbers_of(pause: float) -> range | None:
    """After which failure (counted from 1) the firmware waits ``pause`` seconds; None when after none."""
    for wait, numbers in _STEPS:
        if wait * (1 - _DRIFT) - _EARLY <= pause <= wait * (1 + _DRIFT) + _LATE:
            return numbers
    return None


def _weight(runs_: tuple[Run, ...]) -> tuple[int, int]:
    return sum(len(run.pauses) for run in runs_), -len(runs_)


def _runs(pauses: Sequence[float]) -> tuple[Run, ...]:
    result: list[Run] = []
    first: range | None = None
    begin = 0

    def close(position: int) -> None:
        if first:
            result.append(Run(begin, first, tuple(pauses[begin:position])))

    for position, pause in enumerate(pauses):
        numbers = numbers_of(pause)
        if numbers is None:
            close(position)
            first, begin = None, position + 1
            continue
        step = position - begin
        narrowed = _overlap(first, range(max(1, numbers.start - step), numbers.stop - step)) if first else numbers
        if not narrowed:
            close(position)
            begin, narrowed = position, numbers
        first = narrowed
    close(len(pauses))
    fitting = sum(len(run.pauses) for run in result)
    return tuple(result) if 2 * fitting > len(pauses) and 2 * len(result) <= len(pauses) + 1 else ()


def _overlap(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop, _MOST + 1))


def failing_for(failures: int, attempt_s: float) -> float:
    """Seconds that lie between a device's first failure and its ``failures``-th, each attempt taking ``attempt_s``."""
    return sum(retry_wait_s(number) + attempt_s for number in range(1, min(failures, _MOST)))
