"""802.11: aggregates, repetitions, wrong checksums, encryption; layouts from IEEE 802.11-2020 and radiotap.org."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.decode import Decoder
from analyzer.capture.records import Notes
from analyzer.packet import Packet
from captures.synth import wire
from tests.analyzer.capture.wrappings import radiotap, wifi

A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
SNAP = b"\xaa\xaa\x03\0\0\0\x08\0"
RADIOTAP, PPI, PLAIN = 127, 192, 105


def ethernet(payload: bytes = b"hello") -> bytes:
    inner = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5784, 5684, payload))
    return wire.ethernet(b"\2" * 6, b"\4" * 6, wire.ETHERTYPE_IPV4, inner)


FRAME = ethernet()


def sent(decoder: Decoder, frame: bytes, link: int = RADIOTAP) -> list[Packet]:
    first = decoder.decode(1, 1, link, frame, len(frame))
    return [] if first is None else [first, *decoder.taken()]


def said(decoder: Decoder) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.packets) for problem in decoder.unread.problems()]


@pytest.mark.parametrize("time", [False, True])
@pytest.mark.parametrize("flags", [0x40, 0x50, 0x70])
def test_frames_damaged_on_the_air_are_left_out_and_counted(flags: int, time: bool) -> None:
    decoder = Decoder(Notes())
    for head in (radiotap(flags, time), radiotap(flags & ~0x40, time)):
        found = sent(decoder, head + wifi(FRAME, pad=bytes(2 * bool(flags & 0x20))) + SNAP + FRAME[14:] + bytes(4))
    assert [item.payload for item in found] == [b"hello"]
    assert said(decoder) == [("bad-fcs", 1)]
    assert decoder.inexact, "Wireshark numbers what is in them"


def test_ppi_says_that_a_checksum_is_wrong() -> None:
    decoder = Decoder(Notes())
    common = struct.pack("<HHQH", 2, 20, 0, 0x05) + bytes(10)
    head = struct.pack("<BBHI", 0, 0, 8 + len(common), 105) + common
    assert sent(decoder, head + wifi(FRAME) + SNAP + FRAME[14:], PPI) == []
    assert said(decoder) == [("bad-fcs", 1)]


def test_a_frame_that_is_sent_again_counts_once_unless_the_first_was_damaged() -> None:
    decoder = Decoder(Notes())
    first, again = wifi(FRAME, control=b"\x50\0"), wifi(FRAME, flags=0x09, control=b"\x50\0")
    body = SNAP + FRAME[14:]
    assert len(sent(decoder, radiotap() + first + body)) == 1
    assert sent(decoder, radiotap() + again + body) == []
    assert len(sent(decoder, radiotap() + wifi(FRAME, flags=0x09, control=b"\x60\0") + body)) == 1
    fresh = Decoder(Notes())
    assert sent(fresh, radiotap(0x40) + first + body) == []
    assert len(sent(fresh, radiotap() + again + body)) == 1


def test_an_aggregate_gives_all_its_packets() -> None:
    parts = b""
    for number in range(3):
        frame = ethernet(b"x" * number)
        part = frame[:12] + struct.pack(">H", len(frame) - 14 + 8) + SNAP + frame[14:]
        parts += part + bytes(-len(part) % 4)
    found = sent(Decoder(Notes()), radiotap() + wifi(FRAME, qos=0x80) + parts)
    assert [item.payload for item in found] == [b"", b"x", b"xx"]


def test_an_aggregate_of_aggregates_ends() -> None:
    part = bytes(12) + b"\xff\xff"
    decoder = Decoder(Notes())
    sent(decoder, radiotap() + wifi(FRAME, qos=0x80) + part * 2000)
    sent(decoder, radiotap() + wifi(FRAME, qos=0x80) + (bytes(12) + b"\0\0" + bytes(2)) * 2000)


def test_what_a_driver_has_decrypted_is_read_whatever_the_mark_says() -> None:
    decoder = Decoder(Notes())
    for cipher in (b"", bytes(8)):
        assert len(sent(decoder, radiotap() + wifi(FRAME, flags=0x41) + cipher + SNAP + FRAME[14:])) == 1
    assert sent(decoder, radiotap() + wifi(FRAME, flags=0x41) + bytes(range(80))) == []
    assert said(decoder) == [("encrypted-wireless", 1)]


def test_fragments_are_said() -> None:
    decoder = Decoder(Notes())
    assert sent(decoder, radiotap() + wifi(FRAME, flags=0x05) + SNAP + FRAME[14:]) == []
    assert sent(decoder, radiotap() + wifi(FRAME, control=b"\x01\0") + FRAME[20:]) == []
    assert said(decoder) == [("unread-encapsulation", 2)]


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_either_direction_and_between_access_points(flags: int) -> None:
    head = wifi(FRAME, qos=None, flags=flags) + (bytes(6) if flags == 3 else b"")
    assert len(sent(Decoder(Notes()), head + SNAP + FRAME[14:], PLAIN)) == 1


def test_management_and_control_frames_are_nothing_to_say() -> None:
    decoder = Decoder(Notes())
    for kind in (0x80, 0x40, 0xD4, 0xB4, 0x48, 0xC8):
        assert sent(decoder, radiotap() + bytes((kind, 1)) + bytes(60)) == []
    assert said(decoder) == []


@settings(max_examples=300)
@given(st.sampled_from([105, 119, 127, 163, 192]), st.binary(max_size=200))
def test_any_bytes_never_raise(link: int, data: bytes) -> None:
    decoder = Decoder(Notes())
    sent(decoder, data, link)
    sent(decoder, radiotap() + wifi(FRAME, qos=0x80) + data, link)
