"""Packets inside UDP tunnels: VXLAN (RFC 7348) and Geneve (RFC 8926), as cloud providers mirror traffic.

The outer datagram is a packet of its own (Wireshark numbers both), so what is inside comes in addition to it.
"""

from __future__ import annotations

from analyzer.capture.decode import Decoder
from analyzer.capture.links import ETHERNET
from analyzer.packet import UDP, Packet

#: VXLAN's port and the one Linux used before; Geneve's.
_VXLAN = frozenset({4789, 8472})
_GENEVE = 6081
PORTS = _VXLAN | {_GENEVE}

_VNI_VALID = 0x08
_ETHERNET_INSIDE = b"\x65\x58"
_IP_INSIDE = (b"\x08\x00", b"\x86\xdd")
_HEADER = 8


def inside(packet: Packet, decoder: Decoder) -> Packet | None:
    """The TCP, UDP or ICMP packet that a tunnel's datagram carries; None when it is no such datagram or carries none."""
    data = packet.payload
    if packet.protocol != UDP or packet.destination_port not in PORTS or len(data) <= _HEADER:
        return None
    start, kind = _HEADER, _ETHERNET_INSIDE
    if packet.destination_port == _GENEVE:
        if data[0] >> 6:
            return None
        start += (data[0] & 0x3F) << 2
        kind = data[2:4]
    elif not data[0] & _VNI_VALID:
        return None
    wire = packet.length - start
    if kind == _ETHERNET_INSIDE:
        return decoder.decode(packet.number, packet.time_ns, ETHERNET, data[start:], wire)
    return decoder.ip(packet.number, packet.time_ns, data[start:], 0, wire) if kind in _IP_INSIDE else None
