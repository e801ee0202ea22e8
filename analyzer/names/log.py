"""The names of a capture, kept while it streams by.

How it works. DNS packets are kept raw in a bounded ring, because which of them matter is known only when the sessions
are: then those of the devices' own addresses, and those about the names clouds go by, are parsed (with dnspython).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from analyzer.names.lookups import Lookup, pair
from analyzer.names.messages import Raw, parse, whole
from analyzer.names.probes import Probe, ProbeLog
from analyzer.packet import TCP, Packet

DNS_PORT = 53
_KEPT_PACKETS = 50_000
_KEPT_BYTES = 8 << 20
_PARSED = 5_000
#: In no name that is looked for (`_on_the_wire` writes ASCII).
_BETWEEN = b"\xff"
#: Parts of names that are always looked at, as DNS writes them: Particle's, and the one of the internet test.
_ALWAYS = (b"\x08particle\x02io", b"\x05spark\x02io", b"\x04pool\x03ntp\x03org")


@dataclass(slots=True)
class NameLog:
    """The DNS traffic of a capture (mDNS is no look-up and never gets here), and the internet tests beside it."""

    _kept: deque[Raw] = field(default_factory=deque)
    _bytes: int = 0
    #: Whether the oldest packets had to be dropped.
    overflowed: bool = False
    _probes: ProbeLog = field(default_factory=ProbeLog)
    _messages: list[Raw] | None = None

    def observe(self, packet: Packet) -> None:
        """Keep what a packet to or from port 53 or 123 says."""
        self._probes.observe(packet)
        if not packet.payload or DNS_PORT not in (packet.source_port, packet.destination_port):
            return
        is_answer = packet.source_port == DNS_PORT
        client, server, port = (
            (packet.destination, packet.source, packet.destination_port)
            if is_answer
            else (packet.source, packet.destination, packet.source_port)
        )
        sequence = packet.sequence if packet.protocol == TCP else None
        self._kept.append(
            Raw((packet.number,), packet.time_ns, client, server, port, is_answer, packet.payload, sequence)
        )
        self._bytes += len(packet.payload)
        while len(self._kept) > _KEPT_PACKETS or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._kept.popleft().payload)
            self.overflowed = True

    @staticmethod
    def words(hosts: Iterable[str]) -> tuple[bytes, ...]:
        """What is in each message that `lookups` for ``hosts`` gives, whoever the client is; lower case."""
        return (*_ALWAYS, *(_on_the_wire(host) for host in hosts))

    def lookups(self, clients: Iterable[bytes], hosts: Iterable[str] = ()) -> list[Lookup]:
        """Look-ups by these clients, for Particle's names, and for ``hosts``, in time order. Never raises on any bytes."""
        if self._messages is None:
            self._messages = whole(self._kept)
            self._kept.clear()
        wanted = set(clients)
        naming = _naming(self.words(hosts), self._messages)
        chosen = [item for index, item in enumerate(self._messages) if item.client in wanted or index in naming]
        return pair(parse(chosen[-_PARSED:]))

    def probes(self) -> list[Probe]:
        """The internet tests of the capture, in order of time."""
        return sorted(self._probes.probes(), key=lambda probe: probe.time_ns)


def _naming(words: Iterable[bytes], messages: list[Raw]) -> set[int]:
    """Which messages have one of ``words`` in them: all are searched as one text, a word after the other."""
    text = _BETWEEN.join(item.payload for item in messages).lower()
    ends = list(accumulate(len(item.payload) + 1 for item in messages))
    found: set[int] = set()
    for word in filter(None, words):
        at = text.find(word)
        while at >= 0:
            index = bisect_right(ends, at)
            found.add(index)
            at = text.find(word, ends[index])
    return found


def _on_the_wire(host: str) -> bytes:
    """A name as DNS writes it, in lower case (RFC 1035 3.1)."""
    labels = host.rstrip(".").lower().encode("ascii", "replace").split(b".")
    return b"".join(bytes((min(len(label), 63),)) + label for label in labels)
