"""Where a device stands on the ladder of waits."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.stories.backoff import Run, failing_for, numbers_of, runs


def wait(failures: int) -> float:
    """device-os system/src/system_utilities.cpp@v0.4.7-v6.2.0, in seconds."""
    return float(1 << min(7, (failures - 1) // 5))


def played(numbers: list[int], late: float = 0.0, took: float = 0.3) -> tuple[Run, ...]:
    """The runs found for attempts that are these failures in a row, each followed by its wait."""
    starts = list(accumulate((took + wait(number) + late for number in numbers[:-1]), initial=5.0))
    return runs(starts, [[start + took for start in starts]])


def test_a_crossing_from_one_step_to_the_next_tells_the_number_exactly():
    (run,) = played([4, 5, 6, 7])
    assert run.first == range(4, 5)
    assert run.last == range(7, 8)
    assert run.next_waits == (2.0, 2.0)


def test_one_pause_leaves_the_five_numbers_of_its_step():
    (run,) = played([28, 29])
    assert run.first == range(26, 31)
    assert run.next_waits == (32.0, 64.0)


@given(st.integers(1, 60), st.integers(2, 40), st.floats(0, 0.3))
def test_the_true_number_is_always_among_the_possible(first: int, count: int, late: float):
    (run,) = played(list(range(first, first + count)), late)
    assert first in run.first
    assert run.next_waits[0] <= wait(first + count - 1) <= run.next_waits[1]


def test_a_restart_begins_a_new_run():
    found = played([11, 12, 13, 1, 2, 3, 4])
    assert [run.index for run in found] == [0, 3]
    assert 1 in found[1].first


@pytest.mark.parametrize("pauses", [[0.3, 0.3, 0.3], [300.0, 300.0], [7.0, 10.0, 12.0]])
def test_pauses_that_are_none_of_the_ladders_say_nothing(pauses: list[float]):
    starts = list(accumulate(pauses, initial=0.0))
    assert runs(starts, [starts]) == ()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60), st.lists(st.floats(0, 100), min_size=60, max_size=60))
def test_any_times_give_runs_within_the_streak(starts: list[float], took: list[float]):
    starts = sorted(starts)
    for run in runs(starts, [[start + late for start, late in zip(starts, took, strict=False)]]):
        assert run.index >= 0 and run.index + len(run.pauses) < len(starts)
        assert run.first and run.first.start >= 1


def test_the_guess_that_fits_best_is_taken():
    # A UDP device that waits 9 s in vain, then 1 s: the packets end after 3 s, and 7 s are no wait of the ladder.
    starts = [0.0, 10.0, 20.0, 30.0]
    (run,) = runs(starts, [[start + 3 for start in starts], [start + 9 for start in starts]])
    assert run.first == range(1, 4)


def test_seed_002_had_failed_25_times_before():
    # Thread 002: "Cloud handshake failed" at 304866, the next attempt at 336866 ms.
    assert numbers_of((336866 - 304866) / 1000) == range(26, 31)
    assert failing_for(26, 0.4) == pytest.approx(5 * (1 + 2 + 4 + 8 + 16) + 25 * 0.4)
