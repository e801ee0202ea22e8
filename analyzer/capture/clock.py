"""Time stamps that cannot be: a damaged one (the year 2055, 1970) between others that agree.

How it works. A packet comes within a year of the one before it. One that does not is given the time of the one before: its
place in the file tells more than its stamp. When several in a row agree with each other, the clock was set, and is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from analyzer.capture.records import Block, Notes, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    def steady(self, records: Iterable[Record]) -> Iterator[Record]:
        """``records`` with times that can be."""
        held: list[Record] = []
        for record in records:
            if self._at is None:
                held.append(record)
                believed = _believed([item[1] for item in held])
                if believed is None and len(held) < _FIRST:
                    continue
                self._at = held[-1][1] if believed is None else believed
                for item in held:
                    yield self._mended(item)
                held = []
            else:
                yield self._mended(record)
        for item in held:
            self._at = item[1]
            yield item

    def block(self, block: Block) -> Block:
        """``block`` with times that can be."""
        times: NDArray = block.times  # type: ignore[type-arg]
        if not times.size:
            return block
        if self._at is None:
            first = [int(value) for value in times[:_FIRST]]
            believed = _believed(first)
            self._at = first[-1] if believed is None else believed
        if abs(int(times.min()) - self._at) <= _APART_NS and abs(int(times.max()) - self._at) <= _APART_NS:
            self._at = int(times[-1])
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

    def _mended(self, record: Record) -> Record:
        number, time_ns, *_ = record
        told = self._told(number, time_ns)
        return record if told == time_ns else (number, told, *record[2:])

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
        self._absurd += 1
        self._first = self._first or number
        return at


def _believed(times: list[int]) -> int | None:
    """The first time that more than half of these agree with; None when there is none, or only one to ask."""
    if len(times) < 2:
        return None
    return next((one for one in times if sum(abs(one - other) <= _APART_NS for other in times) * 2 > len(times)), None)
