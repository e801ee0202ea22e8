"""What is inside what: headers that carry other headers, read one at a time, in tables.

How it works: a reader gets the captured bytes, the offset of its header and where the data ends, and answers what comes
next and where (`Next`), so that nesting is the caller's loop (`decode.Decoder`), which bounds it. A reader never raises.
What is encrypted or unknown is an answer too, so that it can be counted by name. Control messages are `QUIET`.

`ETHERTYPES`, `PROTOCOLS` (of IP) and `UDP_PORTS` are the tables. Layouts come from the RFCs and drafts named there and,
for vendors' own formats, from Wireshark's dissectors (epan/dissectors/packet-NAME.c).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from analyzer.capture import wireless
from analyzer.capture.links import PLAIN_ETHERTYPES, behind_ethertype

_U16 = Struct("!H").unpack_from
_U32 = Struct("!I").unpack_from


class Kind(IntEnum):
    """What stands at an offset."""

    IP = 0
    #: A frame from its MAC addresses on; an EtherType (or LLC length); an MPLS label stack; PPP.
    ETHERNET = 1
    ETHERTYPE = 2
    LABELS = 3
    PPP = 4
    #: IEEE 802.11 with and without radio headers.
    WIRELESS = 5
    RADIOTAP = 6
    #: 802.11 whose frame control has its bytes the other way round, as Cisco's access points send it.
    SWAPPED = 12
    #: An IPv4 or IPv6 payload of the protocol in ``value``: the addresses around it count.
    TRANSPORT = 7
    #: A link type of its own, in ``value``.
    LINK = 8
    #: Nothing that holds a device's packet, and nothing to say.
    QUIET = 9
    #: Named in ``what``, counted: encrypted, or not known here.
    ENCRYPTED = 10
    UNKNOWN = 11


class Next(NamedTuple):
    """What comes next, where; ``what`` names it where it is to be counted, ``end`` is before what trails it."""

    kind: Kind
    at: int = 0
    what: str = ""
    value: int = 0
    end: int | None = None


Reader = Callable[[bytes, int, int], Next]

QUIET = Next(Kind.QUIET)
#: The data ends inside a header: cut, if the packet was longer.
SHORT = Next(Kind.QUIET, what="short")

_IPV4, _IPV6 = 0x0800, 0x86DD


def _encrypted(what: str) -> Next:
    return Next(Kind.ENCRYPTED, what=what)


def _unknown(what: str) -> Next:
    return Next(Kind.UNKNOWN, what=what)


# -- guessing, where a format does not say what it carries ----------------------------------------------------------------


def _is_ip(data: bytes, at: int, end: int) -> bool:
    """An IPv4 header with a right checksum, or an IPv6 header whose length fits: nothing else looks like that."""
    if len(data) < at + 20:
        return False
    if data[at] >> 4 == 4:
        size = (data[at] & 15) << 2
        if size < 20 or len(data) < at + size:
            return False
        return bool(sum(_U16(data, at + word)[0] for word in range(0, size, 2)) % 0xFFFF == 0)
    if data[at] >> 4 == 6 and len(data) >= at + 40:
        fits: bool = at + 40 + _U16(data, at + 4)[0] <= max(end, len(data))
        return fits and data[at + 6] in (0, 6, 17, 43, 44, 50, 51, 58, 60)
    return False


def _guess(data: bytes, end: int, offsets: tuple[int, ...]) -> Next | None:
    """IP, Ethernet or PPP at one of ``offsets``, told by the IP header in it."""
    for at in offsets:
        if _is_ip(data, at, end):
            return Next(Kind.IP, at)
        inner = behind_ethertype(data, at + 12)
        if inner >= 0 and _is_ip(data, inner, end):
            return Next(Kind.ETHERNET, at)
        ppp = at + (4 if data[at : at + 2] == b"\xff\x03" else 2)
        if data[ppp - 2 : ppp] in (b"\0\x21", b"\0\x57") and _is_ip(data, ppp, end):
            return Next(Kind.IP, ppp)
    return None


# -- EtherTypes ----------------------------------------------------------------------------------------------------------

_TAGS = 8


def ethertype(data: bytes, at: int, end: int) -> Next:
    """``at`` is where an EtherType, or the length of an LLC frame, is."""
    for _ in range(_TAGS):
        if len(data) < at + 2:
            return SHORT
        kind = _U16(data, at)[0]
        if kind <= 1500:
            if data[at + 2 : at + 5] != b"\xaa\xaa\x03" or data[at + 5 : at + 8] not in (b"\0\0\0", b"\0\0\xf8"):
                return _tagged(data, at) or QUIET
            at += 8
            continue
        reader = ETHERTYPES.get(kind)
        if reader is None:
            return QUIET if kind in PLAIN_ETHERTYPES else _tagged(data, at) or _unknown(f"Ethernet type {kind:04x}")
        found = reader(data, at + 2, end)
        if found.kind is not Kind.ETHERTYPE:
            return found
        at = found.at
    return _unknown("Ethernet with more than 8 tags")


def _tagged(data: bytes, at: int) -> Next | None:
    """A switch chip's own tag (DSA and its kin, 2 to 8 bytes, no type of its own) in front of the EtherType of an IP packet."""
    for size in (4, 2, 8):
        if data[at + size : at + size + 2] in (b"\x08\0", b"\x86\xdd") and _is_ip(data, at + size + 2, len(data)):
            return Next(Kind.IP, at + size + 2)
    return None


def _past(size: int) -> Reader:
    """A tag of ``size`` bytes, then the next EtherType."""

    def read(data: bytes, at: int, end: int) -> Next:
        return Next(Kind.ETHERTYPE, at + size)

    return read


def _at(kind: Kind, size: int = 0) -> Reader:
    """``kind`` behind ``size`` bytes."""

    def read(data: bytes, at: int, end: int) -> Next:
        return Next(kind, at + size)

    return read


def _pppoe(data: bytes, at: int, end: int) -> Next:
    """RFC 2516: version and type, code 0 in a session, session id, length."""
    return Next(Kind.PPP, at + 6) if len(data) > at + 6 and data[at + 1] == 0 else QUIET


def _macsec(data: bytes, at: int, end: int) -> Next:
    """IEEE 802.1AE-2018 section 9: SecTAG; the E bit says whether what follows is encrypted."""
    if len(data) < at + 6:
        return QUIET
    if data[at] & 0x0C:
        return _encrypted("MACsec")
    return Next(Kind.ETHERTYPE, at + (14 if data[at] & 0x20 else 6))


def _edsa(data: bytes, at: int, end: int) -> Next:
    """Marvell EDSA: two bytes, a tag of four, the EtherType."""
    return Next(Kind.ETHERTYPE, at + 6)


def _nsh(data: bytes, at: int, end: int) -> Next:
    """RFC 8300 section 2.2: length in 4 bytes, next protocol."""
    if len(data) < at + 8:
        return QUIET
    return _gpe_next(data[at + 3], at + ((data[at + 1] & 0x3F) << 2))


def _gpe_next(protocol: int, at: int) -> Next:
    """The next-protocol numbers that NSH and VXLAN-GPE share (RFC 8300 section 12.2.4)."""
    kind = {1: Kind.IP, 2: Kind.IP, 3: Kind.ETHERNET, 5: Kind.LABELS}.get(protocol)
    if kind is not None:
        return Next(kind, at)
    return (
        Next(Kind.ETHERTYPE, at, "NSH", 0x894F)
        if protocol == 4
        else _unknown(f"next protocol {protocol} of VXLAN-GPE or NSH")
    )


def _trill(data: bytes, at: int, end: int) -> Next:
    """RFC 6325 section 3.1: six bytes and options, then an Ethernet frame."""
    if len(data) < at + 6:
        return QUIET
    return Next(Kind.ETHERNET, at + 6 + ((_U16(data, at)[0] >> 6 & 0x1F) << 2))


#: EtherType -> what follows it. 802.1ad and old QinQ numbers, PBB (802.1ah), VN-Tag, HSR, Cisco metadata, FabricPath.
ETHERTYPES: dict[int, Reader] = {
    _IPV4: _at(Kind.IP), _IPV6: _at(Kind.IP),
    0x8100: _past(2), 0x88A8: _past(2), 0x9100: _past(2), 0x9200: _past(2), 0x9300: _past(2),
    0x8864: _pppoe, 0x3C14: _pppoe, 0x880B: _at(Kind.PPP),
    0x8847: _at(Kind.LABELS), 0x8848: _at(Kind.LABELS),
    0x88E7: _at(Kind.ETHERNET, 4), 0x8926: _past(4), 0x892F: _past(4), 0x8909: _past(6), 0x8903: _at(Kind.ETHERNET, 2),
    0x88E5: _macsec, 0xDADA: _edsa, 0x894F: _nsh, 0x22F3: _trill, 0x6558: _at(Kind.ETHERNET),
}  # fmt: skip


def labels(data: bytes, at: int, end: int) -> Next:
    """An MPLS label stack (RFC 3032), then IP, or a pseudowire with or without a control word (RFC 4448)."""
    for _ in range(_TAGS):
        if len(data) < at + 5:
            return SHORT
        at += 4
        if data[at - 2] & 1:
            break
    else:
        return _unknown("MPLS with more than 8 labels")
    found = _guess(data, end, (at, at + 4))
    if found is not None:
        return found
    nibble = data[at] >> 4
    if nibble in (4, 6):
        return Next(Kind.IP, at)
    # A control word, and what is in the frame holds no IP packet; a channel of its own (RFC 4385: first nibble 1).
    return (
        QUIET
        if nibble == 1 or behind_ethertype(data, at + 4 * (nibble == 0) + 12) == -1
        else _unknown("MPLS pseudowire")
    )


def ppp(data: bytes, at: int, end: int) -> Next:
    """PPP (RFC 1661), with or without the HDLC address and control bytes, which must be in front of a protocol number."""
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    if len(data) < at + 2:
        return SHORT
    number, size = (data[at], 1) if data[at] & 1 else (_U16(data, at)[0], 2)
    if number in (0x0021, 0x0057):
        return Next(Kind.IP, at + size)
    if number in (0x0281, 0x0283):
        return Next(Kind.LABELS, at + size)
    if number in (0x00FD, 0x00FB, 0x0053, 0x0055):
        return _encrypted("PPP with MPPE or compression")
    if number in (0x002D, 0x002F, 0x003D):
        return _unknown({0x003D: "PPP multilink"}.get(number, "PPP with compressed headers"))
    return QUIET


# -- IP protocols --------------------------------------------------------------------------------------------------------


def _gre(data: bytes, at: int, end: int) -> Next:
    """RFC 2784, RFC 2890; version 1 is PPTP's (RFC 2637)."""
    if len(data) < at + 4:
        return SHORT
    flags, version, kind = data[at], data[at + 1] & 7, _U16(data, at + 2)[0]
    if version == 1 and kind == 0x880B:
        if len(data) < at + 8 or not flags & 0x10:
            return QUIET  # an acknowledgement alone
        return Next(Kind.PPP, at + 12 + 4 * bool(data[at + 1] & 0x80))
    if version or flags & 0x40:
        return _unknown(f"GRE version {version}" if version else "GRE with routing")
    inner = at + 4 + 4 * bool(flags & 0x80) + 4 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    if kind == 0x88BE:
        # ERSPAN I has no header of its own and no sequence number; II has both (draft-foschiano-erspan).
        return Next(Kind.ETHERNET, inner + 8 if flags & 0x10 else inner)
    if kind == 0x22EB:
        if len(data) < inner + 12:
            return QUIET
        return Next(Kind.ETHERNET, inner + (20 if data[inner + 11] & 1 else 12))
    if kind == 0x883E:  # WCCP: with or without its redirect header
        return _guess(data, end, (inner, inner + 4)) or _unknown("GRE type 883e (WCCP)")
    reader = ETHERTYPES.get(kind)
    if reader is not None:
        return reader(data, inner, end)
    return (
        QUIET
        if kind in PLAIN_ETHERTYPES or kind == 0
        else _guess(data, end, (inner,)) or _unknown(f"GRE type {kind:04x}")
    )


def _ah(data: bytes, at: int, end: int) -> Next:
    """RFC 4302: next header, length in 4 bytes less 2."""
    if len(data) < at + 12:
        return SHORT
    return Next(Kind.TRANSPORT, at + ((data[at + 1] + 2) << 2), value=data[at])


#: Bytes of the check value behind an ESP packet: HMAC-96, HMAC-SHA-256-128, none, SHA-384, SHA-512, CRC-like.
_ICVS = (12, 16, 0, 24, 32, 8)


def _esp(data: bytes, at: int, end: int) -> Next:
    """RFC 4303. Encrypted, unless the padding and the header inside say plainly that it is not (RFC 2410)."""
    whole = min(end, len(data))
    if _is_ip(data, at + 8, end):
        return Next(Kind.IP, at + 8)
    if end == whole:
        for icv in _ICVS:
            last = end - icv
            if last - 10 < at:
                continue
            following, size = data[last - 1], data[last - 2]
            begin = last - 2 - size
            if (
                following in (6, 17)
                and begin - (at + 8) >= (20 if following == 6 else 8)
                and data[begin : last - 2] == bytes(range(1, size + 1))
            ):
                if following == 6 and data[at + 20] >> 4 < 5:
                    continue
                if following == 17 and _U16(data, at + 12)[0] != begin - at - 8:
                    continue
                return Next(Kind.TRANSPORT, at + 8, value=following, end=begin)
    return _encrypted("IPsec ESP")


def _etherip(data: bytes, at: int, end: int) -> Next:
    """RFC 3378: version 3, then a frame."""
    return Next(Kind.ETHERNET, at + 2) if data[at : at + 1] == b"\x30" else QUIET


def _l2tp_ip(data: bytes, at: int, end: int) -> Next:
    """L2TPv3 over IP (RFC 3931 section 4.1.1): session id, cookie of 0, 4 or 8 bytes, perhaps a sublayer of 4."""
    if len(data) < at + 8 or _U32(data, at)[0] == 0:
        return QUIET
    return _guess(data, end, tuple(at + size for size in (4, 8, 12, 16))) or _unknown("L2TPv3")


#: IP protocol number -> what follows the IP header: tunnels, and what is between IP and TCP.
PROTOCOLS: dict[int, tuple[str, Reader]] = {
    4: ("IP in IP", _at(Kind.IP)), 41: ("IPv6 in IP", _at(Kind.IP)), 94: ("IP in IP", _at(Kind.IP)),
    47: ("GRE", _gre), 50: ("ESP", _esp), 51: ("AH", _ah), 97: ("EtherIP", _etherip), 115: ("L2TPv3", _l2tp_ip),
    137: ("MPLS in IP", _at(Kind.LABELS)),
}  # fmt: skip

#: IP protocols that carry no IP and need no word: hop-by-hop to mobility; IGMP, EGP, DCCP, RSVP, routing, SCTP, UDP-Lite ...
PLAIN_PROTOCOLS = frozenset({0, 1, 2, 3, 6, 8, 9, 12, 17, 20, 27, 28, 29, 33, 43, 44, 46, 54, 58, 59, 60, 88, 89, 103, 112, 113, 123, 132, 133, 134, 135, 136, 138, 139, 140, 142, 253, 254, 255})  # fmt: skip


# -- UDP ports -----------------------------------------------------------------------------------------------------------
# A port is a hint only: what does not look like the tunnel is nobody's business (`QUIET`).


def _vxlan(data: bytes, at: int, end: int) -> Next:
    """RFC 7348: the bit that says the network identifier is valid, 24 bits reserved or a group policy's."""
    return Next(Kind.ETHERNET, at + 8) if end - at > 8 and data[at : at + 1] and data[at] & 0x08 else QUIET


def _vxlan_gpe(data: bytes, at: int, end: int) -> Next:
    """draft-ietf-nvo3-vxlan-gpe: as VXLAN, with the next protocol in the fourth byte where the P bit is set."""
    if len(data) < at + 9 or not data[at] & 0x08:
        return QUIET
    return _gpe_next(data[at + 3], at + 8) if data[at] & 0x04 else Next(Kind.ETHERNET, at + 8)


def _geneve(data: bytes, at: int, end: int) -> Next:
    """RFC 8926: version 0, options in 4 bytes, protocol type as an EtherType."""
    if len(data) < at + 9 or data[at] >> 6:
        return QUIET
    reader = ETHERTYPES.get(_U16(data, at + 2)[0])
    if reader is None:
        return _unknown(f"Geneve protocol {_U16(data, at + 2)[0]:04x}")
    return reader(data, at + 8 + ((data[at] & 0x3F) << 2), end)


def _gtp(data: bytes, at: int, end: int) -> Next:
    """3GPP TS 29.281 section 5: version 1, G-PDU (255); four more bytes if any of E, S, PN, then extension headers."""
    if len(data) < at + 8 or data[at] >> 5 != 1 or not data[at] & 0x10 or data[at + 1] != 255:
        return QUIET
    inner = at + 8
    if data[at] & 7:
        if len(data) < at + 12:
            return QUIET
        following, inner = data[at + 11], at + 12
        for _ in range(16 if data[at] & 4 else 0):
            if not following:
                break
            if len(data) <= inner or not data[inner]:
                return QUIET
            size = data[inner] << 2
            if len(data) < inner + size:
                return QUIET
            following, inner = data[inner + size - 1], inner + size
    if data[inner : inner + 1] and data[inner] >> 4 in (4, 6):
        return Next(Kind.IP, inner)
    return _guess(data, end, (inner,)) or QUIET


def _tzsp(data: bytes, at: int, end: int) -> Next:
    """TZSP (packet-tzsp.c): version 1, type, encapsulated protocol, tags up to 1."""
    if len(data) < at + 5 or data[at] != 1 or data[at + 1] not in (0, 1, 4):
        return QUIET
    kind = {1: Kind.ETHERNET, 0x12: Kind.WIRELESS}.get(_U16(data, at + 2)[0])
    inner = at + 4
    for _ in range(64):
        if len(data) <= inner + 1:
            return QUIET
        if data[inner] == 1:
            if kind is None:
                link = {0x77: 119, 0x7F: 163}.get(_U16(data, at + 2)[0])
                return (
                    _unknown(f"TZSP protocol {_U16(data, at + 2)[0]}")
                    if link is None
                    else Next(Kind.LINK, inner + 1, value=link)
                )
            return Next(kind, inner + 1)
        inner += 1 if data[inner] == 0 else 2 + data[inner + 1]
    return QUIET


def _l2tp(data: bytes, at: int, end: int) -> Next:
    """L2TP version 2 (RFC 2661 section 3.1) and 3 over UDP (RFC 3931 section 4.1.2); control messages are quiet."""
    if len(data) < at + 8 or data[at] & 0x80:
        return QUIET
    flags, version = data[at], data[at + 1] & 15
    if version == 3:
        return _guess(data, end, tuple(at + size for size in (8, 12, 16, 20))) or _unknown("L2TPv3")
    if version != 2:
        return QUIET
    inner = at + 6 + 2 * bool(flags & 0x40) + 4 * bool(flags & 0x08)
    if flags & 0x02:
        if len(data) < inner + 2:
            return QUIET
        inner += 2 + _U16(data, inner)[0]
    return Next(Kind.PPP, inner)


def _capwap(data: bytes, at: int, end: int) -> Next:
    """CAPWAP data (RFC 5415 section 4.3): 802.3 or 802.11 frames; DTLS by the first byte's type."""
    if len(data) < at + 9:
        return QUIET
    if data[at] == 0x01:
        return _encrypted("CAPWAP with DTLS")
    word = _U32(data, at)[0]
    size, native, fragment, keepalive = (word >> 19 & 0x1F) << 2, word >> 8 & 1, word >> 7 & 1, word >> 3 & 1
    if data[at] or size < 8 or keepalive:
        return QUIET
    if fragment:
        return _unknown("fragments of CAPWAP")
    inner = at + size
    # Some controllers leave the mark for native frames out; a frame of the marked kind is told by its LLC header.
    if not native and not behind_ethertype(data, inner + 12) >= 0 and wireless.plausible(data, inner):
        native = 1
    if native and len(data) > inner + 1 and data[inner] & 0x0F != 0x08 and data[inner + 1] & 0x0F == 0x08:
        return Next(Kind.SWAPPED, inner)
    return Next(Kind.WIRELESS if native else Kind.ETHERNET, inner)


def _teredo(data: bytes, at: int, end: int) -> Next:
    """RFC 4380 section 5.1.1: authentication and origin indications, then IPv6."""
    if data[at : at + 2] == b"\0\x01" and len(data) > at + 4:
        at += 13 + data[at + 2] + data[at + 3]
    if data[at : at + 2] == b"\0\0":
        at += 8
    return Next(Kind.IP, at) if data[at : at + 1] and data[at] >> 4 == 6 and len(data) >= at + 40 else QUIET


def _aruba(data: bytes, at: int, end: int) -> Next:
    """Aruba remote mirror (packet-aruba-erm.c): a pcap record header of 16 bytes and a frame; with radiotap; bare."""
    found = _guess(data, end, (at + 16, at))
    if found is not None:
        return found
    for inner in (at + 16, at):
        if wireless.plausible(data, inner):
            return Next(Kind.RADIOTAP, inner) if data[inner : inner + 2] == b"\0\0" else Next(Kind.WIRELESS, inner)
    return QUIET


def _hp(data: bytes, at: int, end: int) -> Next:
    """HP remote mirror (packet-hp-erm.c): 12 bytes, then a frame."""
    return Next(Kind.ETHERNET, at + 12) if len(data) > at + 26 else QUIET


def _mpls_udp(data: bytes, at: int, end: int) -> Next:
    """RFC 7510."""
    return Next(Kind.LABELS, at) if len(data) > at + 4 else QUIET


def _lisp(data: bytes, at: int, end: int) -> Next:
    """RFC 9300 section 5: eight bytes, then IP."""
    return Next(Kind.IP, at + 8) if _is_ip(data, at + 8, end) else QUIET


def _gre_udp(data: bytes, at: int, end: int) -> Next:
    """RFC 8086."""
    return _gre(data, at, end) if len(data) > at + 4 and not data[at] & 0x4F and not data[at + 1] else QUIET


def _natt(data: bytes, at: int, end: int) -> Next:
    """ESP in UDP (RFC 3948): IKE begins with four zero bytes, a keepalive is one byte."""
    if end - at < 16 or len(data) < at + 8 or data[at : at + 4] == bytes(4):
        return QUIET
    found = _esp(data, at, end)
    return _encrypted("IPsec NAT-T (ESP in UDP)") if found.kind is Kind.ENCRYPTED else found


def _wireguard(data: bytes, at: int, end: int) -> Next:
    """WireGuard's white paper section 5.4: type 1 to 4 and three zero bytes; fixed sizes, data in 16 bytes."""
    size = end - at
    if data[at + 1 : at + 4] != bytes(3):
        return QUIET
    kind = data[at]
    fits = {1: size == 148, 2: size == 92, 3: size == 64, 4: size >= 32 and size % 16 == 0}.get(kind, False)
    return _encrypted("WireGuard") if fits else QUIET


def _openvpn(data: bytes, at: int, end: int) -> Next:
    """OpenVPN's protocol page: opcode in the first five bits, key id."""
    return _encrypted("OpenVPN") if end - at >= 14 and data[at : at + 1] and 3 <= data[at] >> 3 <= 10 else QUIET


#: UDP port -> the tunnel's name and its reader.
UDP_PORTS: dict[int, tuple[str, Reader]] = {
    4789: ("VXLAN", _vxlan), 8472: ("VXLAN", _vxlan), 4790: ("VXLAN-GPE", _vxlan_gpe), 6081: ("Geneve", _geneve),
    2152: ("GTP-U", _gtp), 37008: ("TZSP", _tzsp), 1701: ("L2TP", _l2tp), 5247: ("CAPWAP", _capwap), 3544: ("Teredo", _teredo),
    5555: ("Aruba remote mirror", _aruba), 7932: ("HP remote mirror", _hp), 6635: ("MPLS in UDP", _mpls_udp),
    4341: ("LISP", _lisp), 4754: ("GRE in UDP", _gre_udp),
    4500: ("ESP in UDP", _natt), 51820: ("WireGuard", _wireguard), 1194: ("OpenVPN", _openvpn),
}  # fmt: skip
#: Tunnels that Wireshark opens by itself and numbers the inside of; of the others, stream numbers are not known.
NUMBERED = frozenset({"VXLAN", "VXLAN-GPE", "Geneve", "GTP-U", "TZSP", "L2TP", "CAPWAP", "Teredo", "MPLS in UDP", "LISP", "GRE in UDP", "IP in IP", "IPv6 in IP", "GRE", "AH", "EtherIP", "MPLS in IP"})  # fmt: skip


# -- 802.11 --------------------------------------------------------------------------------------------------------------


def behind_radio(radio: wireless.Radio, data: bytes, at: int, end: int, plain: bool) -> Iterator[Next]:
    """What an 802.11 frame holds: of an aggregate (A-MSDU), several."""
    for found in radio.closer(data, at, end, plain):
        if found.reason:
            yield Next(Kind.ENCRYPTED if found.encrypted else Kind.UNKNOWN, what=found.reason)
        elif found.at >= 0:
            yield Next(Kind.ETHERTYPE, found.at, end=found.end)


READERS: dict[Kind, Reader] = {
    Kind.ETHERNET: lambda data, at, end: ethertype(data, at + 12, end),
    Kind.ETHERTYPE: ethertype,
    Kind.LABELS: labels,
    Kind.PPP: ppp,
}
