"""Records into packets: lengths, options, extension headers, tunnels, cut and damaged headers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.decode import Decoder
from analyzer.capture.records import Notes
from analyzer.packet import ACK, ICMP, ICMPV6, PSH, TCP, UDP, Packet
from captures.synth import wire

A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
A6, B6 = wire.address("2001:db8::1"), wire.address("2001:db8::2")
MAC = bytes(6)
RAW, ETHERNET, RADIOTAP = 101, 1, 127
TIME = 1_700_000_000_123_456_789


def decode(
    data: bytes, link: int = RAW, wire_length: int | None = None, decoder: Decoder | None = None
) -> Packet | None:
    decoder = decoder or Decoder(Notes())
    return decoder.decode(9, TIME, link, data, len(data) if wire_length is None else wire_length)


def tcp(source: bytes = A, destination: bytes = B, payload: bytes = b"nonce", options: bytes = b"") -> bytes:
    return wire.tcp(source, destination, 40000, 5683, 0xFFFFFFF0, 77, ACK | PSH, 8192, options, payload)


def expected(payload: bytes = b"nonce", **changes) -> Packet:
    segment = tcp(changes.get("source", A), changes.get("destination", B), payload, changes.pop("options", b""))
    header = segment[: (segment[12] >> 4) * 4]
    packet = Packet(
        9, TIME, TCP, A, B, 40000, 5683, payload, len(payload), 64, 7, 0xFFFFFFF0, 77, ACK | PSH, 8192, header
    )  # fmt: skip
    return packet._replace(**changes)


def ipv4(payload: bytes, **options) -> bytes:
    return wire.ipv4(A, B, wire.TCP, payload, ident=7, **options)


def test_the_common_case_and_the_slow_path_agree() -> None:
    datagram = ipv4(tcp())
    frame = wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, datagram)
    assert decode(frame, ETHERNET) == expected()
    assert decode(datagram) == expected()


@given(
    st.binary(max_size=64),
    st.integers(0, 10).map(lambda n: bytes(4 * n)),
    st.integers(0, 10).map(lambda n: bytes(4 * n)),
)
def test_options_of_any_length(payload: bytes, ip_options: bytes, tcp_options: bytes) -> None:
    datagram = ipv4(tcp(payload=payload, options=tcp_options), options=ip_options)
    assert decode(datagram) == expected(payload, options=tcp_options)
    assert decode(wire.ethernet(MAC, MAC, 0x0800, datagram), ETHERNET) == expected(payload, options=tcp_options)


def test_ethernet_padding_is_no_payload() -> None:
    for payload in (b"", b"x"):
        frame = wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, ipv4(tcp(payload=payload)), pad=True)
        assert len(frame) == 60
        assert decode(frame, ETHERNET) == expected(payload)
    datagram = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 1, 2, b"ab"))
    packet = decode(wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, datagram, pad=True), ETHERNET)
    assert packet is not None
    assert (packet.payload, packet.length) == (b"ab", 2)


def test_what_the_snap_length_cut_still_counts() -> None:
    frame = wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, ipv4(tcp(payload=bytes(range(200)))))
    packet = decode(frame[:96], ETHERNET, len(frame))
    assert packet == expected(bytes(range(200)))._replace(payload=bytes(range(42)), header=packet.header)
    assert packet.length == 200


@pytest.mark.parametrize("captured", range(16, 20))
def test_a_cut_tcp_header_keeps_its_numbers(captured: int) -> None:
    datagram = ipv4(tcp(payload=b"hidden"))
    packet = decode(datagram[: 20 + captured], RAW, len(datagram))
    assert packet is not None
    assert (packet.sequence, packet.payload, packet.length) == (0xFFFFFFF0, b"", 6)


def test_too_little_of_a_header_is_counted_as_malformed() -> None:
    for datagram in (ipv4(tcp()), wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 1, 2, b"ab"))):
        for size in range(1, 28):
            decoder = Decoder(Notes())
            assert decode(datagram[:size], RAW, len(datagram), decoder) is None
            assert decoder.malformed == 1


def test_segmentation_offload_leaves_the_length_zero() -> None:
    payload = bytes(3000)
    datagram = bytearray(ipv4(tcp(payload=payload)))
    datagram[2:4] = b"\0\0"
    assert decode(bytes(datagram)).length == 3000
    six = bytearray(wire.ipv6(A6, B6, wire.TCP, tcp(A6, B6, payload)))
    six[4:6] = b"\0\0"
    assert decode(bytes(six)).length == 3000


def test_ipv6_and_its_extension_headers() -> None:
    segment = tcp(A6, B6)
    plain = expected(source=A6, destination=B6, ip_id=0)
    assert decode(wire.ipv6(A6, B6, wire.TCP, segment)) == plain
    options = bytes((0,)) + bytes(6)
    longer = bytes((2,)) + bytes(22)
    chain = [(wire.HOP_BY_HOP, options), (wire.ROUTING, longer), (wire.DESTINATION_OPTIONS, options)]
    assert decode(wire.ipv6(A6, B6, wire.TCP, segment, extensions=chain)) == plain
    authentication = (51, bytes((4,)) + bytes(22))
    assert decode(wire.ipv6(A6, B6, wire.TCP, segment, extensions=[authentication])) == plain
    atomic = (wire.FRAGMENT, bytes(3) + b"\0\0\0\x09")
    assert decode(wire.ipv6(A6, B6, wire.TCP, segment, extensions=[atomic])) == plain


def test_an_endless_chain_of_extension_headers_is_left() -> None:
    chain = [(wire.HOP_BY_HOP, bytes((0,)) + bytes(6))] * 100
    assert decode(wire.ipv6(A6, B6, wire.TCP, tcp(A6, B6), extensions=chain)) is None


def test_udp_and_icmp() -> None:
    datagram = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5684, 1234, b"hello"), ttl=3, ident=5)
    sent = wire.udp(A, B, 5684, 1234, b"hello")
    assert decode(datagram) == Packet(9, TIME, UDP, A, B, 5684, 1234, b"hello", 5, 3, 5, header=sent[:8])
    error = wire.icmp_error(3, 3, datagram)
    assert decode(wire.ipv4(B, A, wire.ICMP, error)) == Packet(9, TIME, ICMP, B, A, 0, 0, error, len(error), 64, 0)
    error = wire.icmpv6_error(B6, A6, 1, 4, wire.ipv6(A6, B6, wire.UDP, wire.udp(A6, B6, 1, 2, b"")))
    assert decode(wire.ipv6(B6, A6, wire.ICMPV6, error)) == Packet(
        9, TIME, ICMPV6, B6, A6, 0, 0, error, len(error), 64, 0
    )


@pytest.mark.parametrize(("claimed", "payload"), [(8 + 3, b"abc"), (8 + 5, b"abcde"), (2000, b"abcde"), (0, b"abcde")])
def test_the_udp_length_counts_as_far_as_it_makes_sense(claimed: int, payload: bytes) -> None:
    head = struct.pack(">HHHH", 1, 2, claimed, 0)
    assert decode(wire.ipv4(A, B, wire.UDP, head + b"abcde")).payload == payload


def test_an_impossible_udp_length_is_malformed() -> None:
    decoder = Decoder(Notes())
    assert decode(wire.ipv4(A, B, wire.UDP, struct.pack(">HHHH", 1, 2, 7, 0)), decoder=decoder) is None
    assert decoder.malformed == 1


@pytest.mark.parametrize("offset", [0x40, 0x00, 0xF0])
def test_an_impossible_tcp_header_length_carries_no_payload(offset: int) -> None:
    segment = bytearray(tcp())
    segment[12] = offset
    packet = decode(ipv4(bytes(segment)))
    assert packet is not None
    assert (packet.payload, packet.length) == (b"", 0)


def test_other_protocols_are_counted_and_dropped() -> None:
    decoder = Decoder(Notes())
    assert decode(wire.ipv4(A, B, 132, b"sctp"), decoder=decoder) is None
    assert decode(wire.ethernet(MAC, MAC, wire.ETHERTYPE_ARP, bytes(28), pad=True), ETHERNET, None, decoder) is None
    assert (decoder.other, decoder.malformed) == (2, 0)


def test_ipv4_fragments_complete_with_their_last_frame() -> None:
    whole = ipv4(tcp(payload=bytes(range(256)) * 4))
    parts = list(wire.ipv4_fragments(whole, 200))
    for order in (parts, parts[::-1], parts[:2] + parts[1:] + parts[-1:]):
        decoder, found = Decoder(Notes()), []
        for number, part in enumerate(order, 1):
            packet = decoder.decode(number, TIME, RAW, part, len(part))
            if packet:
                found.append(packet)
        last = 1 + next(i for i in range(len(order)) if set(order[: i + 1]) == set(parts))
        assert found == [expected(bytes(range(256)) * 4)._replace(number=last)]


def test_ipv6_fragments() -> None:
    whole = wire.ipv6(A6, B6, wire.UDP, wire.udp(A6, B6, 1, 2, bytes(range(256)) * 8))
    decoder = Decoder(Notes())
    parts = list(wire.ipv6_fragments(whole, 512, 99))
    made = [decoder.decode(number, TIME, RAW, part, len(part)) for number, part in enumerate(parts, 1)]
    assert made[:-1] == [None] * (len(parts) - 1)
    assert made[-1] == Packet(
        len(parts), TIME, UDP, A6, B6, 1, 2, bytes(range(256)) * 8, 2048, 64, 0, header=made[-1].header
    )


def test_a_first_fragment_cut_by_the_snap_length_still_names_its_flow() -> None:
    whole = ipv4(tcp(payload=bytes(2000)))
    first, second = list(wire.ipv4_fragments(whole, 1480))
    packet = decode(first[:80], RAW, len(first))
    assert packet is not None
    assert (packet.source_port, len(packet.payload), packet.length) == (40000, 40, 1460)
    assert decode(second[:80], RAW, len(second)) is None


def test_tunnels_are_looked_into() -> None:
    inner = ipv4(tcp())
    gre = struct.pack(">HH", 0, 0x0800)
    keyed = struct.pack(">HHII", 0xB000, 0x0800, 0, 0) + bytes(4)
    bridged = struct.pack(">HH", 0, 0x6558) + wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, b"")
    for outer in (
        wire.ipv4(B, A, 4, inner),
        wire.ipv6(A6, B6, 4, inner),
        wire.ipv4(B, A, 47, gre + inner),
        wire.ipv4(B, A, 47, keyed + inner),
        wire.ipv4(B, A, 47, bridged + inner),
        wire.ipv4(B, A, 4, wire.ipv4(A, B, 4, inner)),
    ):
        found = decode(outer)
        assert found is not None
        assert found._replace(carriers=()) == expected()
        assert found.carriers
    deep = inner
    for _ in range(20):
        deep = wire.ipv4(A, B, 4, deep)
    assert decode(deep) is None
    assert decode(wire.ipv4(A, B, 47, struct.pack(">HH", 1, 0x880B) + inner)) is None


#: An empty radiotap header, an 802.11 data frame to the access point (IEEE 802.11 section 9.2.3), SNAP.
RADIO = bytes.fromhex("0000080000000000")
WIRELESS = bytes.fromhex("0801") + bytes(2) + bytes(18) + bytes(2)
SNAP_IP = bytes.fromhex("aaaa030000000800")


def test_wireless_frames() -> None:
    decoder = Decoder(Notes())
    frame = RADIO + WIRELESS + SNAP_IP + ipv4(tcp())
    assert decode(frame, RADIOTAP, None, decoder) == expected()
    assert decode(frame[8:], 105, None, decoder) == expected()
    assert not decoder.unread


def test_encrypted_wireless_is_said() -> None:
    decoder = Decoder(Notes())
    frame = RADIO + b"\x08\x41" + WIRELESS[2:] + bytes(range(64))
    assert decode(frame, RADIOTAP, None, decoder) is None
    assert decode(frame, RADIOTAP, None, decoder) is None
    (problem,) = decoder.unread.problems()
    assert (problem.code, problem.frame, problem.packets) == ("encrypted-wireless", 9, 2)
    assert "--engine tshark" in problem.message


def test_what_nobody_can_read_is_named_once() -> None:
    decoder = Decoder(Notes())
    for number in range(3):
        assert decoder.decode(number + 5, TIME, 147, b"anything", 8) is None
    (problem,) = decoder.unread.problems()
    assert (problem.code, problem.frame, problem.packets) == ("unsupported-link-type", 5, 3)
    assert problem.message.startswith("3 packets are of link type LINKTYPE_147 (the first is frame 5)")


def test_scapy_reads_a_link_type_that_is_not_ours() -> None:
    """Link type 141 is Linux's IrDA to nobody; scapy has it as a loopback of OpenBSD's: whatever it knows is used."""
    from analyzer.capture.scapy_link import ScapyLinks

    known = [number for number in range(300) if ScapyLinks().knows(number)]
    assert known


@given(st.sampled_from([0, 1, 9, 12, 50, 51, 101, 105, 108, 113, 127, 228, 276, 9999]), st.binary(max_size=120))
def test_any_bytes_on_any_link_never_raise(link: int, data: bytes) -> None:
    packet = decode(data, link)
    assert packet is None or len(packet.payload) <= packet.length


@given(st.binary(min_size=1, max_size=100), st.integers(0, 120), st.integers(0, 255))
def test_damaged_headers_never_raise(payload: bytes, at: int, value: int) -> None:
    for datagram in (ipv4(tcp(payload=payload)), wire.ipv6(A6, B6, wire.TCP, tcp(A6, B6, payload))):
        damaged = bytearray(wire.ethernet(MAC, MAC, 0x0800 if datagram[0] >> 4 == 4 else 0x86DD, datagram))
        damaged[at % len(damaged)] = value
        packet = decode(bytes(damaged), ETHERNET)
        assert packet is None or len(packet.payload) <= max(packet.length, 0)
