"""Datagrams cut into records, the move markers, and what is no DTLS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissectors.dtls.record import CID_LENGTH, ContentType, Datagram, WireRecord, is_dtls, read_datagram, speaker
from dissectors.events import Direction
from tests.dissectors.dtls.flows import datagrams
from tests.dissectors.dtls.vectors import DEVICE_ID, FORK_2_1, FORK_2_22

#: First packets of other protocols on UDP, each from its own specification or a tool.
FOREIGN = {
    "QUIC initial (RFC 9000 17.2.2)": "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c",
    "STUN binding request (RFC 8489)": "000100002112a442b7e7a701bc34d686fa87dfae",
    "RTP, payload type 0 (RFC 3550)": "8000a1b2000000a0deadbeef" + "d5" * 40,
    "OpenVPN hard reset client v2": "3801a2b3c4d5e6f70800000000000000",
    "WireGuard initiation": "01000000a1b2c3d4" + "5a" * 140,
    "CoAP GET": "40017d34bb2e77656c6c2d6b6e6f776e04636f7265",
    "DNS query": "abcd01000001000000000000047465737405706172740369640000010001",
    "DTLS 1.3 unified header (RFC 9147 4)": "2e000000204141414141414141414141414141414141",
    "TLS 1.2 over nothing": "16030100c8010000c4" + "00" * 40,
    "text": "485454502f312e3120323030204f4b0d0a",
    "zeroes": "00" * 60,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_protocols_are_no_dtls(name):
    data = bytes.fromhex(FOREIGN[name])
    assert not is_dtls(data)
    assert speaker(data) is None
    assert read_datagram(data).records == ()


def test_every_datagram_of_real_sessions_is_dtls_from_the_right_side():
    for case in ("01-good", "11a-resumed-and-moved", "23b-gnutls-fragmented-altered-device", "30-engine-222e"):
        for sent in datagrams(case):
            parsed = read_datagram(sent.data)
            assert parsed.unread == 0
            assert parsed.keep_alive == (len(sent.data) == 1)
            assert is_dtls(sent.data) == (len(sent.data) > 1)
            assert speaker(sent.data) in (None, sent.direction)
            assert b"".join(record.to_wire() for record in parsed.records) == (sent.data if len(sent.data) > 1 else b"")


def test_a_flight_in_one_datagram_is_cut_into_its_records():
    flight = next(sent for sent in datagrams("30-engine-222e") if sent.frame == 5)
    records = read_datagram(flight.data).records
    assert [record.content_type.name for record in records] == ["HANDSHAKE"] * 3 + ["CHANGE_CIPHER_SPEC", "CID"]
    assert [(record.epoch, record.sequence) for record in records] == [(0, 2), (0, 3), (0, 4), (0, 5), (1, 0)]
    assert records[-1].connection_id == bytes.fromhex("c1d0010203040506")


def test_a_moved_record_has_the_device_id_behind_it():
    (record,) = read_datagram(FORK_2_1.moved_ping[0]).records
    assert record.content_type is ContentType.MOVED
    assert record.device_id is not None
    assert record.device_id.hex() == DEVICE_ID
    assert record.plaintext_length == 4
    assert record.nonce_is_sequence


def test_a_moved_record_without_its_trailer_names_nobody():
    wire = FORK_2_1.moved_ping[0]
    for damaged in (wire[:-1] + b"\x0b", wire[:-13], wire + b"\0"):
        record = read_datagram(damaged).records[0]
        assert record.device_id is None
    assert read_datagram(wire[:-13]).unread == 0
    assert read_datagram(wire + b"\0").unread == 14


def test_a_moved_record_with_a_connection_id():
    (record,) = read_datagram(FORK_2_22.moved_ping[0]).records
    assert (record.content_type, record.sequence, record.connection_id.hex()) == (
        ContentType.MOVED_CID,
        2,
        "c1d0010203040506",
    )
    assert record.content_type.protected_as is ContentType.CID


def test_one_byte_is_a_keep_alive_and_two_are_not():
    assert read_datagram(b"\0") == Datagram(keep_alive=True)
    assert read_datagram(b"\0\0") == Datagram(unread=2)
    assert read_datagram(b"") == Datagram()


def test_a_packet_cut_by_the_snap_length_says_what_is_missing():
    wire = FORK_2_1.hello[0]
    (record,) = read_datagram(wire[:40], wire_length=len(wire)).records
    assert (record.missing, len(record.fragment), record.plaintext_length) == (len(wire) - 40, 27, 29)
    assert read_datagram(wire[:40]).records == ()
    moved = FORK_2_1.moved_ping[0]
    (record,) = read_datagram(moved[:30], wire_length=len(moved)).records
    assert (record.missing, record.device_id) == (3, None)


@pytest.mark.parametrize(
    "wire", [FORK_2_1.moved_ping[0], FORK_2_22.hello[0], FORK_2_22.moved_ping[0]], ids=["254", "25", "253"]
)
def test_every_truncation_is_read_without_error(wire):
    for length in range(len(wire)):
        parsed = read_datagram(wire[:length])
        assert len(parsed.records) in (0, 1)
        cut = read_datagram(wire[:length], wire_length=len(wire))
        assert all(record.device_id is None for record in cut.records)


def test_records_in_the_clear_are_recognised_by_their_shape_only_when_it_fits():
    alert = bytes.fromhex("15fefd0000000000000002000202" + "33")
    assert is_dtls(alert)
    assert not is_dtls(alert + b"\0" * 0 + b"") or is_dtls(alert)
    assert not is_dtls(alert[:11] + b"\0\3" + b"\2\x33\0")
    assert not is_dtls(bytes.fromhex("17fefd00000000000000000005") + b"hello")
    assert not is_dtls(bytes.fromhex("14fefd000100000000000000010" + "1"))
    assert not is_dtls(bytes.fromhex("19fefd0000000000000000") + bytes(8) + b"\0\x20" + bytes(32))


@given(st.binary(max_size=200), st.none() | st.integers(0, 400), st.integers(0, 20))
def test_any_bytes_give_records_that_cover_them(data, wire_length, cid_length):
    parsed = read_datagram(data, wire_length, cid_length)
    total = max(len(data), wire_length or 0)
    assert 0 <= parsed.unread <= total
    covered = sum(len(record.to_wire()) + record.missing for record in parsed.records)
    assert parsed.keep_alive or covered + parsed.unread >= total - 13
    is_dtls(data, wire_length)
    speaker(data, wire_length)


_RECORDS = st.builds(
    WireRecord,
    content_type=st.sampled_from([22, 23, 21]).map(ContentType),
    version=st.just(0xFEFD),
    epoch=st.integers(0, 3),
    sequence=st.integers(0, 2**48 - 1),
    fragment=st.binary(min_size=1, max_size=60),
)
_CID_RECORDS = st.builds(
    WireRecord,
    content_type=st.sampled_from([25, 253]).map(ContentType),
    version=st.just(0xFEFD),
    epoch=st.integers(1, 3),
    sequence=st.integers(0, 2**48 - 1),
    fragment=st.binary(min_size=1, max_size=60),
    connection_id=st.binary(min_size=CID_LENGTH, max_size=CID_LENGTH),
)


@given(st.lists(_RECORDS | _CID_RECORDS, min_size=1, max_size=5))
def test_records_written_are_read_back_and_parts_make_them_again(records):
    assert list(read_datagram(b"".join(record.to_wire() for record in records)).records) == records
    for record in records:
        assert WireRecord.from_parts(record.header, record.fragment) == record


def test_speaker_tells_device_from_cloud():
    assert speaker(FORK_2_22.hello[0]) is Direction.UP
    assert speaker(FORK_2_1.moved_ping[0]) is Direction.UP
    assert speaker(FORK_2_1.acknowledgement[0]) is None
