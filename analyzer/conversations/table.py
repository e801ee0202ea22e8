"""All flows of a capture: the few that may be a device's are held, the rest is only counted.

How it works: every flow has one entry, under a key that both directions share. An int means that the flow is not held: it
is the state Wireshark's stream numbering needs (`streams`), with flags on top. A `TcpFlow` or `UdpFlow` holds packets and
waits in `Holding` until it is over. TCP flows on unknown ports are held as *undecided* until their shape is known
(`candidates`); most are dropped with their first payload.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct

from analyzer.capture.encapsulation import UDP_PORTS
from analyzer.capture.icmp import Quote, read_quote
from analyzer.capture.vpn import FIRST_BYTES, Begun
from analyzer.conversations import roles, streams
from analyzer.conversations.candidates import Shape
from analyzer.conversations.checksum import Sum, verify
from analyzer.conversations.filters import endpoint
from analyzer.conversations.flow import End, Flow
from analyzer.conversations.holding import Holding
from analyzer.conversations.model import Conversation, Ended, IcmpNote
from analyzer.conversations.options import Options
from analyzer.conversations.tcp import TcpFlow
from analyzer.conversations.udp import UdpFlow
from analyzer.packet import ACK, FIN, RST, SYN, TCP, UDP, IcmpError, Packet, Problem
from dissectors.events import Direction

_PORTS = Struct("!HH").pack
_TCP_HEAD = Struct("!4xI5xB").unpack_from
_DNS, _NTP = 53, 123
_OTHER_UDP = frozenset({_DNS, _NTP})
_OTHER_BYTES = frozenset(port.to_bytes(2, "big") for port in _OTHER_UDP)
#: Every packet between these is looked at: the decoder reads what is inside, or counts what cannot be read.
_TUNNELS = frozenset(UDP_PORTS)
_REDIRECT = 5

#: Flags of an entry that is an int, above the bits of `streams`.
#: Its packets go to ``on_other``.
_OTHER = 1 << 98
#: A conversation of it was handed out: closed, so that only a SYN starts another; or merely silent, so that any packet does.
_OVER, _RESUMES = 1 << 99, 1 << 100
#: No packet of its own yet, it was only quoted by an ICMP error.
_QUOTED = 1 << 101
#: A tunnel's outer flow.
_TUNNEL = 1 << 102
_FLAGS = _OTHER | _OVER | _RESUMES | _QUOTED | _TUNNEL

_CONTROL = SYN | FIN | RST
#: An undecided flow is looked at as a whole after this many segments (the second when its opening was seen, so that its
#: shape will tell before long) or bytes.
_UNDECIDED_SEGMENTS, _UNDECIDED_OPENED, _UNDECIDED_BYTES = 24, 1000, 4096
_MAX_WAITING = 1000
#: How often (capture time) it is looked for conversations that were silent for too long.
_LOOK_NS = 1_000_000_000

_DEFAULT = Options()
_NOTHING: tuple[Conversation, ...] = ()


class Conversations:
    """Packets in, conversations out: `feed` each packet in file order, then `finish`.

    ``on_other`` gets what a later stage wants beside conversations: DNS (port 53, UDP and TCP) and NTP packets.
    ``problems`` says where a limit was reached.
    """

    def __init__(
        self,
        options: Options = _DEFAULT,
        on_other: Callable[[Packet], None] | None = None,
        words: Sequence[bytes] | None = None,
    ) -> None:
        self._options = options
        self._on_other = on_other
        #: What makes a look-up matter, whoever makes it; None: all do. And the addresses whose conversations are over.
        self._words = words
        self._talked: set[bytes] = set()
        self._tcp_ports, self._udp_ports = options.cloud_tcp, options.cloud_udp
        self.problems: list[Problem] = []
        #: Conversations of encrypted tunnels on ports that are not theirs.
        self.begun = Begun()
        self._tcp: dict[bytes, int | TcpFlow] = {}
        self._udp: dict[bytes, int | UdpFlow] = {}
        self._tcp_counter, self._udp_counter = streams.Counter(), streams.Counter()
        self._undecided: OrderedDict[TcpFlow, Shape] = OrderedDict()
        self._undecided_bytes = 0
        self._holding = Holding(options)
        self._looked_ns = 0
        #: Senders of packets for ``on_other`` whose checksums are right; damaged ones of senders not known to be sound.
        self._sound: set[bytes] = set()
        self._doubted: dict[bytes, list[Packet]] = {}
        #: ICMP errors that came before any packet of the flow they are about.
        self._waiting: dict[tuple[int, bytes], list[tuple[IcmpNote, int, bool]]] = {}

    def settled(self, protocol: int, key: bytes) -> bool:
        """Whether this flow is only counted, so that a packet of it that opens or closes nothing changes nothing.

        ``key``: both ends as address and port (big-endian), the smaller first. Of a UDP flow, a datagram that begins
        like DTLS still matters.
        """
        entry = (self._tcp if protocol == TCP else self._udp).get(key)
        if not isinstance(entry, int):
            return False
        return entry >> 96 == 3 if protocol == TCP else not entry & _FLAGS

    def knows(self, protocol: int, key: bytes) -> bool:
        """Whether a packet of this flow was taken in before."""
        return key in (self._tcp if protocol == TCP else self._udp)

    def count_tcp(self, key: bytes, side: int, sequence: int, other_sequence: int) -> bool:
        """Counts a flow that is no session, by the sequence numbers of its SYN and SYN-ACK; False when it is not new."""
        if key in self._tcp or len(self._tcp) >= self._options.flows:
            return False
        state = streams.follow(self._tcp_counter.new(), self._tcp_counter, side, SYN, sequence, 0)
        state = streams.follow(
            state, self._tcp_counter, 1 - side, SYN | ACK, other_sequence, (sequence + 1) & 0xFFFFFFFF
        )
        self._tcp[key] = state
        return True

    def count_udp(self, key: bytes) -> bool:
        """Counts a UDP flow that is no session; False when it is not new."""
        if key in self._udp or len(self._udp) >= self._options.flows:
            return False
        half = len(key) // 2
        other = not _OTHER_BYTES.isdisjoint((key[half - 2 : half], key[-2:]))
        self._udp[key] = self._udp_counter.new() | (_OTHER if other else 0)
        return True

    def of_interest(self, protocol: int) -> frozenset[int]:
        """Ports whose flows are held or passed on: the cloud's, DNS and NTP, tunnels."""
        return self._tcp_ports | {_DNS} if protocol == TCP else self._udp_ports | _OTHER_UDP | _TUNNELS

    def looked_at_last(self) -> frozenset[int]:
        """Ports whose datagrams touch no conversation, and may be fed after all others."""
        return _OTHER_UDP

    def wanted_last(self) -> tuple[frozenset[bytes], Sequence[bytes]] | None:
        """Of those, what ``on_other`` is for: the addresses of conversations, and words; None: every one."""
        if self._words is None:
            return None
        held = (*self._undecided, *self._holding.flows())
        return frozenset(self._talked.union(*((end[0] for end in flow.ends) for flow in held))), self._words

    def lose(self) -> None:
        """Packets were left out that Wireshark numbers: flows from now on have no stream number."""
        self._udp_counter.lose()
        self._tcp_counter.lose()

    def feed(self, packet: Packet) -> Iterable[Conversation]:
        """Takes in a packet; the conversations that are over by now."""
        overdue = _NOTHING
        if not 0 <= packet.time_ns - self._looked_ns < _LOOK_NS:
            overdue = self._sweep(packet.time_ns)
        ended = self._take(packet)
        return overdue + ended if overdue else ended

    def _take(self, packet: Packet) -> tuple[Conversation, ...]:
        if packet.protocol == TCP:
            return self._on_tcp(packet)
        if packet.protocol == UDP:
            return self._on_udp(packet)
        self._on_icmp(packet)
        return _NOTHING

    def finish(self) -> Iterator[Conversation]:
        """The capture is over: everything that is still open."""
        for flow in list(self._undecided):
            self._decide(flow, flow.is_session())
        for held, ended in self._holding.all():
            yield from self._end(held, ended)
        for packets in self._doubted.values():
            if self._on_other is not None:
                for packet in packets:
                    self._on_other(packet)

    def expire(self, time_ns: int) -> Iterable[Conversation]:
        """Tells the time when no packet does (live capture): the conversations that are over by then."""
        return self._sweep(time_ns)

    # -- TCP --------------------------------------------------------------------------------------

    def _on_tcp(self, packet: Packet) -> tuple[Conversation, ...]:
        ports = packet.header[:4] or _PORTS(packet.source_port, packet.destination_port)
        a, b = packet.source + ports[:2], packet.destination + ports[2:]
        if a <= b:
            key, side = a + b, 0
        else:
            key, side = b + a, 1
        entry = self._tcp.get(key)
        if entry is None:
            if len(self._tcp) >= self._options.flows:
                self._too_many("TCP", self._tcp_counter)
                if not packet.flags & SYN and not self._hinted_tcp(packet):
                    return _NOTHING
            return self._start(packet, key, side, self._tcp_counter.new())
        if isinstance(entry, int):
            if entry >> 96 == 3 and not packet.flags & _CONTROL:
                return _NOTHING
            return self._counted(packet, key, side, entry)
        return self._held(packet, entry, side)

    def _start(
        self, packet: Packet, key: bytes, side: int, state: int, resumed: bool = False
    ) -> tuple[Conversation, ...]:
        """The first packet of a flow, or of a conversation of it."""
        state = self._follow(state, packet, side)
        hinted = self._hinted_tcp(packet)
        if not hinted and _DNS in (packet.source_port, packet.destination_port):
            self._other(packet)
            self._count(self._tcp, key, state | _OTHER)
            return _NOTHING
        flow = TcpFlow(TCP, key, _ends(packet, side), state, packet)
        flow.resumed = resumed
        for note in self._waiting.pop((TCP, key), ()):
            flow.add_icmp(*note)
        self._tcp[key] = flow
        if not hinted:
            self._undecided[flow] = Shape()
        return self._held(packet, flow, side, new=True)

    def _counted(self, packet: Packet, key: bytes, side: int, entry: int) -> tuple[Conversation, ...]:
        """A packet of a flow that is not held."""
        flags, state = entry & _FLAGS, entry & ~_FLAGS
        if flags & _OTHER:
            self._other(packet)
        anew = streams.starts_anew(state, side, packet.flags, packet.sequence)
        opens = packet.flags & (SYN | ACK) == SYN and (anew or flags & _OVER)
        if not flags & _OTHER and (opens or flags & (_RESUMES | _QUOTED)):
            return self._start(packet, key, side, state, resumed=bool(flags & (_OVER | _RESUMES)) and not anew)
        self._tcp[key] = self._follow(state, packet, side) | flags
        return _NOTHING

    def _held(self, packet: Packet, flow: TcpFlow, side: int, new: bool = False) -> tuple[Conversation, ...]:
        """A packet of a flow that is held."""
        if packet.flags & SYN and not new and flow.opening.anew(packet) and packet.time_ns >= flow.newest_ns:
            anew = streams.starts_anew(flow.state, side, packet.flags, packet.sequence)
            state, ended = flow.state, _NOTHING
            if flow in self._undecided:
                self._decide(flow, flow.is_session())
            if isinstance(self._tcp.get(flow.key), TcpFlow):
                ended = tuple(self._end(flow, "reused", shared=not anew))
            return ended + self._start(packet, flow.key, side, state, resumed=not anew)
        late = flow.closed and packet.time_ns - flow.newest_ns > self._options.closed_ns
        if late and flow not in self._undecided:
            # Handed out by now, had another packet told the time: a straggler either way.
            ended = tuple(self._end(flow, "closed"))
            return ended + self._counted(packet, flow.key, side, flow.state | _OVER)
        if not new:
            flow.state = self._follow(flow.state, packet, side)
        cost = flow.cost
        flow.add(packet, side, streams.number(flow.state), self._options)
        shape = self._undecided.get(flow)
        if shape is None:
            self._holding.touch(flow, flow.cost if new else flow.cost - cost)
            return self._relieve()
        self._undecided_bytes += flow.cost if new else flow.cost - cost
        verdict = shape.observe(packet, side)
        segments = _UNDECIDED_OPENED if shape.opened else _UNDECIDED_SEGMENTS
        if verdict is None and (len(flow.packets) > segments or flow.payload > _UNDECIDED_BYTES):
            verdict = flow.is_session()
        if verdict is not None:
            self._decide(flow, verdict)
            return self._relieve()
        self._undecided.move_to_end(flow)
        while len(self._undecided) > self._options.undecided or self._undecided_bytes > self._options.undecided_held:
            oldest = next(iter(self._undecided))
            self._decide(oldest, oldest.is_session())
        return self._relieve()

    def _follow(self, state: int, packet: Packet, side: int) -> int:
        return streams.follow(state, self._tcp_counter, side, packet.flags, packet.sequence, packet.acknowledgement)

    def _hinted_tcp(self, packet: Packet) -> bool:
        return packet.destination_port in self._tcp_ports or packet.source_port in self._tcp_ports

    def _decide(self, flow: TcpFlow, session: bool) -> None:
        """An undecided flow is a session after all and held from now on, or it is only counted."""
        del self._undecided[flow]
        self._undecided_bytes -= flow.cost
        if session:
            self._holding.touch(flow, flow.cost)
        else:
            self._count(self._tcp, flow.key, flow.state)

    # -- UDP --------------------------------------------------------------------------------------

    def _on_udp(self, packet: Packet) -> tuple[Conversation, ...]:
        ports = _PORTS(packet.source_port, packet.destination_port)
        a, b = packet.source + ports[:2], packet.destination + ports[2:]
        if a <= b:
            key, side = a + b, 0
        else:
            key, side = b + a, 1
        entry = self._udp.get(key)
        if isinstance(entry, UdpFlow):
            return self._datagram(packet, entry, side)
        if entry is None:
            if len(self._udp) >= self._options.flows:
                self._too_many("UDP", self._udp_counter)
            entry = self._udp_counter.new() | _QUOTED
        flags = entry & _FLAGS
        if flags & _QUOTED:
            flags = 0
            if packet.payload and packet.payload[0] in FIRST_BYTES and packet.destination_port not in _TUNNELS:
                self.begun.look(packet.payload, packet.length, packet.number, packet.destination_port)
            if not _OTHER_UDP.isdisjoint((packet.source_port, packet.destination_port)):
                flags = _OTHER
            elif self._hinted_udp(packet):
                flags = _RESUMES
            elif not _TUNNELS.isdisjoint((packet.source_port, packet.destination_port)):
                flags = _TUNNEL
        if flags & _OTHER:
            self._other(packet)
        elif flags & _RESUMES or roles.is_dtls(packet.payload):
            flow = UdpFlow(UDP, key, _ends(packet, side), entry & ~_FLAGS, packet)
            flow.resumed = bool(entry & _RESUMES)
            for note in self._waiting.pop((UDP, key), ()):
                flow.add_icmp(*note)
            self._udp[key] = flow
            return self._datagram(packet, flow, side, new=True)
        self._count(self._udp, key, entry & ~_FLAGS | flags)
        return _NOTHING

    def _hinted_udp(self, packet: Packet) -> bool:
        """Between a port of the cloud's and an end that can be a cloud: not a multicast or broadcast address."""
        if packet.destination_port not in self._udp_ports and packet.source_port not in self._udp_ports:
            return False
        first = packet.destination[0]
        return not (first >= 224 if len(packet.destination) == 4 else first == 255)

    def _datagram(self, packet: Packet, flow: UdpFlow, side: int, new: bool = False) -> tuple[Conversation, ...]:
        cost = flow.cost
        flow.add(packet, side, streams.number(flow.state), self._options)
        self._holding.touch(flow, flow.cost if new else flow.cost - cost)
        return self._relieve()

    # -- ICMP -------------------------------------------------------------------------------------

    def _on_icmp(self, packet: Packet) -> None:
        """An error belongs to the flow it quotes; Wireshark numbers what it quotes like a packet of its own."""
        quote = read_quote(packet)
        if quote is None or quote.error.protocol not in (TCP, UDP):
            return
        error = quote.error
        ports = _PORTS(error.source_port, error.destination_port)
        a, b = error.source + ports[:2], error.destination + ports[2:]
        key, side = (a + b, 0) if a <= b else (b + a, 1)
        counted = self._count_quote(quote, key, side)
        if error.kind == _REDIRECT and len(packet.source) == 4:
            return
        note = IcmpNote(
            packet.number, packet.time_ns, error.kind, error.code, endpoint(packet.source, 0).address, Direction.UP
        )
        flow = (self._tcp if error.protocol == TCP else self._udp).get(key)
        if isinstance(flow, Flow):
            flow.add_icmp(note, side, counted)
        elif self._hinted_quote(error) and len(self._waiting) < _MAX_WAITING:
            self._waiting.setdefault((error.protocol, key), []).append((note, side, counted))

    def _hinted_quote(self, error: IcmpError) -> bool:
        ports = self._tcp_ports if error.protocol == TCP else self._udp_ports
        return error.source_port in ports or error.destination_port in ports

    def _count_quote(self, quote: Quote, key: bytes, side: int) -> bool:
        """Keeps the stream numbers right; False when the quote is too short for Wireshark to number it."""
        if quote.error.protocol == UDP:
            if len(quote.transport) < 8:
                return False
            if key not in self._udp:
                self._count(self._udp, key, self._udp_counter.new() | _QUOTED)
            return True
        if len(quote.transport) < 16:
            return False
        entry = self._tcp.get(key)
        if entry is None:
            self._count(self._tcp, key, self._tcp_counter.new() | _QUOTED)
            return True
        sequence, flags = _TCP_HEAD(quote.transport)
        state = entry.state if isinstance(entry, TcpFlow) else entry & ~_FLAGS
        if streams.starts_anew(state, side, flags, sequence):
            state = self._tcp_counter.new()
            if isinstance(entry, TcpFlow):
                entry.state = state
            else:
                self._tcp[key] = state | entry & _FLAGS
        return True

    # -- housekeeping -----------------------------------------------------------------------------

    def _sweep(self, time_ns: int) -> tuple[Conversation, ...]:
        self._looked_ns = time_ns
        self._holding.advance(time_ns)
        found: list[Conversation] = []
        for flow, ended in self._holding.overdue():
            found += self._end(flow, ended)
        return tuple(found)

    def _relieve(self) -> tuple[Conversation, ...]:
        """Hands out the oldest conversations while there are too many."""
        flow = self._holding.surplus()
        if flow is None:
            return _NOTHING
        found: list[Conversation] = []
        while flow is not None:
            self._note_once(
                "too-many-conversations",
                "more conversations at once than are kept; the oldest were ended early",
                flow.last_frame,
            )
            found += self._end(flow, "closed" if flow.closed else "evicted")
            flow = self._holding.surplus()
        return tuple(found)

    def _end(self, flow: Flow, ended: Ended, shared: bool = False) -> Iterator[Conversation]:
        """Hands out what ``flow`` holds and only counts it from now on."""
        self._holding.drop(flow)
        if len(self._talked) < self._options.flows:
            self._talked.update(end[0] for end in flow.ends)
        if flow.dropped:
            text = (
                f"a conversation is longer than what is kept of one: {flow.dropped:,} of its packets were only counted"
            )
            self._note_once("limit-conversation", text, flow.first_frame)
        flags = _OVER if flow.closed else _RESUMES
        if isinstance(flow, TcpFlow):
            self._count(self._tcp, flow.key, flow.state | flags)
        else:
            self._count(self._udp, flow.key, flow.state | _RESUMES)
        return flow.conversations(ended, self._options, shared)

    def _count(self, table: dict[bytes, int | TcpFlow] | dict[bytes, int | UdpFlow], key: bytes, state: int) -> None:
        """Makes an entry an int; in a full table only those stay that are there already."""
        if len(table) > self._options.flows:
            table.pop(key, None)
        elif key in table or len(table) < self._options.flows:
            table[key] = state

    def _other(self, packet: Packet) -> None:
        """Passes on a packet that a later stage wants, unless no receiver took it: damaged, from a sender of sound ones."""
        if self._on_other is None:
            return
        state = verify(packet)
        if state is Sum.RIGHT and packet.source not in self._sound and len(self._sound) < _MAX_WAITING:
            self._sound.add(packet.source)
            self._doubted.pop(packet.source, None)
        if state is not Sum.WRONG:
            self._on_other(packet)
        elif packet.source not in self._sound and sum(map(len, self._doubted.values())) < _MAX_WAITING:
            self._doubted.setdefault(packet.source, []).append(packet)

    def _too_many(self, what: str, counter: streams.Counter) -> None:
        counter.lose()
        self._note_once("too-many-flows", f"more {what} flows than are counted; later ones have no stream number", None)

    def _note_once(self, code: str, message: str, frame: int | None) -> None:
        if all(problem.code != code for problem in self.problems):
            self.problems.append(Problem(code, message, frame))


def _ends(packet: Packet, side: int) -> tuple[End, End]:
    """Both ends, in the order of the key."""
    source, destination = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    return (source, destination) if side == 0 else (destination, source)
