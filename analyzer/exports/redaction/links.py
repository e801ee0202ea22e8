"""Link headers without what they tell: MAC addresses get pseudonyms, tags and labels become zero.

The walk is that of `analyzer.capture.links`, which says where the IP header starts; here the bytes in front of it are
rewritten. What is captured on other link types, or travels in a tunnel, comes out as bare IP (LINKTYPE_RAW).
"""

from __future__ import annotations

from analyzer.exports.redaction.pseudonyms import Pseudonyms

ETHERNET, RAW = 1, 101
_SLL, _SLL2, _PPPOE = 113, 276, 51
#: Link headers that hold no address.
_PLAIN = frozenset({0, 9, 12, 14, 50, RAW, 108, 228, 229})
_VLAN = frozenset({b"\x81\x00", b"\x88\xa8", b"\x91\x00"})
_PPPOE_TYPE, _MPLS = b"\x88\x64", frozenset({b"\x88\x47", b"\x88\x48"})
_IPV4_TYPE = b"\x08\x00"


def disguised(link_type: int, header: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """The link header in front of an IP header, disguised; None when its type is not one of these."""
    if link_type == ETHERNET and len(header) >= 14:
        macs = pseudonyms.mac(header[:6]) + pseudonyms.mac(header[6:12])
        return macs + _behind(header, 12)
    if link_type == _SLL and len(header) >= 16:
        return header[:6] + _address(header[4:6], header[6:14], pseudonyms) + _behind(header, 14)
    if link_type == _SLL2 and len(header) >= 20:
        rest = bytes(2) + _behind(header, 22) if len(header) > 22 else b""
        return header[:12] + _address(b"\0" + header[11:12], header[12:20], pseudonyms) + rest
    if link_type == _PPPOE:
        return header[:2] + bytes(2) + header[4:]
    return header if link_type in _PLAIN else None


def _address(length: bytes, field: bytes, pseudonyms: Pseudonyms) -> bytes:
    """An 8-byte field that holds an address of ``length`` bytes."""
    return pseudonyms.mac(field[:6]) + bytes(2) if int.from_bytes(length, "big") == 6 else bytes(8)


def _behind(header: bytes, at: int) -> bytes:
    """From an EtherType on: the contents of VLAN tags, PPPoE session ids and MPLS labels become zero."""
    out = b""
    while at + 2 <= len(header):
        kind = header[at : at + 2]
        if kind in _VLAN:
            out += kind + bytes(2)
            at += 4
        elif kind == _PPPOE_TYPE:
            return out + kind + header[at + 2 : at + 4] + bytes(2) + header[at + 6 :]
        elif kind in _MPLS:
            return out + kind + _labels(header[at + 2 :])
        else:
            return out + header[at:]
    return out + bytes(len(header) - at)


def _labels(stack: bytes) -> bytes:
    """MPLS labels: only the bottom-of-stack mark and the hop limit stay (RFC 3032)."""
    return b"".join(bytes((0, 0, stack[at + 2] & 1)) + stack[at + 3 : at + 4] for at in range(0, len(stack) - 3, 4))


def blank(link_type: int, length: int) -> tuple[int, bytes]:
    """A packet that says nothing but that time had come: (link type, bytes), ``length`` long if that is enough.

    It is IPv4 from nobody to nobody with a protocol number for experiments (RFC 3692), so no reader takes it for data.
    """
    head = {ETHERNET: bytes(12) + _IPV4_TYPE, _SLL: bytes(14) + _IPV4_TYPE, _SLL2: _IPV4_TYPE + bytes(18)}.get(
        link_type
    )
    if head is None:
        link_type, head = RAW, b""
    size = max(length - len(head), 20)
    ip = bytearray(size)
    ip[:10] = b"\x45\0" + min(size, 0xFFFF).to_bytes(2, "big") + bytes(4) + b"\x01\xfd"
    checksum = 0xFFFF - int.from_bytes(ip[:20], "big") % 0xFFFF
    ip[10:12] = checksum.to_bytes(2, "big")
    return link_type, head + bytes(ip)
