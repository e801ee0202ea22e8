"""What VXLAN and Geneve carry."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.decode import Decoder
from analyzer.capture.records import Notes
from analyzer.capture.tunnels import inside
from analyzer.packet import UDP, Packet
from captures.synth import wire

A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
INNER = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5784, 5684, b"hello"), ident=3)
FRAME = wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, INNER)
VXLAN = struct.pack(">BxxxI", 0x08, 77 << 8)


def geneve(kind: int, options: bytes = b"") -> bytes:
    return struct.pack(">BxHI", len(options) // 4, kind, 77 << 8) + options


def outer(payload: bytes, port: int = 4789, protocol: int = UDP) -> Packet:
    return Packet(4, 99, protocol, B, A, 50000, port, payload, len(payload))


@pytest.mark.parametrize(
    ("payload", "port"),
    [
        (VXLAN + FRAME, 4789),
        (VXLAN + FRAME, 8472),
        (geneve(0x6558) + FRAME, 6081),
        (geneve(0x6558, bytes(12)) + FRAME, 6081),
        (geneve(0x0800) + INNER, 6081),
    ],
)
def test_the_inner_packet_has_the_outer_frame_and_time(payload: bytes, port: int) -> None:
    found = inside(outer(payload, port), Decoder(Notes()))
    assert found == Packet(
        4, 99, UDP, A, B, 5784, 5684, b"hello", 5, 64, 3, header=wire.udp(A, B, 5784, 5684, b"hello")[:8]
    )


@pytest.mark.parametrize(
    ("payload", "port"),
    [
        (VXLAN + FRAME, 4790),
        (bytes(8) + FRAME, 4789),
        (VXLAN, 4789),
        (geneve(0x88BE) + FRAME, 6081),
        (b"\x40" + geneve(0x6558)[1:] + FRAME, 6081),
        (geneve(0x6558, bytes(252))[:20], 6081),
    ],
)
def test_anything_else_carries_nothing(payload: bytes, port: int) -> None:
    assert inside(outer(payload, port), Decoder(Notes())) is None
    assert inside(outer(payload, 4789, 6), Decoder(Notes())) is None


@given(st.binary(max_size=120), st.sampled_from([4789, 8472, 6081]))
def test_any_bytes_never_raise(payload: bytes, port: int) -> None:
    inside(outer(payload, port), Decoder(Notes()))
    inside(outer(VXLAN + payload, port), Decoder(Notes()))
