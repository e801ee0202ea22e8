"""The pcapng file format: records in; interfaces, names and secrets noted on the way.

Source: IETF draft-ietf-opsawg-pcapng (blocks, options); which blocks are frames: Wireshark 4.0 wiretap/pcapng.c,
checked against tshark (tests/analyzer/capture/test_pcapng.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from struct import Struct
from typing import TYPE_CHECKING, Any, cast

from analyzer.capture import pcap
from analyzer.capture.records import MAX_PACKET, NO_PACKET, SLACK, Block, Notes, Record, Rest
from analyzer.capture.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MAGIC = b"\x0a\x0d\x0d\x0a"
_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}

_SECTION = 0x0A0D0D0A
_INTERFACE, _OLD_PACKET, _SIMPLE, _NAMES, _STATISTICS, _ENHANCED, _SECRETS = 1, 2, 3, 4, 5, 6, 10
_PACKETS = frozenset({_OLD_PACKET, _SIMPLE, _ENHANCED})
#: Blocks that are no packets, but frames to Wireshark all the same, so they take a number:
#: systemd journal entries, Sysdig events, custom blocks.
_OTHER_FRAMES = frozenset({9, 0x204, 0x216, 0x221, 0xBAD, 0x40000BAD})
_TLS_KEY_LOG = 0x544C534B

#: A longer block is skipped without keeping it; a packet in one is a damaged header.
_MAX_BLOCK = 16 * 1024 * 1024
_MAX_INTERFACES = 65_536
_MAX_NAMES = 65_536
_MAX_SECRETS = 16 * 1024 * 1024
#: Fewer packets in a row than this are not worth a block of arrays.
_FEWEST = 16
#: Times up to here, and ticks a second up to here, stay within 64 bits on the way to nanoseconds.
_MAX_TIME, _MAX_DIVIDE = 1 << 62, 1 << 33
#: 9999-12-31T23:59:59.999999999Z: no calendar goes further.
_END_OF_TIME = 253_402_300_799_999_999_999


class _Interface:
    """One interface of the section: its link type and how its ticks become nanoseconds."""

    __slots__ = ("divide", "link_type", "multiply", "offset", "snap", "simple")

    def __init__(self, link_type: int, snap: int, resolution: int, offset_s: int) -> None:
        self.link_type = link_type
        self.snap = snap
        per_second = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        whole = 1_000_000_000 % per_second == 0
        self.multiply = 1_000_000_000 // per_second if whole else 1_000_000_000
        self.divide = 1 if whole else per_second
        self.offset = offset_s * 1_000_000_000

    @property
    def kind(self) -> tuple[int, int, int, int]:
        """What the packets of interfaces that are read alike have in common."""
        return self.link_type, self.multiply, self.divide, self.offset


def looks_like(head: bytes) -> bool:
    """A section header block starts ``head``."""
    return head.startswith(MAGIC) and head[8:12] in _ORDER


def read(source: Source, data: bytes, notes: Notes, *, number: int = 0) -> Generator[Record, None, Rest | None]:
    """The records of a file whose first bytes are ``data``; the first is a section header (`looks_like`).

    ``number``: records before them. Returns what is left where a pcap file begins (``joined``).
    """
    return cast(Generator[Record, None, Rest | None], _Reader(source, data, notes, number=number).items())


def read_blocks(
    source: Source, data: bytes, notes: Notes, *, size: int, link_types: frozenset[int], number: int = 0
) -> Generator[Record | Block, None, Rest | None]:
    """Like `read`; but where packets of one of ``link_types`` stand in a row, they come as blocks of about ``size`` bytes."""
    return _Reader(source, data, notes, size, link_types, number).items()


class _Reader:
    def __init__(
        self,
        source: Source,
        data: bytes,
        notes: Notes,
        size: int = 0,
        link_types: frozenset[int] = frozenset(),
        number: int = 0,
    ) -> None:
        self._source = source
        self._data = data
        self._at = 0
        self._notes = notes
        self._interfaces: list[_Interface] = []
        self._secret_bytes = 0
        self._number = number
        self._time_ns = 0
        #: Of blocks: their size (0: none are made), for which link types; packets to read one by one before the next.
        self._size, self._link_types = size, link_types
        self._singly = 0
        self._ended = False

    def _need(self, length: int) -> bool:
        """At least ``length`` bytes are in the window; False when the input ends before."""
        missing = length - (len(self._data) - self._at)
        if missing > 0:
            self._data = self._data[self._at :] + self._source.more(missing)
            self._at = 0
            return len(self._data) >= length
        return True

    def items(self) -> Generator[Record | Block, None, Rest | None]:
        """Records, and blocks of them where that was asked for."""
        order = "<"
        word2, word5 = Struct("<II"), Struct("<IIIII")
        while True:
            if self._size and self._interfaces:
                block = self._block(order)
                if block is not None:
                    yield block
                    continue
            if not self._need(12):
                if len(self._data) - self._at:
                    self._cut_short(0)
                return None
            data, at = self._data, self._at
            if data[at : at + 4] == MAGIC:
                new = _ORDER.get(data[at + 8 : at + 12])
                if new is None:
                    self._damaged("a section header without its byte-order magic")
                    return None
                order = new
                word2, word5 = Struct(order + "II"), Struct(order + "IIIII")
            elif pcap.begins_at(data, at) and self._need(pcap.HEADER):
                return Rest(self._data[self._at :], self._number)
            kind, total = word2.unpack_from(data, at)
            if total < 12 or (kind == _ENHANCED and total < 32):
                self._damaged(f"a block that claims {total} bytes")
                return None
            length = (total + 3) & ~3  # some writers forget the padding in the length, none in the file
            if total > _MAX_BLOCK:
                if kind in _PACKETS:
                    self._damaged(f"a packet block that claims {total:,} bytes")
                    return None
                if not self._pass_over(length):
                    return None
                continue
            if not self._need(length):
                self._cut_short(kind)
                return None
            data, at = self._data, self._at
            self._at = at + length
            if word2.unpack_from(data, at + length - 8)[1] not in (total, length):
                self._damaged("a block whose two lengths differ")
                return None
            if kind == _ENHANCED:
                self._number += 1
                interface, high, low, captured, wire = word5.unpack_from(data, at + 8)
                if captured > total - 32 or captured > MAX_PACKET:
                    self._damaged(f"a packet that claims {captured:,} captured bytes", self._number)
                    return None
                if interface < len(self._interfaces):
                    known = self._interfaces[interface]
                    time_ns = (high << 32 | low) * known.multiply // known.divide + known.offset
                    if not 0 <= time_ns <= _END_OF_TIME:
                        time_ns = self._absurd_time()
                    self._time_ns = time_ns
                    yield self._number, time_ns, known.link_type, data[at + 28 : at + 28 + captured], wire
                else:
                    self._unknown_interface(interface)
                    yield self._number, self._time_ns, NO_PACKET, b"", wire
            elif kind in _OTHER_FRAMES:
                self._number += 1
                yield self._number, self._time_ns, NO_PACKET, b"", 0
            elif kind in (_OLD_PACKET, _SIMPLE):
                self._number += 1
                record = (self._simple if kind == _SIMPLE else self._old)(order, data, at, total)
                if record is None:
                    return None
                yield record
            elif kind == _SECTION:
                self._interfaces.clear()
            elif kind in _HANDLERS:
                _HANDLERS[kind](self, order, data[at + 8 : at + total - 4])

    def _block(self, order: str) -> Block | None:
        """The enhanced packets that stand here in a row, sound and of one kind of interface; None: go on one by one."""
        if self._singly:
            self._singly -= 1
            return None
        if not self._ended and len(self._data) - self._at < self._size // 4:
            self._ended = not self._need(self._size)
        found, end = self._walk(order)
        if len(found) >= _FEWEST:
            block = self._sound(order, found, end)
            if block is not None:
                return block
        self._singly = len(found)
        return None

    def _walk(self, order: str) -> tuple[list[int], int]:
        """Where the enhanced packet blocks are that stand here in a row and are whole, and where the last one ends."""
        data, at, end = self._data, self._at, len(self._data)
        word2 = Struct(order + "II").unpack_from
        found: list[int] = []
        while at + 32 <= end:
            kind, total = word2(data, at)
            if kind != _ENHANCED or total & 3 or not 32 <= total <= _MAX_BLOCK or at + total > end:
                break
            found.append(at)
            at += total
        return found, at

    def _sound(self, order: str, found: list[int], end: int) -> Block | None:
        """The first of the blocks at ``found`` for which `items` would do nothing but hand them out; takes them."""
        import numpy as np

        base = found[0]
        window = bytearray(self._data[base:end])
        window += bytes(SLACK)
        words = np.ndarray((len(window) - 3,), order + "u4", window, strides=(1,))
        at: Array = np.array(found, np.int64) - base
        total, interface, high, low, captured, wire = (
            words[at + offset].astype(np.int64) for offset in (4, 8, 12, 16, 20, 24)
        )
        kinds = [known.kind for known in self._interfaces]
        first = int(interface[0])
        if first >= len(kinds) or kinds[first][0] not in self._link_types:
            return None
        link_type, multiply, divide, offset = kinds[first]
        alike: Array = np.array([*(kind == kinds[first] for kind in kinds), False], bool)[
            np.minimum(interface, len(kinds))
        ]
        good = alike & (captured <= total - 32) & (captured <= MAX_PACKET) & (words[at + total - 4] == total)
        ticks = high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)
        latest = int(ticks.max()) * multiply // divide + max(offset, 0)
        if divide > _MAX_DIVIDE or max(latest, int(ticks.max())) > _MAX_TIME or offset < 0:
            return None
        whole = ticks.astype(np.int64)
        if divide == 1:
            times = whole * multiply + offset
        else:
            times = whole // divide * multiply + whole % divide * multiply // divide + offset
        count = at.size if good.all() else int(np.argmin(good))
        if count < _FEWEST:
            return None
        number = self._number
        self._number += count
        self._at = base + int(at[count - 1] + total[count - 1])
        self._time_ns = int(times[count - 1])
        return Block(number, link_type, window, at[:count] + 28, captured[:count], wire[:count], times[:count])

    def _damaged(self, what: str, frame: int | None = None) -> None:
        frame = self._number + 1 if frame is None else frame
        self._notes.add("damaged-record", f"{what} at frame {frame}; it and everything behind it was not used", frame)

    def _cut_short(self, kind: int) -> None:
        """The file ends inside a block of that kind (0: unknown)."""
        if kind in _PACKETS:
            self._notes.cut_short(self._number + 1)
        else:
            self._notes.cut_short(self._number or None, behind=True)

    def _absurd_time(self) -> int:
        self._notes.add_once("absurd-time", f"frame {self._number} has a time outside every calendar", self._number)
        return self._time_ns

    def _unknown_interface(self, interface: int) -> None:
        self._notes.add_once(
            "unknown-interface",
            f"frame {self._number} is from interface {interface}, which the file does not describe",
            self._number,
        )

    def _pass_over(self, length: int) -> bool:
        """Drops a block that is too long to keep; False when the input ends inside it."""
        have = len(self._data) - self._at
        if have >= length:
            self._at += length
            return True
        rest = self._source.skip(length - have)
        if rest is None:
            self._cut_short(0)
            return False
        self._data, self._at = rest, 0
        return True

    def _simple(self, order: str, data: bytes, at: int, total: int) -> Record | None:
        """A simple packet block: no interface (the first is meant), no time, cut at that interface's snap length."""
        wire = Struct(order + "I").unpack_from(data, at + 8)[0] if total >= 16 else 0
        if not self._interfaces:
            self._unknown_interface(0)
            return self._number, self._time_ns, NO_PACKET, b"", wire
        first = self._interfaces[0]
        captured = min(wire, first.snap or wire, total - 16)
        self._notes.add_once(
            "no-time", f"frame {self._number} has no time; that of its neighbour is used", self._number
        )
        return self._number, self._time_ns, first.link_type, data[at + 12 : at + 12 + captured], wire

    def _old(self, order: str, data: bytes, at: int, total: int) -> Record | None:
        """The obsolete packet block (appendix A of the draft)."""
        if total < 32:
            self._damaged(f"a block that claims {total} bytes", self._number)
            return None
        interface, _, high, low, captured, wire = Struct(order + "HHIIII").unpack_from(data, at + 8)
        if captured > total - 32 or captured > MAX_PACKET:
            self._damaged(f"a packet that claims {captured:,} captured bytes", self._number)
            return None
        if interface >= len(self._interfaces):
            self._unknown_interface(interface)
            return self._number, self._time_ns, NO_PACKET, b"", wire
        known = self._interfaces[interface]
        time_ns = (high << 32 | low) * known.multiply // known.divide + known.offset
        if not 0 <= time_ns <= _END_OF_TIME:
            time_ns = self._absurd_time()
        self._time_ns = time_ns
        return self._number, time_ns, known.link_type, data[at + 28 : at + 28 + captured], wire

    def _interface(self, order: str, body: bytes) -> None:
        if len(body) < 8:
            self._interfaces.append(_Interface(NO_PACKET, 0, 6, 0))
            return
        if len(self._interfaces) >= _MAX_INTERFACES:
            return
        link_type, _, snap = Struct(order + "HHI").unpack_from(body)
        resolution, offset = 6, 0
        for code, value in _options(order, body, 8):
            if code == 9 and len(value) == 1:
                resolution = value[0]
            elif code == 14 and len(value) == 8:
                offset = int.from_bytes(value, "little" if order == "<" else "big", signed=True)
        self._interfaces.append(_Interface(link_type, snap, resolution, offset))
        self._notes.add_link_type(link_type)
        if (resolution & 0x80 and resolution & 0x7F > 20) or 6 < resolution < 0x80:
            self._notes.digits = 9

    def _names(self, order: str, body: bytes) -> None:
        """A name resolution block: addresses with the names they were seen under; the first name counts."""
        pair = Struct(order + "HH")
        at = 0
        while at + 4 <= len(body):
            kind, length = pair.unpack_from(body, at)
            if kind == 0:
                break
            value = body[at + 4 : at + 4 + length]
            size = {1: 4, 2: 16}.get(kind)
            if size is not None and len(value) > size and len(self._notes.names) < _MAX_NAMES:
                name = value[size:].split(b"\0", 1)[0].decode("utf-8", "replace")
                self._notes.names.setdefault(value[:size], name)
            at += 4 + ((length + 3) & ~3)

    def _secrets(self, order: str, body: bytes) -> None:
        """A decryption secrets block; TLS key logs are kept, other kinds are not ours."""
        if len(body) < 8:
            return
        kind, length = Struct(order + "II").unpack_from(body)
        self._secret_bytes += length
        if kind == _TLS_KEY_LOG and self._secret_bytes <= _MAX_SECRETS:
            self._notes.secrets.append(body[8 : 8 + length])


_HANDLERS: dict[int, Callable[[_Reader, str, bytes], None]] = {
    _INTERFACE: _Reader._interface,
    _NAMES: _Reader._names,
    _SECRETS: _Reader._secrets,
}


def _options(order: str, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The options of a block from ``at`` on, as (code, value)."""
    pair = Struct(order + "HH")
    while at + 4 <= len(body):
        code, length = pair.unpack_from(body, at)
        if code == 0:
            return
        yield code, body[at + 4 : at + 4 + length]
        at += 4 + ((length + 3) & ~3)
