"""What a TCP and a UDP flow have in common while packets come in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from ipaddress import ip_address

from analyzer.conversations.duplicates import Sightings
from analyzer.conversations.model import Carried, Conversation, Ended, IcmpNote
from analyzer.conversations.options import Options
from analyzer.packet import Carrier, Packet

#: Rough cost in bytes of a packet that is held, beside its payload: the tuple, its numbers, addresses and header.
PACKET_COST = 560
#: More duplicates or ICMP errors than this are not listed one by one.
_MAX_LISTED = 10_000
#: Different tunnels noted.
_MAX_CARRIERS = 16

#: Address (4 or 16 bytes) and port.
End = tuple[bytes, int]


class Flow(ABC):
    """All packets between two ends so far; side 0 is the end that sorts first, as in the table's key."""

    __slots__ = (
        "carriers", "closed", "cost", "dropped", "duplicates", "ends", "first_frame", "first_ns", "icmp", "key", "last_frame",
        "newest_ns", "packets", "protocol", "resumed", "sightings", "state", "streams", "touched",
    )  # fmt: skip

    def __init__(self, protocol: int, key: bytes, ends: tuple[End, End], state: int, first: Packet) -> None:
        self.protocol = protocol
        self.key = key
        self.ends = ends
        #: Wireshark's numbering (`streams`), and (frame, number) from which on a number holds.
        self.state = state
        self.streams: list[tuple[int, int | None]] = []
        #: What is kept, in file order.
        self.packets: list[Packet] = []
        self.cost = PACKET_COST
        #: Packets that were not kept because of a limit.
        self.dropped = 0
        self.duplicates: list[int] = []
        #: ICMP errors about the flow: note, side of the quoted packet, Wireshark counts it to the stream.
        self.icmp: list[tuple[IcmpNote, int, bool]] = []
        self.first_frame = self.last_frame = first.number
        self.first_ns = self.newest_ns = first.time_ns
        #: The table's clock at the last packet.
        self.touched = 0
        #: Part of what Wireshark calls this stream belongs to a conversation that was handed out before.
        self.resumed = False
        #: Nothing more is expected.
        self.closed = False
        self.sightings = Sightings()
        #: What its packets travelled in, each with the first frame.
        self.carriers: dict[tuple[Carrier, ...], int] = {}

    def side(self, packet: Packet) -> int:
        """Which end sent it."""
        return 0 if (packet.source, packet.source_port) == self.ends[0] else 1

    def see(self, packet: Packet, stream: int | None) -> bool:
        """Counts a packet of the flow; False when it is a duplicate."""
        number = packet.number
        if packet.carriers and packet.carriers not in self.carriers and len(self.carriers) < _MAX_CARRIERS:
            self.carriers[packet.carriers] = number
        if number > self.last_frame:
            self.last_frame = number
        if packet.time_ns > self.newest_ns:
            self.newest_ns = packet.time_ns
        elif packet.time_ns < self.first_ns:
            self.first_ns = packet.time_ns
        if not self.streams or self.streams[-1][1] != stream:
            self.streams.append((number, stream))
        if self.sightings.again(packet):
            if len(self.duplicates) < _MAX_LISTED:
                self.duplicates.append(number)
            return False
        return True

    @abstractmethod
    def add(self, packet: Packet, side: int, stream: int | None, options: Options) -> None:
        """Takes in a packet."""

    @abstractmethod
    def conversations(self, ended: Ended, options: Options, shared: bool = False) -> Iterator[Conversation]:
        """What the flow holds. ``shared``: packets that follow belong to the same stream in Wireshark."""

    def add_icmp(self, note: IcmpNote, side: int, counted: bool) -> None:
        """An ICMP error about a packet of ``side``; ``counted``: Wireshark gives it the flow's stream number."""
        if len(self.icmp) < _MAX_LISTED:
            self.icmp.append((note, side, counted))
            self.last_frame = max(self.last_frame, note.frame)
            self.first_frame = min(self.first_frame, note.frame)

    def carried(self) -> tuple[Carried, ...]:
        """`carriers` for a conversation."""
        return tuple(
            Carried(tuple((tunnel.name, _text(tunnel.source), _text(tunnel.destination)) for tunnel in chain), frame)
            for chain, frame in self.carriers.items()
        )

    def streams_between(self, first: int, last: int) -> list[int | None]:
        """The stream numbers that its packets of frames ``first`` to ``last`` have, the first one first."""
        at = max(bisect_right(self.streams, first, key=lambda entry: entry[0]) - 1, 0)
        until = bisect_right(self.streams, last, key=lambda entry: entry[0])
        return list(dict.fromkeys(number for _, number in self.streams[at:until]))


def _text(address: bytes) -> str:
    return str(ip_address(address))
