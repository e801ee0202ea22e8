"""Link layers: where the IP header starts.

Each function takes the captured bytes and returns the offset of an IP header, or -1 when the frame carries none.
Numbers and layouts: the tcpdump group's link-layer header type registry (LINKTYPE_*) and the RFCs named below.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

ETHERNET = 1

#: LINKTYPE_* names of what captures of devices are made on; others show as their number.
NAMES = {
    0: "NULL",
    1: "ETHERNET",
    9: "PPP",
    10: "FDDI",
    12: "RAW",
    14: "RAW",
    50: "PPP_HDLC",
    51: "PPP_ETHER",
    101: "RAW",
    105: "IEEE802_11",
    108: "LOOP",
    113: "LINUX_SLL",
    119: "IEEE802_11_PRISM",
    127: "IEEE802_11_RADIOTAP",
    163: "IEEE802_11_AVS",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    228: "IPV4",
    229: "IPV6",
    230: "IEEE802_15_4_NOFCS",
    276: "LINUX_SLL2",
}

_U16 = Struct("!H").unpack_from
_IPV4, _IPV6, _PPPOE = 0x0800, 0x86DD, 0x8864
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})
_PPP_IPV4, _PPP_IPV6 = 0x0021, 0x0057
_MPLS = frozenset({0x8847, 0x8848})
_PPP_MPLS = 0x0281
_MAX_TAGS = 8


def name(link_type: int) -> str:
    """The name of a link type for a report."""
    return NAMES.get(link_type, f"LINKTYPE_{link_type}")


def behind_ethertype(data: bytes, at: int) -> int:
    """``at`` is where an EtherType is: follows VLAN tags (802.1Q, 802.1ad), PPPoE (RFC 2516) and SNAP (RFC 1042)."""
    for _ in range(_MAX_TAGS):
        if len(data) < at + 2:
            return -1
        kind = _U16(data, at)[0]
        if kind in (_IPV4, _IPV6):
            return at + 2
        if kind in _VLAN:
            at += 4
        elif kind == _PPPOE:
            return _ppp_protocol(data, at + 8)
        elif kind in _MPLS:
            return _behind_labels(data, at + 2)
        elif kind <= 1500 and data[at + 2 : at + 8] == b"\xaa\xaa\x03\x00\x00\x00":
            at += 8
        else:
            return -1
    return -1


def _behind_labels(data: bytes, at: int) -> int:
    """``at`` is the offset of an MPLS label stack (RFC 3032): behind its last label, when an IP header may be there."""
    for _ in range(_MAX_TAGS):
        if len(data) < at + 5:
            return -1
        at += 4
        if data[at - 2] & 1:
            return at if data[at] >> 4 in (4, 6) else -1
    return -1


def _ethernet(data: bytes) -> int:
    return behind_ethertype(data, 12)


def _sll(data: bytes) -> int:
    return behind_ethertype(data, 14)


def _sll2(data: bytes) -> int:
    return 20 if len(data) > 20 and _U16(data, 0)[0] in (_IPV4, _IPV6) else _sll2_tagged(data)


def _sll2_tagged(data: bytes) -> int:
    """SLL2 names the EtherType first; what a VLAN tag hides follows the 20-byte header."""
    if len(data) < 24 or _U16(data, 0)[0] not in _VLAN:
        return -1
    return behind_ethertype(data, 22)


def _raw(data: bytes) -> int:
    return 0


def _ipv4(data: bytes) -> int:
    return 0 if data and data[0] >> 4 == 4 else -1


def _ipv6(data: bytes) -> int:
    return 0 if data and data[0] >> 4 == 6 else -1


def _null(data: bytes) -> int:
    """BSD loopback: the address family in the byte order of the host that captured (or of the network, LOOP)."""
    if len(data) < 5:
        return -1
    family = data[0] | data[1] << 8 if not (data[2] or data[3]) else data[3] | data[2] << 8
    return 4 if family in (2, 10, 23, 24, 28, 30) else -1


def _ppp(data: bytes) -> int:
    """PPP (RFC 1661), with or without the HDLC address and control bytes."""
    return _ppp_protocol(data, 2 if data[:2] == b"\xff\x03" else 0)


def _ppp_protocol(data: bytes, at: int) -> int:
    """``at`` is the offset of a PPP protocol number, one byte when compressed (RFC 1661 section 6.5)."""
    if len(data) < at + 2:
        return -1
    if data[at] & 1:
        return at + 1 if data[at] in (_PPP_IPV4, _PPP_IPV6) else -1
    kind = _U16(data, at)[0]
    if kind == _PPP_MPLS:
        return _behind_labels(data, at + 2)
    return at + 2 if kind in (_PPP_IPV4, _PPP_IPV6) else -1


def _pppoe(data: bytes) -> int:
    return _ppp_protocol(data, 6)


#: Link type -> where its IP header is.
LINKS: dict[int, Callable[[bytes], int]] = {
    0: _null,
    ETHERNET: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    51: _pppoe,
    101: _raw,
    108: _null,
    113: _sll,
    228: _ipv4,
    229: _ipv6,
    276: _sll2,
}
