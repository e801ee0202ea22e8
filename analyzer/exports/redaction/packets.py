"""IP packets rewritten: pseudonyms in the headers, redacted payloads, checksums as right as they were.

Only packets of the sessions to keep come out: their flows, ICMP errors about them, the look-ups of their names and the
firmware's internet tests (`preludes`). Flows carry plans (`streams`, `datagrams`) that say what becomes of payloads.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from struct import Struct

from analyzer.exports.redaction import checksum, dns
from analyzer.exports.redaction.datagrams import DatagramPlan
from analyzer.exports.redaction.ip import Ip, read
from analyzer.exports.redaction.preludes import DNS_PORT, End, NameStream, Wanted, probe
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.exports.redaction.streams import StreamPlan
from analyzer.packet import ICMP, ICMPV6, SYN, TCP, UDP

_PORTS = Struct("!HH")
_UDP_HEADER = 8
#: TCP options that name nobody: end, no-op, MSS, window scale, SACK permitted, SACK, time stamps.
_TCP_OPTIONS = frozenset({0, 1, 2, 3, 4, 5, 8})
_NOP = 1
#: ICMP and ICMPv6 errors that quote a packet, behind 8 bytes of their own.
_QUOTING = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}
_QUOTE = 8

FlowKey = tuple[int, frozenset[End]]


@dataclass(slots=True)
class Flows:
    """What to keep: plans by flow, look-ups that are wanted, and frames of internet tests."""

    wanted: Wanted
    plans: dict[FlowKey, list[StreamPlan | DatagramPlan]] = field(default_factory=lambda: defaultdict(list))
    name_streams: dict[frozenset[End], NameStream] = field(default_factory=dict)
    probe_frames: frozenset[int] = frozenset()

    def plan(self, protocol: int, one: End, other: End, frame: int | None) -> StreamPlan | DatagramPlan | None:
        """The plan for a packet between these ends; any of the flow's when ``frame`` is None."""
        plans = self.plans.get((protocol, frozenset((one, other))), ())
        return next((plan for plan in plans if frame is None or plan.first <= frame <= plan.last), None)


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Rewrites packets. ``known_ports`` stay; None: all ports stay."""

    pseudonyms: Pseudonyms
    flows: Flows
    known_ports: frozenset[int] | None = None

    def packet(self, packet: Ip, frame: int) -> bytes | None:
        """The whole IP packet (no fragment), or None when it is not to be kept."""
        segment = self.transport(packet, packet.payload, packet.payload_length, frame)
        return None if segment is None else packet.disguised_header(self.pseudonyms) + segment

    def transport(self, packet: Ip, segment: bytes, length: int, frame: int) -> bytes | None:
        """The transport header and payload of a packet (joined from fragments, perhaps), ``length`` bytes on the wire."""
        if packet.protocol == TCP and len(segment) >= 16:
            return self._tcp(packet, segment, length, frame)
        if packet.protocol == UDP and len(segment) >= _UDP_HEADER:
            return self._udp(packet, segment, length, frame)
        if packet.protocol in _QUOTING and len(segment) > _QUOTE and segment[0] in _QUOTING[packet.protocol]:
            return self._icmp(packet, segment, length)
        return None

    # -- TCP and UDP ---------------------------------------------------------------------------------------------------

    def _tcp(self, packet: Ip, segment: bytes, length: int, frame: int | None) -> bytes | None:
        source, destination = self._ends(packet, segment)
        plan = self.flows.plan(TCP, source, destination, frame)
        names = self.flows.name_streams.get(frozenset((source, destination)))
        if isinstance(plan, StreamPlan):
            payload = plan.payload
        elif names is not None:
            payload = names.payload
        elif frame in self.flows.probe_frames:
            payload = _nothing
        else:
            return None
        header = min((segment[12] >> 4) << 2, len(segment)) if len(segment) > 12 else len(segment)
        header = header if header >= 20 else len(segment)
        new = self._ported(segment[:header])
        if header > 20:
            new = new[:20] + _plain_options(new[20:])
        if len(segment) > header:
            sequence, syn = int.from_bytes(segment[4:8], "big"), bool(segment[13] & SYN)
            new += payload(source, sequence, syn, segment[header:])
        return self._summed(packet, segment, new, 16, length)

    def _udp(self, packet: Ip, segment: bytes, length: int, frame: int | None) -> bytes | None:
        source, destination = self._ends(packet, segment)
        said = int.from_bytes(segment[4:6], "big")
        end = said if _UDP_HEADER <= said <= length else length
        payload = segment[_UDP_HEADER:end]
        plan = self.flows.plan(UDP, source, destination, frame)
        if isinstance(plan, DatagramPlan):
            new = plan.payload(payload, end - _UDP_HEADER)
        elif frame in self.flows.probe_frames:
            new = probe(payload)
        else:
            looked_up = self._dns(payload, source, destination)
            if looked_up is None:
                return None
            new = looked_up
        # What is behind the datagram is padding, and not under its checksum.
        rest = bytes(max(len(segment) - end, 0))
        return self._summed(packet, segment[:end], self._ported(segment[:_UDP_HEADER]) + new, 6, end) + rest

    def _dns(self, payload: bytes, source: End, destination: End) -> bytes | None:
        """A look-up that belongs to a session, redacted; None for anything else."""
        if DNS_PORT not in (source[1], destination[1]):
            return None
        client = destination[0] if source[1] == DNS_PORT else source[0]
        if not self.flows.wanted(dns.question(payload), client):
            return None
        return dns.redacted(payload, self.pseudonyms)

    def _ends(self, packet: Ip, segment: bytes) -> tuple[End, End]:
        source_port, destination_port = _PORTS.unpack_from(segment)
        return (packet.source, source_port), (packet.destination, destination_port)

    def _ported(self, header: bytes) -> bytes:
        if self.known_ports is None:
            return header
        source, destination = _PORTS.unpack_from(header)
        known = self.known_ports
        ports = _PORTS.pack(self.pseudonyms.port(source, known), self.pseudonyms.port(destination, known))
        return ports + header[_PORTS.size :]

    def _summed(self, packet: Ip, old: bytes, new: bytes, at: int, length: int) -> bytes:
        """``new`` with the checksum at ``at`` adjusted to what changed, pseudo header included."""
        field_ = old[at : at + 2]
        if len(field_) < 2:
            return new
        addresses = packet.source + packet.destination
        others = self.pseudonyms.address(packet.source) + self.pseudonyms.address(packet.destination)
        moved = checksum.total(others) - checksum.total(addresses)
        right = (
            len(old) == length
            and (checksum.total(old) + checksum.total(addresses) + packet.protocol + length) % 0xFFFF == 0
        )
        if not right and checksum.is_partial(field_, addresses, packet.protocol, length):
            return new[:at] + checksum.adjusted_partial(field_, moved) + new[at + 2 :]
        change = moved + checksum.total(new) - checksum.total(old)
        return new[:at] + checksum.adjusted(field_, change) + new[at + 2 :]

    # -- ICMP ----------------------------------------------------------------------------------------------------------

    def _icmp(self, packet: Ip, segment: bytes, length: int) -> bytes | None:
        """An error about a packet of a session: what it quotes is rewritten as the packet itself was."""
        quoted = read(segment[_QUOTE:], len(segment) - _QUOTE)
        if quoted is None or quoted.offset or len(quoted.payload) < _UDP_HEADER:
            return None
        inner = self._quoted(quoted)
        if inner is None:
            return None
        head = segment[:_QUOTE]
        if segment[0] == 5 and packet.protocol == ICMP:
            head = head[:4] + self.pseudonyms.address(head[4:8])  # a redirect names the better gateway
        new = head + quoted.disguised_header(self.pseudonyms) + inner
        # Behind the quotation there may be extensions that name interfaces and addresses (RFC 4884, RFC 5837).
        new += bytes(len(segment) - len(new))
        change = checksum.total(new) - checksum.total(segment)
        if packet.protocol == ICMPV6:
            addresses = packet.source + packet.destination
            others = self.pseudonyms.address(packet.source) + self.pseudonyms.address(packet.destination)
            change += checksum.total(others) - checksum.total(addresses)
        return new[:2] + checksum.adjusted(segment[2:4], change) + new[4:]

    def _quoted(self, quoted: Ip) -> bytes | None:
        segment = quoted.payload
        if quoted.protocol == TCP:
            return self._tcp(quoted, segment, quoted.payload_length, None)
        if quoted.protocol == UDP:
            return self._udp(quoted, segment, quoted.payload_length, None)
        return None


def _nothing(source: End, sequence: int, syn: bool, data: bytes) -> bytes:
    """The payload of a TCP connection that should have none."""
    return bytes(len(data))


def _plain_options(options: bytes) -> bytes:
    """TCP options without those that may identify (fast-open cookies, MPTCP keys, experiments): no-ops in their place."""
    out, at = b"", 0
    while at < len(options) and options[at] != 0:
        kind = options[at]
        size = 1 if kind == _NOP else options[at + 1] if at + 1 < len(options) else 0
        if size == 0 or at + size > len(options):
            break
        out += options[at : at + size] if kind in _TCP_OPTIONS else bytes((_NOP,)) * size
        at += size
    return out + bytes(len(options) - at)
