"""A capture that can be shown to anybody: the same fault, without addresses, ids, names, secrets or other traffic.

How it works. The first pass finds the conversations of the report's sessions and plans what has to change in them; the
second writes their packets, ICMP errors about them, the look-ups of their names and the firmware's internet tests to a
new file, and nothing else.
Lengths, times, order, checksums (right or wrong), TTLs and sequence numbers stay. Pseudonyms depend on the salt alone,
so the files of one case go together; without the salt nothing can be turned back. Not kept: interface names, comments,
secrets and name blocks, MAC makers, VLAN ids, tunnels (what was inside comes out), whatever follows the IP packet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import BinaryIO

from analyzer import conversations
from analyzer.capture import Record, open_capture
from analyzer.capture.decode import Decoder
from analyzer.capture.fragments import Fragments, Key
from analyzer.capture.links import LINKS
from analyzer.capture.records import Notes
from analyzer.conversations import TcpConversation, UdpConversation
from analyzer.exports.output import new_file
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.redaction import datagrams, ip, links, streams
from analyzer.exports.redaction.packets import FlowKey, Flows, Rewriter
from analyzer.exports.redaction.preludes import DNS_PORT, End, Preludes, Wanted
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.model import CaptureReport, Session
from analyzer.packet import TCP, UDP, Packet
from dissectors.handshakes import HANDSHAKES

_APPLICATION = "particle-handshake-analyzer"
_PROTOCOL = {"tcp": TCP, "udp": UDP}
#: Ports of the protocol itself, which a reader needs to recognise it by.
_OWN_PORTS = frozenset({DNS_PORT}).union(*(item.ports for item in HANDSHAKES.values()))
#: Segments per flow remembered to find stream offsets in, and records that wait for the rest of a fragmented datagram.
_MAX_SEGMENTS = 512
_MAX_WAITING = 4096


@dataclass(frozen=True, slots=True)
class Redacted:
    """What came of it: sessions and packets in the new file, packets left out."""

    sessions: int
    kept: int
    dropped: int


def redact(report: CaptureReport, source: Path, output: Path, *, salt: bytes, ports: bool = False) -> Redacted:
    """Write the sessions of ``report`` (a report on ``source``) to ``output`` with pseudonyms under ``salt``.

    The same salt gives the same pseudonyms in every file; keep it secret, or use a random one and forget it. ``ports``:
    the devices' own ports get pseudonyms too. Raises :class:`InputError` when ``source`` is no capture, cannot be read,
    or is the same file as ``output``.
    """
    pseudonyms = Pseudonyms(salt)
    flows, digits, last_ns = _flows(report, source, pseudonyms)
    known = _OWN_PORTS | {session.cloud.port for session in report.sessions} if ports else None
    with new_file(output, source) as out:
        copy = _Copy(out, Rewriter(pseudonyms, flows, known), digits)
        capture = open_capture(source, name=str(source))
        for record in capture.records():
            copy.record(record)
        copy.finish(last_ns)
    return Redacted(len(report.sessions), copy.kept, copy.dropped)


# -- the first pass ----------------------------------------------------------------------------------------------------


def _flows(report: CaptureReport, source: Path, pseudonyms: Pseudonyms) -> tuple[Flows, int, int | None]:
    """What to keep and how; the digits of the capture's times; its last time."""
    sessions: dict[FlowKey, list[Session]] = {}
    for session in report.sessions:
        if session.cloud.address and session.device.port:  # a session that is a look-up only has neither
            sessions.setdefault(_key(session), []).append(session)
    hosts = frozenset(session.cloud.host.lower() for session in report.sessions if session.cloud.host)
    askers = frozenset(ip_address(session.device.address).packed for session in report.sessions)
    flows, preludes = Flows(Wanted(hosts, askers)), Preludes()
    segments: dict[FlowKey, dict[int, Packet]] = {key: {} for key in sessions}
    table = conversations.Conversations(
        conversations.Options(tcp_ports=_cloud_ports(report, "tcp"), udp_ports=_cloud_ports(report, "udp")),
        on_other=preludes.observe,
    )
    capture = open_capture(source, name=str(source))
    for packet in capture:
        key = (packet.protocol, frozenset(_ends(packet)))
        kept = segments.get(key)
        if kept is not None and packet.protocol == TCP and packet.payload and len(kept) < _MAX_SEGMENTS:
            kept[packet.number] = packet
        for key in {_plan(conversation, sessions, segments, flows, pseudonyms) for conversation in table.feed(packet)}:
            segments.get(key, {}).clear()
    for conversation in table.finish():
        _plan(conversation, sessions, segments, flows, pseudonyms)
    flows.name_streams = dict(preludes.streams(flows.wanted, pseudonyms))
    flows.probe_frames = preludes.probe_frames(askers)
    datagrams.settle(
        plan for plans in flows.plans.values() for plan in plans if isinstance(plan, datagrams.DatagramPlan)
    )
    return flows, capture.digits, capture.last_ns


def _plan(
    conversation: TcpConversation | UdpConversation,
    sessions: dict[FlowKey, list[Session]],
    segments: dict[FlowKey, dict[int, Packet]],
    flows: Flows,
    pseudonyms: Pseudonyms,
) -> FlowKey:
    """Enter the plan for a conversation, if the report has a session in it; the flow it is over in."""
    device = _end(conversation.device.address, conversation.device.port)
    cloud = _end(conversation.cloud.address, conversation.cloud.port)
    key = (TCP if isinstance(conversation, TcpConversation) else UDP, frozenset((device, cloud)))
    found = [
        session
        for session in sessions.get(key, ())
        if session.first_frame <= conversation.last_frame and session.last_frame >= conversation.first_frame
    ]
    if found and isinstance(conversation, TcpConversation):
        flows.plans[key].append(streams.plan(conversation, device, segments[key], pseudonyms))
    elif found and isinstance(conversation, UdpConversation):
        flows.plans[key].append(datagrams.plan(conversation, pseudonyms))
    return key


def _key(session: Session) -> FlowKey:
    device = _end(session.device.address, session.device.port)
    return _PROTOCOL[session.transport], frozenset((device, _end(session.cloud.address, session.cloud.port)))


def _end(address: str, port: int) -> End:
    return ip_address(address).packed, port


def _ends(packet: Packet) -> tuple[End, End]:
    return (packet.source, packet.source_port), (packet.destination, packet.destination_port)


def _cloud_ports(report: CaptureReport, transport: str) -> frozenset[int]:
    return frozenset(session.cloud.port for session in report.sessions if session.transport == transport)


# -- the second pass ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Waiting:
    """A record on its way out. ``data`` is None until it is known, and stays None when it is dropped."""

    number: int
    time_ns: int
    link_type: int
    beyond: int
    settled: bool = False
    data: bytes | None = None
    header: bytes = b""
    fragment: ip.Ip | None = None


class _Copy:
    """Rewrites record after record; fragments wait for their datagram, and what comes behind them with them."""

    def __init__(self, out: BinaryIO, rewriter: Rewriter, digits: int) -> None:
        self._out = out
        self._rewriter = rewriter
        self._digits = digits
        self._writer = PcapngWriter()
        self._interfaces: dict[int, int] = {}
        self._queue: deque[_Waiting] = deque()
        self._fragments = Fragments()
        self._datagrams: dict[Key, list[_Waiting]] = {}
        self._decoder = Decoder(Notes())
        self._newest: int | None = None
        self._last: tuple[int, int] | None = None
        self.kept = 0
        self.dropped = 0
        out.write(self._writer.section(application=_APPLICATION))

    def record(self, record: Record) -> None:
        """Take the next record of the source."""
        number, time_ns, link_type, data, wire = record
        self._last = link_type, len(data)
        found = self._located(record)
        waiting = _Waiting(number, time_ns, link_type, max(wire - len(data), 0))
        self._queue.append(waiting)
        if found is None:
            waiting.settled = True
        else:
            waiting.link_type, waiting.header, packet = found
            self._rewrite(waiting, packet, len(data) - len(waiting.header) - len(packet.data))
        self._flush()

    def finish(self, last_ns: int | None) -> None:
        """Write what waits, and a packet that says nothing at ``last_ns`` when the last ones were left out."""
        for waiting in self._queue:
            waiting.settled = True
        self._flush()
        if last_ns is not None and self._last is not None and (self._newest is None or last_ns > self._newest):
            link_type, length = self._last
            link_type, data = links.blank(link_type, length)
            self._write(link_type, last_ns, data, len(data))

    def _located(self, record: Record) -> tuple[int, bytes, ip.Ip] | None:
        """(link type to write, link header disguised, IP packet) of a record, or None when it holds no IP."""
        number, time_ns, link_type, data, wire = record
        first = self._decoder.decode(number, time_ns, link_type, data, wire)
        last = (self._decoder.taken() or (first,))[-1]
        locate = LINKS.get(link_type)
        at = locate(data) if locate is not None else -1
        if at < 0 or (last is not None and last.carriers):
            # Inside a tunnel, or under a header that is not rewritten: what is inside comes out.
            inside, length = self._decoder.innermost()
            packet = ip.read(inside, length)
            return None if packet is None else (links.RAW, b"", packet)
        packet = ip.read(data[at:], wire - at) if at >= 0 else None
        if packet is None:
            return None
        inner = ip.innermost(packet)
        if inner is None:
            return None
        header = links.disguised(link_type, data[:at], self._rewriter.pseudonyms)
        if inner[1] or header is None:
            return links.RAW, b"", inner[0]
        return link_type, header, packet

    def _rewrite(self, waiting: _Waiting, packet: ip.Ip, behind: int) -> None:
        """Settle a record, or let it wait for the rest of its datagram. ``behind``: bytes after the IP packet."""
        cut = packet.length > len(packet.data)
        if packet.fragment is None or (cut and not packet.offset):
            data = self._rewriter.packet(packet, waiting.number)
            waiting.settled = True
            if data is not None:
                # Padding and check sequences are part of the frame's length and may hold anything.
                padding = behind if waiting.link_type != links.RAW else 0
                waiting.data = waiting.header + data + bytes(max(padding, 0))
            return
        if cut:
            waiting.settled = True
            return
        waiting.fragment = packet
        self._datagrams.setdefault(packet.fragment, []).append(waiting)
        joined = self._fragments.add(
            packet.fragment, packet.protocol, packet.offset, packet.more, packet.payload, waiting.time_ns
        )
        if joined is not None:
            self._settle(self._datagrams.pop(packet.fragment), *joined)

    def _settle(self, fragments: list[_Waiting], protocol: int, payload: bytes) -> None:
        """All fragments of a datagram are there: rewrite it as a whole and cut it up again."""
        first = next(waiting.fragment for waiting in fragments if waiting.fragment is not None)
        whole = replace(first, protocol=protocol, offset=0, more=False, fragment=None)
        new = self._rewriter.transport(whole, payload, len(payload), fragments[-1].number)
        for waiting in fragments:
            waiting.settled = True
            piece = waiting.fragment
            if new is not None and piece is not None:
                part = new[piece.offset : piece.offset + len(piece.payload)]
                waiting.data = waiting.header + piece.disguised_header(self._rewriter.pseudonyms) + part

    def _flush(self) -> None:
        while self._queue and (self._queue[0].settled or len(self._queue) > _MAX_WAITING):
            waiting = self._queue.popleft()
            if waiting.data is None:
                self.dropped += 1
                continue
            self.kept += 1
            self._write(waiting.link_type, waiting.time_ns, waiting.data, len(waiting.data) + waiting.beyond)

    def _write(self, link_type: int, time_ns: int, data: bytes, length: int) -> None:
        self._newest = time_ns if self._newest is None else max(self._newest, time_ns)
        for block in self._blocks(link_type, time_ns, data, length):
            self._out.write(block)

    def _blocks(self, link_type: int, time_ns: int, data: bytes, length: int) -> Iterator[bytes]:
        if link_type not in self._interfaces:
            self._interfaces[link_type] = len(self._interfaces)
            yield self._writer.interface(link_type, digits=self._digits)
        yield self._writer.packet(self._interfaces[link_type], time_ns, data, length, digits=self._digits)
