"""Ranges against a model that remembers every byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.conversations.intervals import Intervals

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(-3, 20)), max_size=30)


@given(RANGES, st.integers(0, 90), st.integers(0, 90))
def test_ranges_are_the_bytes_they_cover(ranges, low: int, high: int) -> None:
    intervals, model = Intervals(), set()
    for start, size in ranges:
        new = intervals.add(start, start + size)
        fresh = set(range(start, start + size)) - model
        assert {byte for a, b in new for byte in range(a, b)} == fresh
        assert all(a < b for a, b in new)
        model |= fresh
    covered = {byte for a, b in zip(intervals.starts, intervals.ends, strict=True) for byte in range(a, b)}
    assert covered == model
    pairs = list(zip(intervals.starts, intervals.ends, strict=True))
    assert all(a[1] < b[0] for a, b in zip(pairs, pairs[1:], strict=False))
    assert intervals.covers(low, high) == set(range(low, high)).issubset(model)
    end = low
    while end in model:
        end += 1
    assert intervals.end_of(low) == end
    starts = [start for start in intervals.starts if start >= low]
    assert intervals.next_start(low) == (min(starts) if starts else None)
