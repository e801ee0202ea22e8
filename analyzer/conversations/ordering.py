"""The segments between two ends, brought into time order and split into connections."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.packet import ACK, FIN, RST, SYN, Packet

_MASK = 0xFFFFFFFF
#: A SYN with the number of the first one is a retransmission, unless the connection was in use this long ago.
_REUSED_NS = 1_000_000_000

End = tuple[bytes, int]


class Opening:
    """Knows of one connection what tells a new one between the same ends from a retransmitted SYN."""

    __slots__ = ("_busy_ns", "_closed", "_syns", "packets")

    def __init__(self) -> None:
        self._syns: dict[End, int] = {}
        self._closed = False
        self._busy_ns: int | None = None
        self.packets = 0

    def anew(self, packet: Packet) -> bool:
        """This is the first packet of another connection."""
        if packet.flags & (SYN | ACK) != SYN or not self.packets:
            return False
        known = self._syns.get((packet.source, packet.source_port))
        if known is None:
            # The other end's SYN alone is a simultaneous open (RFC 9293 figure 7), not an older connection.
            return self._closed or self._busy_ns is not None or not self._syns
        if known != packet.sequence:
            return True
        return self._busy_ns is not None and (self._closed or packet.time_ns - self._busy_ns > _REUSED_NS)

    def note(self, packet: Packet) -> None:
        """Takes in a packet that belongs to this connection."""
        self.packets += 1
        flags = packet.flags
        if flags & SYN:
            self._syns.setdefault((packet.source, packet.source_port), packet.sequence)
        elif packet.length or flags & FIN:
            self._busy_ns = packet.time_ns
        if flags & (FIN | RST):
            self._closed = True


def in_order(packets: Sequence[Packet]) -> list[Packet]:
    """In the order in which they were sent. By time; but when the capture's clock was set back on the way, as captured."""
    captured = list(packets)
    if all(a.time_ns <= b.time_ns for a, b in zip(captured, captured[1:], strict=False)):
        return captured
    by_time = sorted(captured, key=lambda packet: (packet.time_ns, packet.number))
    return captured if _contradictions(captured) < _contradictions(by_time) else by_time


def _contradictions(packets: Sequence[Packet]) -> int:
    """How often a segment steps back in its stream, acknowledges what was not sent yet or precedes its SYN."""
    ends: dict[End, int] = {}
    found = 0
    for packet in packets:
        me, other = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
        if packet.flags & RST:
            continue
        end = packet.sequence + packet.length + (packet.flags & SYN) // SYN + (packet.flags & FIN)
        if me in ends and _before(end, ends[me]):
            found += 1
        else:
            ends[me] = end & _MASK
        if packet.flags & ACK and other in ends and _before(ends[other], packet.acknowledgement):
            found += 1
    return found


def _before(a: int, b: int) -> bool:
    """Sequence number ``a`` is before ``b``."""
    return bool((a - b) & 0x80000000)


def connections(packets: Sequence[Packet]) -> list[list[Packet]]:
    """Packets in order, split where a SYN opens another connection."""
    found: list[list[Packet]] = []
    opening = Opening()
    for packet in packets:
        if not found or opening.anew(packet):
            found.append([])
            opening = Opening()
        found[-1].append(packet)
        opening.note(packet)
    return found
