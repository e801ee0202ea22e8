"""What a conversation is once it is over: pieces in time order, and the facts about how they got there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from analyzer.conversations.proxied import ProxyHeader
from analyzer.model import AlsoSeen, Endpoint
from dissectors.events import Direction, How, Mark

#: How the roles were decided; "first" (UDP only): nothing but who sent first tells the device.
RoleSource = Literal["content", "syn", "port", "first"]
#: Why a conversation was handed out: it was closed, its ports were used anew, nothing came for long, there were too many
#: at once, or the capture ended.
Ended = Literal["closed", "reused", "idle", "evicted", "capture-end"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes of one direction. ``offset`` counts from the first byte of that direction.

    ``mark`` names the frame that carried them; its time is the moment the receiver could read them, which is later
    than the frame's own when an earlier segment was missing by then.
    """

    direction: Direction
    offset: int
    data: bytes = field(repr=False)
    mark: Mark


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that were sent and are not in the capture: ``cut`` off by the snap length, or never captured.

    ``mark`` is the packet that shows it: the cut one, the one behind the gap, or the acknowledgement.
    """

    direction: Direction
    offset: int
    length: int
    cut: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class Close:
    """A direction is over: ``how`` is FIN (all before it was delivered) or RST."""

    direction: Direction
    how: How
    mark: Mark


Piece = Chunk | Gap | Close


class Reset(NamedTuple):
    """One RST with what tells its real sender (a firewall's TTL or window differs)."""

    frame: int
    time_ns: int
    direction: Direction
    ttl: int
    ip_id: int
    window: int


class Keepalive(NamedTuple):
    """A segment that only asks whether the other side is there."""

    frame: int
    time_ns: int
    direction: Direction


class IcmpNote(NamedTuple):
    """An ICMP error that quotes a packet of the conversation; ``about`` is that packet's direction."""

    frame: int
    time_ns: int
    kind: int
    code: int
    sender: str
    about: Direction


class Carried(NamedTuple):
    """Tunnels that packets travelled in, outermost first, as (name, address, address), and the first frame that did."""

    tunnels: tuple[tuple[str, str, str], ...]
    frame: int


@dataclass(frozen=True, slots=True)
class SideFacts:
    """One direction of a TCP conversation; duplicates of the capture do not count."""

    #: Segments, and payload bytes of the stream (each counted once, cut ones and gaps too).
    packets: int = 0
    payload_bytes: int = 0
    #: Bytes of the stream that the other side acknowledged.
    acked: int = 0
    last_payload_ns: int | None = None
    #: TTL or hop limit values seen, ascending.
    ttls: tuple[int, ...] = ()
    #: Data was sent again and never acknowledged.
    retransmitted_unacked: bool = False
    #: The other side acknowledged the end (FIN) of this one: it was there, and had received everything before.
    fin_acked: bool = False


@dataclass(frozen=True, slots=True)
class TcpFacts:
    """What TCP itself tells. Frame numbers are Wireshark's; tuples are in time order."""

    #: Each SYN of the device, retransmitted ones too.
    syn: tuple[Mark, ...] = ()
    syn_ack: Mark | None = None
    #: The first segment that shows the three-way handshake complete.
    established: Mark | None = None
    rsts: tuple[Reset, ...] = ()
    fins: tuple[tuple[int, Direction], ...] = ()
    #: Segments that bring what was sent before (SYN and FIN included).
    retransmissions: tuple[tuple[int, Direction], ...] = ()
    #: Frames that hold a packet of the conversation once more (``-i any``, a mirrored port).
    duplicates: tuple[int, ...] = ()
    keepalives: tuple[Keepalive, ...] = ()
    zero_windows: tuple[tuple[int, Direction], ...] = ()
    out_of_order: tuple[tuple[int, Direction], ...] = ()
    #: Overlapping segments that do not agree; the data that came first was used.
    conflicts: tuple[int, ...] = ()
    #: Frames whose TCP checksum is wrong (not merely left to the network card), or missing where the sender fills in others.
    checksum_bad: tuple[int, ...] = ()
    icmp: tuple[IcmpNote, ...] = ()
    #: Only one side's packets are in the capture, although the other side must have answered.
    one_direction_only: bool = False
    #: The SYN exchange is not in the capture: offsets count from the first byte seen.
    mid_stream: bool = False
    up: SideFacts = SideFacts()
    down: SideFacts = SideFacts()

    def of(self, direction: Direction) -> SideFacts:
        """The facts of one side: what it sent."""
        return self.up if direction is Direction.UP else self.down


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The same conversation where other addresses stand for its ends (behind a NAT), or at another point of capture.

    ``frames``: for each of its packets the frame that the conversation uses of the same packet, and its own.
    """

    device: Endpoint
    cloud: Endpoint
    stream: int | None
    frames: tuple[tuple[int, int], ...] = field(repr=False)

    def within(self, first: int, last: int) -> AlsoSeen | None:
        """What of it belongs to the frames ``first`` to ``last`` of the conversation; None for nothing."""
        frames = tuple(sorted(frame for used, frame in self.frames if first <= used <= last))
        if not frames:
            return None
        return AlsoSeen(self.device, self.cloud, self.stream, frames[0], frames[-1], frames, len(frames))


@dataclass(frozen=True, slots=True)
class TcpConversation:
    """One TCP connection.

    ``pieces`` are in time order and each direction's are contiguous: its offsets start at 0 and every byte up to its end
    is in exactly one chunk or gap. ``filter`` is a Wireshark display filter for exactly these packets.
    """

    stream: int | None
    device: Endpoint
    cloud: Endpoint
    role_source: RoleSource
    pieces: tuple[Piece, ...] = field(repr=False)
    facts: TcpFacts
    first_frame: int
    last_frame: int
    start_ns: int
    end_ns: int
    ended: Ended
    filter: str
    #: Sentences about what limits it.
    notes: tuple[str, ...] = ()
    carried: tuple[Carried, ...] = ()
    #: Sequence number of the first byte of each direction, up and down; None where nothing tells.
    origins: tuple[int | None, int | None] = (None, None)
    #: Packets whose checksum is right, and wrong.
    checksums: tuple[int, int] = (0, 0)
    #: All of its frames.
    frames: tuple[int, ...] = field(default=(), repr=False)
    #: Where else it was seen (`copies`).
    also: tuple[Elsewhere, ...] = ()
    #: What a balancer put before the device's bytes; it is in no piece.
    proxy: ProxyHeader | None = None

    @property
    def ttls(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """TTL or hop limit values of what the device and what the cloud sent."""
        return self.facts.up.ttls, self.facts.down.ttls

    @property
    def finished(self) -> bool:
        """False when the capture ended while it was open."""
        return self.ended in ("closed", "reused", "idle")


@dataclass(frozen=True, slots=True)
class Datagram:
    """One UDP datagram; ``data`` is shorter than ``length`` when the snap length cut it.

    ``duplicate``: the same packet was captured just before (``-i any``, a mirrored port). ``damaged``: its checksum is
    wrong where those of its sender are right, so that no receiver took it.
    """

    direction: Direction
    data: bytes = field(repr=False)
    length: int
    mark: Mark
    duplicate: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class UdpConversation:
    """All datagrams between two address-port pairs, in time order."""

    stream: int | None
    device: Endpoint
    cloud: Endpoint
    role_source: RoleSource
    datagrams: tuple[Datagram, ...] = field(repr=False)
    icmp: tuple[IcmpNote, ...]
    first_frame: int
    last_frame: int
    start_ns: int
    end_ns: int
    ended: Ended
    filter: str
    notes: tuple[str, ...] = ()
    #: Frames whose UDP checksum is wrong, or missing where the same sender fills in others.
    checksum_bad: tuple[int, ...] = ()
    carried: tuple[Carried, ...] = ()
    #: Packets whose checksum is right, and wrong.
    checksums: tuple[int, int] = (0, 0)
    #: TTL or hop limit values of what the device and what the cloud sent, ascending.
    ttls: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    #: Where else it was seen (`copies`).
    also: tuple[Elsewhere, ...] = ()

    @property
    def finished(self) -> bool:
        """False when the capture ended while it was open."""
        return self.ended in ("closed", "reused", "idle")


Conversation = TcpConversation | UdpConversation
