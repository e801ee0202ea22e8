"""A TCP connection written down segment by segment, as packets of a capture (helper of the tests beside it)."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.conversations import Chunk, Close, Conversations, Gap, Options, TcpConversation
from analyzer.packet import ACK, FIN, ICMP, PSH, RST, SYN, TCP, UDP, Packet
from captures.synth import capfile, wire
from dissectors.events import Direction

DEVICE, CLOUD = wire.address("192.0.2.50"), wire.address("203.0.113.10")
MS = 1_000_000
START = 1_700_000_000_000_000_000
UP, DOWN = Direction.UP, Direction.DOWN


@dataclass
class Talk:
    """Makes segments one after the other; ``up`` is the device's side. Offsets count from 0, behind the SYN."""

    port: int = 40000
    cloud_port: int = 5683
    isn: dict[Direction, int] = field(default_factory=lambda: {UP: 1000, DOWN: 5000})
    time_ns: int = START
    number: int = 0
    ip_id: int = 100
    packets: list[Packet] = field(default_factory=list)
    sent: dict[Direction, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})

    def segment(
        self,
        direction: Direction,
        payload: bytes = b"",
        flags: int = ACK,
        offset: int | None = None,
        ack: int | None = None,
        after: int = 10 * MS,
        keep: int | None = None,
        **changes,
    ) -> Packet:
        """One segment; ``offset`` -1 is the SYN's place, ``keep`` bytes of the payload were captured."""
        self.time_ns += after
        self.number += 1
        self.ip_id += 1
        source, destination = (DEVICE, CLOUD) if direction is UP else (CLOUD, DEVICE)
        ports = (self.port, self.cloud_port) if direction is UP else (self.cloud_port, self.port)
        place = self.sent[direction] if offset is None else offset
        sequence = (self.isn[direction] + 1 + place) & 0xFFFFFFFF
        seen = self.sent[direction.other] if ack is None else ack
        acknowledgement = (self.isn[direction.other] + 1 + seen) & 0xFFFFFFFF if flags & ACK else 0
        raw = wire.tcp(source, destination, *ports, sequence, acknowledgement, flags, 1024, payload=payload)
        packet = Packet(
            self.number, self.time_ns, TCP, source, destination, *ports, payload if keep is None else payload[:keep],
            len(payload), 64, self.ip_id, sequence, acknowledgement, flags, 1024, raw[:20],
        )._replace(**changes)  # fmt: skip
        if offset is None:
            self.sent[direction] += len(payload) + bool(flags & FIN)
        self.packets.append(packet)
        return packet

    def open(self) -> Talk:
        """The three-way handshake."""
        self.segment(UP, flags=SYN, offset=-1)
        self.segment(DOWN, flags=SYN | ACK, offset=-1)
        self.segment(UP)
        return self

    def up(self, payload: bytes, **more) -> Packet:
        return self.segment(UP, payload, ACK | PSH, **more)

    def down(self, payload: bytes, **more) -> Packet:
        return self.segment(DOWN, payload, ACK | PSH, **more)

    def close(self) -> Talk:
        """Both FINs and their acknowledgements."""
        self.segment(UP, flags=FIN | ACK)
        self.segment(DOWN, flags=FIN | ACK)
        self.segment(UP)
        return self

    def reset(self, direction: Direction) -> Packet:
        return self.segment(direction, flags=RST | ACK)


def pcap(packets: list[Packet]) -> bytes:
    """The packets as a capture file of link type RAW, for tshark."""
    frames = []
    for packet in packets:
        checked = packet.header + packet.payload
        if packet.protocol == UDP:
            checked = wire.udp(
                packet.source, packet.destination, packet.source_port, packet.destination_port, packet.payload
            )
        elif packet.protocol == ICMP:
            checked = packet.payload
        data = wire.ip(packet.source, packet.destination, packet.protocol, checked, ttl=packet.ttl, ident=packet.ip_id)
        frames.append(capfile.Frame(packet.time_ns, data, len(data) + packet.length - len(packet.payload)))
    return capfile.pcap(frames, capfile.RAW, nano=True)


def converse(packets, options: Options | None = None, **more) -> list:
    """What the table makes of packets."""
    table = Conversations(options or Options(), **more)
    found = []
    for packet in packets:
        found += table.feed(packet)
    found += table.finish()
    return found


def one(packets, options: Options | None = None) -> TcpConversation:
    """The only conversation in packets."""
    (found,) = converse(packets, options)
    assert isinstance(found, TcpConversation)
    return found


def brief(conversation: TcpConversation) -> list[tuple]:
    """Pieces in short: ("up", data), ("gap up", offset, length, cut), ("fin up")."""
    names = {UP: "up", DOWN: "down"}
    rows: list[tuple] = []
    for piece in conversation.pieces:
        name = names[piece.direction]
        if isinstance(piece, Chunk):
            rows.append((name, piece.data))
        elif isinstance(piece, Gap):
            rows.append((f"gap {name}", piece.offset, piece.length, "cut" if piece.cut else "lost"))
        else:
            assert isinstance(piece, Close)
            rows.append((f"{piece.how.value} {name}",))
    return rows


def streams(conversation: TcpConversation) -> dict[Direction, bytes]:
    """Each direction's bytes, gaps as zeros; checks on the way that offsets are contiguous."""
    found = {UP: b"", DOWN: b""}
    for piece in conversation.pieces:
        if isinstance(piece, Chunk):
            assert piece.offset == len(found[piece.direction])
            found[piece.direction] += piece.data
        elif isinstance(piece, Gap):
            assert piece.offset == len(found[piece.direction])
            assert piece.length > 0
            found[piece.direction] += bytes(piece.length)
    return found


#: A handshake's first two messages: random to look at.
NONCE = bytes.fromhex("d2e4a0127f9b3c5588e1604ad9c7b2f3056e91ab7cd8ef34129f60b7a5c3d48e6612fa0975bd81c3")
IDENTITY = bytes((7 * i * i + 3 * i + 11) & 255 for i in range(256))
SESSION_KEY = bytes((5 * i * i + i + 77) & 255 for i in range(384))


def session(talk: Talk) -> Talk:
    """A healthy start: nonce, identity, session key, both hellos."""
    talk.open()
    talk.down(NONCE)
    talk.up(IDENTITY)
    talk.down(SESSION_KEY)
    talk.up(b"hello from device!")
    talk.down(b"hello from cloud!!")
    return talk
