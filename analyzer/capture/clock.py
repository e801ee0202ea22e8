"""Time stamps that cannot be: a damaged one (the year 2055, 1970) between others that agree.

How it works. A packet comes within a year of the one before it. One that does not is given the time of the one before: its
place in the file tells more than its stamp. When several in a row agree with each other, the clock was set, and is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar, cast

from analyzer.capture.records import Block, Notes, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

Item = TypeVar("Item", bound=Record | Block)

#: Packets of one capture are not further apart (ns).
_APART_NS = 366 * 86_400 * 1_000_000_000
#: So many in a row that agree are believed, however far from those before.
_SET = 4
#: So many are waited for, at most, before the first time is believed.
_FIRST = 9


class Clock:
    """Follows the times of one capture in file order."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._at: int | None = None
        self._run = 0
        self._run_at = 0
        #: Stamps that were not used, and the frame of the first.
        self._absurd = 0
        self._first = 0

    def steady(self, items: Iterable[Item]) -> Iterator[Item]:
        """``items``, records and blocks as they stand in the file, with times that can be."""
        held: list[Record | Block] = []
        first: list[int] = []
        joints = 0
        for item in items:
            if joints != len(self._notes.joints):  # another file's clock, which nothing here tells anything of
                joints = len(self._notes.joints)
                yield from cast(Iterator[Item], iter(held))
                held, first, self._at, self._run = [], [], None, 0
            if self._at is not None:
                yield cast(Item, self._mended(item))
                continue
            first += _times(item)
            self._at = _start(first)
            if self._at is None:
                # What is in a block is overwritten when the next is asked for.
                held.append(item._replace(data=bytearray(item.data)) if isinstance(item, Block) else item)
                continue
            for before in (*held, item):
                yield cast(Item, self._mended(before))
            held = []
        for before in held:
            self._at = next(reversed(_times(before)), self._at)
            yield cast(Item, before)

    def _mended(self, item: Record | Block) -> Record | Block:
        if isinstance(item, Block):
            return self._block(item)
        number, time_ns, *_ = item
        told = self._told(number, time_ns)
        return item if told == time_ns else (number, told, *item[2:])

    def _block(self, block: Block) -> Block:
        times: NDArray = block.times  # type: ignore[type-arg]
        if not times.size:
            return block
        at = self._at or 0
        # All near each other and the one before: so each is near the one before it.
        low, high = min(at, int(times.min())), max(at, int(times.max()))
        if high - low <= _APART_NS:
            self._at, self._run = int(times[-1]), 0
            return block
        import numpy as np

        told = [self._told(block.number + place, int(value)) for place, value in enumerate(times, 1)]
        return block._replace(times=np.array(told, times.dtype))

    def note(self) -> None:
        """Says how many stamps were not used."""
        if self._absurd:
            more = f" (and those of {self._absurd - 1:,} more)" if self._absurd > 1 else ""
            text = f"the time stamp of frame {self._first}{more} is years away from the others: its place in the file was used instead"
            self._notes.add("absurd-time", text, self._first)
            self._absurd = 0

    def _told(self, number: int, time_ns: int) -> int:
        """The time to use for this record."""
        at = self._at or 0
        if -_APART_NS <= time_ns - at <= _APART_NS:
            self._at, self._run = time_ns, 0
            return time_ns
        self._run = self._run + 1 if self._run and abs(time_ns - self._run_at) <= _APART_NS else 1
        self._run_at = time_ns
        if self._run >= _SET:
            self._at, self._run = time_ns, 0
            return time_ns
        if time_ns or all(problem.code != "no-time" for problem in self._notes.problems):  # else said already
            self._absurd += 1
            self._first = self._first or number
        return at


def _times(item: Record | Block) -> list[int]:
    """The first times of an item, as many as are asked."""
    return [int(value) for value in item.times[:_FIRST]] if isinstance(item, Block) else [item[1]]


def _start(times: list[int]) -> int | None:
    """The time to begin with, told by as few of the first ``times`` as can tell; None while more are to be asked."""
    for count in range(2, min(len(times), _FIRST) + 1):
        believed = _believed(times[:count])
        if believed is not None:
            return believed
    return times[_FIRST - 1] if len(times) >= _FIRST else None


def _believed(times: list[int]) -> int | None:
    """The first time that more than half of these agree with; None when there is none, or only one to ask."""
    if len(times) < 2:
        return None
    return next((one for one in times if sum(abs(one - other) <= _APART_NS for other in times) * 2 > len(times)), None)
