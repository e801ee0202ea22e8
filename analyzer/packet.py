"""The packet every reader produces, whatever the file format, link type or engine.

A ``NamedTuple`` and not a dataclass: one is made per candidate packet, and a frozen dataclass takes four times as long.
"""

from __future__ import annotations

from typing import NamedTuple

TCP = 6
UDP = 17
ICMP = 1
ICMPV6 = 58

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10


class Carrier(NamedTuple):
    """What a packet travelled in: the tunnel's name, and the addresses of its ends (4 or 16 bytes)."""

    name: str
    source: bytes
    destination: bytes


class Packet(NamedTuple):
    """One TCP segment, UDP datagram or ICMP error, IP fragments already joined."""

    #: Wireshark's ``frame.number`` (of the last fragment for a packet that was joined from fragments).
    number: int
    #: Nanoseconds since 1970 (UTC).
    time_ns: int
    #: IP protocol number: TCP, UDP, ICMP or ICMPV6.
    protocol: int
    #: Addresses as 4 or 16 bytes.
    source: bytes
    destination: bytes
    #: Ports; 0 for ICMP.
    source_port: int
    destination_port: int
    #: Captured transport payload; shorter than ``length`` when the snap length cut it.
    payload: bytes
    #: Transport payload length on the wire.
    length: int
    #: IPv4 TTL or IPv6 hop limit, and the IPv4 identification (0 for IPv6).
    ttl: int = 0
    ip_id: int = 0
    #: TCP only: sequence and acknowledgement number, flags, window. ``header``: that of TCP or UDP as captured.
    sequence: int = 0
    acknowledgement: int = 0
    flags: int = 0
    window: int = 0
    header: bytes = b""
    #: Tunnels around it, outermost first.
    carriers: tuple[Carrier, ...] = ()


class IcmpError(NamedTuple):
    """The datagram an ICMP error quotes, read from its payload."""

    kind: int
    code: int
    protocol: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int


class Problem(NamedTuple):
    """Something about an input that limits what can be said: stable kebab-case code, a sentence, the frame if one."""

    code: str
    message: str
    frame: int | None = None
    #: How many packets, where they are counted.
    packets: int | None = None
