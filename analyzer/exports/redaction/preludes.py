"""What belongs to a session beside its own packets: the look-ups of its name, and the firmware's internet test.

DNS over UDP is known packet by packet; over TCP messages may be cut anywhere, so they are put together first and the
redacted bytes handed out again by stream offset. Everything of such a connection that is not wanted becomes zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from analyzer.exports.redaction import dns
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.names import NameLog
from analyzer.names.particle import particle_name
from analyzer.packet import TCP, Packet

DNS_PORT = 53
#: Parts of the name that firmware 2.0 and later asks the time of; of an NTP packet its mode is all that is read.
_TIME_NAME = "pool.ntp.org"
_NTP_HEAD = 4
_MOST_PACKETS = 20_000
_MOST_BYTES = 8 << 20
_NUMBERS = 1 << 32

End = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which look-ups stay: the sessions' names for the sessions' devices, and Particle's own for everybody."""

    hosts: frozenset[str]
    askers: frozenset[bytes]

    def __call__(self, name: str | None, client: bytes) -> bool:
        """Whether the look-up of ``name`` by ``client`` is kept."""
        if name is None:
            return False
        lower = name.lower()
        if particle_name(lower) is not None:
            return True
        return client in self.askers and (lower in self.hosts or lower.endswith(_TIME_NAME))


@dataclass(frozen=True, slots=True)
class NameStream:
    """The redacted bytes of a DNS connection over TCP: where each side's begin (sequence number), and the bytes."""

    sides: dict[End, tuple[int, bytes]] = field(repr=False)

    def payload(self, source: End, sequence: int, syn: bool, data: bytes) -> bytes:
        """The payload of a segment, redacted."""
        base, text = self.sides.get(source, (sequence, b""))
        offset = (sequence + syn - base) % _NUMBERS
        known = text[offset : offset + len(data)] if offset < _NUMBERS // 2 else b""
        return known + bytes(len(data) - len(known))


@dataclass(slots=True)
class Preludes:
    """Collects, while a capture streams by, what may belong to its sessions."""

    names: NameLog = field(default_factory=NameLog)
    _segments: dict[frozenset[End], list[Packet]] = field(default_factory=dict)
    _packets: int = 0
    _bytes: int = 0

    def observe(self, packet: Packet) -> None:
        """A packet of no conversation."""
        self.names.observe(packet)
        if (
            packet.protocol != TCP
            or not packet.payload
            or DNS_PORT not in (packet.source_port, packet.destination_port)
        ):
            return
        self._packets += 1
        self._bytes += len(packet.payload)
        if self._packets <= _MOST_PACKETS and self._bytes <= _MOST_BYTES:
            ends = frozenset(((packet.source, packet.source_port), (packet.destination, packet.destination_port)))
            self._segments.setdefault(ends, []).append(packet)

    def probe_frames(self, askers: frozenset[bytes]) -> frozenset[int]:
        """Frames of internet tests: of any client where it is firmware's alone, of these clients where others do it too."""
        return frozenset(
            frame
            for probe in self.names.probes()
            if probe.kind == "tcp" or probe.client in askers
            for frame in probe.frames
        )

    def streams(self, wanted: Wanted, pseudonyms: Pseudonyms) -> Iterator[tuple[frozenset[End], NameStream]]:
        """The DNS connections over TCP that hold a wanted look-up."""
        for ends, packets in self._segments.items():
            sides: dict[End, tuple[int, bytes]] = {}
            found = False
            for source in ends:
                sent = [packet for packet in packets if (packet.source, packet.source_port) == source]
                if not sent:
                    continue
                client = sent[0].destination if source[1] == DNS_PORT else sent[0].source
                base, text = _joined(sent)
                out, any_wanted = _redacted(text, wanted, client, pseudonyms)
                sides[source] = base, out
                found = found or any_wanted
            if found:
                yield ends, NameStream(sides)


def probe(payload: bytes) -> bytes:
    """The payload of an internet test: nothing over TCP, an NTP packet without its clocks and its sources over UDP."""
    return payload[:_NTP_HEAD] + bytes(max(len(payload) - _NTP_HEAD, 0))


def _joined(packets: list[Packet]) -> tuple[int, bytes]:
    """The first sequence number of one side, and its bytes up to the first hole."""
    first = packets[0].sequence
    order = sorted(((p.sequence - first + (1 << 31)) % _NUMBERS - (1 << 31), p.payload) for p in packets)
    start = order[0][0]
    text = b""
    for offset, payload in order:
        if offset - start > len(text):
            break
        text += payload[len(text) - (offset - start) :]
    return (first + start) % _NUMBERS, text


def _redacted(text: bytes, wanted: Wanted, client: bytes, pseudonyms: Pseudonyms) -> tuple[bytes, bool]:
    """Length-prefixed messages (RFC 1035 section 4.2.2), redacted, and whether one of them is wanted."""
    out, at, found = b"", 0, False
    while at + 2 <= len(text):
        size = int.from_bytes(text[at : at + 2], "big")
        message = text[at + 2 : at + 2 + size]
        if len(message) < size:
            break
        other = dns.redacted(message, pseudonyms) if wanted(dns.question(message), client) else None
        found = found or other is not None
        out += text[at : at + 2] + (other if other is not None else bytes(size))
        at += 2 + size
    return out + bytes(len(text) - len(out)), found
