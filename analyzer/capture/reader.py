"""A capture as the rest of the program sees it: packets once through, and afterwards what was wrong with the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from analyzer.capture import index, joined, links, packing, pcap, pcapng, textdumps, wiretap
from analyzer.capture.clock import Clock
from analyzer.capture.decode import Decoder
from analyzer.capture.deferred import Deferred
from analyzer.capture.index import Flows
from analyzer.capture.records import FATAL, NO_PACKET, Block, Limits, Notes, Record
from analyzer.capture.source import Source
from analyzer.capture.unread import CODES as unread_codes
from analyzer.capture.unread import LINK
from analyzer.errors import InputError
from analyzer.packet import Packet, Problem

_DEFAULT_LIMITS = Limits()
#: Enough for either file header.
_HEAD = HEAD = 32
#: Files up to this size are read record by record; above, in blocks of about the second size (bytes).
_SMALL, _BLOCK = 2 << 20, 4 << 20
#: Records between two looks at the clock (a power of two, minus one).
_LOOK = 0xFFF
#: No limit.
_ALL = 1 << 63
_AGAIN = "transfer the original again, in binary mode"
_WITH_BYTES = 'make it again with them: tcpdump -xx, tshark -x, Wireshark\'s export with "Packet bytes"; or hand in the capture itself'
_REDIRECT = "its bytes were changed for good: make it again with -w FILE on the far side, or redirect in cmd: ssh HOST tcpdump -U -w - > FILE"
#: What else people hand in by mistake, by its first bytes, and what helps.
_OTHERS = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first: 7z x"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x0a\x0d\x0d\x0a", "a damaged pcapng file: no section header", ""),
    (b"\x0d\x0a\x0d\x0d\x0d\x0a", "a pcapng file that was transferred as text: every line end was changed", _AGAIN),
    (b"PK\x03\x04", "a zip archive", "unpack it first, or give it as a file"),
    (b"-----BEGIN ", "a key or certificate, not a capture", "give it with --keys"),
)
_ZIP = b"PK\x03\x04"
_MANUAL = "editcap -F pcapng IN OUT.pcapng"


def open_capture(
    source: Path | BinaryIO,
    *,
    name: str,
    limits: Limits = _DEFAULT_LIMITS,
    foreign: bool = True,
    decoder: type[Decoder] | None = None,
) -> Capture:
    """Opens a capture, whatever it is packed in, or a stream of one; ``name`` is what messages call it.

    pcap and pcapng are read here, and packets in text (`textdumps`); other formats by Wireshark's editcap, where it is
    installed and ``foreign`` allows it. ``decoder`` reads every packet, one by one, in place of ours. A path is opened here and closed when the packets have been read (or `Capture.close`);
    a stream stays the caller's. Raises `InputError` when it cannot be opened, is empty or is no capture.
    """
    if not isinstance(source, Path):
        return Capture(source, name=name, limits=limits, decoder=decoder)
    try:
        file = cast(BinaryIO, source.open("rb", buffering=0))
    except OSError as error:
        problem = "is a folder" if source.is_dir() else (error.strerror or str(error)).lower()
        raise InputError(name, problem) from error
    try:
        head = file.read(HEAD)
        file.seek(0)
        if head.startswith(_ZIP):
            return _in_zip(source, file, name, limits, decoder)
        return Capture(file, name=name, limits=limits, owned=True, decoder=decoder)
    except NotACapture as error:
        file.close()
        found = _by_wireshark(source, name, limits) if foreign else None
        if found is None:
            raise InputError(error.path, error.problem, error.hint) from error
        return found
    except (InputError, OSError) as error:
        file.close()
        if isinstance(error, OSError) and not isinstance(error, InputError):
            raise InputError(name, (error.strerror or str(error)).lower()) from error
        raise


def _in_zip(source: Path, file: BinaryIO, name: str, limits: Limits, decoder: type[Decoder] | None) -> Capture:
    notes = Notes()
    try:
        member = packing.ZipMember(file, notes)
    except packing.Missing as error:
        raise InputError(name, error.what, error.hint) from error
    whole = Stored(None, wiretap.digest(source), source.stat().st_size, (file.close,))
    return Capture(cast(BinaryIO, member), name=name, limits=limits, stored=whole, notes=notes, decoder=decoder)


def _by_wireshark(source: Path, name: str, limits: Limits) -> Capture | None:
    """The file by way of Wireshark's own reader; None when that does not read it either."""
    if not source.is_file():
        return None
    if not wiretap.installed():
        return None
    what = wiretap.facts(source)
    file = wiretap.converted(source, what)
    if file is None:
        return None
    notes = Notes()
    whole = Stored(what.format, wiretap.digest(source), source.stat().st_size, (file.close,), file.complaint)
    try:
        found = Capture(cast(BinaryIO, file), name=name, limits=limits, stored=whole, notes=notes)
    except InputError:
        file.close()
        return None
    notes.add("read-by-wireshark", f"the file's format ({whole.format}) is read by way of Wireshark's editcap")
    return found


class NotACapture(InputError):
    """The file is neither pcap nor pcapng; another reader may know it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is not read itself but by way of something: its format, hash and size, what ends that way, and what went wrong."""

    format: str | None
    sha256: str | None
    size: int
    closing: tuple[Callable[[], None], ...] = ()
    complaint: Callable[[], str | None] | None = None


class Capture:
    """One capture file, iterable once over its TCP, UDP and ICMP packets; the attributes are final afterwards.

    ``records()`` gives the raw layer instead (also once). Iterating never raises for what is in the file.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        name: str,
        limits: Limits,
        owned: bool = False,
        stored: Stored | None = None,
        notes: Notes | None = None,
        decoder: type[Decoder] | None = None,
    ) -> None:
        self.name = name
        self._stored = stored
        self._file = file
        self._owned = owned
        self._late = self._no_bytes = False
        self._limits = limits
        self._notes = notes or Notes()
        try:
            self._source = Source(file, self._notes, limits)
        except packing.Missing as error:
            raise InputError(name, error.what, error.hint) from error
        self._decoder = (decoder or Decoder)(self._notes, limits.fragments)
        self._every = decoder is not None
        #: Records read, bytes of them on the wire, and the earliest and latest time.
        self.packets = 0
        self.bytes = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        head = self._source.more(_HEAD)
        text = None
        if pcap.read_header(head) is None and not pcapng.looks_like(head):
            head, text = self._from_text(head)
        self._header = header = pcap.read_header(head)
        self._head = head
        self.format: str | None
        # As a transfer in text mode leaves it: no line end without a carriage return.
        self._as_text = 3 <= head.count(b"\n") == head.count(b"\r\n")
        self.format = "text" if text else "pcap" if header else "pcapng"
        if stored is not None and stored.format is not None:
            self.format = stored.format
        if not header and not pcapng.looks_like(head):
            raise self._no_capture(head)
        self._records = joined.read(self._source, head, self._notes)
        self._clock = Clock(self._notes)

    def _from_text(self, head: bytes) -> tuple[bytes, str | None]:
        """A text with packets in it, as a pcap file: its first bytes; otherwise ``head`` as it was."""
        head += self._source.more(textdumps.HEAD - len(head)) if len(head) >= _HEAD else b""
        found = textdumps.text_of(head)
        if found is None:
            return head, None
        text, encoding = found
        kind = textdumps.kind_of(text)
        if kind is None or pcap.looks_like(text[:4].encode("cp437", "replace")):
            return head, None
        dump = textdumps.TextDump(self._source.more_or_none, head, encoding, kind, self._notes)
        if dump.of_file:
            raise InputError(
                self.name, "a hex dump of a capture file", "turn it back into the file: xxd -r THIS > OUT.pcap"
            )
        if not dump.packets:
            self._no_bytes = True
            return head, None
        self._source = Source(cast(BinaryIO, dump), self._notes, self._limits, below=self._source)
        return self._source.more(_HEAD), kind

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
        if self._no_bytes:
            return NotACapture(self.name, "text about packets, without their bytes", _WITH_BYTES)
        redirected = _redirected(head)
        if redirected is not None:
            return InputError(self.name, redirected, _REDIRECT)
        program = wiretap.named(head)
        if program is not None:
            hint = (
                f"convert it: {_MANUAL}"
                if wiretap.installed()
                else f"install Wireshark, then it is read here, or convert it elsewhere: {_MANUAL}"
            )
            return NotACapture(self.name, program, hint)
        read = "pcap and pcapng are read, compressed too"
        if textdumps.text_of(head) is not None:
            return NotACapture(
                self.name,
                "text, not a capture file",
                f"{read}, and text with the packets' bytes; a device's log goes to --log",
            )
        if not wiretap.installed():
            read += ", and, with Wireshark installed, every format it knows"
        return NotACapture(self.name, "not a capture file", read)

    @property
    def status(self) -> Literal["ok", "partial"]:
        """Partial: something in the file was not used. (What cannot be opened at all is an `InputError`.)"""
        unread = any(problem.code in unread_codes for problem in self._decoder.unread.problems())
        return "partial" if self.damaged or (unread and not self._decoder.read_any) else "ok"

    @property
    def damaged(self) -> bool:
        """The file was not used to its end."""
        return any(problem.code in FATAL for problem in self._notes.problems)

    @property
    def stored_bytes(self) -> int:
        """Size of the file as stored; 0 for a pipe."""
        if self._stored is not None:
            return self._stored.size
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
    def only_link(self) -> int | None:
        """The LINKTYPE_* number of all packets, where it is one and read here."""
        numbers = self._notes.link_types
        closed = any(problem.code == LINK for problem in self._decoder.unread.problems())
        return numbers[0] if len(numbers) == 1 and not closed else None

    @property
    def digits(self) -> int:
        """Decimal digits of its time stamps: 6 or 9."""
        return self._notes.digits

    @property
    def secrets(self) -> list[bytes]:
        """TLS key logs that the file carries. Secret."""
        return self._notes.secrets

    @property
    def joints(self) -> list[int]:
        """The first frame of each further capture file that stands behind the first in this one, ascending."""
        return self._notes.joints

    @property
    def names(self) -> dict[bytes, str]:
        """Host names the file carries, by address."""
        return self._notes.names

    @property
    def sha256(self) -> str | None:
        """Hex digest of the file as stored; None for a stream that was not read to its end."""
        return self._stored.sha256 if self._stored is not None else self._source.sha256()

    def close(self) -> None:
        """Closes what `open_capture` opened."""
        if self._owned:
            self._file.close()
        for close in self._stored.closing if self._stored is not None else ():
            close()

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
                if len(record[3]) < record[4] and record[2] != NO_PACKET:
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
        if self._every or (header is not None and header.link_type not in indexed) or not index.available():
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
        deferred = Deferred()
        count = longest = 0
        # Of what is beyond the limit the clock sees one record, as it does record by record.
        near = (item.first(max(0, most + 1 - item.number)) if isinstance(item, Block) else item for item in items)
        try:
            for item in self._clock.steady(near):
                if not isinstance(item, Block):
                    if self.packets >= most:
                        self._limited(most, item[0])
                        break
                    if not self.packets & _LOOK and self._stopped():
                        break
                    self._count(item)
                    if len(item[3]) < item[4] and item[2] != NO_PACKET:
                        count, longest = count + 1, max(longest, len(item[3]))
                    yield item
                    continue
                if self._stopped():
                    break
                block = item.first(most - item.number) if item.number + len(item.starts) > most else item
                cut = block is not item
                self._count_block(block)
                short = block.captured < block.wire
                if short.any():
                    count, longest = count + int(short.sum()), max(longest, int(block.captured[short].max()))
                link = block.link_type
                if link not in screens:
                    screens[link] = index.Screen(index.LAYOUTS[link], flows)
                yield from _wanted(block, screens[link])
                self._decoder.read_any |= screens[link].counted
                if (aside := screens[link].aside) is not None:
                    deferred.take(block, aside)
                if cut:
                    self._limited(most, self.packets + 1)
                    break
            yield from deferred.records(flows.wanted_last())
            self._note_cut(count, longest)
            self._drain()
        finally:
            self.close()

    def _drain(self) -> None:
        """Says what was wrong with the clock, and reads the rest for the hash, unless there is no time for it or no end to it: a pipe that was left early."""
        self._clock.note()
        if not self._late and (not self.damaged or self._file.seekable()):
            self._source.drain()
        if self._as_text and any(problem.code in ("damaged-record", "cut-short") for problem in self._notes.problems):
            text = "the file was transferred as text (FTP in ASCII mode, or a tool that changes line ends): every line feed got a carriage return"
            self._notes.add("transferred-as-text", f"{text}; {_AGAIN}")
        complaint = self._stored.complaint if self._stored is not None else None
        if complaint is not None and not self._late and self._source.drained and (said := complaint()) is not None:
            self._notes.add("read-error", f"Wireshark's editcap stopped early: {said}")

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


def _redirected(head: bytes) -> str | None:
    """A capture that a Windows shell took for text, in UTF-16 or UTF-8."""
    for encoding in ("utf-16", "utf-8-sig"):
        try:
            text = head[: len(head) & ~1].decode(encoding, "ignore")
        except UnicodeDecodeError:
            continue
        for page in ("cp437", "cp850", "cp1252", "latin-1"):
            first = text[:4].encode(page, "replace")
            if (
                len(text) >= 4
                and encoding == "utf-16"
                and head[:2] in (b"\xff\xfe", b"\xfe\xff")
                and (pcap.looks_like(first) or text[1:5] == "\r\r\n\0")
            ):
                return "a capture that PowerShell's > wrote as text (UTF-16)"
    if head[:3] == b"\xef\xbb\xbf" or b"\xef\xbf\xbd" in head[:12]:
        return "a capture that was saved as text (UTF-8)" if b"\xef\xbf\xbd" in head[:32] else None
    return None
