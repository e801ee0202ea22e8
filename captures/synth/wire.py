"""Packets as bytes: Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP, ICMP and DNS, with right lengths and checksums.

Addresses are 4 or 16 packed bytes, MAC addresses 6 bytes; all functions return the whole packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
ETHERTYPE_IPV4, ETHERTYPE_ARP, ETHERTYPE_VLAN, ETHERTYPE_IPV6, ETHERTYPE_QINQ = 0x0800, 0x0806, 0x8100, 0x86DD, 0x88A8
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
DONT_FRAGMENT, MORE_FRAGMENTS = 0x4000, 0x2000
#: IPv6 extension header numbers (RFC 8200).
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS = 0, 43, 44, 60


def address(text: str) -> bytes:
    """``"192.0.2.1"`` or ``"2001:db8::1"`` as 4 or 16 bytes."""
    return ip_address(text).packed


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of ``data``, zero-padded to an even length."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(
    source: bytes, destination: bytes, ethertype: int, payload: bytes, vlans: Sequence[int] = (), *, pad: bool = False
) -> bytes:
    """An Ethernet II frame. Two ``vlans`` make it 802.1ad (outer tag 0x88a8); ``pad`` fills it to 60 bytes."""
    frame = destination + source
    for index, vlan in enumerate(vlans):
        outer = index == 0 and len(vlans) > 1
        frame += struct.pack(">HH", ETHERTYPE_QINQ if outer else ETHERTYPE_VLAN, vlan)
    frame += struct.pack(">H", ethertype) + payload
    return frame.ljust(60, b"\0") if pad else frame


def arp(operation: int, sender_mac: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    """An ARP request (1) or reply (2) for IPv4 over Ethernet (RFC 826)."""
    return struct.pack(">HHBBH", 1, ETHERTYPE_IPV4, 6, 4, operation) + sender_mac + sender + target_mac + target


def ipv4(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    ident: int = 0,
    fragment: int = DONT_FRAGMENT,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet; ``fragment`` is the flags-and-offset word, ``options`` a multiple of four bytes."""
    words = 5 + len(options) // 4
    total = words * 4 + len(payload)
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, total, ident & 0xFFFF, fragment, ttl, protocol, 0)
    head += source + destination + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv4_fragments(packet: bytes, size: int) -> Iterator[bytes]:
    """The same IPv4 packet in fragments of ``size`` payload bytes (a multiple of 8)."""
    head_length = (packet[0] & 15) * 4
    ident = int.from_bytes(packet[4:6], "big")
    body = packet[head_length:]
    for start in range(0, len(body), size):
        more = MORE_FRAGMENTS if start + size < len(body) else 0
        yield ipv4(
            packet[12:16],
            packet[16:20],
            packet[9],
            body[start : start + size],
            ttl=packet[8],
            ident=ident,
            fragment=more | start // 8,
        )


def ipv6(
    source: bytes,
    destination: bytes,
    protocol: int,
    payload: bytes,
    *,
    hops: int = 64,
    extensions: Iterable[tuple[int, bytes]] = (),
) -> bytes:
    """An IPv6 packet. ``extensions`` are (header number, its bytes after the next-header byte), outermost first."""
    headers = list(extensions)
    numbers = [number for number, _ in headers] + [protocol]
    chain = b"".join(bytes((numbers[index + 1],)) + body for index, (_, body) in enumerate(headers))
    head = struct.pack(">IHBB", 6 << 28, len(chain) + len(payload), numbers[0], hops)
    return head + source + destination + chain + payload


def ipv6_fragments(packet: bytes, size: int, ident: int) -> Iterator[bytes]:
    """The same IPv6 packet (without extension headers) in fragments of ``size`` payload bytes (a multiple of 8)."""
    protocol, hops, body = packet[6], packet[7], packet[40:]
    for start in range(0, len(body), size):
        more = int(start + size < len(body))
        extension = struct.pack(">BHI", 0, start | more, ident)
        yield ipv6(
            packet[8:24],
            packet[24:40],
            protocol,
            body[start : start + size],
            hops=hops,
            extensions=[(FRAGMENT, extension)],
        )


def _transport_checksum(source: bytes, destination: bytes, protocol: int, segment: bytes) -> int:
    if len(source) == 4:
        pseudo = source + destination + struct.pack(">HH", protocol, len(segment))
    else:
        pseudo = source + destination + struct.pack(">II", len(segment), protocol)
    return checksum(pseudo + segment)


def tcp(
    source: bytes,
    destination: bytes,
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledgement: int,
    flags: int,
    window: int,
    options: bytes = b"",
    payload: bytes = b"",
) -> bytes:
    """A TCP segment (RFC 9293); ``options`` a multiple of four bytes."""
    words = 5 + len(options) // 4
    head = struct.pack(
        ">HHIIBBHHH",
        source_port,
        destination_port,
        sequence & 0xFFFFFFFF,
        acknowledgement & 0xFFFFFFFF,
        words << 4,
        flags,
        window,
        0,
        0,
    )
    segment = head + options + payload
    value = _transport_checksum(source, destination, TCP, segment)
    return segment[:16] + struct.pack(">H", value) + segment[18:]


def udp(source: bytes, destination: bytes, source_port: int, destination_port: int, payload: bytes) -> bytes:
    """A UDP datagram."""
    datagram = struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    value = _transport_checksum(source, destination, UDP, datagram) or 0xFFFF
    return datagram[:6] + struct.pack(">H", value) + datagram[8:]


def icmp_error(kind: int, code: int, quoted: bytes) -> bytes:
    """An ICMP error (RFC 792) that quotes the IPv4 header and the first eight bytes behind it."""
    message = struct.pack(">BBHI", kind, code, 0, 0) + quoted[: (quoted[0] & 15) * 4 + 8]
    return message[:2] + struct.pack(">H", checksum(message)) + message[4:]


def icmpv6_error(source: bytes, destination: bytes, kind: int, code: int, quoted: bytes) -> bytes:
    """An ICMPv6 error (RFC 4443) that quotes the offending packet."""
    message = struct.pack(">BBHI", kind, code, 0, 0) + quoted[:1000]
    value = _transport_checksum(source, destination, ICMPV6, message)
    return message[:2] + struct.pack(">H", value) + message[4:]


def ip(source: bytes, destination: bytes, protocol: int, payload: bytes, *, ttl: int = 64, ident: int = 0) -> bytes:
    """IPv4 or IPv6, as the addresses ask for."""
    if len(source) == 4:
        return ipv4(source, destination, protocol, payload, ttl=ttl, ident=ident)
    return ipv6(source, destination, protocol, payload, hops=ttl)


def _dns_name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"


def dns_query(ident: int, name: str, kind: int = 1) -> bytes:
    """A recursive DNS query (RFC 1035) for ``name``; kind 1 = A, 28 = AAAA."""
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + _dns_name(name) + struct.pack(">HH", kind, 1)


def dns_answer(ident: int, name: str, addresses: Sequence[bytes], *, alias: str | None = None, rcode: int = 0) -> bytes:
    """The answer with ``addresses`` (A or AAAA by length), through a CNAME when ``alias`` is given."""
    kind = 28 if addresses and len(addresses[0]) == 16 else 1
    records = []
    owner = b"\xc0\x0c"
    if alias is not None:
        target = _dns_name(alias)
        records.append(owner + struct.pack(">HHIH", 5, 1, 60, len(target)) + target)
        owner = target
    records += [owner + struct.pack(">HHIH", kind, 1, 60, len(item)) + item for item in addresses]
    head = struct.pack(">HHHHHH", ident, 0x8180 | rcode, 1, len(records), 0, 0)
    return head + _dns_name(name) + struct.pack(">HH", kind, 1) + b"".join(records)
