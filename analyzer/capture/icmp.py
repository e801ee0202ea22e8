"""ICMP errors: which datagram they are about (RFC 792, RFC 4443: an error quotes the start of it)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from analyzer.packet import ICMP, ICMPV6, IcmpError, Packet

_PORTS = Struct("!HH").unpack_from
#: Unreachable, source quench, time exceeded, parameter problem; ICMPv6: unreachable, too big, time exceeded, parameter.
_ERRORS = {ICMP: frozenset({3, 4, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
#: A redirect quotes as well, but is no error.
_QUOTING = {ICMP: _ERRORS[ICMP] | {5}, ICMPV6: _ERRORS[ICMPV6]}
_QUOTE = 8
_PLAIN_EXTENSIONS = frozenset({0, 43, 60})
_MAX_EXTENSIONS = 8


class Quote(NamedTuple):
    """A quoted datagram: what it was, and as much of its transport layer as there is."""

    error: IcmpError
    transport: bytes


def quoted(packet: Packet) -> IcmpError | None:
    """What an ICMP or ICMPv6 error quotes; None for any other packet, and when the quote does not reach the ports."""
    quote = read_quote(packet)
    return quote.error if quote is not None and quote.error.kind in _ERRORS[packet.protocol] else None


def read_quote(packet: Packet) -> Quote | None:
    """Like `quoted`, with the quoted bytes, and for redirects too."""
    data = packet.payload
    if packet.protocol not in _QUOTING or len(data) < _QUOTE + 20 or data[0] not in _QUOTING[packet.protocol]:
        return None
    if data[_QUOTE] >> 4 == 4 and packet.protocol == ICMP:
        protocol, source, destination = data[17], data[20:24], data[24:28]
        at = _QUOTE + ((data[_QUOTE] & 15) << 2)
        if int.from_bytes(data[14:16], "big") & 0x1FFF:
            return None  # a later fragment: no ports
    elif data[_QUOTE] >> 4 == 6 and packet.protocol == ICMPV6 and len(data) >= _QUOTE + 40:
        protocol, source, destination = data[14], data[16:32], data[32:48]
        at = _QUOTE + 40
        for _ in range(_MAX_EXTENSIONS):
            if protocol in _PLAIN_EXTENSIONS and len(data) >= at + 2:
                protocol, at = data[at], at + ((data[at + 1] + 1) << 3)
            elif protocol == 44 and len(data) >= at + 4 and not int.from_bytes(data[at + 2 : at + 4], "big") & 0xFFF8:
                protocol, at = data[at], at + 8
            else:
                break
    else:
        return None
    if at < _QUOTE + 20 or len(data) < at + 4:
        return None
    source_port, destination_port = _PORTS(data, at)
    return Quote(IcmpError(data[0], data[1], protocol, source, destination, source_port, destination_port), data[at:])
