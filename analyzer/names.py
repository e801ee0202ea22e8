"""Names before connections: which look-up led to which session, and what it says about the device.

How it works. DNS packets are kept raw in a bounded ring while the capture streams by, because which of them matter is
known only when the sessions are: then the few of the devices' own addresses are parsed (with dnspython).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from analyzer.packet import TCP, Packet
from dissectors.events import Direction, Status, Step

DNS_PORT = 53
_KEPT_PACKETS = 50_000
_KEPT_BYTES = 8 << 20
_PARSED = 5_000
#: A look-up belongs to a connection that starts within this time of its answer (ns): firmware connects at once; the
#: resolver's own cache may repeat an answer for as long as its TTL, but the device asks again for each attempt.
_BELONGS_NS = 120_000_000_000
#: Names a device of Particle's own cloud asks for (tcp.md 6, dtls.md 6.3): id and firmware major are in some of them.
_PARTICLE = re.compile(
    r"(?:(?P<id>[0-9a-f]{24})(?:\.v(?P<major>\d{1,2}))?\.(?:udp|udp-mesh)\.particle\.io"
    r"|(?:device\.spark\.io|device\.tcp\.particle\.io|(?:udp|udp-mesh)\.particle\.io))\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ParticleName:
    """What one of Particle's own names says of the device that asks for it."""

    device_id: str | None
    major: int | None


def particle_name(name: str) -> ParticleName | None:
    """The device id and firmware major in a Particle cloud name; None for any other name."""
    match = _PARTICLE.fullmatch(name)
    if match is None:
        return None
    device_id, major = match["id"], match["major"]
    return ParticleName(device_id.lower() if device_id else None, int(major) if major else None)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question and what came of it. ``rcode`` None: no answer in the capture."""

    name: str
    client: bytes
    frames: tuple[int, ...]
    asked_ns: int
    answered_ns: int | None = None
    addresses: tuple[bytes, ...] = ()
    rcode: str | None = None
    tries: int = 1

    @property
    def failed(self) -> bool:
        """Whether it gave no address."""
        return not self.addresses


class _Raw(NamedTuple):
    frame: int
    time_ns: int
    client: bytes
    server: bytes
    port: int
    is_answer: bool
    payload: bytes


@dataclass(slots=True)
class NameLog:
    """The DNS traffic of a capture (mDNS is no look-up and never gets here)."""

    _kept: deque[_Raw] = field(default_factory=deque)
    _bytes: int = 0
    #: Whether the oldest packets had to be dropped.
    overflowed: bool = False
    _lookups: list[Lookup] | None = None

    def observe(self, packet: Packet) -> None:
        """Keep a packet to or from port 53."""
        if not packet.payload or DNS_PORT not in (packet.source_port, packet.destination_port):
            return
        payload = packet.payload
        if packet.protocol == TCP:
            if len(payload) < 14 or int.from_bytes(payload[:2], "big") > len(payload) - 2:
                return  # continued in the next segment: rare for the short answers devices get
            payload = payload[2 : 2 + int.from_bytes(payload[:2], "big")]
        is_answer = packet.source_port == DNS_PORT
        client, server, port = (
            (packet.destination, packet.source, packet.destination_port)
            if is_answer
            else (packet.source, packet.destination, packet.source_port)
        )
        self._kept.append(_Raw(packet.number, packet.time_ns, client, server, port, is_answer, payload))
        self._bytes += len(payload)
        while len(self._kept) > _KEPT_PACKETS or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._kept.popleft().payload)
            self.overflowed = True

    def lookups(self, clients: Iterable[bytes]) -> list[Lookup]:
        """Look-ups by these clients or for Particle's names, in time order. Never raises on any bytes."""
        if self._lookups is None:
            wanted = set(clients)
            raw = [item for item in self._kept if item.client in wanted or _mentions_particle(item.payload)]
            self._lookups = _pair(raw[-_PARSED:])
            self._kept.clear()
        return self._lookups


def _mentions_particle(payload: bytes) -> bool:
    lower = payload.lower()
    return b"\x08particle\x02io" in lower or b"\x05spark\x02io" in lower


class _Parsed(NamedTuple):
    raw: _Raw
    id: int
    name: str
    rcode: str
    addresses: tuple[bytes, ...]


def _parse(items: list[_Raw]) -> Iterator[_Parsed]:
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
        yield _Parsed(item, message.id, name, dns.rcode.to_text(message.rcode()), addresses)


def _pair(items: list[_Raw]) -> list[Lookup]:
    """Questions with their answers: by client, server, port, id and name; repeated questions are tries."""
    if not items:
        return []
    found: list[Lookup] = []
    open_at: dict[tuple[bytes, str], int] = {}
    seen: set[tuple[int, bytes, int, bool, int]] = set()
    for parsed in _parse(items):
        raw = parsed.raw
        again = (parsed.id, raw.client, raw.port, raw.is_answer, raw.time_ns // 2_000_000)
        if again in seen:
            continue  # the same packet captured twice
        seen.add(again)
        key = (raw.client, parsed.name.lower())
        index = open_at.get(key)
        if not raw.is_answer:
            if index is not None:
                old = found[index]
                found[index] = _replaced(old, frames=(*old.frames, raw.frame), tries=old.tries + 1)
            else:
                open_at[key] = len(found)
                found.append(Lookup(parsed.name, raw.client, (raw.frame,), raw.time_ns))
        elif index is not None:
            old = found[index]
            found[index] = _replaced(
                old,
                frames=(*old.frames, raw.frame),
                answered_ns=raw.time_ns,
                addresses=parsed.addresses,
                rcode=parsed.rcode,
            )
            del open_at[key]
        else:
            found.append(
                Lookup(parsed.name, raw.client, (raw.frame,), raw.time_ns, raw.time_ns, parsed.addresses, parsed.rcode)
            )
    return sorted(found, key=lambda lookup: lookup.asked_ns)


def _replaced(lookup: Lookup, **changes: object) -> Lookup:
    from dataclasses import replace

    return replace(lookup, **changes)  # type: ignore[arg-type]  # field names are checked by the dataclass at run time


def leading_to(lookups: Iterable[Lookup], client: bytes, address: bytes, start_ns: int) -> Lookup | None:
    """The last look-up by ``client`` that yields ``address`` and was answered shortly before ``start_ns``."""
    fitting = [
        lookup
        for lookup in lookups
        if lookup.client == client
        and address in lookup.addresses
        and lookup.answered_ns is not None
        and 0 <= start_ns - lookup.answered_ns <= _BELONGS_NS
    ]
    return fitting[-1] if fitting else None


def as_step(lookup: Lookup) -> Step:
    """The ``name-resolution`` row of a session."""
    answers = tuple(str(ip_address(address)) for address in lookup.addresses)
    return Step(
        "name-resolution",
        Status.SEEN if answers else Status.PARTIAL,
        Direction.UP,
        lookup.frames,
        lookup.asked_ns,
        lookup.answered_ns if lookup.answered_ns is not None else lookup.asked_ns,
        fields={"name": lookup.name, "answers": answers, "rcode": lookup.rcode, "summary": _summary(lookup, answers)},
    )


def _summary(lookup: Lookup, answers: tuple[str, ...]) -> str:
    said = ", ".join(answers[:3]) if answers else (lookup.rcode or "no answer")
    return f"{lookup.name} = {said}" if answers else f"{lookup.name}: {said}"
