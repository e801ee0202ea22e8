"""What an ICMP error quotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import quoted
from analyzer.capture.icmp import read_quote
from analyzer.packet import ICMP, ICMPV6, TCP, UDP, IcmpError, Packet
from captures.synth import wire

A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
A6, B6 = wire.address("2001:db8::1"), wire.address("2001:db8::2")


def packet(payload: bytes, protocol: int = ICMP) -> Packet:
    return Packet(1, 0, protocol, B, A, 0, 0, payload, len(payload))


SENT = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5784, 5684, b"hello"))
SENT6 = wire.ipv6(A6, B6, wire.TCP, wire.tcp(A6, B6, 1000, 5683, 1, 0, wire.SYN, 100))


@pytest.mark.parametrize(("kind", "code"), [(3, 3), (3, 1), (3, 13), (11, 0), (12, 0), (4, 0)])
def test_an_icmp_error_names_the_flow(kind: int, code: int) -> None:
    assert quoted(packet(wire.icmp_error(kind, code, SENT))) == IcmpError(kind, code, UDP, A, B, 5784, 5684)


def test_an_icmpv6_error_names_the_flow() -> None:
    error = wire.icmpv6_error(B6, A6, 1, 4, SENT6)
    assert quoted(packet(error, ICMPV6)) == IcmpError(1, 4, TCP, A6, B6, 1000, 5683)
    extended = wire.ipv6(
        A6, B6, wire.UDP, wire.udp(A6, B6, 7, 8, b""), extensions=[(wire.HOP_BY_HOP, b"\0" + bytes(6))]
    )
    assert quoted(packet(wire.icmpv6_error(B6, A6, 1, 4, extended), ICMPV6)) == IcmpError(1, 4, UDP, A6, B6, 7, 8)


def test_options_in_the_quoted_header_are_passed_over() -> None:
    sent = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5784, 5684, b""), options=bytes(8))
    assert quoted(packet(wire.icmp_error(3, 3, sent))) == IcmpError(3, 3, UDP, A, B, 5784, 5684)


def test_no_error_no_quote() -> None:
    echo = b"\x08\x00" + bytes(40)
    assert quoted(packet(echo)) is None
    assert quoted(Packet(1, 0, UDP, A, B, 1, 2, wire.icmp_error(3, 3, SENT), 36)) is None
    redirect = packet(wire.icmp_error(5, 0, SENT))
    assert quoted(redirect) is None
    assert read_quote(redirect) is not None


def test_a_later_fragment_has_no_ports() -> None:
    later = list(wire.ipv4_fragments(wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 1, 2, bytes(64))), 32))[1]
    assert quoted(packet(wire.icmp_error(3, 3, later))) is None


def test_every_truncation_gives_the_flow_or_nothing() -> None:
    error = wire.icmp_error(3, 3, SENT)
    for size in range(len(error)):
        found = quoted(packet(error[:size]))
        assert found == (None if size < 8 + 20 + 4 else quoted(packet(error)))


@given(st.binary(max_size=100), st.sampled_from([ICMP, ICMPV6]))
def test_any_bytes_never_raise(data: bytes, protocol: int) -> None:
    quoted(packet(data, protocol))
