"""Framing and finding it again: after a bad length, after missing bytes, from the middle."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.events import Direction, Mark, Record, Status
from dissectors.lightssl.records import JUNK_KEPT, MAX_LENGTH, SEARCHED, RecordStream, frame, plausible, records_at
from tests.lightssl_play import noise, record

SEEN, PARTIAL, MALFORMED = Status.SEEN, Status.PARTIAL, Status.MALFORMED


class Feeder:
    """A record stream fed with bytes and gaps, a frame each."""

    def __init__(self, *, aligned: bool = True) -> None:
        self.stream = RecordStream(Direction.UP, aligned=aligned)
        self.frame = 0

    def __call__(self, *parts: bytes | int) -> Feeder:
        for part in parts:
            self.frame += 1
            if isinstance(part, int):
                self.stream.gap(part)
            else:
                self.stream.feed(part, Mark((self.frame,), self.frame), self.frame)
        return self

    def end(self) -> list[Record]:
        self.stream.finish()
        return self.stream.records


def shape(records: list[Record]) -> list[tuple[Status, int, bool]]:
    """(status, ciphertext bytes, after gap) of each."""
    return [(r.status, len(r.fragment), r.after_gap) for r in records]


def sizes(count: int, seed: int) -> list[int]:
    """Record sizes as sessions have them: mostly one block, some long."""
    rng = random.Random(seed)
    return [rng.choice([16, 16, 16, 32, 48, 64, 640]) for _ in range(count)]


def session(count: int, seed: int) -> list[bytes]:
    """Records of random ciphertext."""
    return [record(size, seed * 1000 + index) for index, size in enumerate(sizes(count, seed))]


@pytest.mark.parametrize(
    ("length", "good"),
    [(0, False), (15, False), (16, True), (17, False), (32, True), (1152, True), (1200, True), (1216, False)],
)
def test_lengths(length: int, good: bool) -> None:
    assert plausible(length) is good
    assert MAX_LENGTH >= 1152


def test_records_are_split_by_their_length() -> None:
    wire = session(20, 1)
    records = Feeder()(b"".join(wire)).end()
    assert [r.header + r.fragment for r in records] == wire
    assert [r.index for r in records] == list(range(20))
    assert {r.status for r in records} == {SEEN}


def test_frames_are_those_of_the_record() -> None:
    first, second = record(16, 1), record(32, 2)
    records = Feeder()(first[:1], first[1:] + second[:4], second[4:]).end()
    assert [r.frames for r in records] == [(1, 2), (2, 3)]
    assert [r.time_ns for r in records] == [2, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 33])
def test_a_record_cut_by_the_end_is_partial(size: int) -> None:
    wire = record(32)
    records = Feeder()(wire[:size]).end()
    assert shape(records) == [(PARTIAL, max(0, size - 2), False)]
    assert records[0].header == wire[: min(2, size)]


# Bad lengths


@pytest.mark.parametrize("bad", [b"\xff\x10", b"\x80\x10", b"\x00\x11", b"\x00\x00", b"\x05\x00"])
def test_after_a_bad_length_the_next_records_are_found(bad: bytes) -> None:
    wire = session(8, 3)
    damaged = bad + wire[3][2:]
    records = Feeder()(b"".join([*wire[:3], damaged, *wire[4:]])).end()
    assert [r.status for r in records] == [SEEN] * 3 + [MALFORMED] + [SEEN] * 4
    assert records[3].header + records[3].fragment == damaged
    assert [r.fragment for r in records[4:]] == [w[2:] for w in wire[4:]]
    assert [r.after_gap for r in records] == [False] * 4 + [True] + [False] * 3


def test_a_bad_length_and_one_record_before_the_end() -> None:
    records = Feeder()(b"\xff\x10" + noise(16, 3) + record(16, 4)).end()
    assert shape(records) == [(MALFORMED, 16, False), (SEEN, 16, True)]


def test_a_bad_length_and_nothing_after_it() -> None:
    assert shape(Feeder()(record(), b"\xff\x10" + noise(30, 3)).end()) == [(SEEN, 16, False), (MALFORMED, 30, False)]


def test_a_wrong_but_possible_length_swallows_records_and_then_recovers() -> None:
    wire = [record(16, seed) for seed in range(12)]
    damaged = b"\x00\x30" + wire[2][2:]
    records = Feeder()(b"".join([*wire[:2], damaged, *wire[3:]])).end()
    found = [r.fragment for r in records if r.status is SEEN]
    assert [w[2:] for w in wire[6:]] == found[-6:]
    assert any(r.status is MALFORMED for r in records)


# Missing bytes


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 40),
    start=st.integers(0, 700),
    length=st.integers(1, 900),
    chunk=st.sampled_from([1, 7, 100, 5000]),
)
def test_a_gap_anywhere_costs_only_what_it_covers(seed: int, start: int, length: int, chunk: int) -> None:
    """Every record outside the gap is found, none is invented, and a lost predecessor is never passed over in silence."""
    wire = session(14, seed)
    whole = b"".join(wire)
    start = min(start, len(whole) - 1)
    end = min(start + length, len(whole))
    feeder = Feeder()
    for part in (whole[:start], end - start, whole[end:]):
        if isinstance(part, int):
            feeder(part)
        else:
            feeder(*(part[at : at + chunk] for at in range(0, len(part), chunk)))
    records = [r for r in feeder.end() if r.status is SEEN]
    spans, at = [], 0
    for one in wire:
        spans.append((at, at + len(one)))
        at += len(one)
    untouched = [w for w, (first, last) in zip(wire, spans, strict=True) if last <= start or first >= end]
    assert [r.header + r.fragment for r in records] == untouched
    for before, after in zip([None, *records], records, strict=False):
        place = wire.index(after.header + after.fragment)
        known = place == 0 or (before is not None and before.header + before.fragment == wire[place - 1])
        head_there = place > 0 and (spans[place - 1][0] + 18 <= start or spans[place - 1][0] >= end)
        # The first block of the record before is what the next one needs.
        assert after.after_gap is not (known or head_there)


def test_a_gap_inside_a_record_keeps_step_and_the_beginning() -> None:
    first, second = record(64, 1), record(16, 2)
    records = Feeder()(first[:40], 10, first[50:] + second).end()
    assert shape(records) == [(PARTIAL, 38, False), (SEEN, 16, False)]
    assert records[0].fragment == first[2:40]


def test_a_gap_before_the_first_block_is_complete_leaves_the_next_without_iv() -> None:
    first, second = record(64, 1), record(16, 2)
    assert shape(Feeder()(first[:17], 10, first[27:] + second).end()) == [(PARTIAL, 15, False), (SEEN, 16, True)]


def test_two_gaps_inside_one_record() -> None:
    first, second = record(640, 1), record(16, 2)
    records = Feeder()(first[:40], 10, first[50:60], 30, first[90:] + second).end()
    assert shape(records) == [(PARTIAL, 38, False), (SEEN, 16, False)]


def test_a_second_gap_beyond_the_record_loses_step() -> None:
    first, rest = record(64, 1), [record(16, seed) for seed in range(2, 7)]
    whole = first + b"".join(rest)
    records = Feeder()(whole[:40], 10, whole[50:60], 30, whole[90:]).end()
    assert [r.fragment for r in records if r.status is SEEN] == [w[2:] for w in rest[2:]]


def test_missing_from_the_first_byte_is_told() -> None:
    feeder = Feeder()(18, record(16, 3))
    assert shape(feeder.end()) == [(SEEN, 16, True)]
    assert feeder.stream.missing_first == 18


def test_the_rest_of_a_lost_record_is_kept_without_header() -> None:
    lost, rest = record(64, 1), [record(16, seed) for seed in (2, 3, 4)]
    records = Feeder()(record(), 20, lost[20:] + b"".join(rest)).end()
    assert shape(records) == [
        (SEEN, 16, False),
        (PARTIAL, 46, True),
        (SEEN, 16, True),
        (SEEN, 16, False),
        (SEEN, 16, False),
    ]
    assert (records[1].header, records[1].fragment) == (b"", lost[20:])


# Any segmentation, any bytes


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.one_of(st.binary(max_size=70), st.integers(1, 500), st.sampled_from([record(), record(32), b"\x00\x10"])),
        max_size=12,
    ),
    chunk=st.integers(1, 50),
    aligned=st.booleans(),
)
def test_segments_do_not_matter(parts: list[bytes | int], chunk: int, aligned: bool) -> None:
    whole, cut = Feeder(aligned=aligned), Feeder(aligned=aligned)
    for part in parts:
        whole(part)
        cut(*([part] if isinstance(part, int) else [part[at : at + chunk] for at in range(0, len(part), chunk)]))

    def substance(records: list[Record]) -> list[tuple[bytes, bytes, Status, bool]]:
        return [(r.header, r.fragment, r.status, r.after_gap) for r in records]

    assert substance(whole.end()) == substance(cut.end())
    assert whole.stream.unread == cut.stream.unread


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=120), start=st.integers(0, 130))
def test_deciding_early_agrees_with_deciding_at_the_end(data: bytes, start: int) -> None:
    """Whatever prefix already gives an answer gives the answer of the whole."""
    start = min(start, len(data))
    for size in range(start, len(data) + 1):
        early = records_at(data[:size], start, ended=False)
        if early is not None:
            assert all(records_at(data[:more], start, ended=False) is early for more in range(size, len(data) + 1))
            assert records_at(data, start, ended=True) is early
            break
    assert records_at(data, start, ended=True) is not None


def test_noise_is_given_up_and_counted() -> None:
    feeder = Feeder()
    total = 0
    for seed in range(20):
        feeder(noise(10_000, seed))
        total += 10_000
    records = feeder.end()
    kept = sum(len(r.header + r.fragment) for r in records)
    assert kept <= JUNK_KEPT
    assert kept + feeder.stream.unread == total
    assert len(feeder.stream._buffer) == 0


def test_records_after_the_search_was_given_up_are_not_read() -> None:
    feeder = Feeder()(b"\xff" * (SEARCHED + 2), *session(5, 1))
    assert [r.status for r in feeder.end()] == [MALFORMED]


def test_records_before_the_search_is_given_up_are_read() -> None:
    feeder = Feeder()(b"\xff" * (SEARCHED - 100), *session(5, 1))
    assert [r.status for r in feeder.end()] == [MALFORMED, *[SEEN] * 5]


def test_random_bytes_hold_no_records() -> None:
    """The claim of the module: three possible lengths in a row do not happen by chance (5 kB x 200)."""
    for seed in range(200):
        data = noise(5000, seed)
        assert not any(records_at(data, at, ended=False) for at in range(len(data)))


def test_frame_is_the_inverse() -> None:
    wire = frame(noise(32, 1))
    assert Feeder()(wire).end()[0].fragment == noise(32, 1)


# How much is enough


def test_three_lengths_in_a_row_are_enough_and_two_are_not() -> None:
    two = record(16, 1) + record(32, 2)
    assert records_at(two, 0, ended=False) is None
    assert records_at(two + b"\x00", 0, ended=False) is None
    assert records_at(two + b"\x00\x10", 0, ended=False) is True
    assert records_at(two + b"\x05", 0, ended=False) is False


@pytest.mark.parametrize(
    ("data", "enough"),
    [
        (b"", False),
        (b"\x00", False),
        (record(16, 1)[:17], False),
        (record(16, 1), True),
        (record(16, 1) + b"\x00", False),
        (record(16, 1) + b"\x00\x20", True),
        (record(16, 1) + record(32, 2)[:20], True),
        (record(16, 1) + record(32, 2), True),
        (record(16, 1) + record(32, 2) + b"\x00", True),
        (record(16, 1) + record(32, 2) + b"\x05", False),
    ],
)
def test_where_the_bytes_end_one_whole_record_or_two_lengths_are_enough(data: bytes, enough: bool) -> None:
    assert records_at(data, 0, ended=True) is enough


def test_a_gap_that_ends_with_its_record_keeps_step() -> None:
    """One record after it, cut by the end: only a known boundary makes that a record."""
    first, second = record(64, 1), record(32, 2)
    assert shape(Feeder()(first[:40], len(first) - 40, second[:10]).end()) == [
        (PARTIAL, 38, False),
        (PARTIAL, 8, False),
    ]


def test_a_gap_one_byte_longer_loses_it() -> None:
    first, second = record(64, 1), record(32, 2)
    records = Feeder()(first[:40], len(first) - 39, second[1:10]).end()
    assert shape(records) == [(PARTIAL, 38, False), (PARTIAL, 9, True)]
    assert records[1].header == b""


def test_missing_first_is_only_what_is_missing_first() -> None:
    feeder = Feeder()(10, 5, record(16, 1), 7)
    feeder.end()
    assert feeder.stream.missing_first == 15
    assert Feeder()(record(16, 1), 7).stream.missing_first == 0


def test_gaps_after_the_search_was_given_up_change_nothing() -> None:
    feeder = Feeder()(b"\xff" * (SEARCHED + 2), 10, *session(5, 1))
    assert [r.status for r in feeder.end()] == [MALFORMED]
