"""The messages inside the RSA blocks, and what the device's "public key" really is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissectors.errors import Malformed, Truncated
from dissectors.lightssl.messages import (
    TAIL_SIZE,
    Credentials,
    DeviceTail,
    IdentityPlaintext,
    SessionKeyMessage,
    TailKind,
    spki_fingerprint,
)
from tests.lightssl_play import noise

if TYPE_CHECKING:
    from conftest import Openssl, Vector

HEAD = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
END = bytes.fromhex("0203010001")


def tail(slot: bytes) -> DeviceTail:
    return DeviceTail(HEAD + slot.ljust(128, b"\x5a")[:128] + END)


def test_the_vectors_identity(vector: Vector) -> None:
    identity = IdentityPlaintext.from_wire(vector["step2_plain"])
    assert identity.nonce == vector["step1_nonce"]
    assert identity.device_id == vector["device_id"].hex()
    assert identity.generation == "214"
    assert identity.tail is not None
    assert identity.tail.spki == vector["device_public_spki"]
    assert identity.tail.kind is TailKind.MODULUS
    assert identity.tail.modulus == vector.device.n
    assert identity.tail.fingerprint == hashlib.sha256(vector["device_public_spki"]).hexdigest()
    assert identity.to_wire() == vector["step2_plain"]


def test_the_core_sends_52_bytes() -> None:
    identity = IdentityPlaintext.from_wire(noise(52))
    assert (identity.generation, identity.tail) == ("52", None)
    assert identity.to_wire() == noise(52)


@pytest.mark.parametrize("size", [*range(52), *range(53, 214), 215, 400])
def test_every_other_size_is_refused(size: int) -> None:
    with pytest.raises(Truncated if size < 52 else Malformed):
        IdentityPlaintext.from_wire(bytes(size))


@pytest.mark.parametrize(
    ("slot", "kind"),
    [
        (b"\xff" * 128, TailKind.ERASED),
        (bytes(128), TailKind.ZEROED),
        (b"\x80" + noise(126, 4) + b"\x01", TailKind.MODULUS),
        (b"\x7f" + noise(126, 4) + b"\x01", TailKind.DAMAGED),
        (b"\x80" + noise(126, 4) + b"\x02", TailKind.DAMAGED),
        (b"\x80" + noise(60, 4) + b"\xff" * 16 + noise(50, 5) + b"\x01", TailKind.DAMAGED),
        (b"\x80" + noise(60, 4) + bytes(16) + noise(50, 5) + b"\x01", TailKind.DAMAGED),
    ],
)
def test_what_the_slot_holds(slot: bytes, kind: TailKind) -> None:
    assert tail(slot).kind is kind
    assert (tail(slot).modulus is not None) is (kind is TailKind.MODULUS)


@pytest.mark.parametrize("fill", [0x00, 0xFF])
def test_eight_bytes_of_blank_flash_are_damage(fill: int) -> None:
    """Seven may be chance in some key somewhere; eight are one in 10^17."""
    for run, kind in ((7, TailKind.MODULUS), (8, TailKind.DAMAGED)):
        assert tail(b"\x80" + b"\x55" * 60 + bytes((fill,)) * run + b"\x55" * (66 - run) + b"\x01").kind is kind


def test_a_slot_with_pkcs8(vector: Vector, openssl: Openssl, tmp_path) -> None:
    """openssl writes the key as PKCS#8; the firmware copies bytes 11..138 of it all the same."""
    key = tmp_path / "key.der"
    key.write_bytes(vector.device.der)
    pkcs8 = openssl("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", "-in", key, "-outform", "DER")
    assert tail(pkcs8[11:139]).kind is TailKind.PKCS8


def test_a_slot_with_an_ec_key(openssl: Openssl, tmp_path) -> None:
    pem = tmp_path / "ec.pem"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pem)
    der = openssl("ec", "-in", pem, "-outform", "DER").ljust(612, b"\xff")
    found = tail(der[11:139])
    assert found.kind is TailKind.EC
    assert found.fingerprint is None, "these bytes hold most of a private key"
    assert der[11:39].hex() not in repr(found)


def test_another_frame_is_no_tail(vector: Vector) -> None:
    good = vector["device_public_spki"]
    for at in (0, 28, 157, 161):
        broken = bytearray(good)
        broken[at] ^= 1
        assert DeviceTail(bytes(broken)).kind is TailKind.NOT_FRAMED
    assert DeviceTail(good[:-1]).kind is TailKind.NOT_FRAMED


def test_spki_of_a_modulus_is_what_openssl_writes(vector: Vector, openssl: Openssl, tmp_path) -> None:
    key = tmp_path / "key.der"
    key.write_bytes(vector.device.der)
    spki = openssl("rsa", "-inform", "DER", "-in", key, "-pubout", "-outform", "DER")
    assert HEAD + vector.device.n.to_bytes(128, "big") + END == spki
    assert len(spki) == TAIL_SIZE
    assert spki_fingerprint(spki) == hashlib.sha256(spki).hexdigest()


@given(st.binary(max_size=500))
def test_session_key_message(data: bytes) -> None:
    if len(data) == 384:
        assert SessionKeyMessage.from_wire(data).to_wire() == data
    else:
        with pytest.raises(Truncated if len(data) < 384 else Malformed):
            SessionKeyMessage.from_wire(data)


def test_session_key_message_of_the_vector(vector: Vector) -> None:
    message = SessionKeyMessage.from_wire(vector["step3_wire"])
    assert (len(message.ciphertext), len(message.signature)) == (128, 256)
    assert message.to_wire() == vector["step3_wire"]


@pytest.mark.parametrize("size", [*range(40), 41])
def test_credentials_have_forty_bytes(size: int) -> None:
    with pytest.raises((Truncated, Malformed)):
        Credentials.from_wire(bytes(size))


def test_credentials_are_never_shown(vector: Vector) -> None:
    credentials = Credentials.from_wire(vector["cred"])
    assert (credentials.key, credentials.iv, credentials.salt) == (vector["aes_key"], vector["iv"], vector["salt"])
    assert credentials.to_wire() == vector["cred"]
    assert repr(credentials) == "Credentials()"
