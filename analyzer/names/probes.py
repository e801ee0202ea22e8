"""The firmware's internet test, as packets show it: is there an internet at all behind this network?

After a failed connection firmware 0.4.4 to 1.5 opens a TCP connection to 8.8.8.8:53 and closes it again
(`Internet_Test`, device-os system/src/system_task.cpp); from 2.0 on it asks an NTP server (pool.ntp.org) for the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from analyzer.packet import ACK, RST, SYN, TCP, UDP, Packet

TEST_ADDRESS, TEST_PORT = bytes((8, 8, 8, 8)), 53
NTP_PORT = 123
_MOST = 20_000
#: RFC 5905 7.3: mode 3 asks, mode 4 answers.
_ASKS, _ANSWERS = 3, 4


@dataclass(frozen=True, slots=True)
class Probe:
    """One internet test. ``answered`` None: no answer in the capture."""

    kind: Literal["tcp", "ntp"]
    client: bytes
    server: bytes
    frames: tuple[int, ...]
    time_ns: int
    answered: bool | None = None


@dataclass(slots=True)
class _Open:
    kind: Literal["tcp", "ntp"]
    client: bytes
    server: bytes
    time_ns: int
    frames: list[int] = field(default_factory=list)
    answered: bool | None = None
    #: Data went over it: a look-up, no test.
    talks: bool = False


@dataclass(slots=True)
class ProbeLog:
    """Collects tests while the capture streams by, in bounded memory."""

    _seen: dict[tuple[bytes, bytes, int, int], _Open] = field(default_factory=dict)
    _order: list[_Open] = field(default_factory=list)

    def observe(self, packet: Packet) -> None:
        """Look at one packet."""
        if packet.protocol == TCP:
            if packet.destination == TEST_ADDRESS and packet.destination_port == TEST_PORT:
                self._asked(packet, opens=packet.flags & (SYN | ACK) == SYN)
            elif packet.source == TEST_ADDRESS and packet.source_port == TEST_PORT:
                self._answered(packet, packet.flags & (SYN | RST) != 0, positive=not packet.flags & RST)
        elif packet.protocol == UDP and packet.payload:
            mode = packet.payload[0] & 7
            if packet.destination_port == NTP_PORT and mode == _ASKS:
                self._asked(packet, opens=True)
            elif packet.source_port == NTP_PORT and mode == _ANSWERS:
                self._answered(packet, counts=True, positive=True)

    def probes(self) -> Iterator[Probe]:
        """The tests in order of time."""
        for item in self._order:
            if not item.talks:
                frames = tuple(item.frames)
                yield Probe(item.kind, item.client, item.server, frames, item.time_ns, item.answered)

    def _asked(self, packet: Packet, *, opens: bool) -> None:
        key = (packet.source, packet.destination, packet.source_port, packet.protocol)
        item = self._seen.get(key)
        again = item is not None and (item.answered is None or packet.protocol == TCP) and not _stale(item, packet)
        if item is not None and again:
            if opens and item.answered is None:
                item.frames.append(packet.number)
            item.talks = item.talks or (packet.protocol == TCP and packet.length > 0)
        elif opens and len(self._order) < _MOST:
            kind: Literal["tcp", "ntp"] = "tcp" if packet.protocol == TCP else "ntp"
            item = _Open(kind, packet.source, packet.destination, packet.time_ns, [packet.number])
            item.talks = packet.protocol == TCP and packet.length > 0
            self._seen[key] = item
            self._order.append(item)

    def _answered(self, packet: Packet, counts: bool, *, positive: bool) -> None:
        item = self._seen.get((packet.destination, packet.source, packet.destination_port, packet.protocol))
        if item is None:
            return
        item.talks = item.talks or (packet.protocol == TCP and packet.length > 0)
        if counts and item.answered is None:
            item.answered = positive
            item.frames.append(packet.number)


def _stale(item: _Open, packet: Packet) -> bool:
    return packet.time_ns - item.time_ns > 60_000_000_000
