"""ICMP errors: which datagram they are about (RFC 792, RFC 4443: an error quotes the start of it)."""

from __future__ import annotations

from struct import Struct

from analyzer.packet import ICMP, ICMPV6, IcmpError, Packet

_PORTS = Struct("!HH").unpack_from
#: Unreachable, source quench, time exceeded, parameter problem; ICMPv6: unreachable, too big, time exceeded, parameter.
_ERRORS = {ICMP: frozenset({3, 4, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
_QUOTE = 8
_PLAIN_EXTENSIONS = frozenset({0, 43, 60})
_MAX_EXTENSIONS = 8


def quoted(packet: Packet) -> IcmpError | None:
    """What an ICMP or ICMPv6 error quotes; None for any other packet, and when the quote does not reach the ports."""
    data = packet.payload
    if packet.protocol not in _ERRORS or len(data) < _QUOTE + 20 or data[0] not in _ERRORS[packet.protocol]:
        return None
    if data[_QUOTE] >> 4 == 4 and packet.protocol == ICMP:
        protocol, source, destination = (
            data[_QUOTE + 9],
            data[_QUOTE + 12 : _QUOTE + 16],
            data[_QUOTE + 16 : _QUOTE + 20],
        )
        at = _QUOTE + ((data[_QUOTE] & 15) << 2)
        if int.from_bytes(data[_QUOTE + 6 : _QUOTE + 8], "big") & 0x1FFF:
            return None  # a later fragment: no ports
    elif data[_QUOTE] >> 4 == 6 and packet.protocol == ICMPV6 and len(data) >= _QUOTE + 40:
        protocol, source, destination = (
            data[_QUOTE + 6],
            data[_QUOTE + 8 : _QUOTE + 24],
            data[_QUOTE + 24 : _QUOTE + 40],
        )
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
    return IcmpError(data[0], data[1], protocol, source, destination, source_port, destination_port)
