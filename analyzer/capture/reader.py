"""A capture as the rest of the program sees it: packets once through, and afterwards what was wrong with the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from analyzer.capture import index, joined, links, pcap, pcapng
from analyzer.capture.clock import Clock
from analyzer.capture.decode import Decoder
from analyzer.capture.index import Flows
from analyzer.capture.records import FATAL, Block, Limits, Notes, Record
from analyzer.capture.source import Source
from analyzer.capture.unread import CODES as unread_codes
from analyzer.errors import InputError
from analyzer.packet import Packet, Problem

_DEFAULT_LIMITS = Limits()
#: Enough for either file header.
_HEAD = 32
#: Files up to this size are read record by record; above, in blocks of about the second size (bytes).
_SMALL, _BLOCK = 2 << 20, 4 << 20
#: Records between two looks at the clock (a power of two, minus one).
_LOOK = 0xFFF
#: No limit.
_ALL = 1 << 63
#: What else people hand in by mistake, by its first bytes, and what helps.
_OTHERS = (
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: zstd -d"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it first: lz4 -d"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first: xz -d"),
    (b"BZh", "compressed with bzip2", "unpack it first: bzip2 -d"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\x1f\x8b", "gzip inside gzip", "unpack it once: gzip -d"),
    (b"snoop\x00\x00\x00", "a snoop capture", "convert it: editcap -F pcapng IN OUT.pcapng"),
    (b"GMBU", "a Network Monitor capture", "convert it: editcap -F pcapng IN OUT.pcapng"),
    (b"RTSS", "a Network Monitor capture", "convert it: editcap -F pcapng IN OUT.pcapng"),
    (b"\x0a\x0d\x0d\x0a", "a damaged pcapng file: no section header", ""),
    (b"-----BEGIN ", "a key or certificate, not a capture", "give it with --keys"),
)


def open_capture(source: Path | BinaryIO, *, name: str, limits: Limits = _DEFAULT_LIMITS) -> Capture:
    """Opens a pcap or pcapng file, gzip'ed or not, or a stream of one; ``name`` is what messages call it.

    A path is opened here and closed when the packets have been read (or `Capture.close`); a stream stays the caller's.
    Raises `InputError` when it cannot be opened, is empty or is no capture.
    """
    if not isinstance(source, Path):
        return Capture(source, name=name, limits=limits)
    try:
        file = cast(BinaryIO, source.open("rb", buffering=0))
    except OSError as error:
        problem = "is a folder" if source.is_dir() else (error.strerror or str(error)).lower()
        raise InputError(name, problem) from error
    try:
        return Capture(file, name=name, limits=limits, owned=True)
    except InputError:
        file.close()
        raise


class Capture:
    """One capture file, iterable once over its TCP, UDP and ICMP packets; the attributes are final afterwards.

    ``records()`` gives the raw layer instead (also once). Iterating never raises for what is in the file.
    """

    def __init__(self, file: BinaryIO, *, name: str, limits: Limits, owned: bool = False) -> None:
        self.name = name
        self._file = file
        self._owned = owned
        self._late = False
        self._limits = limits
        self._notes = Notes()
        self._source = Source(file, self._notes, limits)
        self._decoder = Decoder(self._notes, limits.fragments)
        #: Records read, bytes of them on the wire, and the earliest and latest time.
        self.packets = 0
        self.bytes = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        head = self._source.more(_HEAD)
        self._header = header = pcap.read_header(head)
        self._head = head
        self.format: Literal["pcap", "pcapng"] = "pcap" if header else "pcapng"
        if not header and not pcapng.looks_like(head):
            raise self._no_capture(head)
        self._records = joined.read(self._source, head, self._notes)
        self._clock = Clock(self._notes)

    def _no_capture(self, head: bytes) -> InputError:
        for problem in self._notes.problems:
            if problem.code in FATAL and len(head) < _HEAD:
                return InputError(self.name, problem.message)
        if not head:
            return InputError(self.name, "empty file", "the capture never started or was not copied")
        if pcap.looks_like(head):
            return InputError(self.name, f"cut off: a pcap file header has 24 bytes, this file {len(head)}")
        for magic, what, hint in _OTHERS:
            if head.startswith(magic):
                return InputError(self.name, what, hint)
        read = "pcap and pcapng are read, also gzip'ed"
        if (
            head.isascii()
            and head.decode("ascii").replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable()
        ):
            return InputError(self.name, "text, not a capture file", f"{read}; a device's log goes to --log")
        return InputError(self.name, "not a capture file", read)

    @property
    def status(self) -> Literal["ok", "partial"]:
        """Partial: something in the file was not used. (What cannot be opened at all is an `InputError`.)"""
        unread = any(problem.code in unread_codes for problem in self._decoder.unread.problems())
        if unread and not self._decoder.read_any:
            return "partial"
        return "partial" if any(problem.code in FATAL for problem in self._notes.problems) else "ok"

    @property
    def stored_bytes(self) -> int:
        """Size of the file as stored; 0 for a pipe."""
        try:
            status = os.fstat(self._file.fileno())
        except (OSError, AttributeError):  # no file behind it (io.UnsupportedOperation is an OSError)
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    @property
    def problems(self) -> list[Problem]:
        """What was wrong with the file so far, in order; then what could not be looked into, most frequent first."""
        return [*self._notes.problems, *self._decoder.unread.problems()]

    @property
    def link_types(self) -> list[str]:
        """Names of the link types the file declares, in order."""
        return list(dict.fromkeys(links.name(link_type) for link_type in self._notes.link_types))

    @property
    def digits(self) -> int:
        """Decimal digits of its time stamps: 6 or 9."""
        return self._notes.digits

    @property
    def secrets(self) -> list[bytes]:
        """TLS key logs that the file carries. Secret."""
        return self._notes.secrets

    @property
    def names(self) -> dict[bytes, str]:
        """Host names the file carries, by address."""
        return self._notes.names

    @property
    def sha256(self) -> str | None:
        """Hex digest of the file as stored; None for a stream that was not read to its end."""
        return self._source.sha256()

    def close(self) -> None:
        """Closes what `open_capture` opened."""
        if self._owned:
            self._file.close()

    def records(self) -> Iterator[Record]:
        """The raw layer: every record of the file."""
        return self._counted(self._records)

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        """``records``, counted and timed on top of what was before them."""
        most = self._limits.packets if self._limits.packets is not None else _ALL
        low, high, size, number = self.first_ns, self.last_ns, self.bytes, self.packets
        cut = longest = 0
        try:
            for record in self._clock.steady(records):
                if number >= most:
                    self._limited(most, record[0])
                    break
                if not number & _LOOK and self._stopped():
                    break
                number = record[0]
                size += record[4]
                if len(record[3]) < record[4]:
                    cut += 1
                    longest = max(longest, len(record[3]))
                time_ns = record[1]
                if low is None or high is None:
                    # 0: a record without a time (pcapng simple packets) before any that has one.
                    low = high = time_ns or None
                elif time_ns > high:
                    high = time_ns
                elif time_ns < low:
                    low = time_ns
                yield record
            self._note_cut(cut, longest)
            self._drain()
        finally:
            self.packets, self.bytes, self.first_ns, self.last_ns = number, size, low, high
            self.close()

    def _note_cut(self, count: int, longest: int) -> None:
        """Packets that the snap length cut, and the longest piece that is left of one."""
        if count:
            packets = "1 packet is" if count == 1 else f"{count:,} packets are"
            text = f"{packets} cut to at most {longest:,} bytes, and what was cut off is not there: capture whole packets (tcpdump -s 0)"
            self._notes.add("snap-length", text)

    def _limited(self, most: int, frame: int) -> None:
        self._notes.add("limit-packets", f"only the first {most:,} packets were read", frame)

    def _stopped(self) -> bool:
        """Whether time or memory is used up; notes it."""
        reason = self._limits.stop() if self._limits.stop is not None else None
        if reason is not None:
            self._notes.problems.append(reason)
            self._late = True
        return reason is not None

    def __iter__(self) -> Iterator[Packet]:
        return self._decoded(self.records(), None)

    def unscreened(self, flows: Flows) -> Iterator[Packet]:
        """All packets, for a caller that feeds a conversation table with them."""
        return self._decoded(self.records(), flows)

    def _decoded(self, records: Iterator[Record], flows: Flows | None) -> Iterator[Packet]:
        decoder = self._decoder
        decode = decoder.decode
        for record in records:
            packet = decode(*record)
            if packet is not None:
                if decoder.inexact and flows is not None:
                    flows.lose()
                yield packet
                if decoder.further:
                    yield from decoder.taken()

    def screened(self, flows: Flows) -> Iterator[Packet]:
        """The packets that can matter to a device's session, for a caller that feeds a conversation table with them.

        ``flows`` is that table. The conversations that come out of it are those of iterating over the capture. What the index cannot walk (a rare link type, no numpy, small files, where numpy
        costs more than it saves) is read record by record.
        """
        header, indexed = self._header, frozenset(index.LAYOUTS)
        if (header is not None and header.link_type not in indexed) or not index.available():
            return self.unscreened(flows)
        head = self._head + self._source.more(_SMALL - len(self._head))
        if len(head) < _SMALL:
            self._records = joined.read(self._source, head, self._notes)
            return self.unscreened(flows)
        items = joined.read_blocks(self._source, head, self._notes, size=_BLOCK, link_types=indexed)
        return self._decoded(self._screened(items, flows), flows)

    def _screened(self, items: Iterator[Record | Block], flows: Flows) -> Iterator[Record]:
        """Of blocks the records that can matter; records that come singly, all."""
        most = self._limits.packets if self._limits.packets is not None else _ALL
        screens: dict[int, index.Screen] = {}
        count = longest = 0
        try:
            for item in items:
                if not isinstance(item, Block):
                    if self.packets >= most:
                        self._limited(most, item[0])
                        break
                    if not self.packets & _LOOK and self._stopped():
                        break
                    item = next(self._clock.steady((item,)))
                    self._count(item)
                    if len(item[3]) < item[4]:
                        count, longest = count + 1, max(longest, len(item[3]))
                    yield item
                    continue
                if self._stopped():
                    break
                block = item.first(most - item.number) if item.number + len(item.starts) > most else item
                cut, block = block is not item, self._clock.block(block)
                self._count_block(block)
                short = block.captured < block.wire
                if short.any():
                    count, longest = count + int(short.sum()), max(longest, int(block.captured[short].max()))
                link = block.link_type
                if link not in screens:
                    screens[link] = index.Screen(index.LAYOUTS[link], flows)
                yield from _wanted(block, screens[link])
                self._decoder.read_any |= screens[link].counted
                if cut:
                    self._limited(most, self.packets + 1)
                    break
            self._note_cut(count, longest)
            self._drain()
        finally:
            self.close()

    def _drain(self) -> None:
        """Says what was wrong with the clock, and reads the rest for the hash, unless there is no time for it or no end to it: a pipe that was left early."""
        self._clock.note()
        if not self._late and (self.status == "ok" or self._file.seekable()):
            self._source.drain()

    def _count(self, record: Record) -> None:
        number, time_ns, _, _, wire = record
        if self.first_ns is None or self.last_ns is None:
            self.first_ns = self.last_ns = time_ns or None
        else:
            self.first_ns, self.last_ns = min(self.first_ns, time_ns), max(self.last_ns, time_ns)
        self.bytes += wire
        self.packets = number

    def _count_block(self, block: Block) -> None:
        times = block.times
        if self.first_ns is None:
            times = times[int((times != 0).argmax()) :] if times.any() else times[:0]
        if times.size:
            low, high = int(times.min()), int(times.max())
            self.first_ns = low if self.first_ns is None else min(self.first_ns, low)
            self.last_ns = high if self.last_ns is None else max(self.last_ns, high)
        self.bytes += int(block.wire.sum())
        self.packets += len(block.starts)


def _wanted(block: Block, screen: index.Screen) -> Iterator[Record]:
    """The records of a block that the screen lets through."""
    data, starts, captured, wire, times = block.data, block.starts, block.captured, block.wire, block.times
    first = block.number + 1
    for item in screen.wanted(data, starts, captured):
        start = int(starts[item])
        kept = bytes(data[start : start + int(captured[item])])
        yield first + item, int(times[item]), block.link_type, kept, int(wire[item])
