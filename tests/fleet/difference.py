"""Where two exports of a store part: pytest's own comparison of texts this long takes hours."""

from __future__ import annotations

from itertools import zip_longest


def difference(one: str, other: str) -> tuple[int, str | None, str | None] | None:
    """The first line that differs, from 1, with 200 characters of both; None for equal texts."""
    if one == other:
        return None
    for number, (left, right) in enumerate(zip_longest(one.splitlines(), other.splitlines()), 1):
        if left != right:
            at = next((n for n, (a, b) in enumerate(zip(left or "", right or "", strict=False)) if a != b), 0)
            begin = max(0, at - 100)
            return number, left and left[begin : at + 100], right and right[begin : at + 100]
    return 0, one[-100:], other[-100:]
