"""Key schedule, records and signatures against recorded sessions of the device's own mbedTLS forks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from dissectors.dtls import crypto
from dissectors.dtls.messages import ServerKeyExchange, Signed
from dissectors.dtls.record import ContentType, WireRecord, read_datagram
from dissectors.events import Direction
from tests.dissectors.dtls.flows import attempts, key_log
from tests.dissectors.dtls.vectors import FORK_2_1, FORK_2_22, VECTORS, Vector

UP, DOWN = Direction.UP, Direction.DOWN


def only(datagram: bytes) -> WireRecord:
    (record,) = read_datagram(datagram).records
    return record


def test_prf_against_the_vector_of_the_tls_mailing_list():
    """https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms/ (P_SHA256)."""
    out = crypto.prf(
        bytes.fromhex("9bbe436ba940f017b17652849a71db35"),
        b"test label",
        bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c"),
        100,
    )
    assert out.hex() == (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
        "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_recorded_sessions_open_in_both_directions_and_moved(vector: Vector):
    assert vector.secret.key_block() == vector.key_block
    for direction, (datagram, plaintext) in (
        (UP, vector.hello),
        (DOWN, vector.acknowledgement),
        (UP, vector.moved_ping),
    ):
        opened = vector.keys.open(direction, only(datagram))
        assert opened is not None
        assert (opened.content_type, opened.content) == (23, plaintext)
        assert vector.keys.open(direction.other, only(datagram)) is None


def test_the_form_of_associated_data_is_told():
    assert FORK_2_1.keys.open(UP, only(FORK_2_1.hello[0])).aad == "plain"
    assert FORK_2_22.keys.open(UP, only(FORK_2_22.hello[0])).aad == "draft-05"


def test_a_later_build_with_rfc_9146_would_open_too():
    """RFC 9146 section 5.3, put together by hand: other builds may have moved to it."""
    record = WireRecord(ContentType.CID, 0xFEFD, 1, 7, b"", bytes(range(8)))
    inner = b"hello\x17"
    sequence = b"\0\1" + (7).to_bytes(6, "big")
    aad = b"\xff" * 8 + b"\x19\x08\x19\xfe\xfd" + sequence + bytes(range(8)) + len(inner).to_bytes(2, "big")
    block = FORK_2_22.key_block
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    sealed = AESCCM(block[:16], tag_length=8).encrypt(block[32:36] + sequence, inner, aad)
    opened = crypto.RecordKeys(block).open(UP, replace(record, fragment=sequence + sealed))
    assert (opened.content_type, opened.content, opened.aad) == (23, b"hello", "rfc9146")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_the_recorded_key_exchange_is_signed_by_the_recorded_server_key(vector: Vector):
    exchange = ServerKeyExchange.from_wire(vector.key_exchange)
    message = crypto.key_exchange_message(vector.secret.client_random, vector.secret.server_random, exchange)
    assert crypto.verifies(vector.server_spki, exchange.signed, message) is True
    other = next(v for v in VECTORS if v is not vector)
    assert crypto.verifies(other.server_spki, exchange.signed, message) is False
    assert crypto.verifies(vector.server_spki, exchange.signed, message + b"\0") is False


def test_no_key_is_not_a_wrong_key():
    signed = Signed(0x0403, b"\x30\x06\x02\x01\x01\x02\x01\x01")
    off_curve = FORK_2_1.server_spki[:-1] + b"\0"
    assert crypto.verifies(b"", signed, b"") is None
    assert crypto.verifies(off_curve, signed, b"") is None
    assert crypto.verifies(FORK_2_1.server_spki[:-1], signed, b"") is None
    assert crypto.verifies(FORK_2_1.server_spki, replace(signed, algorithm=0x0401), b"") is None
    assert crypto.verifies(FORK_2_1.server_spki, replace(signed, algorithm=0x0803), b"") is None
    assert crypto.verifies(FORK_2_1.server_spki, signed, b"") is False
    assert crypto.verifies(FORK_2_1.server_spki, replace(signed, signature=b"no der"), b"") is False
    assert not crypto.is_on_curve(off_curve)
    assert crypto.is_on_curve(FORK_2_1.server_spki)


def test_other_hashes_of_ecdsa_are_checked_as_well():
    key = ec.generate_private_key(ec.SECP256R1())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for number, algorithm in ((3, hashes.SHA224()), (5, hashes.SHA384()), (6, hashes.SHA512())):
        signed = Signed(number << 8 | 3, key.sign(b"message", ec.ECDSA(algorithm)))
        assert crypto.verifies(spki, signed, b"message") is True
    assert crypto.spki_of(crypto.point_of(spki)) == spki


@pytest.mark.parametrize(
    "case",
    [
        "01-good",
        "10a-loss-reorder-dup-by-rule",
        "23b-gnutls-fragmented-altered-device",
        "30-engine-290",
        "30-engine-222e",
    ],
)
def test_finished_of_both_sides_proves_our_transcript_of_the_handshake(case):
    """verify_data is a hash over every handshake message: one byte missing or in the wrong order and it differs."""
    secrets = key_log(case)
    checked = 0
    for attempt in attempts(case):
        if attempt.client_random not in secrets or attempt.flight is None or attempt.flight.finished is None:
            continue
        master = secrets[attempt.client_random]
        keys = crypto.RecordKeys(crypto.Secret(attempt.client_random, attempt.flight.hello.random, master).key_block())
        finished = {}
        for record in attempt.transcript.records:
            opened = keys.open(record.direction, WireRecord.from_parts(record.header, record.fragment))
            assert opened is not None
            if opened.content_type == 22:
                finished.setdefault(record.direction, opened.content)
        transcript = attempt.flight.finished
        assert finished[UP][12:] == crypto.verify_data(master, UP, transcript)
        assert finished[DOWN][12:] == crypto.verify_data(master, DOWN, transcript + finished[UP])
        assert finished[DOWN][12:] != crypto.verify_data(master, DOWN, transcript)
        checked += 1
    assert checked


@pytest.mark.parametrize("case", ["01-good", "02a-unknown-device-key-alert", "30-engine-222e"])
def test_certificate_verify_holds_under_the_key_on_the_wire(case):
    for attempt in attempts(case):
        verify = attempt.certificate_verify
        assert crypto.verifies(attempt.device_certificate.public_key, verify.signed, attempt.flight.signed) is True


def test_certificate_verify_fails_when_the_scalar_is_another():
    for attempt in attempts("04a-private-key-not-matching-silent"):
        verify = attempt.certificate_verify
        assert crypto.verifies(attempt.device_certificate.public_key, verify.signed, attempt.flight.signed) is False


@given(st.integers(0, 60), st.integers(1, 255))
def test_any_flipped_bit_of_a_record_is_noticed(at, mask):
    for vector in VECTORS:
        datagram = bytearray(vector.hello[0])
        at %= len(datagram)
        datagram[at] ^= mask
        for record in read_datagram(bytes(datagram)).records:
            opened = vector.keys.open(UP, record)
            # Only the byte that marks a moved session may change: it is put in after encryption.
            assert opened is None or at == 0


def test_what_is_sealed_opens():
    for vector in VECTORS:
        record = only(vector.hello[0])
        inner = vector.hello[1] + (b"\x17" + bytes(2) if record.connection_id else b"")
        assert vector.keys.seal(UP, record, inner) == record.fragment


def test_records_that_cannot_be_opened_are_none():
    keys, record = FORK_2_1.keys, only(FORK_2_1.hello[0])
    assert keys.open(UP, replace(record, missing=1)) is None
    assert keys.open(UP, replace(record, epoch=0)) is None
    assert keys.open(UP, replace(record, fragment=record.fragment[:15])) is None
    assert keys.open(UP, replace(record, fragment=b"")) is None


def test_an_inner_plaintext_of_padding_alone_has_no_type():
    record = only(FORK_2_22.hello[0])
    sealed = FORK_2_22.keys.seal(UP, record, bytes(16))
    opened = FORK_2_22.keys.open(UP, replace(record, fragment=sealed))
    assert (opened.content_type, opened.content) == (0, b"")


def test_secrets_never_show():
    secret = FORK_2_1.secret
    assert secret.master.hex() not in repr(secret)
    assert repr(secret.master) not in repr(secret)
    assert FORK_2_1.key_block.hex() not in repr(FORK_2_1.keys)
    assert repr(FORK_2_1.hello[1]) not in repr(FORK_2_1.keys.open(UP, only(FORK_2_1.hello[0])))


def test_master_secret_from_the_ecdh_result():
    """Against the `cryptography` package's own TLS-free ECDH and our vector-checked PRF: a device with known ephemerals."""
    mine, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    assert mine.exchange(ec.ECDH(), theirs.public_key()) == theirs.exchange(ec.ECDH(), mine.public_key())
    premaster = mine.exchange(ec.ECDH(), theirs.public_key())
    assert crypto.master_secret(premaster, b"c" * 32, b"s" * 32) == crypto.prf(
        premaster, b"master secret", b"c" * 32 + b"s" * 32, 48
    )


def test_record_types_have_names():
    assert crypto.content_type_name(23) == "application data"
    assert crypto.content_type_name(99) == "type 99"
