"""Bytes remember their frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dissectors.events import Mark
from dissectors.lightssl.stream import Marked, join_frames


@given(chunks=st.lists(st.binary(min_size=1, max_size=30), min_size=1), takes=st.lists(st.integers(1, 40), min_size=1))
def test_each_piece_names_the_frames_of_its_bytes(chunks: list[bytes], takes: list[int]) -> None:
    marked = Marked()
    owner = [number for number, chunk in enumerate(chunks) for _ in chunk]
    for number, chunk in enumerate(chunks):
        marked.push(chunk, Mark((number,), number * 10), number)
    whole, position = b"".join(chunks), 0
    for size in takes:
        if size > len(marked):
            break
        piece = marked.take(size)
        span = owner[position : position + size]
        assert piece.data == whole[position : position + size]
        assert piece.frames == tuple(dict.fromkeys(span))
        assert (piece.start_ns, piece.time_ns, piece.turn) == (span[0] * 10, span[-1] * 10, span[-1])
        position += size
    assert bytes(marked.data) == whole[position:]


def test_a_chunk_may_stand_in_several_frames() -> None:
    marked = Marked()
    marked.push(b"ab", Mark((4, 5), 1), 1)
    marked.push(b"", Mark((6,), 2), 2)
    marked.push(b"cd", Mark((5, 7), 3), 3)
    assert marked.take(3).frames == (4, 5, 7)
    assert marked.take(1).frames == (5, 7)


def test_join_frames_keeps_order_and_drops_repeats() -> None:
    assert join_frames((3, 1), (), (1, 2, 3)) == (3, 1, 2)
