"""Bytes of an input: the same ones in order whichever way they are asked for, hashed, also where reading stops."""

from __future__ import annotations

import gzip
import hashlib
import io
import multiprocessing
import os
import random
from collections.abc import Callable

import pytest

from analyzer.capture.records import Limits, Notes
from analyzer.capture.source import CHUNK, Source

DATA = random.Random(5).randbytes(3 * CHUNK + 1000)
PACKED = gzip.compress(DATA[:CHUNK], mtime=0) + gzip.compress(DATA[CHUNK:], mtime=0)


class Dripping(io.BytesIO):
    """A pipe that gives a byte at a time at first."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1 if self.tell() < 5 else size)


class Breaking(io.BytesIO):
    """A disk that gives up after so many bytes."""

    def __init__(self, data: bytes, good: int) -> None:
        super().__init__(data)
        self._good = good

    def read(self, size: int | None = -1) -> bytes:
        self._check()
        return super().read(min(size or 0, self._good - self.tell()))

    def readinto(self, buffer) -> int:
        self._check()
        return super().readinto(memoryview(buffer)[: self._good - self.tell()])

    def _check(self) -> None:
        if self.tell() >= self._good:
            raise OSError(5, "Input/output error")


def source(file: io.BytesIO, notes: Notes | None = None, limits: Limits | None = None) -> Source:
    return Source(file, notes or Notes(), limits or Limits())


def by_more(made: Source) -> bytes:
    out = b""
    while data := made.more(1000):
        out += data
    return out


def by_windows(made: Source) -> bytes:
    """Windows of odd sizes, filled behind a few bytes that stay."""
    out, window = b"", bytearray(100_000)
    for size in (1, 7, 70_000, 99_990) * 40:
        full = made.fill(window, 3, 3 + size)
        out += window[3:full]
        if full < 3 + size:
            break
    return out


def by_turns(made: Source) -> bytes:
    out, window = b"", bytearray(1000)
    while True:
        full = made.fill(window, 0, 1000)
        data = made.more(10)
        out += window[:full] + data
        if not data:
            return out


@pytest.mark.parametrize("way", [by_more, by_windows, by_turns])
@pytest.mark.parametrize("file", [io.BytesIO, Dripping])
@pytest.mark.parametrize("stored", [DATA, PACKED], ids=["plain", "gzip"])
def test_every_way_gives_the_same_bytes_and_the_hash_of_the_file(
    stored: bytes, file: Callable[[bytes], io.BytesIO], way: Callable[[Source], bytes]
) -> None:
    made = source(file(stored))
    assert made.packed == (["gzip"] if stored is PACKED else [])
    assert way(made) == DATA
    assert made.sha256() == hashlib.sha256(stored).hexdigest()


@pytest.mark.parametrize("data", [b"", b"\x1f", b"x"])
def test_an_input_shorter_than_a_magic_number(data: bytes) -> None:
    made = source(Dripping(data))
    assert not made.packed
    assert made.more(1) == data
    assert made.sha256() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("way", [by_more, by_windows, by_turns])
@pytest.mark.parametrize("stored", [DATA, PACKED], ids=["plain", "gzip"])
def test_a_read_error_ends_the_input_once_and_for_all(stored: bytes, way: Callable[[Source], bytes]) -> None:
    notes = Notes()
    made = source(Breaking(stored, 2 * CHUNK + 77), notes)
    found = way(made)
    assert DATA.startswith(found)
    assert CHUNK < len(found) <= 2 * CHUNK + 77
    assert made.more(1) == b""
    assert [problem.code for problem in notes.problems] == ["read-error"]
    assert made.sha256() is None


def test_what_is_skipped_is_hashed() -> None:
    made = source(io.BytesIO(DATA))
    window = bytearray(10)
    made.fill(window, 0, 10)
    rest = made.skip(2 * CHUNK)
    assert rest is not None
    assert DATA[10 + 2 * CHUNK :].startswith(rest)
    assert made.skip(10 * CHUNK) is None
    assert made.sha256() == hashlib.sha256(DATA).hexdigest()


def test_without_a_limit_a_gzip_file_is_expanded_to_its_end() -> None:
    zeros = bytes(5_000_000)
    assert by_more(source(io.BytesIO(gzip.compress(zeros)), limits=Limits(expanded=None))) == zeros
    notes = Notes()
    assert len(by_more(source(io.BytesIO(gzip.compress(zeros)), notes, Limits(expanded=1_000_000)))) < 1_600_000
    assert [problem.code for problem in notes.problems] == ["limit-bytes"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child that begins with a copy of this process")
def test_a_child_forked_in_the_middle_has_a_whole_hash() -> None:
    """The hashing thread is not in the child: what it was at is finished before."""
    made = source(io.BytesIO(DATA))
    window = bytearray(len(DATA))
    end = made.fill(window, 0, 1)
    end = made.fill(window, end, len(DATA))
    ours, theirs = multiprocessing.get_context("fork").Pipe()

    def tell() -> None:
        made.drain()
        theirs.send(made.sha256())

    child = multiprocessing.get_context("fork").Process(target=tell)
    child.start()
    assert ours.poll(30), "it waits for no thread"
    assert ours.recv() == hashlib.sha256(DATA).hexdigest()
    child.join()
