"""DTLS after redaction: another key, another id, and every check with the answer of before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer import conversations
from analyzer.capture import open_capture
from analyzer.conversations import UdpConversation
from analyzer.exports.redact import redact
from analyzer.exports.redaction.datagrams import DatagramPlan
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture
from dissectors.dtls import crypto
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.record import read_datagram

CAPTURES = Path(__file__).resolve().parents[4] / "captures"
SALT = b"salt"
P = Pseudonyms(SALT)
DEVICE_ID = bytes.fromhex("3d002a001047343530333430")
#: dtls.md 10a: measured with the genuine mbedTLS fork.
MOVED = bytes.fromhex("fefefd00010000000000020014000100000000000273ebf328b43231421467f3d1") + DEVICE_ID + b"\x0c"
CID = bytes.fromhex("c1d0010203040506")
MOVED_CID = bytes.fromhex(
    "fdfefd0001000000000002c1d00102030405060020000100000000000269076608a7ebe6f587ffd4bee21311b1a1d865cf914f77eb"
)


def attempts(path: Path) -> Iterator[DtlsAttempt]:
    table = conversations.Conversations(conversations.Options())
    found = [c for packet in open_capture(path, name="p") for c in table.feed(packet)] + list(table.finish())
    for conversation in sorted((c for c in found if isinstance(c, UdpConversation)), key=lambda c: c.first_frame):
        machine = Dtls(hint_port=True)
        for datagram in conversation.datagrams:
            if not datagram.duplicate:
                machine.datagram(datagram.direction, datagram.data, datagram.mark, datagram.length)
        yield from machine.attempts()


def pairs(name: str, tmp_path: Path) -> list[tuple[DtlsAttempt, DtlsAttempt]]:
    (source,) = (CAPTURES / name).glob("capture.pcap*")
    redact(analyze_capture(source, load_keys([])), source, tmp_path / "r.pcapng", salt=SALT)
    return list(zip(attempts(source), attempts(tmp_path / "r.pcapng"), strict=True))


@pytest.mark.parametrize("name", ["synth-dtls-healthy-v064", "synth-dtls-healthy-v4", "dtls-01-good"])
def test_a_valid_signature_is_valid_under_the_key_that_stands_for_the_devices(name: str, tmp_path: Path) -> None:
    for before, after in pairs(name, tmp_path):
        assert before.device_certificate is not None
        assert after.device_certificate is not None
        old, new = before.device_certificate.public_key, after.device_certificate.public_key
        assert old is not None
        assert new is not None
        assert new == P.spki(old) != old
        assert before.certificate_verify is not None
        assert after.certificate_verify is not None
        assert before.flight is not None
        assert after.flight is not None
        assert before.flight.signed is not None
        assert after.flight.signed is not None
        assert crypto.verifies(old, before.certificate_verify.signed, before.flight.signed)
        assert crypto.verifies(new, after.certificate_verify.signed, after.flight.signed)
        assert len(after.certificate_verify.signed.signature) == len(before.certificate_verify.signed.signature)
        # Which cloud answered can still be checked.
        assert after.flight.key_exchange == before.flight.key_exchange
        assert after.client_random == before.client_random
        assert after.flight.hello is not None
        assert before.flight.hello is not None
        assert after.flight.hello.random == before.flight.hello.random


def test_an_invalid_signature_is_invalid_and_its_true_signer_is_another_one(tmp_path: Path) -> None:
    from dissectors.dtls.recover import recover_keys

    signers = []
    for side in zip(*pairs("synth-dtls-device-key-corrupt", tmp_path), strict=True):
        common: set[bytes] | None = None
        for attempt in side:
            assert attempt.device_certificate is not None
            assert attempt.certificate_verify is not None
            assert attempt.flight is not None
            assert attempt.flight.signed is not None
            spki, verify = attempt.device_certificate.public_key, attempt.certificate_verify
            assert spki is not None
            assert crypto.verifies(spki, verify.signed, attempt.flight.signed) is False
            from hashlib import sha256

            found = set(recover_keys(verify.signed.signature, sha256(attempt.flight.signed).digest()))
            common = found if common is None else common & found
        assert common is not None
        assert len(common) == 1
        signers.append(common)
    assert signers[0] != signers[1]


def test_a_connection_id_is_exchanged_in_the_hello_and_in_records(tmp_path: Path) -> None:
    for before, after in pairs("synth-dtls-healthy-v4", tmp_path):
        assert before.connection_id is not None
        assert after.connection_id == P.connection_id(before.connection_id) != before.connection_id
        ids = {
            record.connection_id
            for packet in open_capture(tmp_path / "r.pcapng", name="r")
            for record in read_datagram(packet.payload).records
            if record.connection_id
        }
        assert ids == {after.connection_id}


def test_an_x509_chain_of_a_wrong_server_keeps_its_form_only(tmp_path: Path) -> None:
    for before, after in pairs("synth-dtls-profile-x509", tmp_path):
        if before.flight is not None and before.flight.certificate is not None and before.flight.certificate.chain:
            assert after.flight is not None
            assert after.flight.certificate is not None
            old, new = before.flight.certificate.chain, after.flight.certificate.chain
            assert [len(der) for der in new] == [len(der) for der in old]
            assert all(a[:4] == b[:4] and a[4:] != b[4:] for a, b in zip(old, new, strict=True))


def plan() -> DatagramPlan:
    return DatagramPlan(1, 2, P)


def test_the_id_behind_a_moved_record() -> None:
    out = plan().payload(MOVED, len(MOVED))
    assert out == MOVED[:-13] + P.device_id(DEVICE_ID) + b"\x0c"


def test_the_connection_id_of_a_moved_record() -> None:
    assert plan().payload(MOVED_CID, len(MOVED_CID)) == MOVED_CID.replace(CID, P.connection_id(CID))


@pytest.mark.parametrize("data", [MOVED, MOVED_CID])
def test_cut_and_damaged_datagrams_keep_their_length_and_lose_the_id(data: bytes) -> None:
    for cut in range(len(data)):
        out = plan().payload(data[:cut], len(data))
        assert len(out) == cut
        assert DEVICE_ID not in out
    for at in range(len(data)):
        flipped = data[:at] + bytes((data[at] ^ 0x80,)) + data[at + 1 :]
        assert len(plan().payload(flipped, len(flipped))) == len(data)


def test_part_of_a_certificate_is_masked_too() -> None:
    spki = crypto.spki_of(b"\x04" + bytes(range(64)))
    whole = bytes.fromhex("16fefd0000000000000002006a0b00005e000200000000005e00005b") + spki
    for cut in range(60, len(whole)):
        out = plan().payload(whole[:cut], len(whole))
        assert len(out) == cut
        assert out[: 28 + 26] == whole[: 28 + 26]
        assert out[28 + 27 : cut] != whole[28 + 27 : cut] or cut <= 28 + 27


@pytest.mark.parametrize("at", range(13, 25))
@pytest.mark.parametrize("bit", [0, 4, 7])
def test_a_certificate_behind_a_damaged_header_is_masked_too(at: int, bit: int) -> None:
    """Whatever the damage makes of it: a length that cannot be, or a message nobody knows."""
    spki = crypto.spki_of(b"\x04" + bytes(range(64)))
    whole = bytearray(bytes.fromhex("16fefd0000000000000002006a0b00005e000200000000005e00005b") + spki)
    whole[at] ^= 1 << bit
    out = plan().payload(bytes(whole), len(whole))
    assert len(out) == len(whole)
    assert out[:25] == whole[:25], "damaged as it was"
    assert spki[-60:-30] not in out


def test_the_end_of_a_message_without_its_beginning_is_masked() -> None:
    for size in range(1, 12):
        data = bytes.fromhex("16fefd0000000000000002") + size.to_bytes(2, "big") + b"identified!"[:size]
        out = plan().payload(data, len(data))
        assert len(out) == len(data)
        assert size < 4 or b"identified!"[:size] not in out


def test_what_is_no_dtls_is_masked_like_any_answer() -> None:
    text = b"HTTP/1.1 400 Bad Request\r\nServer: gateway-of-hotel-7\r\n\r\n"
    out = plan().payload(text, len(text))
    assert b"hotel" not in out
    assert len(out) == len(text)
    assert plan().payload(b"\0", 1) == b"\0"
