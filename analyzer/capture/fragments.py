"""IP fragments: a bounded table that joins them.

How it works: a datagram under way is one buffer and one byte per 8-byte block (fragment offsets count in those) that
says whether the block is there. So a fragment costs time in proportion to its length, however it overlaps, and a
datagram costs at most 72 KiB. The first data for a block wins, as in Linux and in Wireshark.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

_MAX_DATAGRAM = 65_535
#: Seconds a host waits for the rest (RFC 1122 section 3.3.2: 60 to 120; Linux: 30).
_AGE_NS = 60 * 1_000_000_000

#: (source, destination, identification, protocol or 0 for IPv6)
Key = tuple[bytes, bytes, int, int]


@dataclass(slots=True)
class _Datagram:
    time_ns: int
    data: bytearray = field(default_factory=bytearray)
    there: bytearray = field(default_factory=bytearray)
    missing: int = 0
    total: int | None = None
    protocol: int = 0


class Fragments:
    """Joins fragments; holds at most ``datagrams`` unfinished ones and ``size`` bytes, and forgets the oldest first."""

    def __init__(self, datagrams: int = 4096, size: int = 32 * 1024 * 1024) -> None:
        self._table: OrderedDict[Key, _Datagram] = OrderedDict()
        self._datagrams = datagrams
        self._room = size
        #: Unfinished datagrams given up on (table full, too old, end of capture is not counted).
        self.given_up = 0
        #: Whether one was given up that could still have been completed: the table was full.
        self.overflowed = False

    def add(
        self, key: Key, protocol: int, offset: int, more: bool, data: bytes, time_ns: int
    ) -> tuple[int, bytes] | None:
        """One fragment: its ``offset`` in bytes, whether ``more`` follow. (protocol, payload) once complete, else None.

        ``protocol`` counts for the fragment at offset 0 only (IPv6 names it there).
        """
        end = offset + len(data)
        if not data or end > _MAX_DATAGRAM or (more and len(data) % 8):
            return None
        datagram = self._table.get(key)
        if datagram is not None and abs(time_ns - datagram.time_ns) > _AGE_NS:
            self._drop(key)
            self.given_up += 1
            datagram = None
        if datagram is None:
            datagram = self._table[key] = _Datagram(time_ns)
        if not more and datagram.total is None:
            datagram.total = end
        if offset == 0:
            datagram.protocol = protocol
        self._store(datagram, offset, data)
        if self._complete(datagram):
            self._drop(key)
            return datagram.protocol, bytes(datagram.data[: datagram.total])
        while len(self._table) > self._datagrams or (self._room < 0 and len(self._table) > 1):
            oldest = next(iter(self._table))
            self.overflowed |= abs(time_ns - self._table[oldest].time_ns) <= _AGE_NS
            self._drop(oldest)
            self.given_up += 1
        return None

    def _store(self, datagram: _Datagram, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > len(datagram.data):
            grown = end - len(datagram.data)
            datagram.data.extend(bytes(grown))
            blocks = (end + 7) // 8 - len(datagram.there)
            datagram.there.extend(bytes(blocks))
            datagram.missing += blocks
            self._room -= grown
        first, last = offset // 8, (end + 7) // 8
        new = datagram.there.count(0, first, last)
        if new == last - first:
            datagram.data[offset:end] = data
        elif new:
            for block in range(first, last):
                if not datagram.there[block]:
                    start = block * 8
                    stop = min(start + 8, end)
                    datagram.data[start:stop] = data[start - offset : stop - offset]
        datagram.there[first:last] = b"\1" * (last - first)
        datagram.missing -= new

    @staticmethod
    def _complete(datagram: _Datagram) -> bool:
        if datagram.total is None:
            return False
        return datagram.missing == 0 or not datagram.there.count(0, 0, (datagram.total + 7) // 8)

    def _drop(self, key: Key) -> None:
        self._room += len(self._table.pop(key).data)
