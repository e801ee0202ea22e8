"""A damaged slot gives back the key that was written there, or nothing: never another key."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.keys import damaged_parts, rsa
from analyzer.keys.repair import repair
from captures.synth.keys import RsaKey as Made
from captures.synth.keys import slot
from captures.zoo import forms

MADE = next(key for seed in range(100) if (key := Made.generate(Random(f"repair {seed}"), 1024)).regular)
WHOLE = rsa.read_private(MADE.pkcs1)
SLOT = slot(MADE.pkcs1, 612)


def places() -> dict[str, tuple[int, int]]:
    """Where each number lies in the slot."""
    found, offset = {}, 4
    for name, number in zip(
        ("version", "n", "e", "d", "p", "q", "dp", "dq", "qinv"), forms.rsa_numbers(MADE), strict=True
    ):
        size = len(forms.integer(number))
        found[name] = (offset + size - (number.bit_length() + 7) // 8, offset + size)
        offset += size
    return found


PLACES = places()


def wiped(*names: str, fill: int = 0xFF) -> bytes:
    data = bytearray(SLOT)
    for name in names:
        start, end = PLACES[name]
        data[start:end] = bytes((fill,)) * (end - start)
    return bytes(data)


@pytest.mark.parametrize(
    "names",
    [
        ("n",), ("d",), ("p",), ("q",), ("dp",), ("dq",), ("qinv",),
        ("n", "d"), ("p", "q"), ("p", "d"), ("q", "d"), ("n", "qinv"), ("d", "dp", "dq", "qinv"),
        ("p", "q", "dp", "dq", "qinv"), ("d", "p", "q", "dq", "qinv"), ("d", "p", "q", "dp", "qinv"),
    ],
    ids="-".join,
)  # fmt: skip
def test_any_part_comes_back_from_what_is_left(names):
    data = wiped(*names)
    found = repair(data)
    assert found is not None
    assert {found.p, found.q} == {WHOLE.p, WHOLE.q}
    assert found.raw_private(MADE.public(99)) == 99
    assert set(damaged_parts(data, found)) == {name.upper() for name in names}


@pytest.mark.parametrize("names", [("n", "p", "q"), ("n", "d", "p", "dp"), ("d", "p", "q", "dp", "dq")], ids="-".join)
def test_too_little_left_gives_nothing(names):
    assert repair(wiped(*names, fill=0)) is None


def test_whole_slot_pkcs8_and_cut_forms():
    assert repair(SLOT) == WHOLE
    assert repair(MADE.pkcs8) == WHOLE
    assert repair(MADE.pkcs8[:612]) == WHOLE
    cut = repair(MADE.pkcs1[:340])
    assert cut is not None
    assert cut.n == WHOLE.n
    assert repair(MADE.pkcs1[:200]) is None


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 612, bytes(612), b"\x30", b"0" * 5000], ids=["empty", "blank", "zeroed", "one", "long"]
)
def test_nothing_comes_from_nothing(data):
    assert repair(data) is None


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 611), st.integers(1, 255)), min_size=1, max_size=12))
def test_flipped_bytes_give_the_same_key_or_none(flips):
    data = bytearray(SLOT)
    for offset, mask in flips:
        data[offset] ^= mask
    found = repair(bytes(data))
    assert found is None or {found.p, found.q} == {WHOLE.p, WHOLE.q}


@settings(deadline=None, max_examples=40)
@given(st.binary(max_size=700))
def test_random_bytes_give_none(data):
    assert repair(data) is None
