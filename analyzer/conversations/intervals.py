"""A set of byte ranges, merged as they come."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Intervals:
    """Disjoint, ascending, half-open ranges. Adding n ranges takes O(n log n) comparisons, however they overlap."""

    __slots__ = ("ends", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> list[tuple[int, int]]:
        """Adds [start, end); the parts of it that were not there before."""
        if start >= end:
            return []
        first = bisect_left(self.ends, start)  # the first range that touches or follows
        last = bisect_right(self.starts, end, first)  # behind the last range that touches
        new: list[tuple[int, int]] = []
        at = start
        for index in range(first, last):
            if self.starts[index] > at:
                new.append((at, self.starts[index]))
            at = max(at, self.ends[index])
        if at < end:
            new.append((at, end))
        if first < last:
            start = min(start, self.starts[first])
            end = max(end, self.ends[last - 1])
        self.starts[first:last] = [start]
        self.ends[first:last] = [end]
        return new

    def end_of(self, position: int) -> int:
        """The end of the range that holds ``position``, or ``position`` itself when none does."""
        index = bisect_right(self.starts, position) - 1
        return max(self.ends[index], position) if index >= 0 else position

    def next_start(self, position: int) -> int | None:
        """The first start at or behind ``position``; None when no range starts there."""
        index = bisect_left(self.starts, position)
        return self.starts[index] if index < len(self.starts) else None

    def covers(self, start: int, end: int) -> bool:
        """Every byte of [start, end) is there."""
        return self.end_of(start) >= end
