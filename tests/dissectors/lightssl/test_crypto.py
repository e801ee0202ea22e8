"""RSA blocks: opened with the right key, refused with every other, checked against openssl and published constants."""

from __future__ import annotations

import hashlib
import hmac
import math
import random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from captures.synth.keys import RsaKey
from dissectors.lightssl import crypto
from dissectors.lightssl.crypto import OpenFailure, Reason
from dissectors.lightssl.messages import Credentials, DeviceTail, IdentityPlaintext, SessionKeyMessage
from tests.lightssl_play import DOWN, UP, genuine, noise

if TYPE_CHECKING:
    from conftest import Openssl, Vector

GENUINE = genuine()
BLANK = 2**2048 - 1


# The vector


def test_the_vectors_identity_opens(vector: Vector) -> None:
    opened = crypto.open_identity(vector["step2_wire"], vector.cloud.raw, vector.cloud.n)
    assert isinstance(opened, IdentityPlaintext)
    assert opened.to_wire() == vector["step2_plain"]


def test_the_vectors_session_key_opens_and_is_signed(vector: Vector) -> None:
    message = SessionKeyMessage.from_wire(vector["step3_wire"])
    credentials = crypto.open_session_key(message.ciphertext, vector.device.raw)
    assert isinstance(credentials, Credentials)
    assert credentials.to_wire() == vector["cred"]
    assert crypto.session_hmac(credentials, message.ciphertext) == vector["hmac_sha1"]
    assert crypto.open_signature(message.signature, vector.cloud.n) == vector["hmac_sha1"]


def test_hmac_is_keyed_with_all_forty_bytes(vector: Vector) -> None:
    expected = hmac.new(vector["cred"], vector["step3_wire"][:128], hashlib.sha1).digest()
    assert expected == vector["hmac_sha1"]


def test_openssl_opens_the_same_blocks(vector: Vector, openssl: Openssl, tmp_path) -> None:
    """Raw private operation and public recovery by openssl: what our own checks then read."""
    key, public = tmp_path / "key.der", tmp_path / "public.der"
    key.write_bytes(vector.cloud.der)
    public.write_bytes(vector["server_public_spki"])
    decrypt = ("pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", key, "-pkeyopt", "rsa_padding_mode:none")
    block = openssl(*decrypt, data=vector["step2_wire"])
    assert crypto.unpad_type2(block) == vector["step2_plain"]
    recover = ("pkeyutl", "-verifyrecover", "-pubin", "-keyform", "DER", "-inkey", public)
    digest = openssl(*recover, "-pkeyopt", "rsa_padding_mode:pkcs1", data=vector["step3_wire"][128:])
    assert digest == crypto.open_signature(vector["step3_wire"][128:], vector.cloud.n) == vector["hmac_sha1"]


def test_openssl_opens_what_we_build(vector: Vector, openssl: Openssl, tmp_path) -> None:
    """The other way round: identity, session key and signature made here, opened by openssl."""
    cloud, device, public = tmp_path / "cloud.der", tmp_path / "device.der", tmp_path / "public.der"
    cloud.write_bytes(vector.cloud.der)
    device.write_bytes(vector.device.der)
    public.write_bytes(vector["server_public_spki"])
    identity = IdentityPlaintext(noise(40), "450057001147343331353330", DeviceTail(vector["device_public_spki"]))
    credentials = Credentials(noise(16, 2), noise(16, 3), noise(8, 4))
    wire = crypto.encrypt_identity(identity, vector.cloud.n, noise(300))
    ciphertext = crypto.encrypt_session_key(credentials, vector.device.n, noise(100))
    digest = crypto.session_hmac(credentials, ciphertext)
    signature = crypto.sign(digest, vector.cloud.raw)

    def decrypt(key: object, data: bytes) -> bytes:
        options = ("-pkeyopt", "rsa_padding_mode:pkcs1")
        return openssl("pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", key, *options, data=data)

    assert decrypt(cloud, wire) == identity.to_wire()
    assert decrypt(device, ciphertext) == credentials.to_wire()
    recover = ("pkeyutl", "-verifyrecover", "-pubin", "-keyform", "DER", "-inkey", public)
    assert openssl(*recover, "-pkeyopt", "rsa_padding_mode:pkcs1", data=signature) == digest


# Genuine sessions


def test_a_genuine_handshake_opens_with_its_keys(vector: Vector) -> None:
    session = GENUINE["01c_good_sparkprotocol_fw063"]
    assert session.cloud_private_pem is not None
    cloud = load_pem_private_key(session.cloud_private_pem.encode(), None).private_numbers()  # type: ignore[union-attr]
    nonce = session.pieces[0][1]
    assert isinstance(nonce, bytes)
    up = b"".join(what for side, what in session.pieces if side is UP and isinstance(what, bytes))
    down = b"".join(what for side, what in session.pieces if side is DOWN and isinstance(what, bytes))
    n = cloud.public_numbers.n
    opened = crypto.open_identity(up[:256], lambda number: pow(number, cloud.d, n), n)
    assert isinstance(opened, IdentityPlaintext)
    assert opened.nonce == nonce
    assert opened.device_id == session.device_id
    assert session.credentials is not None
    digest = crypto.open_signature(down[168:424], n)
    assert digest == crypto.session_hmac(Credentials.from_wire(session.credentials), down[40:168])
    assert crypto.open_signature(down[168:424], vector.cloud.n) is None


def test_a_genuine_blank_key_opens_with_no_key_at_all() -> None:
    """Firmware v0.6.3 with an erased server key slot encrypts under 2^2048 - 1."""
    session = GENUINE["26a_blank_server_key_brewskey"]
    (_, nonce), (_, identity) = session.pieces[:2]
    assert isinstance(identity, bytes)
    opened = crypto.open_with_blank_key(identity)
    assert isinstance(opened, IdentityPlaintext)
    assert opened.nonce == nonce
    assert opened.device_id == session.device_id


# The blank key


def test_the_blank_keys_primes() -> None:
    """Their product is the modulus, they are distinct and each passes Fermat's test to several bases."""
    primes = crypto._blank_primes()
    assert len(primes) == len(set(primes)) == 20
    assert math.prod(primes) == BLANK
    for prime in primes:
        assert all(pow(base, prime - 1, prime) == 1 for base in (2, 3, 5, 7, 11, 13) if base % prime)


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=52, max_size=52), st.integers(0, 1000))
def test_the_blank_key_round_trip(message: bytes, seed: int) -> None:
    ciphertext = crypto.raw_public(crypto.pad_type2(message, 256, noise(300, seed)), BLANK)
    opened = crypto.open_with_blank_key(ciphertext)
    assert isinstance(opened, IdentityPlaintext)
    assert opened.to_wire() == message


@pytest.mark.parametrize("data", [b"\xff" * 256, bytes(256), noise(256), b"", noise(255), noise(257)])
def test_the_blank_key_opens_nothing_else(data: bytes) -> None:
    assert isinstance(crypto.open_with_blank_key(data), OpenFailure)


# Wrong keys and damaged blocks


def test_no_wrong_key_opens_an_identity(vector: Vector) -> None:
    """A library says "decrypted" for most of these (implicit rejection); structure never does."""
    for seed in range(40):
        wrong = int.from_bytes(noise(256, seed), "big") | 1 << 2047 | 1
        opened = crypto.open_identity(vector["step2_wire"], lambda c, n=wrong: pow(c, 65537, n), wrong)
        assert isinstance(opened, OpenFailure)
        assert opened.reason in (Reason.PADDING, Reason.RANGE)
    opened = crypto.open_session_key(vector["step3_wire"][:128], lambda c: pow(c, 3, vector.device.n))
    assert opened == OpenFailure(Reason.PADDING, "no 00 02 padding inside")


def test_reasons(vector: Vector) -> None:
    wire = vector["step2_wire"]
    small = int.from_bytes(wire, "big")
    assert crypto.open_identity(wire, vector.cloud.raw, small).reason is Reason.RANGE  # type: ignore[union-attr]
    assert crypto.open_identity(wire[1:], vector.cloud.raw, vector.cloud.n).reason is Reason.SIZE  # type: ignore[union-attr]
    odd = crypto.raw_public(crypto.pad_type2(noise(60), 256, noise(300)), vector.cloud.n)
    assert crypto.open_identity(odd, vector.cloud.raw, vector.cloud.n).reason is Reason.LENGTH  # type: ignore[union-attr]
    short = crypto.raw_public(crypto.pad_type2(noise(39), 128, noise(300)), vector.device.n)
    assert crypto.open_session_key(short, vector.device.raw).reason is Reason.LENGTH  # type: ignore[union-attr]
    assert crypto.open_session_key(bytes(127), vector.device.raw).reason is Reason.SIZE  # type: ignore[union-attr]
    for broken in (-1, 1 << 1024, 1 << 4096):
        assert crypto.open_session_key(noise(128), lambda _, x=broken: x).reason is Reason.RANGE  # type: ignore[union-attr]


def test_failures_tell_no_plaintext(vector: Vector) -> None:
    odd = crypto.raw_public(crypto.pad_type2(noise(60), 256, noise(300)), vector.cloud.n)
    assert noise(60).hex() not in repr(crypto.open_identity(odd, vector.cloud.raw, vector.cloud.n))


def test_every_flipped_byte_of_a_signature_is_refused(vector: Vector) -> None:
    signature = vector["step3_wire"][128:]
    for at in range(256):
        broken = signature[:at] + bytes((signature[at] ^ 1,)) + signature[at + 1 :]
        assert crypto.open_signature(broken, vector.cloud.n) is None


@pytest.mark.parametrize("bits", [2040, 2048])
def test_a_signature_by_a_key_openssl_is_not_asked_about_is_read_by_hand(bits: int) -> None:
    """A modulus a little shorter than usual: the block is the same, and so is what was signed."""
    key = RsaKey.generate(random.Random(f"signer {bits}"), bits)
    digest = noise(20)
    block = b"\0\1" + b"\xff" * (256 - 3 - len(digest)) + b"\0" + digest
    signature = key.private(int.from_bytes(block, "big")).to_bytes(256, "big")
    assert crypto.open_signature(signature, key.n) == digest
    assert (crypto._library_key(key.n, 65537) is None) is (bits == 2040)
    assert crypto.open_signature(signature, key.n - 1) is None, "an even modulus is nobody's"
    assert crypto.open_signature(signature, key.n, 1) is None


def test_signatures_of_other_shapes_are_refused(vector: Vector) -> None:
    cloud = vector.cloud
    for message in (noise(19), noise(21), noise(35)):
        block = crypto.pad_type1(message, 256)
        assert crypto.open_signature(cloud.raw(int.from_bytes(block, "big")).to_bytes(256, "big"), cloud.n) is None
    assert crypto.open_signature(vector["step3_wire"][128:-1], cloud.n) is None
    assert crypto.open_signature(b"\xff" * 256, cloud.n) is None
    assert crypto.open_signature(noise(256), 1 << 4096) is None


@given(st.binary(max_size=300))
def test_unpadding_accepts_only_its_own_structure(block: bytes) -> None:
    """An independent reading of RFC 8017: byte by byte."""
    for kind, unpad in ((1, crypto.unpad_type1), (2, crypto.unpad_type2)):
        candidate = bytes((0, kind)) + block
        zero = next((i for i, byte in enumerate(block) if byte == 0), None)
        fits = zero is not None and zero >= 8 and (kind == 2 or set(block[:zero]) == {0xFF})
        assert unpad(candidate) == (block[zero + 1 :] if fits and zero is not None else None)
        assert unpad(bytes((1, kind)) + block) is None
        assert unpad(bytes((0, 3 - kind)) + block) is None


@pytest.mark.parametrize(("padding", "opens"), [(7, False), (8, True), (9, True)])
def test_eight_bytes_of_padding_are_the_least(padding: int, opens: bool) -> None:
    """RFC 8017 section 7.2.2 step 3."""
    assert (crypto.unpad_type2(b"\0\2" + b"\x55" * padding + b"\0m") == b"m") is opens
    assert (crypto.unpad_type1(b"\0\1" + b"\xff" * padding + b"\0m") == b"m") is opens


@given(st.binary(max_size=117), st.binary(min_size=130, max_size=130))
def test_padding_round_trip(message: bytes, padding: bytes) -> None:
    assert crypto.unpad_type2(crypto.pad_type2(message, 128, padding)) == message
    assert crypto.unpad_type1(crypto.pad_type1(message, 128)) == message


def test_padding_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        crypto.pad_type2(bytes(118), 128, noise(200))
    with pytest.raises(ValueError, match="cannot carry"):
        crypto.pad_type2(bytes(40), 128, noise(84))


def test_in_range() -> None:
    assert crypto.in_range(b"\x00\x10", 17)
    assert not crypto.in_range(b"\x00\x11", 17)


# A byte changed in transit


@pytest.mark.parametrize("mask", [1, 0x80])
def test_a_flipped_bit_is_found(vector: Vector, mask: int) -> None:
    wire = bytearray(vector["step3_wire"][:128])
    wire[7] ^= mask

    def opens(candidate: bytes) -> bool:
        return isinstance(crypto.open_session_key(candidate, vector.device.raw), Credentials)

    flip = crypto.search_flip(bytes(wire), opens, 7 * 8 + 9)
    assert flip is not None
    assert (flip.offset, flip.sent, flip.captured, flip.bits) == (7, wire[7] ^ mask, wire[7], 1)
    assert flip.repaired == vector["step3_wire"][:128]
    assert crypto.search_flip(bytes(wire), opens, 7 * 8) is None


@given(st.binary(min_size=1, max_size=12), st.data())
def test_any_changed_byte_is_found_bits_first(sent: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(sent) - 1))
    mask = data.draw(st.integers(1, 255))
    captured = sent[:at] + bytes((sent[at] ^ mask,)) + sent[at + 1 :]
    offered: list[bytes] = []

    def check(candidate: bytes) -> bool:
        offered.append(candidate)
        return candidate == sent

    flip = crypto.search_flip(captured, check, 255 * len(sent))
    assert flip is not None
    assert (flip.offset, flip.sent, flip.captured, flip.repaired) == (at, sent[at], captured[at], sent)
    assert len(set(offered)) == len(offered)
    assert captured not in offered
    if mask.bit_count() == 1:
        assert len(offered) <= 8 * len(sent)


def test_a_search_stays_within_its_budget() -> None:
    calls = 0

    def never(_: bytes) -> bool:
        nonlocal calls
        calls += 1
        return False

    assert crypto.search_flip(noise(256), never, 500) is None
    assert calls == 500
    assert crypto.search_flip(b"", never, 500) is None
    assert crypto.search_flip(b"ab", never, 10_000) is None
    assert calls == 500 + 2 * 255
