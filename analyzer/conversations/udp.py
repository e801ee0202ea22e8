"""A UDP flow while it is open, and the conversation it becomes."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.conversations import roles
from analyzer.conversations.checksum import damaged, doubtful, tallied
from analyzer.conversations.filters import Selection, display_filter, endpoint
from analyzer.conversations.flow import PACKET_COST, End, Flow
from analyzer.conversations.model import Datagram, Ended, RoleSource, UdpConversation
from analyzer.conversations.options import Options
from analyzer.packet import Packet
from dissectors.events import Direction, Mark


class UdpFlow(Flow):
    """Datagrams between two ends."""

    __slots__ = ("_bytes", "_repeated")

    def __init__(self, protocol: int, key: bytes, ends: tuple[End, End], state: int, first: Packet) -> None:
        super().__init__(protocol, key, ends, state, first)
        self._bytes = 0
        self._repeated: set[int] = set()

    def add(self, packet: Packet, side: int, stream: int | None, options: Options) -> None:
        """Takes in a datagram; one beyond the limits is only counted."""
        fresh = self.see(packet, stream)
        size = len(packet.payload)
        if len(self.packets) >= options.udp_datagrams or self._bytes + size > options.udp_payload:
            self.dropped += 1
            return
        if not fresh:
            self._repeated.add(packet.number)
        self._bytes += size
        self.cost += PACKET_COST + size
        self.packets.append(packet)

    def conversations(self, ended: Ended, options: Options, shared: bool = False) -> Iterator[UdpConversation]:
        """What the flow holds: one conversation."""
        packets = sorted(self.packets, key=lambda packet: (packet.time_ns, packet.number))
        by_side = [[packet for packet in packets if self.side(packet) == side] for side in (0, 1)]
        dropped = damaged(by_side[0]) | damaged(by_side[1])
        cloud, source = self._roles([p for p in packets if p.number not in dropped] or packets, options)
        directions = (Direction.DOWN, Direction.UP) if cloud == 0 else (Direction.UP, Direction.DOWN)
        ends = (endpoint(*self.ends[0]), endpoint(*self.ends[1]))
        stream = self.streams[0][1] if self.streams else None
        ranged = shared or self.resumed or ended in ("idle", "evicted")
        selection = Selection(
            "udp",
            ends,
            stream,
            (self.first_frame, self.last_frame) if ranged else None,
            tuple(note.frame for note, _, counted in self.icmp if not counted),
        )
        notes = (f"{self.dropped:,} datagrams were too many to keep and are counted only",) if self.dropped else ()
        yield UdpConversation(
            stream=stream,
            device=ends[1 - cloud],
            cloud=ends[cloud],
            role_source=source,
            datagrams=tuple(
                Datagram(
                    directions[self.side(p)],
                    p.payload,
                    p.length,
                    Mark((p.number,), p.time_ns),
                    p.number in self._repeated,
                    p.number in dropped,
                )
                for p in packets
            ),
            icmp=tuple(note._replace(about=directions[side]) for note, side, _ in self.icmp),
            first_frame=self.first_frame,
            last_frame=self.last_frame,
            start_ns=self.first_ns,
            end_ns=self.newest_ns,
            ended=ended,
            filter=display_filter(selection),
            notes=notes,
            checksum_bad=tuple(sorted(frame for sent in by_side for frame in doubtful(sent))),
            checksums=tallied(packets),
            ttls=(_ttls(by_side[1 - cloud]), _ttls(by_side[cloud])),
            carried=self.carried(),
        )

    def _roles(self, packets: list[Packet], options: Options) -> tuple[int, RoleSource]:
        """The cloud's side and how that is known."""
        for packet in packets:
            client = roles.dtls_client(packet.payload)
            if client is not None:
                side = self.side(packet)
                return (1 - side if client else side), "content"
        known = roles.by_port((self.ends[0][1], self.ends[1][1]), options.cloud_udp)
        return known or (1 - self.side(packets[0]), "first")


def _ttls(packets: list[Packet]) -> tuple[int, ...]:
    return tuple(sorted({packet.ttl for packet in packets}))
