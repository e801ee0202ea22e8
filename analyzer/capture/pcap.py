"""The pcap file format: records in, nothing understood of what they hold.

Source: IETF draft-ietf-opsawg-pcap; Kuznetsov's modified form: libpcap sf-pcap.c (KUZNETZOV_TCPDUMP_MAGIC).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from analyzer.capture.records import BIG_LINK_TYPES, MAX_PACKET, MAX_PACKET_RARE, SLACK, Block, Notes, Record, Rest
from analyzer.capture.source import Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

HEADER = 24
#: Enough for the header of any file that may follow.
_LONGEST = 32
#: Magic number as read with little-endian order -> (nanoseconds, bytes of a record header).
_KINDS = {
    0xA1B2C3D4: (False, 16),
    0xA1B23C4D: (True, 16),
    0xA1B2CD34: (False, 24),
}


#: What a record's seconds are where another file's header stands: pcap's magic numbers in both orders, pcapng's.
_JOINTS = frozenset(
    int.from_bytes(magic.to_bytes(4, order), "little") for magic in (*_KINDS, 0x0A0D0D0A) for order in ("little", "big")
)
#: Records that follow one another are not further apart (s).
_NEAR_S = 366 * 86_400
#: Version 2.4, as it stands behind the magic number.
_VERSION = {"<": b"\x02\0\x04\0", ">": b"\0\x02\0\x04"}
_NAMES: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
#: The end of the magic number, and version 2.4, as nearly all files have them.
_MARK = b"\xb2\xa1\x02\0\x04\0"
_BYTE_ORDERS = (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d")


class Header(NamedTuple):
    """The file header."""

    order: str
    nanoseconds: bool
    record_header: int
    link_type: int
    #: Very old writers (before version 2.3) put the two lengths of a record the other way round.
    swapped: bool


def read_header(head: bytes) -> Header | None:
    """The file header at the start of ``head`` (at least 24 bytes), or None when this is not a pcap file."""
    for order in "<>":
        kind = _KINDS.get(int.from_bytes(head[:4], "little" if order == "<" else "big"))
        if kind is not None and len(head) >= HEADER:
            _, _, minor, _, _, _, link = Struct(order + "IHHiIII").unpack_from(head)
            # The upper bits of the link type say how long a frame check sequence is (FCSLEN), not what the link is.
            return Header(order, kind[0], kind[1], link & 0xFFFF, minor < 3)
    return None


def begins_at(data: bytes | bytearray, at: int) -> bool:
    """Another capture file begins at ``at``: a pcap header of version 2.4, or a pcapng section header."""
    if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
        return data[at + 8 : at + 12] in _BYTE_ORDERS
    order = next((each for each in "<>" if int.from_bytes(data[at : at + 4], _NAMES[each]) in _KINDS), None)
    return order is not None and data[at + 4 : at + 8] == _VERSION[order]


def _note_header(header: Header, notes: Notes) -> None:
    notes.add_link_type(header.link_type)
    notes.digits = 9 if header.nanoseconds else 6


def looks_like(head: bytes) -> bool:
    """The magic number is pcap's."""
    return int.from_bytes(head[:4], "little") in _KINDS or int.from_bytes(head[:4], "big") in _KINDS


def read_blocks(
    source: Source, data: bytes, header: Header, notes: Notes, *, size: int, number: int = 0
) -> Generator[Record | Block, None, Rest | None]:
    """Like `read`, in blocks of about ``size`` bytes.

    From the first record on that is not whole or not sound they come singly, from `read`: whatever is wrong with a
    file is said in one place.
    """
    import numpy as np

    _note_header(header, notes)
    most = MAX_PACKET_RARE if header.link_type in BIG_LINK_TYPES else MAX_PACKET
    record = header.record_header
    size = max(size, len(data))
    window = bytearray(5 * size + SLACK)  # pages that are never written take no memory
    end = len(data) - HEADER
    window[:end] = data[HEADER:]
    joints = np.array(sorted(_JOINTS), np.int64)
    while True:
        full = source.fill(window, end, end + size)
        more, end = full > end, full
        lengths_at = _walk(window, end, header)
        first = np.array(lengths_at, np.int64) - _LENGTH_AT
        words = np.ndarray((len(window) - 3,), header.order + "u4", window, strides=(1,))
        seconds, ticks, lengths, wire = (words[first + offset].astype(np.int64) for offset in (0, 4, 8, 12))
        whole = int(np.searchsorted(first + record + lengths, end, side="right"))
        unsound = lengths[:whole] > most
        good = int(np.argmax(unsound)) if unsound.any() else whole
        joined = np.isin(seconds[:whole], joints)
        if joined.any():
            good = min(good, int(np.argmax(joined)))
        mark = window.find(_MARK, 0, end)
        if mark >= 0:  # in a record that was cut off, perhaps
            good = min(good, max(0, int(np.searchsorted(first, mark, side="right")) - 2))
        seconds, ticks, lengths, wire = seconds[:good], ticks[:good], lengths[:good], wire[:good]
        behind = int(first[good - 1] + record + lengths[good - 1]) if good else 0
        if header.swapped:
            lengths, wire = np.minimum(lengths, wire), np.maximum(lengths, wire)
        if good:
            times = seconds * 1_000_000_000 + ticks * (1 if header.nanoseconds else 1000)
            yield Block(number, header.link_type, window, first[:good] + record, lengths, wire, times)
        number += good
        if good < whole or not more or (not good and end > 4 * size):
            return (yield from read(source, bytes(window[behind:end]), header, notes, at=0, number=number))
        source.settle()  # what is hashed stays where it is
        window[: end - behind] = window[behind:end]
        end -= behind


#: Offset of a record's captured length.
_LENGTH_AT = 8


def _walk(window: bytearray, end: int, header: Header) -> list[int]:
    """Where the captured lengths of the records in ``window`` are; the last records may reach beyond ``end``.

    The one loop over all packets of a file, so it is kept as small as can be: it ends by running out of the window.
    (Looking for headers in all places at once with numpy, by the upper half of their time, takes three times as long.)
    """
    length_at, step, view = Struct(header.order + "I").unpack_from, header.record_header, memoryview(window)[:end]
    at = _LENGTH_AT
    found: list[int] = []
    add = found.append
    try:
        while True:
            (captured,) = length_at(view, at)
            add(at)
            at += captured + step
    except StructError:
        return found


def read(
    source: Source, data: bytes, header: Header, notes: Notes, *, at: int = HEADER, number: int = 0
) -> Generator[Record, None, Rest | None]:
    """The records of a file whose first bytes (from the file header on) are ``data``.

    ``at`` and ``number`` go on in the middle: the offset of the next record in ``data`` and the records before it. Returns
    what is left where another file begins (``joined``).
    """
    link = header.link_type
    _note_header(header, notes)
    fraction = 1 if header.nanoseconds else 1000
    size = header.record_header
    unpack = Struct(header.order + "IIII").unpack_from
    most = MAX_PACKET_RARE if link in BIG_LINK_TYPES else MAX_PACKET
    end = len(data)
    while True:
        if end - at < size:
            data = data[at:] + source.more(size - (end - at))
            at, end = 0, len(data)
            if end < size:
                if end:
                    notes.cut_short(number + 1)
                return None
        seconds, ticks, captured, length = unpack(data, at)
        if seconds in _JOINTS and begins_at(data, at):
            data = data[at:] if end - at >= _LONGEST else data[at:] + source.more(_LONGEST)
            return Rest(data, number)
        if header.swapped and captured > length:
            captured, length = length, captured
        if captured > most:
            notes.add(
                "damaged-record",
                f"the record of frame {number + 1} claims {captured:,} captured bytes; "
                "it and everything behind it was not used",
                number + 1,
            )
            return None
        number += 1
        at += size
        if end - at < captured:
            if captured > MAX_PACKET:
                rest = source.skip(captured - (end - at))
                if rest is None:
                    notes.cut_short(number)
                    return None
                yield number, seconds * 1_000_000_000 + ticks * fraction, link, b"", length
                data, at, end = rest, 0, len(rest)
                continue
            data = data[at:] + source.more(captured - (end - at))
            at, end = 0, len(data)
        joint = data.find(_MARK, at, at + captured + len(_MARK) + 2) - 2
        if at <= joint < at + captured and begins_at(data, joint):
            if end - at < captured + _LONGEST:
                data, joint = data[at:] + source.more(captured + _LONGEST - (end - at)), joint - at
                at, end = 0, len(data)
            if not _goes_on(data, at + captured, seconds, unpack, most):
                # The file before was cut off in this record.
                yield number, seconds * 1_000_000_000 + ticks * fraction, link, data[at:joint], length
                return Rest(data[joint:], number)
        if end - at < captured:
            notes.cut_short(number)
            return None
        yield number, seconds * 1_000_000_000 + ticks * fraction, link, data[at : at + captured], length
        at += captured


def _goes_on(data: bytes, at: int, seconds: int, unpack: Callable[[bytes, int], tuple[int, ...]], most: int) -> bool:
    """The header of a record that may follow one of that time is at ``at``: a file sent over the network is no joint."""
    if at + 16 > len(data):
        return False
    following, _, captured, _ = unpack(data, at)
    return captured <= most and abs(following - seconds) <= _NEAR_S
