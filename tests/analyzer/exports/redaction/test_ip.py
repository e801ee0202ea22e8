"""IP headers read for rewriting, built by scapy: where the transport begins, through what it is reached, what is no header."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from scapy.layers.inet import GRE, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from analyzer.exports.redaction import ip
from analyzer.exports.redaction.pseudonyms import Pseudonyms

DEVICE, CLOUD = "192.168.1.50", "203.0.113.10"
V4 = IP(src=DEVICE, dst=CLOUD) / UDP(sport=40000, dport=5684) / Raw(b"payload")
V6 = IPv6(src="fd00::1", dst="2001:db8::a")
MORE = UDP(sport=40000, dport=5684) / Raw(b"payload")


def read(packet: Packet | bytes) -> ip.Ip | None:
    data = bytes(packet)
    return ip.read(data, len(data))


def reached(packet: Packet | bytes) -> tuple[str, int] | None:
    """The source of the innermost packet and the tunnels passed."""
    outer = read(packet)
    assert outer is not None
    found = ip.innermost(outer)
    return None if found is None else (str(ip_address(found[0].source)), found[1])


@pytest.mark.parametrize(
    ("packet", "source", "depth"),
    [
        (V4, DEVICE, 0),
        (IP(src="1.1.1.1") / V4, DEVICE, 1),
        (IPv6() / V4, DEVICE, 1),
        (IP() / GRE(proto=0x0800) / V4, DEVICE, 1),
        (IP() / GRE(chksum_present=1, key_present=1, key=7, seqnum_present=1, proto=0x0800) / V4, DEVICE, 1),
        (IP() / GRE(key_present=1, key=7, proto=0x6558) / Ether() / V4, DEVICE, 1),
        (IP() / GRE(proto=0x86DD) / V6 / MORE, "fd00::1", 1),
        (IP() / IP() / IP() / IP() / V4, DEVICE, 4),
        # Only the first fragment of a tunnel begins with the packet inside, and that one cannot be told whole.
        (IP(src="1.1.1.1", flags="MF") / V4, "1.1.1.1", 0),
        (IP(src="1.1.1.1", frag=3) / V4, "1.1.1.1", 0),
    ],
)
def test_through_tunnels_to_the_packet_that_is_none(packet: Packet, source: str, depth: int) -> None:
    assert reached(packet) == (source, depth)


@pytest.mark.parametrize(
    "packet",
    [
        IP() / IP() / IP() / IP() / IP() / V4,
        IP(proto=4) / Raw(b""),
        IP(proto=4) / Raw(b"\x50 neither version 4 nor 6"),
        IP(proto=4) / Raw(bytes(V4)[:19]),
        IP(proto=41) / Raw(bytes(V6)[:39]),
        IP(proto=47) / Raw(b"\0\0\x08"),
        IP() / GRE(version=1, proto=0x880B) / V4,  # PPTP
        IP() / GRE(proto=0x88BE) / V4,  # ERSPAN
        IP() / GRE(proto=0x6558) / Ether(type=0x0806) / Raw(b"arp"),
    ],
)
def test_what_cannot_be_reached_is_not_guessed(packet: Packet) -> None:
    assert reached(packet) is None


def cut(packet: Packet, **changed: int) -> bytes:
    packet = packet.copy()
    for name, value in changed.items():
        setattr(packet, name, value)
    return bytes(packet)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(V4)[:19],
        cut(V4, ihl=4),
        cut(V4, len=19),
        cut(V4, ihl=15)[:59],
        bytes(V6 / MORE)[:39],
        # The header says that it goes on behind the end of the packet, or of what was captured.
        bytes(V6 / IPv6ExtHdrHopByHop(len=200, options=[PadN(optdata=b"1234")]) / MORE),
        bytes(IPv6(plen=8) / IPv6ExtHdrHopByHop(len=1, options=[PadN(optdata=b"1234")]) / MORE),
    ],
)  # fmt: skip
def test_what_is_no_header_is_none(data: bytes) -> None:
    assert read(data) is None


def test_the_length_that_a_card_fills_in_is_that_of_the_wire() -> None:
    data = cut(V4, len=0)
    found = ip.read(data, 1400)
    assert found is not None
    assert (found.length, found.payload_length, found.payload) == (1400, 1380, data[20:])


def test_an_atomic_fragment_is_a_whole_datagram() -> None:
    """A fragment header that divides nothing (RFC 6946): the transport is there, and nothing is waited for."""
    whole = read(V6 / IPv6ExtHdrFragment(id=9) / MORE)
    assert whole is not None
    assert (whole.header, whole.protocol, whole.fragment) == (48, 17, None)
    first, last = read(V6 / IPv6ExtHdrFragment(id=9, m=1) / MORE), read(V6 / IPv6ExtHdrFragment(id=9, offset=2) / MORE)
    assert first is not None
    assert last is not None
    assert first.fragment == last.fragment is not None
    assert (first.offset, first.more, last.offset, last.more) == (0, True, 16, False)
    for fragment in (whole, first, last):  # what puts them together again stays
        assert fragment.disguised_header(Pseudonyms(b"salt"))[40:] == fragment.data[40:48]


def test_authentication_headers_lose_their_value() -> None:
    packet = V6 / AH(nh=17, spi=1, seq=2, icv=b"authenticated") / MORE
    found = read(packet)
    assert found is not None
    assert found.payload == bytes(packet)[found.header :]
    assert found.protocol == 17
    out = found.disguised_header(Pseudonyms(b"salt"))
    assert len(out) == found.header
    assert b"authenticated"[:8] not in out


def test_more_extension_headers_than_anybody_sends() -> None:
    """Reading stops after a number of them; the rest is payload, and what is emptied is as long as before."""
    packet = V6
    for _ in range(40):
        packet = packet / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"told")])
    found = read(packet / TCP())
    assert found is not None
    assert found.header == 40 + 16 * 8
    assert found.protocol == 60
    out = found.disguised_header(Pseudonyms(b"salt"))
    assert len(out) == found.header
    assert b"told" not in out
