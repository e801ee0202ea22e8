"""RSA as the firmware reads it: by position, with the CRT parts; held against Python's own arithmetic and OpenSSL."""

from __future__ import annotations

from random import Random

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa as library
from hypothesis import given
from hypothesis import strategies as st

from analyzer.keys import rsa
from captures.synth.keys import RsaKey as Made
from captures.synth.keys import slot
from captures.zoo import forms
from dissectors.errors import Malformed, Truncated

MADE = next(key for seed in range(100) if (key := Made.generate(Random(f"rsa {seed}"), 1024)).regular)
NUMBERS = forms.rsa_numbers(MADE)
KEY = rsa.read_private(MADE.pkcs1)


def test_structure_gives_the_nine_numbers():
    assert [KEY.n, KEY.e, KEY.d, KEY.p, KEY.q, KEY.dp, KEY.dq, KEY.qinv] == NUMBERS[1:]
    assert (KEY.bits, KEY.has_private, KEY.consistent, KEY.exponent_fits) == (1024, True, True, True)
    assert KEY.spki == MADE.spki


def test_position_gives_the_same_numbers_for_a_usual_key():
    assert rsa.read_slot(slot(MADE.pkcs1, 612)) == KEY


def test_position_reads_fixed_length_numbers_as_the_device_writes_them():
    # gen_rsa_key on the device always writes 129 and 65 bytes: every number with a leading zero.
    def fixed(value: int, size: int) -> bytes:
        head = b"\x02\x81" + bytes((size,)) if size > 127 else b"\x02" + bytes((size,))
        return head + value.to_bytes(size, "big")

    body = b"\x02\x01\x00" + fixed(NUMBERS[1], 129) + b"\x02\x03\x01\x00\x01" + fixed(NUMBERS[3], 129)
    body += b"".join(fixed(number, 65) for number in NUMBERS[4:])
    assert rsa.read_slot(slot(b"\x30\x82" + len(body).to_bytes(2, "big") + body, 680)) == KEY


def test_a_short_number_shifts_what_the_device_reads():
    rng = Random("short")
    while True:
        made = Made.generate(rng, 1024)
        if any(number.bit_length() <= 503 for number in forms.rsa_numbers(made)[6:]):
            break
    used = rsa.read_slot(slot(made.pkcs1, 680))
    assert rsa.read_private(made.pkcs1).consistent
    assert not used.consistent
    message = made.public(12345)
    assert rsa.read_private(made.pkcs1).raw_private(message) == 12345 != used.raw_private(message)


@given(st.integers(min_value=0, max_value=MADE.n - 1))
def test_raw_private_inverts_the_public_power(value):
    assert KEY.raw_private(pow(value, 65537, MADE.n)) == value


def test_raw_private_uses_the_crt_parts_alone():
    damaged = rsa.RsaKey(KEY.n, KEY.e, KEY.d ^ 0xFF00, KEY.p, KEY.q, KEY.dp, KEY.dq, KEY.qinv)
    assert damaged.raw_private(MADE.public(7)) == 7
    assert (damaged.consistent, damaged.exponent_fits) == (True, False)


def test_raw_private_of_a_zero_prime_is_zero_and_of_a_public_key_an_error():
    assert rsa.RsaKey(KEY.n, p=0, q=0, dp=1, dq=1, qinv=1).raw_private(5) == 0
    with pytest.raises(ValueError, match="public"):
        rsa.RsaKey(KEY.n).raw_private(5)


@pytest.mark.parametrize(
    ("name", "faults"),
    [("n", ("n",)), ("dp", ("dp",)), ("dq", ("dq",)), ("qinv", ("qinv",)), ("p", ("n", "dp", "qinv"))],
)
def test_each_damaged_part_is_named(name, faults):
    parts = {field: getattr(KEY, field) for field in ("n", "d", "p", "q", "dp", "dq", "qinv")}
    parts[name] ^= 1 << 100
    assert rsa.RsaKey(**parts).faults == faults


def test_may_open_never_turns_the_right_key_away_and_nearly_always_a_wrong_one():
    public = library.RSAPublicNumbers(65537, KEY.n).public_key()
    assert all(KEY.may_open(public.encrypt(bytes(40), padding.PKCS1v15()), (40,)) for _ in range(50))
    assert not KEY.may_open(public.encrypt(bytes(41), padding.PKCS1v15()), (40,))
    rng = Random("others")
    passed = sum(KEY.may_open(rng.randrange(KEY.n).to_bytes(128, "big"), (40,)) for _ in range(500))
    assert passed < 50  # about one in a hundred


def test_may_open_rejects_by_size_and_keeps_damaged_keys():
    assert not KEY.may_open(b"\xff" * 128, (40,))
    assert not KEY.may_open(bytes(127) + b"\x01" + bytes(128), (40,))
    damaged = rsa.RsaKey(KEY.n, KEY.e, KEY.d, KEY.p, KEY.q, KEY.dp ^ 2, KEY.dq, KEY.qinv)
    assert damaged.may_open(bytes(127) + b"\x02", (40,))


def test_may_open_works_without_d():
    bare = rsa.RsaKey(KEY.n, KEY.e, None, KEY.p, KEY.q, KEY.dp, KEY.dq, KEY.qinv)
    public = library.RSAPublicNumbers(65537, KEY.n).public_key()
    assert bare.may_open(public.encrypt(bytes(40), padding.PKCS1v15()), (40,))


def test_spki_is_openssls():
    public = library.RSAPublicNumbers(65537, KEY.n).public_key()
    assert rsa.spki(KEY.n) == public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)


def test_device_presents_a_frame_around_slot_bytes_whatever_they_are():
    assert rsa.device_spki(MADE.pkcs1[rsa.TAIL]) == MADE.spki
    junk = rsa.device_spki(bytes(range(128)))
    assert len(junk) == 162
    assert junk[29:157] == bytes(range(128))


def test_server_key_is_read_at_33():
    cloud = Made.generate(Random("cloud"), 2048)
    assert rsa.read_server_slot(slot(cloud.spki, 512)).n == cloud.n
    with pytest.raises(Truncated):
        rsa.read_server_slot(cloud.spki[:288])


def test_every_truncation_of_a_private_key_is_an_error_of_ours():
    for size in range(len(MADE.pkcs1)):
        with pytest.raises((Truncated, Malformed)):
            rsa.read_private(MADE.pkcs1[:size])


@given(st.binary(min_size=0, max_size=700))
def test_any_slot_is_read_or_truncated(data):
    try:
        rsa.read_slot(data)
    except Truncated:
        assert len(data) < 700


def test_numbers_are_not_shown():
    assert repr(KEY) == "RsaKey(1024 bits, private)"
    assert repr(rsa.RsaKey(KEY.n)) == "RsaKey(1024 bits, public)"
