"""The DER reader takes what is well-formed, stops at its bounds, and knows two kinds of failure only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.keys import der
from dissectors.errors import Malformed, Truncated


def test_reads_what_it_writes_up_to_three_length_bytes():
    for size in (0, 1, 127, 128, 255, 256, 65535, 65536):
        data = der.wrap(der.OCTET_STRING, bytes(size))
        found = der.element(data)
        assert (found.tag, found.end, len(der.content(data, found))) == (der.OCTET_STRING, len(data), size)


@given(st.integers(min_value=0, max_value=2**2048))
def test_integer_round_trip(value):
    data = der.unsigned(value)
    assert der.integer(data, der.element(data)) == value


def test_declared_size_is_known_of_a_cut_structure():
    data = der.wrap(der.SEQUENCE, bytes(605))
    assert der.declared_size(data[:10]) == len(data) == 609
    assert der.declared_size(b"\xff\xff\xff\xff") is None
    assert der.declared_size(b"") is None


@pytest.mark.parametrize("data", [b"\x30\x80", b"\x30\x85\x01\x01\x01\x01\x01", b"\x30\xff" + bytes(200)])
def test_lengths_of_no_der_are_malformed(data):
    with pytest.raises(Malformed):
        der.element(data)


def test_absurd_integers_and_crowds_are_malformed():
    big = der.wrap(der.INTEGER, b"\x01" * 3000)
    with pytest.raises(Malformed):
        der.integer(big, der.element(big))
    crowd = der.wrap(der.SEQUENCE, der.unsigned(1) * 40)
    with pytest.raises(Malformed):
        der.children(crowd, der.element(crowd))


@given(st.binary(max_size=80))
def test_any_bytes_give_elements_or_one_of_two_errors(data):
    try:
        parent = der.element(data)
        for child in der.children(data, parent):
            assert parent.body <= child.start < child.body <= child.end <= parent.end
    except (Truncated, Malformed):
        pass


def test_every_truncation_is_truncated():
    data = der.wrap(der.SEQUENCE, der.unsigned(2**300), der.unsigned(7))
    for size in range(len(data)):
        with pytest.raises(Truncated):
            der.element(data[:size])
