"""A TCP flow while it is open, and the conversations it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from analyzer.conversations import roles
from analyzer.conversations.filters import Selection, display_filter, endpoint
from analyzer.conversations.flow import PACKET_COST, End, Flow
from analyzer.conversations.model import (
    Chunk,
    Close,
    Ended,
    Gap,
    Keepalive,
    Piece,
    Reset,
    RoleSource,
    SideFacts,
    TcpConversation,
    TcpFacts,
)
from analyzer.conversations.options import Options
from analyzer.conversations.ordering import Opening, connections, in_order
from analyzer.conversations.proxied import ProxyHeader, without_header
from analyzer.conversations.reassembly import Assembly, Delivery, Part
from analyzer.packet import FIN, RST, SYN, Packet
from dissectors.events import Direction, Mark

#: Control segments kept beyond the limit, so that the ending is known.
_MAX_CONTROL = 1000
#: Data offset byte of a TCP header of 20 bytes; less is a damaged packet.
_SHORTEST_HEADER = b"\x50"
#: A session known by content alone has a nonce and an answer.
_FEWEST_MESSAGES = 2


class TcpFlow(Flow):
    """Segments between two ends, held until the connection is over."""

    __slots__ = ("_control", "_fins", "_kept", "opening")

    def __init__(self, protocol: int, key: bytes, ends: tuple[End, End], state: int, first: Packet) -> None:
        super().__init__(protocol, key, ends, state, first)
        self.opening = Opening()
        self._kept = [0, 0]
        self._control = 0
        self._fins = 0

    @property
    def payload(self) -> int:
        """Payload bytes held."""
        return sum(self._kept)

    def add(self, packet: Packet, side: int, stream: int | None, options: Options) -> None:
        """Takes in a segment. Beyond the limits its payload becomes a gap, or only what ends the connection is kept."""
        if not self.see(packet, stream) or packet.header[12:13] < _SHORTEST_HEADER:
            return
        self.opening.note(packet)
        flags = packet.flags
        if flags & FIN:
            self._fins |= 1 << side
        if flags & RST or self._fins == 3:
            self.closed = True
        size = len(packet.payload)
        if len(self.packets) >= options.tcp_segments + self._control:
            self.dropped += 1
            if not flags & (SYN | FIN | RST) or self._control >= _MAX_CONTROL:
                return
            self._control += 1
        elif self._kept[side] + size > options.tcp_payload:
            self.dropped += 1
            packet, size = packet._replace(payload=b""), 0
        self._kept[side] += size
        self.cost += PACKET_COST + size
        self.packets.append(packet)

    def is_session(self) -> bool:
        """What has come so far is a device's session by its content alone."""
        spoken = [packet for packet in self.packets if packet.length > 0]
        if len(spoken) < _FEWEST_MESSAGES or len({self.side(packet) for packet in spoken}) < 2:
            return False  # told without assembling it: most flows of a capture of one direction end here
        for segments in connections(in_order(self.packets)):
            parts = Assembly(segments, self.ends[0]).parts
            if roles.cloud_by_content(parts) is not None and roles.answered(parts):
                return True
        return False

    def conversations(self, ended: Ended, options: Options, shared: bool = False) -> Iterator[TcpConversation]:
        """What the flow holds: one conversation; several when the file is not in time order."""
        found = connections(in_order(self.packets))
        if len(found) == 1:
            whole = _Extent(self.first_frame, self.last_frame, self.first_ns, self.newest_ns)
            ranged = shared or self.resumed or ended in ("idle", "evicted")
            yield self._conversation(found[0], whole, ranged, ended, options)
            return
        for segments in found:
            reason: Ended = ended if segments is found[-1] else "reused"
            yield self._conversation(segments, _extent(segments), True, reason, options)

    def _conversation(
        self, segments: Sequence[Packet], extent: _Extent, ranged: bool, ended: Ended, options: Options
    ) -> TcpConversation:
        built = Assembly(segments, self.ends[0])
        parts, announced, header = without_header(built.parts)
        cloud, source = self._roles(built, options) if announced is None else _announced(announced)
        directions = (Direction.DOWN, Direction.UP) if cloud == 0 else (Direction.UP, Direction.DOWN)
        ends = (endpoint(*self.ends[0]), endpoint(*self.ends[1]))
        icmp = [entry for entry in self.icmp if extent.first_frame <= entry[0].frame <= extent.last_frame]
        streams = self.streams_between(extent.first_frame, extent.last_frame)
        selection = Selection(
            "tcp",
            ends,
            streams[0] if len(streams) == 1 else None,
            (extent.first_frame, extent.last_frame) if ranged or len(streams) > 1 else None,
            tuple(note.frame for note, _, counted in icmp if not counted),
        )
        notes = list(built.notes)
        if built.mid_stream:
            notes.append("the capture starts in the middle: offsets count from the first byte seen")
        if built.one_direction_only:
            notes.append("only one direction was captured")
        if self.dropped:
            notes.append(f"the payload of {self.dropped:,} packets was too much to keep")
        duplicates = tuple(n for n in self.duplicates if extent.first_frame <= n <= extent.last_frame)
        return TcpConversation(
            stream=streams[0] if streams else None,
            device=ends[1 - cloud],
            cloud=ends[cloud],
            role_source=source,
            pieces=tuple(_piece(part, directions) for part in parts),
            facts=replace(
                _facts(built, directions, header.length if header else 0),
                duplicates=duplicates,
                icmp=tuple(note._replace(about=directions[side]) for note, side, _ in icmp),
            ),
            first_frame=extent.first_frame,
            last_frame=extent.last_frame,
            start_ns=extent.start_ns,
            end_ns=extent.end_ns,
            ended=ended,
            filter=display_filter(selection),
            notes=tuple(notes),
            origins=(_behind(built.sides[1 - cloud].sent.first, header), built.sides[cloud].sent.first),
            proxy=header,
            checksums=built.checksums,
            frames=tuple(sorted({*(packet.number for packet in segments), *duplicates})),
            carried=self.carried(),
        )

    def _roles(self, built: Assembly, options: Options) -> tuple[int, RoleSource]:
        """The cloud's side and how that is known."""
        cloud = roles.cloud_by_content(built.parts)
        opener = built.opener
        if cloud is not None and (roles.answered(built.parts) or opener is None):
            return cloud, "content"
        if opener is not None:
            return 1 - opener, "syn"
        known = roles.by_port((self.ends[0][1], self.ends[1][1]), options.cloud_tcp)
        return known or (1 - self.side(self.packets[0]), "port")


class _Extent(NamedTuple):
    """Where a conversation begins and ends."""

    first_frame: int
    last_frame: int
    start_ns: int
    end_ns: int


def _extent(segments: Sequence[Packet]) -> _Extent:
    frames = [packet.number for packet in segments]
    times = [packet.time_ns for packet in segments]
    return _Extent(min(frames), max(frames), min(times), max(times))


def _announced(device: int) -> tuple[int, RoleSource]:
    """A header stands before what this side sends: it is the client."""
    return 1 - device, "content"


def _behind(origin: int | None, header: ProxyHeader | None) -> int | None:
    return origin if origin is None or header is None else (origin + header.length) & 0xFFFFFFFF


def _piece(part: Part, directions: tuple[Direction, Direction]) -> Piece:
    direction, mark = directions[part.side], Mark((part.frame,), part.time_ns)
    if part.how is not None:
        return Close(direction, part.how, mark)
    if part.data is None:
        return Gap(direction, part.offset, part.length, part.cut, mark)
    return Chunk(direction, part.offset, part.data, mark)


def _facts(built: Assembly, directions: tuple[Direction, Direction], header: int) -> TcpFacts:
    device = directions.index(Direction.UP)

    def mark(packet: Packet) -> Mark:
        return Mark((packet.number,), packet.time_ns)

    def directed(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, Direction], ...]:
        return tuple((frame, directions[side]) for frame, side in pairs)

    return TcpFacts(
        syn=tuple(mark(packet) for _, packet in built.syns),
        syn_ack=mark(built.syn_acks[0][1]) if built.syn_acks else None,
        established=mark(built.established) if built.established else None,
        rsts=tuple(Reset(p.number, p.time_ns, directions[side], p.ttl, p.ip_id, p.window) for side, p in built.resets),
        fins=directed(built.fins),
        retransmissions=directed(built.retransmissions),
        keepalives=tuple(Keepalive(frame, time_ns, directions[side]) for frame, time_ns, side in built.keepalives),
        zero_windows=directed(built.zero_windows),
        out_of_order=directed(built.out_of_order),
        conflicts=tuple(built.conflicts),
        checksum_bad=tuple(built.checksum_bad),
        one_direction_only=built.one_direction_only,
        mid_stream=built.mid_stream,
        up=_side_facts(built.sides[device], header),
        down=_side_facts(built.sides[1 - device], 0),
    )


def _side_facts(side: Delivery, header: int) -> SideFacts:
    """``header``: bytes before the side's own."""
    sent = side.sent
    acked = max(0, min(sent.acked, sent.end if sent.fin is None else sent.fin))
    return SideFacts(
        packets=sent.packets,
        payload_bytes=max(0, side.next - header),
        acked=max(0, acked - header),
        last_payload_ns=side.last_payload_ns,
        ttls=tuple(sorted(side.ttls)),
        retransmitted_unacked=side.last_again > acked,
        fin_acked=sent.fin is not None and sent.acked > sent.fin,
    )
