"""DNS packets as they were captured become questions and answers, whether they came over UDP or in pieces over TCP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

#: A message over TCP has at most 65,535 bytes (RFC 1035 4.2.2); a flow that holds more than this without one is none.
_LONGEST = 65_537
_HEADER = 12


class Raw(NamedTuple):
    """A packet to or from port 53. ``sequence`` is None over UDP; over TCP ``payload`` is a piece of the stream."""

    frames: tuple[int, ...]
    time_ns: int
    client: bytes
    server: bytes
    port: int
    is_answer: bool
    payload: bytes
    sequence: int | None = None


class Parsed(NamedTuple):
    """A question or an answer about addresses. ``kind`` is A or AAAA."""

    raw: Raw
    id: int
    name: str
    kind: str
    rcode: str
    addresses: tuple[bytes, ...]


def whole(items: Iterable[Raw]) -> list[Raw]:
    """The messages in these packets in order of time: those over UDP as they are, those over TCP put together."""
    messages: list[Raw] = []
    streams: dict[tuple[bytes, bytes, int, bool], list[Raw]] = defaultdict(list)
    for item in items:
        if item.sequence is None:
            messages.append(item)
        else:
            streams[item.client, item.server, item.port, item.is_answer].append(item)
    for pieces in streams.values():
        messages += _joined(pieces)
    return sorted(messages, key=lambda item: item.time_ns)


def _joined(pieces: list[Raw]) -> Iterator[Raw]:
    """Messages of one direction of a TCP connection. A hole ends them: what follows it has no known beginning."""
    base = pieces[0].sequence or 0
    offsets = [(((piece.sequence or 0) - base + (1 << 31)) % (1 << 32) - (1 << 31), piece) for piece in pieces]
    offsets.sort(key=lambda item: item[0])
    end = offsets[0][0]
    buffer = b""
    frames: tuple[int, ...] = ()
    for offset, piece in offsets:
        if offset > end:
            return
        fresh = piece.payload[end - offset :]
        if not fresh:
            continue
        end += len(fresh)
        buffer += fresh
        frames = (*frames, *piece.frames)
        while len(buffer) >= 2 and len(buffer) >= 2 + int.from_bytes(buffer[:2], "big"):
            size = 2 + int.from_bytes(buffer[:2], "big")
            yield piece._replace(frames=frames, payload=buffer[2:size], sequence=None)
            buffer = buffer[size:]
            frames = piece.frames if buffer else ()
        if len(buffer) > _LONGEST:
            return


def parse(items: Iterable[Raw]) -> Iterator[Parsed]:
    """The questions and answers about addresses among these messages; everything else is passed over. Never raises."""
    items = [item for item in items if len(item.payload) >= _HEADER]
    if not items:
        return  # the import takes a third of a small capture's time
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdataclass
    import dns.rdatatype

    for item in items:
        try:
            message = dns.message.from_wire(item.payload, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError, IndexError):
            continue
        if not message.question or message.question[0].rdtype not in (dns.rdatatype.A, dns.rdatatype.AAAA):
            continue
        addresses = tuple(
            ip_address(record.address).packed
            for answer in message.answer
            if answer.rdclass == dns.rdataclass.IN and answer.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
            for record in answer
        )
        name = message.question[0].name.to_text(omit_final_dot=True)[:255]
        kind = dns.rdatatype.to_text(message.question[0].rdtype)
        yield Parsed(item, message.id, name, kind, dns.rcode.to_text(message.rcode()), addresses)
