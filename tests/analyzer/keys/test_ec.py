"""EC keys of 120, 121 and 122 bytes, against openssl and a second implementation of the curve."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.keys import ec
from captures.synth.keys import EcKey as Made
from captures.synth.keys import N, ec_private
from captures.zoo import forms
from dissectors.errors import Malformed, Truncated

MADE = Made.generate(Random("ec"))
SHORT = Made(Random("short scalar").getrandbits(240) | 1 << 240)


@pytest.mark.parametrize(
    ("data", "scalar_size"),
    [
        (MADE.sec1, 32),
        (forms.sec1(MADE, b"\0" + MADE.d.to_bytes(32, "big")), 33),
        (forms.sec1(SHORT, SHORT.d.to_bytes(31, "big")), 31),
        (MADE.sec1 + b"\xff" * 71, 32),
    ],
    ids=["121", "122", "120", "slot"],
)
def test_every_length_devices_write(data, scalar_size):
    made = SHORT if scalar_size == 31 else MADE
    key = ec.read_private(data)
    assert (key.private, key.spki, key.consistent, key.scalar_size) == (made.d, made.spki, True, scalar_size)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("scalar", [MADE.d.to_bytes(32, "big"), b"\0" + MADE.d.to_bytes(32, "big")], ids=["121", "122"])
def test_openssl_derives_the_same_public_key(scalar):
    data = forms.sec1(MADE, scalar)
    command = ["openssl", "ec", "-inform", "DER", "-pubout", "-outform", "DER"]
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert ec.read_private(data).spki == done.stdout


@given(st.integers(min_value=1, max_value=N - 1))
def test_point_is_the_one_a_second_implementation_computes(scalar):
    assert ec.point_of(scalar) == Made(scalar).point


def test_scalar_and_point_of_two_keys_do_not_fit():
    key = ec.read_private(ec_private(SHORT.d, MADE.point))
    assert (key.consistent, key.spki) == (False, MADE.spki)


def test_point_off_the_curve_is_told():
    bad = MADE.point[:-1] + bytes((MADE.point[-1] ^ 1,))
    assert not ec.from_point(bad).on_curve
    assert ec.from_point(MADE.point).on_curve


@pytest.mark.parametrize("scalar", [0, N, N + 1])
def test_scalars_out_of_range_have_no_point(scalar):
    assert ec.point_of(scalar) is None
    with pytest.raises(Malformed):
        ec.from_scalar(scalar)


def test_another_curve_is_refused():
    with pytest.raises(Malformed, match="another curve"):
        ec.read_private(MADE.sec1.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030101")))


def test_cut_behind_the_scalar_the_public_half_is_computed():
    whole = 7 + 32
    for size in range(len(MADE.sec1)):
        if size < whole:
            with pytest.raises((Truncated, Malformed)):
                ec.read_cut(MADE.sec1[:size])
        else:
            assert ec.read_cut(MADE.sec1[:size]).spki == MADE.spki


def test_cut_key_with_a_piece_of_another_point_is_refused():
    with pytest.raises(Malformed, match="does not belong"):
        ec.read_cut(ec_private(SHORT.d, MADE.point)[:80])


@given(st.binary(max_size=130))
def test_any_bytes_are_a_key_or_an_error_of_ours(data):
    for read in (ec.read_private, ec.read_cut):
        with contextlib.suppress(Truncated, Malformed):
            read(data)


def test_scalar_is_not_shown():
    key = ec.read_private(MADE.sec1)
    assert str(MADE.d) not in repr(key)
    assert MADE.d.to_bytes(32, "big").hex() not in repr(key)
