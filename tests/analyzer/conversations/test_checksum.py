"""TCP and UDP checksums: right, wrong, and left to the network card."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.conversations.checksum import Sum, doubtful, verify, wrong
from analyzer.packet import ACK, TCP, UDP, Packet
from captures.synth import wire

PAIRS = [
    (wire.address("192.0.2.1"), wire.address("198.51.100.2")),
    (wire.address("2001:db8::1"), wire.address("2001:db8::2")),
]


def packet(pair, payload: bytes, options: bytes = b"", checksum: bytes | None = None) -> Packet:
    segment = bytearray(wire.tcp(*pair, 1, 2, 3, 4, ACK, 100, options, payload))
    if checksum is not None:
        segment[16:18] = checksum
    size = 20 + len(options)
    return Packet(1, 0, TCP, *pair, 1, 2, payload, len(payload), header=bytes(segment[:size]))


@given(st.sampled_from(PAIRS), st.binary(max_size=80), st.integers(0, 5).map(lambda n: bytes(4 * n)))
def test_a_right_checksum(pair, payload: bytes, options: bytes) -> None:
    assert not wrong(packet(pair, payload, options))


@given(st.sampled_from(PAIRS), st.binary(min_size=1, max_size=80), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(pair, payload: bytes, at: int, change: int) -> None:
    damaged = bytearray(payload)
    damaged[at % len(payload)] ^= change
    assert wrong(packet(pair, payload)._replace(payload=bytes(damaged)))


@pytest.mark.parametrize("pair", PAIRS)
def test_a_checksum_left_to_the_card_is_not_wrong(pair) -> None:
    payload = b"outgoing"
    length = 20 + len(payload)
    size = 4 if len(pair[0]) == 16 else 2
    pseudo = pair[0] + pair[1] + TCP.to_bytes(size, "big") + length.to_bytes(size, "big")
    partial = wire.checksum(pseudo) ^ 0xFFFF
    assert not wrong(packet(pair, payload, checksum=partial.to_bytes(2, "big")))
    without_length = wire.checksum(pair[0] + pair[1] + TCP.to_bytes(size, "big")) ^ 0xFFFF
    assert not wrong(packet(pair, payload, checksum=without_length.to_bytes(2, "big")))
    assert not wrong(packet(pair, payload, checksum=b"\0\0"))
    assert wrong(packet(pair, payload, checksum=b"\x12\x34"))


def test_a_segment_that_is_not_all_there_tells_nothing() -> None:
    whole = packet(PAIRS[0], b"payload", bytes(8), b"\x12\x34")
    assert wrong(whole)
    assert not wrong(whole._replace(payload=b"pay"))
    assert not wrong(whole._replace(header=whole.header[:24]))


def datagram(pair, payload: bytes, checksum: bytes | None = None, number: int = 1) -> Packet:
    header = bytearray(wire.udp(*pair, 5684, 5684, payload)[:8])
    if checksum is not None:
        header[6:8] = checksum
    return Packet(number, 0, UDP, *pair, 5684, 5684, payload, len(payload), header=bytes(header))


@given(st.sampled_from(PAIRS), st.binary(min_size=1, max_size=80), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_of_a_datagram_is_noticed(pair, payload: bytes, at: int, change: int) -> None:
    sent = datagram(pair, payload)
    assert verify(sent) is Sum.RIGHT
    damaged = bytearray(payload)
    damaged[at % len(payload)] ^= change
    assert verify(sent._replace(payload=bytes(damaged))) is Sum.WRONG
    assert verify(sent._replace(payload=bytes(damaged[:-1]))) is Sum.UNKNOWN


@pytest.mark.parametrize("pair", PAIRS)
def test_no_udp_checksum_is_not_wrong_but_doubtful_of_a_sender_who_makes_them(pair) -> None:
    none = datagram(pair, b"hello", b"\0\0")
    assert verify(none) is Sum.ABSENT
    assert doubtful([none]) == ()
    assert doubtful([none, datagram(pair, b"more", number=2)]) == (1,)
    wrong_length = none._replace(header=none.header[:4] + b"\0\x09\x12\x34")
    assert doubtful([wrong_length]) == (1,)
