"""Pairing two series of instants on clocks with an unknown offset."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.devicelog.clock import match_clocks
from analyzer.firmware.timers import retry_wait_s


def alike(attempt: int, session: int) -> float:
    return 1.0


def retry_loop(count: int, rng: random.Random) -> list[float]:
    """Attempt times of a device that fails each time: a round trip or two, 250 ms of LED, then the ladder's wait."""
    at, times = 0.0, []
    for failures in range(1, count + 1):
        times.append(at)
        at += rng.uniform(0.2, 0.5) + 0.25 + retry_wait_s(failures)
    return times


@given(st.integers(0, 10_000), st.integers(2, 25), st.floats(-1e6, 1e6), st.data())
@settings(max_examples=150, deadline=None)
def test_the_offset_is_found_whatever_is_missing_on_either_side(seed, count, offset, data):
    rng = random.Random(seed)
    times = retry_loop(count, rng)
    kept_log = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=2)))
    kept_capture = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=2)))
    common = set(kept_log) & set(kept_capture)
    attempts = [(index, times[index]) for index in kept_log]
    sessions = [(index, times[index] + offset + rng.uniform(-0.004, 0.004)) for index in kept_capture]
    match = match_clocks(attempts, sessions, alike)
    # One or two common attempts may also fit elsewhere by chance; then the pairing must say that it is in doubt.
    if match is not None and len(common) > len(times) / 2 and len(common) >= 4:
        wrong = [pair for pair in match.pairs if pair[0] != pair[1] and pair[0] not in match.doubtful]
        assert not wrong
        assert len([pair for pair in match.pairs if pair[0] == pair[1]]) >= len(common) - 1 or match.doubtful


def test_order_is_kept_and_nothing_is_used_twice():
    attempts = [(index, index * 0.1) for index in range(20)]
    sessions = [(index, 50 + index * 0.1) for index in range(30)]
    match = match_clocks(attempts, sessions, alike)
    firsts, seconds = zip(*match.pairs, strict=True)
    assert list(firsts) == sorted(set(firsts)) and list(seconds) == sorted(set(seconds))


def test_a_drift_of_100_ppm_is_followed_for_a_day():
    rng = random.Random(7)
    times = [index * 600.0 + rng.uniform(0, 60) for index in range(144)]
    match = match_clocks([*enumerate(times)], [(i, 1e9 + t * 1.0001) for i, t in enumerate(times)], alike)
    assert all(attempt == session for attempt, session in match.pairs) and len(match.pairs) > 140


def test_a_regular_series_shifted_by_one_is_in_doubt():
    # Exactly regular intervals carry nothing to tell one attempt from the next.
    attempts = [(index, index * 1.0) for index in range(5)]
    sessions = [(index, 100 + index * 1.0) for index in range(1, 7)]
    match = match_clocks(attempts, sessions, alike)
    assert match.doubtful


def test_what_cannot_belong_together_is_not_paired():
    assert match_clocks([(0, 0.0)], [(0, 5.0)], lambda attempt, session: None) is None
    assert match_clocks([(0, 0.0)], [(0, 5.0)], lambda attempt, session: -3.0) is None
    assert match_clocks([], [(0, 5.0)], alike) is None and match_clocks([(0, 0.0)], [], alike) is None


@pytest.mark.parametrize("size", [500])
def test_the_largest_case_is_still_quick(size):
    times = retry_loop(size, random.Random(1))
    started = time.perf_counter()
    match = match_clocks([*enumerate(times)], [(i, t + 1e9) for i, t in enumerate(times)], alike)
    assert len(match.pairs) == size
    assert time.perf_counter() - started < 10
