"""Records into packets: link layer, IP, fragments, TCP, UDP and ICMP.

How it works: nearly every packet of nearly every capture is Ethernet, IPv4 without options, TCP, so `Decoder.decode`
reads that one case with a single unpack and leaves all else to the slow path, which walks the headers by offset. No
object is made per layer. Lengths come from the IP header, so that Ethernet padding is no payload; what the snap length
cut off is still counted in `Packet.length`. Whatever is not TCP, UDP or ICMP is counted and dropped.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from analyzer.capture.fragments import Fragments
from analyzer.capture.links import ETHERNET, LINKS, behind_ethertype
from analyzer.capture.links import name as link_name
from analyzer.capture.records import Notes
from analyzer.packet import ICMP, ICMPV6, TCP, UDP, Packet

if TYPE_CHECKING:
    from analyzer.capture.scapy_link import ScapyLinks

#: Ethernet, IPv4, the first 16 bytes of TCP.
_COMMON = Struct("!12xHBxHHHBB2x4s4sHHIIBBH").unpack_from
_COMMON_SIZE = 54
_IPV4 = Struct("!BxHHHBB2x4s4s").unpack_from
_IPV6 = Struct("!4xHBB16s16s").unpack_from
_TCP = Struct("!HHIIBBH").unpack_from
_UDP = Struct("!HHH").unpack_from
_FRAGMENT = Struct("!BxHI").unpack_from

_HOP_BY_HOP, _ROUTING, _FRAGMENT_HEADER, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
#: Extension headers of the common form (RFC 6564): next header, length in 8 bytes beyond the first 8.
_PLAIN_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _OPTIONS, 135, 139, 140})
_MAX_EXTENSIONS = 16
#: IP in IP (RFC 2003), IPv6 in IP (RFC 4213), GRE (RFC 2784): Wireshark counts what is inside, so it is read.
_IP_IN_IP, _IPV6_IN_IP, _GRE = 4, 41, 47
_MAX_TUNNELS = 4
_GRE_ETHERNET = 0x6558

_new = tuple.__new__


class Decoder:
    """Turns records into packets; keeps the fragment table of one capture."""

    def __init__(self, notes: Notes, fragments: int = 4096) -> None:
        self._notes = notes
        self._fragments = Fragments(fragments)
        self._scapy: ScapyLinks | None = None
        self._unreadable: set[int] = set()
        #: Records that are no TCP, UDP or ICMP packet.
        self.other = 0
        #: Packets whose headers contradict themselves or are cut off.
        self.malformed = 0

    def decode(self, number: int, time_ns: int, link_type: int, data: bytes, wire: int) -> Packet | None:
        """The packet in a record (see `records.Record`), or None when it holds (or completes) none. Never raises."""
        if link_type == ETHERNET and len(data) >= _COMMON_SIZE:
            (kind, version, total, ident, fragment, ttl, protocol, source, destination, source_port, destination_port,
             sequence, acknowledgement, offset, flags, window) = _COMMON(data)  # fmt: skip
            if kind == 0x0800 and version == 0x45 and protocol == TCP and not fragment & 0x3FFF:
                start = 34 + ((offset >> 4) << 2)
                if start >= 54 and total >= start - 14:
                    return _new(
                        Packet,
                        (number, time_ns, TCP, source, destination, source_port, destination_port,
                         data[start : 14 + total], total + 14 - start, ttl, ident,
                         sequence, acknowledgement, flags, window, data[34:start]),
                    )  # fmt: skip
        link = LINKS.get(link_type)
        if link is None:
            return self._foreign(number, time_ns, link_type, data, wire)
        at = link(data)
        if at < 0:
            self.other += 1
            return None
        return self.ip(number, time_ns, data, at, wire)

    def ip(self, number: int, time_ns: int, data: bytes, at: int, wire: int, depth: int = 0) -> Packet | None:
        """The packet whose IP header is at ``at``, which may be inside ``depth`` tunnels."""
        if len(data) <= at:
            self.malformed += 1
            return None
        version = data[at] >> 4
        if version == 4:
            return self._ipv4(number, time_ns, data, at, wire, depth)
        if version == 6:
            return self._ipv6(number, time_ns, data, at, wire, depth)
        self.other += 1
        return None

    def _foreign(self, number: int, time_ns: int, link_type: int, data: bytes, wire: int) -> Packet | None:
        """A link type that is not ours: scapy's business, imported only now."""
        if link_type in self._unreadable or link_type < 0:
            self.other += 1
            return None
        if self._scapy is None:
            from analyzer.capture.scapy_link import ScapyLinks

            self._scapy = ScapyLinks()
        if not self._scapy.knows(link_type):
            self._unreadable.add(link_type)
            self._notes.add(
                "unsupported-link-type",
                f"packets of link type {link_name(link_type)} (the first is frame {number}) cannot be read",
                number,
            )
            self.other += 1
            return None
        found = self._scapy.ip(link_type, data)
        if found is None:
            if self._scapy.encrypted:
                self._notes.add_once(
                    "encrypted-wireless",
                    f"from frame {number} on there are encrypted 802.11 frames; nothing inside them can be read",
                    number,
                )
            self.other += 1
            return None
        return self.ip(number, time_ns, found, 0, wire - (len(data) - len(found)))

    def _ipv4(self, number: int, time_ns: int, data: bytes, at: int, wire: int, depth: int) -> Packet | None:
        if len(data) < at + 20:
            self.malformed += 1
            return None
        version, total, ident, fragment, ttl, protocol, source, destination = _IPV4(data, at)
        header = (version & 15) << 2
        if total == 0:
            total = max(wire, len(data)) - at  # segmentation offload: the length is filled in by the network card
        if header < 20 or total < header:
            self.malformed += 1
            return None
        start, end = at + header, at + total
        if fragment & 0x3FFF:
            offset, more = (fragment & 0x1FFF) << 3, bool(fragment & 0x2000)
            if end > len(data):
                # Cut by the snap length, so it can never be joined: the first one at least names its flow.
                if offset:
                    self.other += 1
                    return None
            else:
                joined = self._fragments.add(
                    (source, destination, ident, protocol), protocol, offset, more, data[start:end], time_ns
                )
                if joined is None:
                    self._note_unfinished(number)
                    return None
                data, start = joined[1], 0
                end = len(data)
        if protocol in (_IP_IN_IP, _IPV6_IN_IP, _GRE):
            return self._tunnel(number, time_ns, protocol, data[:end], start, end, depth)
        return self._transport(number, time_ns, protocol, source, destination, data, start, end, ttl, ident)

    def _ipv6(self, number: int, time_ns: int, data: bytes, at: int, wire: int, depth: int) -> Packet | None:
        if len(data) < at + 40:
            self.malformed += 1
            return None
        length, protocol, ttl, source, destination = _IPV6(data, at)
        start = at + 40
        # 0: a jumbogram (RFC 2675), or segmentation offload.
        end = start + length if length else max(wire, len(data))
        for _ in range(_MAX_EXTENSIONS):
            if protocol in _PLAIN_EXTENSIONS and len(data) >= start + 2:
                protocol, start = data[start], start + ((data[start + 1] + 1) << 3)
            elif protocol == _AUTHENTICATION and len(data) >= start + 2:
                protocol, start = data[start], start + ((data[start + 1] + 2) << 2)
            elif protocol == _FRAGMENT_HEADER and len(data) >= start + 8:
                protocol, offset, ident = _FRAGMENT(data, start)
                start += 8
                offset, more = offset & 0xFFF8, bool(offset & 1)
                if not offset and not more:
                    continue  # an "atomic" fragment (RFC 6946)
                if end > len(data):
                    if offset:
                        self.other += 1
                        return None
                    continue
                joined = self._fragments.add(
                    (source, destination, ident, 0), protocol, offset, more, data[start:end], time_ns
                )
                if joined is None:
                    self._note_unfinished(number)
                    return None
                protocol, data = joined
                start, end = 0, len(data)
            else:
                break
        if protocol in (_IP_IN_IP, _IPV6_IN_IP, _GRE):
            return self._tunnel(number, time_ns, protocol, data[:end], start, end, depth)
        return self._transport(number, time_ns, protocol, source, destination, data, start, end, ttl, 0)

    def _note_unfinished(self, number: int) -> None:
        """A fragment was taken in, and its datagram still lacks others."""
        self.other += 1
        if self._fragments.overflowed:
            self._notes.add_once(
                "limit-fragments", "more IP datagrams are in fragments at once than are put together; the oldest were given up", number
            )  # fmt: skip

    def _tunnel(
        self, number: int, time_ns: int, protocol: int, data: bytes, start: int, end: int, depth: int
    ) -> Packet | None:
        """The packet inside a tunnel whose inner header is at ``start``."""
        if protocol == _GRE:
            start = _behind_gre(data, start)
        if start < 0 or depth >= _MAX_TUNNELS:
            self.other += 1
            return None
        return self.ip(number, time_ns, data, start, end, depth + 1)

    def _transport(
        self,
        number: int,
        time_ns: int,
        protocol: int,
        source: bytes,
        destination: bytes,
        data: bytes,
        start: int,
        end: int,
        ttl: int,
        ident: int,
    ) -> Packet | None:
        """The packet whose transport header is at ``start`` and whose IP payload ends at ``end`` (on the wire)."""
        there = min(end, len(data)) - start
        if protocol == TCP and there >= 16:
            source_port, destination_port, sequence, acknowledgement, offset, flags, window = _TCP(data, start)
            payload = start + ((offset >> 4) << 2)
            if payload - start < 20 or payload > end:
                payload = end  # an impossible header length: no payload, but Wireshark still counts its conversation
            if end >= start:
                return Packet(
                    number, time_ns, TCP, source, destination, source_port, destination_port, data[payload:end],
                    end - payload, ttl, ident, sequence, acknowledgement, flags, window, data[start:payload],
                )  # fmt: skip
        elif protocol == UDP and there >= 8:
            source_port, destination_port, length = _UDP(data, start)
            if length >= 8 and start + length <= end:
                end = start + length
            elif 0 < length < 8:
                self.malformed += 1
                return None
            return Packet(
                number, time_ns, UDP, source, destination, source_port, destination_port,
                data[start + 8 : end], max(end - start - 8, 0), ttl, ident, header=data[start : start + 8],
            )  # fmt: skip
        elif protocol in (ICMP, ICMPV6) and there >= 4:
            return Packet(
                number, time_ns, protocol, source, destination, 0, 0, data[start:end], end - start, ttl, ident
            )
        elif protocol not in (TCP, UDP, ICMP, ICMPV6):
            self.other += 1
            return None
        self.malformed += 1
        return None


def _behind_gre(data: bytes, at: int) -> int:
    """The offset of the IP header that the GRE header at ``at`` carries, or -1 (RFC 2784, RFC 2890)."""
    if len(data) < at + 4 or data[at + 1] & 7:  # version 1 is PPTP's
        return -1
    flags = data[at]
    inner = at + 4 + 4 * bool(flags & 0x80) + 4 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
    kind = data[at + 2] << 8 | data[at + 3]
    if kind == _GRE_ETHERNET:
        return behind_ethertype(data, inner + 12)
    return inner if kind in (0x0800, 0x86DD) else -1
