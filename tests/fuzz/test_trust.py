"""A slice of `tests/fuzz/trust.py`: nothing is wrongly proven, nobody wrongly blamed, no repair writes over a key without cause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from tests.fuzz.trust import BAD, Cell, judged, of_matrix, perturbed, plain_cases

#: One cell of the matrix in so many, and so many perturbed captures, are enough for every day.
EVERY, PERTURBED = 120, 60


def matrix_slice() -> Iterator[Cell]:
    for case in plain_cases():
        yield from of_matrix(case, every=EVERY)


def perturbed_slice() -> Iterator[Cell]:
    for number in range(PERTURBED):
        if (cell := perturbed(number)) is not None:
            yield cell


@cache
def _results(which: str) -> tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]:
    cells = matrix_slice() if which == "matrix" else perturbed_slice()
    return tuple((cell.name, tuple(judged(cell))) for cell in cells)


@pytest.mark.parametrize("which", ["matrix", "perturbed"])
@pytest.mark.parametrize("kind", sorted(BAD))
def test_none_of_a_slice_is(which: str, kind: str) -> None:
    found = _results(which)
    assert len(found) > PERTURBED // 2
    assert [(name, row) for name, rows in found for row in rows if row[0] == kind] == []


def test_most_of_a_slice_is_judged_right() -> None:
    rows = [row for which in ("matrix", "perturbed") for _, rows in _results(which) for row in rows]
    assert sum(row[0] == "right" for row in rows) > 0.9 * len(rows)
