"""The same packet captured more than once: on several interfaces at a time (``-i any``), or before and behind a hop."""

from __future__ import annotations

from analyzer.packet import SYN, TCP, Packet

#: How far apart two sightings of one packet are at most. A sender never repeats itself this fast: the shortest
#: retransmission timeout in use is 200 ms (Linux TCP_RTO_MIN), and a new packet gets a new IP identification.
_SAME_HOP_NS = 150_000_000
_NO_ID_NS = 20_000_000
#: Behind a router (another TTL) it may be the queue that kept it.
_OTHER_HOP_NS = 1_000_000_000
_REMEMBERED = 32


class Sightings:
    """Remembers the last packets of one conversation."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], tuple[int, int, bytes]] = {}

    def again(self, packet: Packet) -> bool:
        """This packet was seen just before; remembers it if not."""
        key: tuple[object, ...]
        if packet.protocol == TCP:
            # A router may lower the MSS of a SYN on the way (RFC 4459), and with it the checksum.
            checksum = b"" if packet.flags & SYN and packet.ip_id else packet.header[16:18]
            key = (
                packet.source, packet.ip_id, packet.sequence, packet.acknowledgement, packet.flags, packet.length, checksum
            )  # fmt: skip
        else:
            key = (packet.source, packet.ip_id, packet.source_port, packet.payload, packet.length)
        before = self._seen.get(key)
        if before is not None:
            ttl, time_ns, payload = before
            if not _alike(payload, packet.payload):
                return False  # one of them is damaged: which one, the checksum tells
            limit = _SAME_HOP_NS if packet.ip_id else _NO_ID_NS
            if packet.ttl != ttl:
                limit = _OTHER_HOP_NS
            if abs(packet.time_ns - time_ns) <= limit:
                return True
            del self._seen[key]
        elif len(self._seen) >= _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = packet.ttl, packet.time_ns, packet.payload
        return False


def _alike(one: bytes, other: bytes) -> bool:
    """The same bytes, as far as both are captured."""
    return one == other or one.startswith(other) or other.startswith(one)
