"""A slice of `tests/fuzz/trust.py`: nothing is wrongly proven, nobody wrongly blamed, no repair writes over a key without cause."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from tests.fuzz.trust import BAD, Cell, judged, of_matrix, perturbed, plain_cases

#: One cell of the matrix in so many, and so many perturbed captures, are enough for every day.
EVERY, PERTURBED = 120, 60
#: TCP holds with "a verdict on a key needs a refusal that the key explains"; the mark goes when that is here.
TRANSPORTS = ("tcp", "udp")


def matrix_slice(transport: str) -> Iterator[Cell]:
    for case in plain_cases():
        if case.transport == transport:
            yield from of_matrix(case, every=EVERY)


def perturbed_slice(transport: str) -> Iterator[Cell]:
    for number in range(PERTURBED):
        cell = perturbed(number)
        if cell is not None and (" tcp-" in cell.name) is (transport == "tcp"):
            yield cell


@cache
def results(transport: str) -> tuple[tuple[str, tuple[str, str, str]], ...]:
    """The name of each cell with each thing that is to be said of it."""
    cells = [*matrix_slice(transport), *perturbed_slice(transport)]
    return tuple((cell.name, row) for cell in cells for row in judged(cell))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", sorted(BAD))
def test_none_of_a_slice_is(transport: str, kind: str) -> None:
    found = results(transport)
    assert len({name for name, _ in found}) > PERTURBED // 2
    assert [entry for entry in found if entry[1][0] == kind] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_most_of_a_slice_is_judged_right(transport: str) -> None:
    rows = [row for _, row in results(transport)]
    assert sum(row[0] == "right" for row in rows) > 0.9 * len(rows)
