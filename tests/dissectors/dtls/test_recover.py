"""Public keys recovered from signatures, against keys made by OpenSSL (through `cryptography`)."""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from dissectors.dtls import recover
from dissectors.dtls.crypto import key_exchange_message, point_of
from dissectors.dtls.messages import ServerKeyExchange
from dissectors.dtls.recover import recover_keys
from tests.dissectors.dtls.flows import CAPTURES, attempts
from tests.dissectors.dtls.vectors import VECTORS

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@given(st.integers(1, ORDER - 1), st.binary(max_size=40))
@settings(max_examples=25, deadline=None)
def test_the_signer_is_among_the_candidates(scalar, message):
    key = ec.derive_private_key(scalar, ec.SECP256R1())
    candidates = recover_keys(key.sign(message, ec.ECDSA(hashes.SHA256())), sha256(message).digest())
    assert point(key) in candidates
    assert len(candidates) == 2


def test_every_candidate_really_verifies():
    key = ec.generate_private_key(ec.SECP256R1())
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
    for candidate in recover_keys(signature, sha256(b"message").digest()):
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), candidate)
        public.verify(signature, b"message", ec.ECDSA(hashes.SHA256()))


def common(signatures: list[tuple[bytes, bytes]]) -> set[bytes]:
    return set.intersection(
        *(set(recover_keys(signature, sha256(message).digest())) for signature, message in signatures)
    )


def test_two_signatures_name_their_signer_and_a_damaged_one_names_nobody():
    key = ec.generate_private_key(ec.SECP256R1())
    signed = [(key.sign(message, ec.ECDSA(hashes.SHA256())), message) for message in (b"one", b"two")]
    assert common(signed) == {point(key)}
    r, s = decode_dss_signature(signed[1][0])
    assert common([signed[0], (encode_dss_signature(r, s ^ 1), b"two")]) == set()
    assert common([signed[0], (signed[1][0], b"too")]) == set()


def test_recorded_key_exchanges_name_the_recorded_server_keys():
    for vector in VECTORS:
        exchange = ServerKeyExchange.from_wire(vector.key_exchange)
        message = key_exchange_message(vector.secret.client_random, vector.secret.server_random, exchange)
        assert point_of(vector.server_spki) in recover_keys(exchange.signed.signature, sha256(message).digest())


def test_a_retry_loop_names_the_cloud_s_key_without_any_key_file():
    """The genuine device stores another server key here; the file is read only to check the answer."""
    signed = [
        (
            attempt.flight.key_exchange.signed.signature,
            key_exchange_message(attempt.client_random, attempt.flight.hello.random, attempt.flight.key_exchange),
        )
        for attempt in attempts("03-wrong-server-key-on-device")[:2]
    ]
    keys = CAPTURES / "dtls-03-wrong-server-key-on-device" / "keys"
    assert common(signed) == {point_of((keys / "server.pub.der").read_bytes())}


def test_two_attempts_name_the_scalar_a_device_really_signs_with():
    """04a: a private key whose scalar is not its public point's; the wire shows the point, the signatures the scalar."""
    found = attempts("04a-private-key-not-matching-silent")[:2]
    signer = common([(a.certificate_verify.signed.signature, a.flight.signed) for a in found])
    slot = (
        CAPTURES / "dtls-04a-private-key-not-matching-silent" / "keys" / "0a10aced202194944a042f01.device.der"
    ).read_bytes()
    held = ec.derive_private_key(int.from_bytes(slot[7:39], "big"), ec.SECP256R1())
    assert signer == {point(held)}
    assert signer != {point_of(found[0].device_certificate.public_key)}


def test_bytes_that_are_no_signature_have_no_signer():
    digest = bytes(32)
    assert recover_keys(b"", digest) == ()
    assert recover_keys(b"\x30\x06\x02\x01\x00\x02\x01\x01", digest) == ()
    assert recover_keys(encode_dss_signature(1, ORDER), digest) == ()
    assert recover_keys(encode_dss_signature(ORDER, 1), digest) == ()
    # No point of the curve has x = 1 + ... : a third of all r values below fit no key.
    assert any(recover_keys(encode_dss_signature(r, 1), digest) == () for r in range(1, 12))


@given(st.binary(max_size=80), st.binary(min_size=32, max_size=32))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_answered(signature, digest):
    assert len(recover_keys(signature, digest)) <= 2


def test_the_sums_that_a_chord_does_not_give():
    """Nothing added, a point and itself, a point and its opposite: against multiples that OpenSSL computes."""

    def jacobian(scalar: int, z: int) -> tuple[int, int, int]:
        numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        return numbers.x * z * z % recover._P, numbers.y * z * z * z % recover._P, z

    def told(scalar: int) -> bytes:
        return point(ec.derive_private_key(scalar, ec.SECP256R1()))

    nothing = (1, 1, 0)
    five, again, opposite = jacobian(5, 3), jacobian(5, 7), jacobian(ORDER - 5, 11)
    assert recover._encode(recover._add(five, nothing)) == recover._encode(recover._add(nothing, five)) == told(5)
    assert recover._encode(recover._add(five, again)) == told(10)
    assert recover._encode(recover._add(five, opposite)) is None
    assert recover._encode(recover._add(five, jacobian(8, 2))) == told(13)
    assert recover._encode(recover._multiply(ORDER, five)) is None
