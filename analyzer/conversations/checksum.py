"""The TCP and UDP checksums (RFC 9293 section 3.1, RFC 768), and how one looks that was left to the network card."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from analyzer.packet import TCP, UDP, Packet

#: Where the checksum is in the header, by protocol.
_PLACE = {TCP: 16, UDP: 6}
_UDP_HEADER = 8


class Sum(Enum):
    """What a packet's checksum says of it."""

    RIGHT = "right"
    WRONG = "wrong"
    #: None at all: UDP over IPv4 may leave it out, and some hosts leave it to the network card.
    ABSENT = "absent"
    #: The sum of the pseudo header alone: what capturing on the sending host shows before the network card fills it in,
    #: and on the receiving one after it joined segments (Linux CHECKSUM_PARTIAL, GRO).
    PARTIAL = "partial"
    #: The packet was not captured as a whole.
    UNKNOWN = "unknown"


def wrong(packet: Packet) -> bool:
    """The whole packet was captured and its checksum does not fit; False also for one that was never filled in."""
    return verify(packet) is Sum.WRONG


def verify(packet: Packet) -> Sum:
    """Checks a TCP segment or UDP datagram against its checksum."""
    header, payload = packet.header, packet.payload
    place = _PLACE.get(packet.protocol)
    if place is None or packet.length != len(payload):
        return Sum.UNKNOWN
    length = len(header) + len(payload)
    if packet.protocol == TCP:
        if len(header) < 20 or len(header) != (header[12] >> 4) << 2:
            return Sum.UNKNOWN
    elif len(header) != _UDP_HEADER:
        return Sum.UNKNOWN
    stored = header[place : place + 2]
    if stored == b"\0\0" and packet.protocol == UDP:
        return Sum.ABSENT
    if packet.protocol == UDP and int.from_bytes(header[4:6], "big") not in (0, length):
        return Sum.WRONG  # its own length and IP's do not agree: one of them was changed
    pseudo = int.from_bytes(packet.source + packet.destination, "big") + packet.protocol
    body = header + payload if length % 2 == 0 else header + payload + b"\0"
    # In one's complement arithmetic a sum over 16-bit words is the number itself modulo 65535.
    if (int.from_bytes(body, "big") + pseudo + length) % 0xFFFF == 0:
        return Sum.RIGHT
    if stored == b"\0\0":
        return Sum.ABSENT
    field = int.from_bytes(stored, "big") % 0xFFFF
    return Sum.PARTIAL if field in ((pseudo + length) % 0xFFFF, pseudo % 0xFFFF) else Sum.WRONG


def damaged(packets: Iterable[Packet]) -> frozenset[int]:
    """Frames of one sender's packets that no receiver takes: their checksum is wrong, and others of that sender are right.

    Where none is right they say nothing: they were left to the network card, or the file was rewritten.
    """
    states = [(packet.number, verify(packet)) for packet in packets]
    if not any(state is Sum.RIGHT for _, state in states):
        return frozenset()
    return frozenset(number for number, state in states if state is Sum.WRONG)


def tallied(packets: Iterable[Packet]) -> tuple[int, int]:
    """How many of these have a right, and how many a wrong checksum."""
    states = [verify(packet) for packet in packets]
    return states.count(Sum.RIGHT), states.count(Sum.WRONG)


def doubtful(packets: Iterable[Packet]) -> tuple[int, ...]:
    """Frames of one sender's packets that may have been changed on the way, ascending.

    Those are the wrong ones, and data without any of a sender who fills in others: a host leaves all or none to its card.
    """
    found = [(packet.number, verify(packet), bool(packet.payload)) for packet in packets]
    fills_in = any(state is Sum.RIGHT and data for _, state, data in found)
    bad = {Sum.WRONG, Sum.ABSENT} if fills_in else {Sum.WRONG}
    return tuple(sorted(number for number, state, _ in found if state in bad))
