"""IEEE 802.11 frames, with the headers that capture drivers put in front: radiotap, PPI, Prism, AVS.

How it works: `Radio.offset` finds the IP header of the usual data frame, and says of the rest (management, control) that
there is none, at the price of a few comparisons. What is unusual (aggregates, encrypted or repeated frames, wrong
checksums) it leaves to `Radio.closer`. Layouts: IEEE 802.11-2020 section 9, radiotap.org, the PPI specification 1.0.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

IEEE802_11, PRISM, RADIOTAP, AVS, PPI = 105, 119, 127, 163, 192
LINKS = frozenset({IEEE802_11, PRISM, RADIOTAP, AVS, PPI})
#: Answers of `Radio.offset`: no IP in it; `Radio.closer` is to look.
NOTHING, LOOK = -1, -2

_LE16, _LE32, _BE32 = Struct("<H").unpack_from, Struct("<I").unpack_from, Struct("!I").unpack_from
_SNAP = b"\xaa\xaa\x03\0\0"
_IP_TYPES = (b"\x08\0", b"\x86\xdd")
#: Frame control, first byte: data frames (type 2), their subtype bits for QoS and for no data.
_TYPE_MASK, _DATA, _QOS, _NO_DATA = 0x0F, 0x08, 0x80, 0x40
#: Second byte.
_TO_DS, _FROM_DS, _MORE, _RETRY, _PROTECTED, _ORDER = 0x01, 0x02, 0x04, 0x08, 0x40, 0x80
_UNUSUAL = _MORE | _RETRY | _PROTECTED
#: Radiotap's flags: the frame ends with its checksum, the header is padded to 4 bytes, the checksum is wrong.
_HAS_FCS, _PADDED, _BAD_FCS = 0x10, 0x20, 0x40
#: PPI's field 802.11-Common: its flags (has a checksum, wrong checksum, radio error).
_COMMON, _PPI_BAD = 2, 0x0C
_MOST_SENDERS, _MOST_PARTS, _MOST_FIELDS = 4096, 64, 32

BAD_FCS = "frames whose checksum is wrong"
ENCRYPTED = "encrypted 802.11"
FRAGMENT = "fragments of 802.11 frames"


class Found(NamedTuple):
    """A payload's EtherType (or its LLC length) is at ``at``, it ends at ``end``; or why there is none."""

    at: int = -1
    end: int = 0
    reason: str = ""
    encrypted: bool = False


class Radio:
    """Reads frames; remembers the last one of each sender, to know a repetition (802.11-2020 section 10.3.2.14)."""

    def __init__(self) -> None:
        self._last: dict[bytes, bytes] = {}

    def offset(self, link_type: int, data: bytes) -> int:
        """Where the IP header of a frame of this link type is; NOTHING, or LOOK."""
        if link_type == RADIOTAP:
            if len(data) < 8:
                return NOTHING
            at = data[2] | data[3] << 8
            if data[4] & 2 and _flags(data, at) & (_PADDED | _BAD_FCS):
                return LOOK
        elif link_type == IEEE802_11:
            at = 0
        else:
            return LOOK
        if len(data) < at + 24:
            return NOTHING if len(data) < at + 2 or data[at] & _TYPE_MASK != _DATA else LOOK
        kind, flags = data[at], data[at + 1]
        if kind & _TYPE_MASK != _DATA or kind & _NO_DATA:
            return NOTHING
        body = at + (30 if flags & 3 == 3 else 24)
        if kind & _QOS:
            if flags & _ORDER or len(data) < body + 2 or data[body] & 0x80:
                return LOOK
            body += 2
        if flags & _UNUSUAL or data[at + 22] & 15:
            return LOOK
        if data[body : body + 5] != _SNAP or data[body + 6 : body + 8] not in _IP_TYPES:
            return LOOK
        self._remember(data[at + 10 : at + 16], data[at + 22 : at + 24])
        return body + 8

    def closer(self, data: bytes, at: int, end: int, plain: bool) -> Iterator[Found]:
        """Everything in a frame; ``plain``: an 802.11 header is at ``at``, otherwise radiotap."""
        flags = 0
        if not plain:
            if len(data) < at + 8:
                return
            start = at + _LE16(data, at + 2)[0]
            flags = _flags(data[at:], start - at) if data[at + 4] & 2 else 0
            at = start
        if flags & _BAD_FCS:
            yield Found(reason=BAD_FCS)
            return
        yield from self._frame(data, at, end - (4 if flags & _HAS_FCS else 0), bool(flags & _PADDED))

    def _frame(self, data: bytes, at: int, end: int, padded: bool) -> Iterator[Found]:
        if len(data) < at + 24 or data[at] & _TYPE_MASK != _DATA or data[at] & _NO_DATA:
            return
        kind, flags = data[at], data[at + 1]
        body = at + (30 if flags & 3 == 3 else 24)
        aggregate = False
        if kind & _QOS:
            aggregate = len(data) > body and bool(data[body] & 0x80)
            body += 6 if flags & _ORDER else 2
        if padded:
            body = at + ((body - at + 3) & ~3)
        sender, control = data[at + 10 : at + 16], data[at + 22 : at + 24]
        if flags & _RETRY and self._last.get(sender) == control:
            return
        if flags & _PROTECTED:
            # Some drivers decrypt and leave the mark, with the 8 bytes of the cipher's header or without.
            body = next((body + size for size in (0, 8) if data[body + size : body + size + 5] == _SNAP), -1)
            if body < 0:
                yield Found(reason=ENCRYPTED, encrypted=True)
                return
        if flags & _MORE or control[0] & 15:
            yield Found(reason=FRAGMENT)
            return
        self._remember(sender, control)
        if aggregate:
            yield from _parts(data, body, end)
        elif data[body : body + 3] == _SNAP[:3]:
            yield Found(body - 2 if data[body + 3 : body + 6] not in (b"\0\0\0", b"\0\0\xf8") else body + 6, end)

    def _remember(self, sender: bytes, control: bytes) -> None:
        if len(self._last) >= _MOST_SENDERS and sender not in self._last:
            self._last.clear()
        self._last[sender] = control


def header(link_type: int, data: bytes) -> tuple[int, bool, int]:
    """Of PPI, Prism and AVS: (where the frame is, whether its checksum is marked as wrong, its link type); -1: damaged."""
    if link_type == PPI:
        return _ppi(data)
    if len(data) < 8:
        return -1, False, IEEE802_11
    # Prism's newer form is AVS's, in network order; the older one is in the order of its host.
    if link_type == AVS or data[:3] == b"\x80\x21\x10":
        return _BE32(data, 4)[0], False, IEEE802_11
    return min(_LE32(data, 4)[0], _BE32(data, 4)[0]), False, IEEE802_11


def _ppi(data: bytes) -> tuple[int, bool, int]:
    if len(data) < 8:
        return -1, False, IEEE802_11
    start, link_type, at, bad = _LE16(data, 2)[0], _LE32(data, 4)[0], 8, False
    for _ in range(_MOST_FIELDS):
        if at + 4 > min(start, len(data)):
            break
        kind, size = _LE16(data, at)[0], _LE16(data, at + 2)[0]
        if kind == _COMMON and size >= 10 and len(data) >= at + 14:
            bad = bool(_LE16(data, at + 12)[0] & _PPI_BAD)
        at += 4 + size
    return start, bad, link_type


def plausible(data: bytes, at: int) -> bool:
    """A radiotap header or a data frame may be at ``at``: for formats that do not say."""
    if data[at : at + 2] == b"\0\0" and len(data) >= at + 8:
        at += _LE16(data, at + 2)[0]
    return len(data) >= at + 32 and data[at] & _TYPE_MASK == _DATA and data[at + 24 :].find(_SNAP, 0, 12) >= 0


def _flags(data: bytes, header: int) -> int:
    """Radiotap's flags field, which is there: behind the bitmaps, and behind a time stamp that is aligned to 8 bytes."""
    at = 4
    for _ in range(_MOST_FIELDS):
        if len(data) < at + 4:
            return 0
        at += 4
        if not data[at - 1] & 0x80:
            break
    if data[4] & 1:
        at = (at + 7 & ~7) + 8
    return data[at] if at < min(header, len(data)) else 0


def _parts(data: bytes, at: int, end: int) -> Iterator[Found]:
    """The frames of an A-MSDU (802.11-2020 section 9.3.2.2.2): addresses, length, LLC; each padded to 4 bytes."""
    for _ in range(_MOST_PARTS):
        if len(data) < at + 14 or at + 14 > end:
            return
        size = data[at + 12] << 8 | data[at + 13]
        yield Found(at + 12, min(at + 14 + size, end))
        at += 14 + size + (-(14 + size) & 3)
