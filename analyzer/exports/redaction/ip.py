"""IP headers read for rewriting: where the transport header starts, what fragment this is, and the header disguised."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from analyzer.exports.redaction import checksum
from analyzer.exports.redaction.pseudonyms import Pseudonyms

_IPV4 = Struct("!BxHHHBBH4s4s").unpack_from
_IPV6 = Struct("!4xHBB16s16s").unpack_from
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
#: Extension headers of the common form (RFC 6564).
_PLAIN = frozenset({_HOP_BY_HOP, _ROUTING, _OPTIONS, 135, 139, 140})
_MAX_EXTENSIONS = 16
#: IP in IP, IPv6 in IP, GRE.
_TUNNELS = frozenset({4, 41, 47})
_MAX_TUNNELS = 4
_GRE = 47
_NOP, _PADN = 1, 1


@dataclass(frozen=True, slots=True)
class Ip:
    """One IP header (extension headers included) and what it says.

    ``data`` begins with it and ends where the IP packet does, or where the capture was cut; ``length`` is the packet's
    on the wire. ``offset`` and ``more`` are those of a fragment; ``fragment`` names the datagram it belongs to.
    """

    data: bytes = field(repr=False)
    length: int
    header: int
    protocol: int
    source: bytes
    destination: bytes
    offset: int
    more: bool
    fragment: tuple[bytes, bytes, int, int] | None

    @property
    def payload(self) -> bytes:
        """What follows the header."""
        return self.data[self.header :]

    @property
    def payload_length(self) -> int:
        """Its length on the wire."""
        return self.length - self.header

    def disguised_header(self, pseudonyms: Pseudonyms) -> bytes:
        """The header with pseudonyms for addresses, options emptied, its checksum as right as it was."""
        old = self.data[: self.header]
        source, destination = pseudonyms.address(self.source), pseudonyms.address(self.destination)
        if len(source) == 16:
            return old[:8] + source + destination + _emptied_extensions(old)
        new = old[:12] + source + destination + bytes((_NOP,)) * (self.header - 20)
        change = checksum.total(new) - checksum.total(old)
        return new[:10] + checksum.adjusted(old[10:12], change) + new[12:]


def read(data: bytes, wire: int) -> Ip | None:
    """The IP packet at the start of ``data``, which has ``wire`` bytes on the wire; None when there is none."""
    if not data:
        return None
    return _read4(data, wire) if data[0] >> 4 == 4 else _read6(data, wire) if data[0] >> 4 == 6 else None


def innermost(packet: Ip) -> tuple[Ip, int] | None:
    """Through tunnels to the IP packet that is not one itself: (it, tunnels passed); None when it cannot be reached."""
    for depth in range(_MAX_TUNNELS + 1):
        if packet.protocol not in _TUNNELS or packet.offset or packet.more:
            return packet, depth
        inner = packet.payload
        skipped = _behind_gre(inner) if packet.protocol == _GRE else 0
        if skipped is None:
            return None
        found = read(inner[skipped:], packet.payload_length - skipped)
        if found is None:
            return None
        packet = found
    return None


def _read4(data: bytes, wire: int) -> Ip | None:
    if len(data) < 20:
        return None
    version, total, ident, fragment, _, protocol, _, source, destination = _IPV4(data)
    header = (version & 15) << 2
    total = total or wire  # segmentation offload: the card fills it in
    if header < 20 or total < header or len(data) < header:
        return None
    offset, more = (fragment & 0x1FFF) << 3, bool(fragment & 0x2000)
    key = (source, destination, ident, protocol) if offset or more else None
    return Ip(data[:total], total, header, protocol, source, destination, offset, more, key)


def _read6(data: bytes, wire: int) -> Ip | None:
    if len(data) < 40:
        return None
    length, protocol, _, source, destination = _IPV6(data)
    total = 40 + length if length else wire
    at, offset, more, key = 40, 0, False, None
    for _ in range(_MAX_EXTENSIONS):
        size = _extension_size(data, protocol, at)
        if size is None:
            break
        if protocol == _FRAGMENT:
            field_ = int.from_bytes(data[at + 2 : at + 4], "big")
            offset, more = field_ & 0xFFF8, bool(field_ & 1)
            if offset or more:
                key = (source, destination, int.from_bytes(data[at + 4 : at + 8], "big"), 0)
        protocol, at = data[at], at + size
        if offset:
            break
    if at > min(total, len(data)):
        return None
    return Ip(data[:total], total, at, protocol, source, destination, offset, more, key)


def _extension_size(data: bytes, protocol: int, at: int) -> int | None:
    """Bytes of the extension header at ``at``, or None when ``protocol`` is none (or it is cut)."""
    if len(data) < at + 8:
        return None
    if protocol == _FRAGMENT:
        return 8
    if protocol in _PLAIN:
        return (data[at + 1] + 1) << 3
    return (data[at + 1] + 2) << 2 if protocol == _AUTHENTICATION else None


def _emptied_extensions(header: bytes) -> bytes:
    """The extension headers behind an IPv6 header, their options and routes made empty."""
    protocol, at, out = header[6], 40, b""
    while at < len(header):
        size = _extension_size(header, protocol, at)
        if size is None:
            return out + bytes(len(header) - at)
        body = header[at : at + size]
        if protocol in (_HOP_BY_HOP, _OPTIONS):
            out += body[:2] + _padding(size - 2)
        elif protocol == _FRAGMENT:
            out += body
        else:
            out += body[:4] + bytes(size - 4)
        protocol, at = body[0], at + size
    return out


def _padding(size: int) -> bytes:
    """Options of this many bytes that say nothing (RFC 8200, 4.2): one PadN tells at most 255 bytes."""
    out = b""
    while size > 1:
        told = min(size - 2, 255)
        out += bytes((_PADN, told)) + bytes(told)
        size -= 2 + told
    return out + bytes(size)  # Pad1 is a zero byte


def _behind_gre(data: bytes) -> int | None:
    """Bytes of a GRE header with IP in it (RFC 2784, RFC 2890), Ethernet in between included."""
    if len(data) < 4 or data[1] & 7:
        return None
    size = 4 + 4 * bool(data[0] & 0x80) + 4 * bool(data[0] & 0x20) + 4 * bool(data[0] & 0x10)
    kind = data[2:4]
    if kind == b"\x65\x58" and data[size + 12 : size + 14] in (b"\x08\x00", b"\x86\xdd"):
        return size + 14
    return size if kind in (b"\x08\x00", b"\x86\xdd") else None
