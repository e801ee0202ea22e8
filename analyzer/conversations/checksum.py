"""The TCP checksum (RFC 9293 section 3.1), and how a checksum looks that was left to the network card."""

from __future__ import annotations

from analyzer.packet import TCP, Packet


def wrong(packet: Packet) -> bool:
    """The whole segment was captured and its checksum does not fit.

    False for what capturing on the sending host shows before the card fills it in: no checksum at all, or the sum of the
    pseudo header alone (Linux CHECKSUM_PARTIAL).
    """
    header, payload = packet.header, packet.payload
    if packet.length != len(payload) or len(header) < 20 or len(header) != (header[12] >> 4) << 2:
        return False
    stored = header[16:18]
    if stored == b"\0\0":
        return False
    length = len(header) + len(payload)
    addresses = packet.source + packet.destination
    pseudo = int.from_bytes(addresses, "big") + TCP
    body = header + payload if length % 2 == 0 else header + payload + b"\0"
    # In one's complement arithmetic a sum over 16-bit words is the number itself modulo 65535.
    if (int.from_bytes(body, "big") + pseudo + length) % 0xFFFF == 0:
        return False
    field = int.from_bytes(stored, "big") % 0xFFFF
    return field not in ((pseudo + length) % 0xFFFF, pseudo % 0xFFFF)
