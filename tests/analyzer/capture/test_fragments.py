"""IP fragments: any order, overlap and duplication; bounded whatever comes."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.fragments import Fragments

KEY = (b"aaaa", b"bbbb", 1, 17)


def cut(data: bytes, size: int) -> list[tuple[int, bool, bytes]]:
    return [(at, at + size < len(data), data[at : at + size]) for at in range(0, len(data), size)]


@given(st.binary(min_size=1, max_size=600), st.integers(1, 9), st.data())
def test_any_order_with_duplicates_gives_the_datagram(data: bytes, blocks: int, draw) -> None:
    parts = cut(data, blocks * 8)
    order = draw.draw(st.permutations(parts + draw.draw(st.lists(st.sampled_from(parts), max_size=4))))
    fragments = Fragments()
    seen: set[int] = set()
    for offset, more, piece in order:
        joined = fragments.add(KEY, 17, offset, more, piece, 0)
        seen.add(offset)
        if len(seen) == len(parts):
            assert joined == (17, data)
            return
        assert joined is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5), st.integers(1, 255)), min_size=1, max_size=30))
def test_the_first_data_for_a_block_wins(parts) -> None:
    fragments, model, joined = Fragments(), {}, None
    for offset, blocks, value in [*parts, (21, 1, 77)]:
        joined = fragments.add(KEY, 6, offset * 8, offset != 21, bytes([value]) * blocks * 8, 0)
        for block in range(offset, offset + blocks):
            model.setdefault(block, value)
    complete = all(block in model for block in range(22))
    assert (joined is not None) == complete
    if joined:
        assert joined[1] == b"".join(bytes([model[block]]) * 8 for block in range(22))


def test_fragments_of_different_datagrams_stay_apart() -> None:
    fragments = Fragments()
    other = (b"aaaa", b"bbbb", 2, 17)
    assert fragments.add(KEY, 17, 0, True, bytes(8), 0) is None
    assert fragments.add(other, 17, 8, False, b"2", 0) is None
    assert fragments.add(KEY, 17, 8, False, b"1", 0) == (17, bytes(8) + b"1")
    assert fragments.add(other, 17, 0, True, bytes(8), 0) == (17, bytes(8) + b"2")


def test_a_reused_identification_does_not_join_with_a_stale_fragment() -> None:
    fragments = Fragments()
    fragments.add(KEY, 17, 0, True, b"old data", 0)
    assert fragments.add(KEY, 17, 8, False, b"new", 61_000_000_000) is None
    assert fragments.given_up == 1
    assert fragments.add(KEY, 17, 0, True, b"new data", 61_000_000_001) == (17, b"new datanew")


def test_impossible_fragments_are_left_out() -> None:
    fragments = Fragments()
    assert fragments.add(KEY, 17, 0, True, b"odd", 0) is None
    assert fragments.add(KEY, 17, 65_528, False, bytes(100), 0) is None
    assert fragments.add(KEY, 17, 0, False, b"", 0) is None
    assert not fragments._table


def test_the_table_forgets_the_oldest() -> None:
    fragments = Fragments(datagrams=10)
    for ident in range(100):
        fragments.add((b"a", b"b", ident, 17), 17, 0, True, bytes(8), 0)
    assert len(fragments._table) == 10
    assert fragments.given_up == 90
    assert fragments.add((b"a", b"b", 99, 17), 17, 8, False, b"x", 0) is not None


def test_the_bytes_held_are_bounded() -> None:
    fragments = Fragments(size=1_000_000)
    for ident in range(200):
        fragments.add((b"a", b"b", ident, 17), 17, 60_000, True, bytes(5000), 0)
    held = sum(len(datagram.data) for datagram in fragments._table.values())
    assert held <= 1_000_000
    assert fragments._room == 1_000_000 - held


def test_overlapping_fragments_stay_linear() -> None:
    """20,000 fragments of 8 KiB, each overlapping all before it in one block: work must follow the bytes."""
    fragments = Fragments()
    started = time.process_time()
    for number in range(20_000):
        fragments.add(KEY, 17, (number % 7000) * 8, True, bytes(8000), 0)
    assert time.process_time() - started < 10
