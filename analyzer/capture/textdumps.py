"""Packets out of text: what people paste when they could have sent the capture.

Read are hex dumps (``tcpdump -x``, ``-xx``, ``-X``, ``-XX``; Wireshark's "Export Packet Dissections, As Plain Text" with bytes;
``tshark -x``; ``hexdump -C``, ``od -Ax -tx1``), K12 text, and ``tshark -T json|jsonraw|ek`` with ``-x`` and ``-T pdml``. Text in
UTF-16, as PowerShell redirects it, too.

How it works: `TextDump` is a file of its own: asked for bytes, it reads lines and gives a pcap file with nanoseconds, packet
by packet. Whatever comes first in the text (Ethernet, Linux cooked, a bare IP packet) becomes an Ethernet frame. Nothing is
kept but the packet under way, and that is bounded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Literal

from analyzer.capture.packing import CAPTURE_MAGICS, Once
from analyzer.capture.records import MAX_PACKET, Notes

Kind = Literal["hex", "json", "pdml", "no-bytes"]

_ETHERNET = 1
_MAX_LINE = 4 * MAX_PACKET
_FIRST_LOOK = 16 << 20
#: What is looked at to tell the kind (bytes).
HEAD = 64 * 1024
_DAY_NS, _SECOND_NS = 86_400_000_000_000, 1_000_000_000

_HEX_LINE = re.compile(
    r"^\s*(?:0x)?([0-9a-fA-F]{3,8})(?::\s*|\s\s?\s?)((?:[0-9a-fA-F]{2}){1,2}(?: {1,2}(?:[0-9a-fA-F]{2}){1,2})*)(?=\s|$)"
)
_K12_LINE = re.compile(r"^\|[0-9a-fA-F]+ *\|(?:[0-9a-fA-F]{2}\|)+\s*$")
_K12_TIME = re.compile(r"^(\d\d):(\d\d):(\d\d),(\d{3}),(\d{3})\s+\S")
_CLOCK = re.compile(r"^(?:(\d{4})-(\d\d)-(\d\d)[ T])?(\d\d):(\d\d):(\d\d)[.,](\d{1,9})\s")
_EPOCH_LINE = re.compile(r"^(\d{9,10})\.(\d{1,9})\s")
_EPOCH_FIELD = re.compile(r"^\s*Epoch (?:Arrival )?Time: (\d{1,10})\.(\d{1,9})")
_SUMMARY = re.compile(r"^\s*\d+\s+(\d{1,10})\.(\d{1,9})\s+\S")
_HEADING = re.compile(r"^(\S.*?) \(\d+ bytes\):?\s*$")
_RAW = re.compile(r'"frame_raw"\s*:\s*(?:\[\s*)?"([0-9a-fA-F]*)"')
_RAW_BEGIN = re.compile(r'"frame_raw"\s*:\s*\[\s*$')
_JSON_TIME = re.compile(r'"(?:frame\.time_epoch|frame_frame_time_epoch)"\s*:\s*(?:\[\s*)?"(\d{1,10})\.(\d{1,9})"')
_QUOTED_HEX = re.compile(r'^\s*"([0-9a-fA-F]*)"')
_PDML_FIELD = re.compile(r'<field [^>]*?name="([^"]*)"[^>]*>')
_ATTRIBUTE = re.compile(r'\b(pos|size|value|unmaskedvalue)="([0-9a-fA-F.]*)"')
#: Fields with all the bytes of a payload: what follows is taken from what they hold.
_PAYLOADS = ("tcp.payload", "udp.payload", "data.data")
_TCPDUMP = re.compile(r"^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{6} (?:IP6?|ARP|\S+ +(?:In|Out|P|B|M) )", re.MULTILINE)

_MACS = bytes(12)


def text_of(head: bytes) -> tuple[str, str] | None:
    """``head`` as text and its encoding; None when it is none."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            text = head[: len(head) & ~1].decode(encoding, "replace")[1:]
            return (text, encoding) if _printable(text[:4096]) else None
    text = head.decode("latin-1")
    return (text, "latin-1") if _printable(text[:4096]) else None


def _printable(text: str) -> bool:
    return bool(text) and not any(letter < " " and letter not in "\t\n\r\f" for letter in text)


def kind_of(text: str) -> Kind | None:
    """What kind of dump a text is; None for any other text."""
    begin = text.lstrip("\ufeff \t\r\n")
    if begin.startswith(("[", "{")) and '"layers"' in text:
        return "json"
    if begin.startswith("<?xml") and "<pdml" in text[:4096]:
        return "pdml"
    lines = text.splitlines()[:2000]
    offsets = [int(found[1], 16) for line in lines if (found := _HEX_LINE.match(line)) is not None]
    if any(one == 0 for one in offsets) and any(_is_hex(line) for line in lines):
        return "hex"
    if any(_K12_LINE.match(line) for line in lines):
        return "hex"
    if (
        _TCPDUMP.search(text)
        or ("Frame 1: " in text and "Arrival Time" in text)
        or re.search(r"^ *No\. +Time +Source", text, re.MULTILINE)
    ):
        return "no-bytes"
    return None


def _is_hex(line: str) -> bool:
    found = _HEX_LINE.match(line)
    return found is not None and int(found[1], 16) == 0 and len(found[2].replace(" ", "")) >= 16


class TextDump(Once):
    """A pcap file made from text while it is read; ``packets`` says afterwards how many came out."""

    def __init__(self, read: Callable[[int], bytes], head: bytes, encoding: str, kind: Kind, notes: Notes) -> None:
        self._read, self._encoding, self._notes = read, encoding, notes
        self._head = head
        self.packets = 0
        #: What the text shows is not a packet but a capture file.
        self.of_file = False
        self._holes = 0
        self._dated = False
        #: Time of the packet under way, and what a day began with.
        self._time_ns = 0
        self._days = 0
        self._last_of_day = 0
        source = {"hex": self._from_hex, "json": self._from_json, "pdml": self._from_pdml}.get(kind)
        self._records = source() if source is not None else iter(())
        self._out = struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, MAX_PACKET, _ETHERNET)
        first = next(self._records, None)
        self._over = first is None
        if first is not None:
            self._out += first

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the pcap file."""
        while not self._over and (size < 0 or len(self._out) < size):
            record = next(self._records, None)
            if record is None:
                self._over = True
                self._tell()
                break
            self._out += record
            if size >= 0 and len(self._out) >= min(size, HEAD):
                break
        size = len(self._out) if size < 0 else size
        data, self._out = self._out[:size], self._out[size:]
        return data

    def _tell(self) -> None:
        if self._holes:
            self._notes.add(
                "text-holes",
                f"{self._holes:,} packets of the text are not whole; their bytes were used as far as they go",
            )
        if not self._dated:
            self._notes.add("no-date", "the text gives times without a date: all of them count from 1970")

    def _lines(self) -> Iterator[str]:
        """Lines without their end; of one that is too long, its beginning."""
        wide = self._encoding.startswith("utf-16")
        end = "\n".encode(self._encoding)
        data, looked = self._head, 0
        if wide:
            data = data[2:]
        while True:
            at = 0
            while True:
                stop = data.find(end, at)
                while wide and stop >= 0 and (stop - at) % 2:
                    stop = data.find(end, stop + 1)
                if stop < 0:
                    break
                yield data[at:stop].decode(self._encoding, "replace").rstrip("\r")
                at = stop + len(end)
            data = data[at:]
            if len(data) > _MAX_LINE:
                data = data[-2 if wide and len(data) % 2 == 0 else -1 :]
            looked += at
            if not self.packets and looked > _FIRST_LOOK:
                return
            more = self._read(HEAD)
            if not more:
                if data:
                    yield data.decode(self._encoding, "replace").rstrip("\r")
                return
            data += more

    def _record(self, data: bytes) -> bytes:
        self.of_file |= not self.packets and data.startswith(CAPTURE_MAGICS)
        frame, wire = _framed(data[:MAX_PACKET])
        self.packets += 1
        time_ns = max(self._time_ns, 0)
        return struct.pack("<IIII", time_ns // _SECOND_NS & 0xFFFFFFFF, time_ns % _SECOND_NS, len(frame), wire) + frame

    # -- times ------------------------------------------------------------------------------------

    def _epoch(self, seconds: str, fraction: str) -> None:
        self._time_ns = int(seconds) * _SECOND_NS + int(fraction.ljust(9, "0"))
        self._dated = self._dated or int(seconds) > 86_400_000

    def _note_time(self, line: str) -> bool:
        """Whether a line that is no bytes gives the time of the packet that follows."""
        for pattern in (_EPOCH_FIELD, _EPOCH_LINE):
            found = pattern.match(line)
            if found is not None:
                self._epoch(found[1], found[2])
                return True
        found = _CLOCK.match(line)
        if found is not None:
            year, month, day, hour, minute, second, fraction = found.groups()
            self._clock(
                int(hour),
                int(minute),
                int(second),
                fraction,
                None if year is None else (int(year), int(month), int(day)),
            )
            return True
        found = _K12_TIME.match(line)
        if found is not None:
            self._clock(int(found[1]), int(found[2]), int(found[3]), found[4] + found[5], None)
            return True
        found = _SUMMARY.match(line)
        if found is not None and not self._dated:
            self._epoch(found[1], found[2])
            return True
        return False

    def _clock(self, hour: int, minute: int, second: int, fraction: str, date: tuple[int, int, int] | None) -> None:
        of_day = ((hour * 60 + minute) * 60 + second) * _SECOND_NS + int(fraction.ljust(9, "0"))
        if date is not None:
            self._dated = True
            self._time_ns = _days(*date) * _DAY_NS + of_day
            return
        if of_day < self._last_of_day - _DAY_NS // 2:
            self._days += 1  # past midnight
        self._last_of_day = of_day
        self._time_ns = self._days * _DAY_NS + of_day

    # -- kinds ------------------------------------------------------------------------------------

    def _from_hex(self) -> Iterator[bytes]:
        packet = bytearray()
        #: A block under a heading that is not the frame's (reassembled or decrypted data) is passed over.
        passing = announced = False
        for line in self._lines():
            found = _HEX_LINE.match(line)
            if found is None and line.startswith("|") and _K12_LINE.match(line):
                data = bytes.fromhex("".join(line.strip().split("|")[2:]))
                if int(line.split("|")[1], 16) == 0 and packet:
                    yield self._record(bytes(packet))
                    packet.clear()
                if len(packet) + len(data) <= MAX_PACKET:
                    packet += data
                continue
            if found is None:
                if packet and (not line.strip() or self._is_header(line)):
                    yield self._record(bytes(packet))
                    packet.clear()
                heading = _HEADING.match(line)
                if heading is not None:
                    announced = heading[1] not in ("Frame", "Packet")
                self._note_time(line)
                continue
            offset, data = int(found[1], 16), _bytes_of(line, found)
            if offset == 0:
                if packet:
                    yield self._record(bytes(packet))
                packet.clear()
                passing, announced = announced, False
            if passing or len(packet) + len(data) > MAX_PACKET:
                continue
            if offset < len(packet):
                del packet[offset:]  # the text beside the bytes of the line before looked like bytes
            if offset != len(packet):
                self._holes += 1
                passing = True
                continue
            packet += data
        if packet:
            yield self._record(bytes(packet))

    @staticmethod
    def _is_header(line: str) -> bool:
        return any(
            pattern.match(line) for pattern in (_CLOCK, _EPOCH_LINE, _SUMMARY, _HEADING, _K12_TIME)
        ) or line.startswith("+---")

    def _from_json(self) -> Iterator[bytes]:
        raw: str | None = None
        opening = False
        for line in self._lines():
            found = _QUOTED_HEX.match(line) if opening else _RAW.search(line)
            opening = _RAW_BEGIN.search(line) is not None
            if found is not None:
                if raw is not None:
                    yield self._record(_from_digits(raw))
                raw = found[1]
            time = _JSON_TIME.search(line)
            if time is not None:
                self._epoch(time[1], time[2])
                if raw is not None:
                    yield self._record(_from_digits(raw))
                    raw = None
        if raw is not None:
            yield self._record(_from_digits(raw))

    def _from_pdml(self) -> Iterator[bytes]:
        data, there, complete = bytearray(), bytearray(), False
        for line in self._lines():
            if "<packet>" in line:
                data, there, complete = bytearray(), bytearray(), False
            if "</packet>" in line:
                whole = there.find(0) if 0 in there else len(there)
                if whole:
                    self._holes += whole < len(there)
                    yield self._record(bytes(data[:whole]))
                continue
            for field in _PDML_FIELD.finditer(line):
                name, values = field[1], dict(_ATTRIBUTE.findall(field[0]))
                if name == "caplen" and not there:
                    size = int(values.get("value") or "0", 16)
                    if 0 < size <= MAX_PACKET:
                        data, there = bytearray(size), bytearray(size)
                elif name == "timestamp" and "." in values.get("value", ""):
                    seconds, _, fraction = values["value"].partition(".")
                    self._epoch(seconds[-10:], fraction[:9] or "0")
                elif there and not complete:
                    complete = _filled(values, data, there) and name in _PAYLOADS


def _filled(values: dict[str, str], data: bytearray, there: bytearray) -> bool:
    """Puts a field's bytes where they belong; what is there stays. False when the field does not say them."""
    if not values.get("pos", "").isdigit() or not values.get("size", "").isdigit():
        return False
    at, size = int(values["pos"]), int(values["size"])
    digits = values.get("unmaskedvalue") or values.get("value") or ""
    if not size or len(digits) != 2 * size or at + size > len(data) or "." in digits:
        return False
    field = bytes.fromhex(digits)
    if not any(there[at : at + size]):
        data[at : at + size] = field
    else:
        for place in (place for place in range(size) if not there[at + place]):
            data[at + place] = field[place]
    there[at : at + size] = b"\1" * size
    return True


def _bytes_of(line: str, found: re.Match[str]) -> bytes:
    """The bytes of a line: at most what the style of its first group allows, and not the text beside them."""
    text = found[2]
    if "|" not in line:
        text = re.split(r" {2}", text)[0]
    groups = text.split()
    size = len(groups[0])
    return bytes.fromhex("".join(group for group in groups if len(group) == size or group is groups[-1])[:64])


def _from_digits(digits: str) -> bytes:
    return bytes.fromhex(digits[: 2 * MAX_PACKET // 2 * 2] if len(digits) % 2 == 0 else digits[:-1])


def _framed(data: bytes) -> tuple[bytes, int]:
    """The packet as an Ethernet frame, and its length on the wire."""
    if _is_ip(data, 0):
        frame, head = _MACS + (b"\x08\0" if data[0] >> 4 == 4 else b"\x86\xdd") + data, 14
    elif data[:1] == b"\0" and data[14:16] in (b"\x08\0", b"\x86\xdd") and _is_ip(data, 16):  # Linux cooked (-i any)
        frame, head = _MACS + data[14:], 14
    elif data[:2] in (b"\x08\0", b"\x86\xdd") and _is_ip(data, 20):  # Linux cooked, version 2
        frame, head = _MACS + data[:2] + data[20:], 14
    else:
        frame, head = data, 14
    wire = len(frame)
    if len(frame) >= head + 6 and frame[12:14] == b"\x08\0":
        wire = max(wire, head + int.from_bytes(frame[16:18], "big"))
    return frame, min(wire, MAX_PACKET)


def _is_ip(data: bytes, at: int) -> bool:
    if len(data) < at + 20:
        return False
    if data[at] >> 4 == 4 and data[at] & 15 >= 5:
        total = int.from_bytes(data[at + 2 : at + 4], "big")
        return (
            total >= 20 and sum(struct.unpack_from("!10H", data, at)) % 0xFFFF == 0 if data[at] == 0x45 else total >= 20
        )
    return data[at] >> 4 == 6 and len(data) >= at + 40 and data[at + 6] in (0, 6, 17, 43, 44, 58, 60)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date in the Gregorian calendar; wrong dates give some number."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
