"""Link layers: where the IP header starts.

Each function takes the captured bytes and returns the offset of an IP header, NOTHING (-1) when the frame carries none,
or LOOK (-2) when it is none of the usual ones, and `encapsulation` has to be asked.
Numbers and layouts: the tcpdump group's link-layer header type registry (LINKTYPE_*) and the RFCs named below.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

ETHERNET = 1
NOTHING, LOOK = -1, -2

#: LINKTYPE_* names of what captures of devices are made on; others show as their number.
NAMES = {
    0: "NULL",
    1: "ETHERNET",
    6: "TOKEN_RING",
    9: "PPP",
    10: "FDDI",
    12: "RAW",
    14: "RAW",
    50: "PPP_HDLC",
    51: "PPP_ETHER",
    100: "ATM_RFC1483",
    101: "RAW",
    104: "C_HDLC",
    105: "IEEE802_11",
    107: "FRELAY",
    108: "LOOP",
    109: "ENC",
    113: "LINUX_SLL",
    117: "PFLOG",
    119: "IEEE802_11_PRISM",
    122: "IP_OVER_FC",
    123: "SUNATM",
    127: "IEEE802_11_RADIOTAP",
    129: "ARCNET_LINUX",
    138: "APPLE_IP_OVER_IEEE1394",
    149: "USER2",
    163: "IEEE802_11_AVS",
    166: "PPP_PPPD",
    177: "LINUX_LAPD",
    187: "BLUETOOTH_HCI_H4",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    197: "ERF",
    201: "BLUETOOTH_HCI_H4_WITH_PHDR",
    204: "PPP_WITH_DIR",
    220: "USB_LINUX_MMAPPED",
    226: "IPNET",
    227: "CAN_SOCKETCAN",
    228: "IPV4",
    229: "IPV6",
    230: "IEEE802_15_4_NOFCS",
    231: "DBUS",
    239: "NFLOG",
    240: "NETANALYZER",
    241: "NETANALYZER_TRANSPARENT",
    242: "IPOIB",
    249: "USBPCAP",
    252: "WIRESHARK_UPPER_PDU",
    253: "NETLINK",
    258: "PKTAP",
    276: "LINUX_SLL2",
    281: "DSA_TAG_BRCM",
    282: "DSA_TAG_BRCM_PREPEND",
    283: "DSA_TAG_DSA",
    284: "DSA_TAG_EDSA",
}

_U16 = Struct("!H").unpack_from
_IPV4, _IPV6, _PPPOE = 0x0800, 0x86DD, 0x8864
_VLAN = frozenset({0x8100, 0x88A8, 0x9100})
_PPP_IPV4, _PPP_IPV6 = 0x0021, 0x0057
_MPLS = frozenset({0x8847, 0x8848})
_PPP_MPLS = 0x0281
_MAX_TAGS = 8
#: IP protocol numbers behind MPLS labels: ICMP, TCP, UDP and what carries them.
_CARRIED = frozenset(bytes((number,)) for number in (0, 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 60))

#: EtherTypes that carry no IP: nothing to say of them. Xerox PUP to ARP, RARP, AppleTalk, IPX, IPv6's older kin, loops,
#: PPPoE discovery, EAPOL, industrial buses, LLDP, MKA, flow control, slow protocols, management, RoCE, HomePlug, 802.15.4 ...
PLAIN_ETHERTYPES = frozenset({
    0x0600, 0x0806, 0x0842, 0x0BAD, 0x2000, 0x2003, 0x2004, 0x22EA, 0x22F0, 0x22F4, 0x3C13, 0x6000, 0x6001, 0x6002, 0x6003, 0x6004, 0x6005, 0x6006, 0x6007, 0x8035, 0x805D,
    0x809B, 0x80F3, 0x8102, 0x8137, 0x8138, 0x8204, 0x8783, 0x8808, 0x8809, 0x8819, 0x886D, 0x8863, 0x886F, 0x887B, 0x888E, 0x8892, 0x8899, 0x889A, 0x88A2, 0x88A4,
    0x88AB, 0x88B5, 0x88B6, 0x88B7, 0x88B8, 0x88B9, 0x88BA, 0x88BB, 0x88BF, 0x88C7, 0x88CA, 0x88CC, 0x88CD, 0x88D9, 0x88DC, 0x88E1, 0x88E3, 0x88F5, 0x88F6, 0x88F7, 0x88F8,
    0x88FB, 0x8902, 0x8906, 0x890D, 0x8912, 0x8914, 0x8915, 0x891D, 0x893A, 0x8940, 0x8946, 0x894C, 0x9000, 0x9003, 0xCAFE,
})  # fmt: skip


def name(link_type: int) -> str:
    """The name of a link type for a report."""
    return NAMES.get(link_type, f"LINKTYPE_{link_type}")


def behind_ethertype(data: bytes, at: int) -> int:
    """``at`` is where an EtherType is: follows VLAN tags (802.1Q, 802.1ad), PPPoE (RFC 2516) and SNAP (RFC 1042)."""
    for _ in range(_MAX_TAGS):
        if len(data) < at + 2:
            return LOOK
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
            return NOTHING if kind in PLAIN_ETHERTYPES else LOOK
    return LOOK


def _behind_labels(data: bytes, at: int) -> int:
    """``at`` is the offset of an MPLS label stack (RFC 3032): behind its last label, when an IP header may be there."""
    for _ in range(_MAX_TAGS):
        if len(data) < at + 5:
            return LOOK
        at += 4
        if data[at - 2] & 1:
            # A pseudowire's frame may begin with an address that looks like a version: the protocol number has to fit too.
            if data[at] >> 4 == 4 and data[at] & 15 >= 5 and data[at + 9 : at + 10] in _CARRIED:
                return at
            return at if data[at] >> 4 == 6 and data[at + 6 : at + 7] in _CARRIED else LOOK
    return LOOK


def _ethernet(data: bytes) -> int:
    return behind_ethertype(data, 12)


def _sll(data: bytes) -> int:
    return behind_ethertype(data, 14)


def _sll2(data: bytes) -> int:
    return 20 if len(data) > 20 and _U16(data, 0)[0] in (_IPV4, _IPV6) else _sll2_tagged(data)


def _sll2_tagged(data: bytes) -> int:
    """SLL2 names the EtherType first; what a VLAN tag hides follows the 20-byte header."""
    if len(data) < 24 or _U16(data, 0)[0] not in _VLAN:
        return NOTHING if len(data) >= 20 and _U16(data, 0)[0] in PLAIN_ETHERTYPES else LOOK
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
        return LOOK
    if data[at] & 1:
        return at + 1 if data[at] in (_PPP_IPV4, _PPP_IPV6) else LOOK
    kind = _U16(data, at)[0]
    if kind == _PPP_MPLS:
        return _behind_labels(data, at + 2)
    return at + 2 if kind in (_PPP_IPV4, _PPP_IPV6) else LOOK


def _pppoe(data: bytes) -> int:
    return _ppp_protocol(data, 6)


#: Link type -> where its IP header is.
LINKS: dict[int, Callable[[bytes], int]] = {
    0: _null,
    ETHERNET: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    51: _pppoe,
    101: _raw,
    108: _null,
    113: _sll,
    228: _ipv4,
    229: _ipv6,
    276: _sll2,
}
