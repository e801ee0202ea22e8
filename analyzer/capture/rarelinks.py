"""Link types that are seldom met, each a small header in front of a frame or an IP packet.

The readers are those of `encapsulation`; numbers and layouts: the tcpdump group's link-layer header type registry
(LINKTYPE_*), and print-NAME.c of tcpdump where it says no more than a name.
"""

from __future__ import annotations

from struct import Struct

from analyzer.capture.encapsulation import QUIET, Kind, Next, Reader, ppp

_U16, _LE16, _LE32 = Struct("!H").unpack_from, Struct("<H").unpack_from, Struct("<I").unpack_from
_IP_FAMILIES = frozenset({2, 10, 24, 28, 30})
#: DLT_* numbers that differ from LINKTYPE_* numbers on some system: raw IP, PPP, loopback.
_DLT = {12: 101, 14: 101}
_MAX_ATTRIBUTES = 64


def _ethernet_behind(size: int) -> Reader:
    return lambda data, at, end: Next(Kind.ETHERNET, at + size)


def _type_behind(size: int) -> Reader:
    return lambda data, at, end: Next(Kind.ETHERTYPE, at + size)


def _llc_behind(size: int) -> Reader:
    """LLC with SNAP; the EtherType is behind it."""

    def read(data: bytes, at: int, end: int) -> Next:
        at += size
        return Next(Kind.ETHERTYPE, at + 6) if data[at : at + 3] == b"\xaa\xaa\x03" else QUIET

    return read


def _pktap(data: bytes, at: int, end: int) -> Next:
    """Apple's bsd/net/pktap.h: header length, record type (1: a packet), DLT; all in the order of the host."""
    if len(data) < at + 12:
        return QUIET
    size, record, link = (_LE32(data, at + offset)[0] for offset in (0, 4, 8))
    if size > 4096 or size < 12 or record != 1:
        return QUIET
    return Next(Kind.LINK, at + size, value=_DLT.get(link, link))


def _nflog(data: bytes, at: int, end: int) -> Next:
    """Family, version, resource; attributes as length and type, of which 9 is the packet."""
    if len(data) < at + 4 or data[at] not in _IP_FAMILIES:
        return QUIET
    at += 4
    for _ in range(_MAX_ATTRIBUTES):
        if len(data) < at + 4:
            break
        size, kind = _LE16(data, at)[0], _LE16(data, at + 2)[0] & 0x7FFF
        if kind == 9:
            return Next(Kind.IP, at + 4)
        if size < 4:
            break
        at += (size + 3) & ~3
    return QUIET


def _pflog(data: bytes, at: int, end: int) -> Next:
    """Length of the header, in front of its padding; address family."""
    if len(data) < at + 4 or data[at + 1] not in _IP_FAMILIES:
        return QUIET
    return Next(Kind.IP, at + ((data[at] + 3) & ~3))


def _enc(data: bytes, at: int, end: int) -> Next:
    """OpenBSD's enc(4): address family, SPI, flags."""
    return Next(Kind.IP, at + 12) if any(family in _IP_FAMILIES for family in data[at : at + 4]) else QUIET


def _chdlc(data: bytes, at: int, end: int) -> Next:
    """Cisco HDLC (RFC 1547 section 4.3.1): address, control, EtherType."""
    return Next(Kind.ETHERTYPE, at + 2) if data[at : at + 1] in (b"\x0f", b"\x8f") else ppp(data, at, end)


def _frame_relay(data: bytes, at: int, end: int) -> Next:
    """RFC 2427: an address whose last byte is odd, control, NLPID; or Cisco's EtherType behind the address."""
    for _ in range(4):
        if len(data) <= at + 1:
            return QUIET
        at += 1
        if data[at - 1] & 1:
            break
    if data[at : at + 1] != b"\x03":
        return Next(Kind.ETHERTYPE, at)
    at += 1 + (data[at + 1 : at + 2] == b"\0")  # RFC 2427 allows a pad byte
    nlpid = data[at : at + 1]
    if nlpid in (b"\xcc", b"\x8e"):
        return Next(Kind.IP, at + 1)
    if nlpid == b"\x80":
        bridged = data[at + 1 : at + 4] == b"\0\x80\xc2"
        with_sum = data[at + 4 : at + 6]
        if bridged:
            return Next(Kind.ETHERNET, at + 6) if with_sum in (b"\0\x01", b"\0\x07") else QUIET
        return Next(Kind.ETHERTYPE, at + 4)
    return QUIET


def _erf(data: bytes, at: int, end: int) -> Next:
    """Endace ERF: time, type (top bit: extension headers of 8 bytes follow), flags, lengths; Ethernet has 2 bytes more."""
    if len(data) < at + 16:
        return QUIET
    kind, more, at = data[at + 8] & 0x7F, data[at + 8] & 0x80, at + 16
    for _ in range(16):
        if not more:
            break
        if len(data) < at + 8:
            return QUIET
        more, at = data[at] & 0x80, at + 8
    if kind in (2, 11, 16, 20):
        return Next(Kind.ETHERNET, at + 2)
    if kind in (22, 23):
        return Next(Kind.IP, at)
    if kind in (1, 10, 15, 17):
        return _chdlc(data, at, end)
    return QUIET


def _token_ring(data: bytes, at: int, end: int) -> Next:
    """Access and frame control, addresses, source routing where the source's top bit is set (IEEE 802.5), LLC."""
    if len(data) < at + 15:
        return QUIET
    route = data[at + 14] & 0x1F if data[at + 8] & 0x80 else 0
    return _llc_behind(14 + route)(data, at, end)


def _ipoib(data: bytes, at: int, end: int) -> Next:
    """IP over InfiniBand: a header of 40 bytes, EtherType, two bytes (RFC 4391 section 6)."""
    return Next(Kind.IP, at + 44) if data[at + 40 : at + 42] in (b"\x08\0", b"\x86\xdd") else QUIET


def _ppp_behind(size: int) -> Reader:
    return lambda data, at, end: Next(Kind.PPP, at + size)


#: Link type -> the reader of its header.
RARE: dict[int, Reader] = {
    6: _token_ring, 10: _llc_behind(13), 50: _chdlc, 100: _llc_behind(0), 104: _chdlc, 107: _frame_relay, 109: _enc, 117: _pflog,
    122: _llc_behind(16), 123: _llc_behind(4), 138: _type_behind(16), 149: _pktap, 166: _ppp_behind(0), 197: _erf, 204: _ppp_behind(1),
    226: lambda data, at, end: Next(Kind.IP, at + 24), 239: _nflog, 240: _ethernet_behind(4), 241: _ethernet_behind(12), 242: _ipoib,
    258: _pktap, 281: _type_behind(16), 282: _ethernet_behind(4), 283: _type_behind(16), 284: _type_behind(12),
}  # fmt: skip
