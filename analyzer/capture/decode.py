"""Records into packets: link layer, tunnels, IP, fragments, TCP, UDP and ICMP.

How it works: nearly every packet of nearly every capture is Ethernet, IPv4 without options, TCP, so `Decoder.decode`
reads that one case with a single unpack and leaves all else to the slow path, which walks the headers by offset. No
object is made per layer. Lengths come from the IP header, so that Ethernet padding is no payload; what the snap length
cut off is still counted in `Packet.length`. Whatever is not TCP, UDP or ICMP is counted and dropped; what might hold a
device's packet and cannot be read is counted by name (`unread`).

Encapsulations are read by `encapsulation`, one after the other, up to `_MAX_DEPTH` of them around a packet and `_MAX_STEPS`
in one record. A record may hold several packets: a tunnel's UDP datagram is one of its own (Wireshark numbers both), and
802.11 has aggregates. The first is what `decode` gives, `further` has the others.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from analyzer.capture import encapsulation, unread, wireless
from analyzer.capture.encapsulation import PLAIN_PROTOCOLS, PROTOCOLS, READERS, UDP_PORTS, Kind, Next
from analyzer.capture.fragments import Fragments
from analyzer.capture.links import ETHERNET, LINKS, LOOK
from analyzer.capture.links import name as link_name
from analyzer.capture.rarelinks import RARE
from analyzer.capture.records import Notes
from analyzer.capture.unread import Unread
from analyzer.packet import ICMP, ICMPV6, TCP, UDP, Carrier, Packet

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

_HOP_BY_HOP, _ROUTING, _FRAGMENT_HEADER, _OPTIONS = 0, 43, 44, 60
#: Extension headers of the common form (RFC 6564): next header, length in 8 bytes beyond the first 8.
_PLAIN_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _OPTIONS, 135, 139, 140})
_MAX_EXTENSIONS = 16
#: Encapsulations around a packet, and headers looked at in a record.
_MAX_DEPTH, _MAX_STEPS = 12, 256
_TRANSPORTS = frozenset({TCP, UDP, ICMP, ICMPV6})
#: Where the walk begins for what `LINKS` leaves open.
_STARTS = {
    ETHERNET: Next(Kind.ETHERNET), 9: Next(Kind.PPP), 51: Next(Kind.PPP, 6), 113: Next(Kind.ETHERTYPE, 14),
}  # fmt: skip
_SLL2 = 276
#: Wireshark's stream numbers have gaps there.
_FRAME_RELAY = 107
#: Content types of DTLS records, as bytes; 0xfe begins their version (RFC 6347 section 4.1).
_DTLS_TYPES = frozenset(bytes((kind,)) for kind in (20, 21, 22, 23, 24, 25, 253, 254))
#: A readable packet of IP's own kinds that is none of ours is no reason to say that nothing could be read.
_NOTHING: tuple[Packet, ...] = ()

_new = tuple.__new__


class Decoder:
    """Turns records into packets; keeps the fragment table of one capture."""

    def __init__(self, notes: Notes, fragments: int = 4096) -> None:
        self._notes = notes
        self._fragments = Fragments(fragments)
        self._scapy: ScapyLinks | None = None
        self._radio = wireless.Radio()
        self._carriers: tuple[Carrier, ...] = ()
        self._interned: dict[tuple[Carrier, ...], tuple[Carrier, ...]] = {}
        self._number = self._time_ns = self._steps = 0
        self._found: list[Packet] = []
        #: The last IP header: where, and where its data ends on the wire.
        self._header: tuple[bytes, int, int] = (b"", 0, 0)
        #: Whether the record is cut, and how much of it there is.
        self._cut = self._size = 0
        #: Packets of the record beside the one that `decode` gave.
        self.further: list[Packet] | tuple[Packet, ...] = _NOTHING
        #: Records that are no TCP, UDP or ICMP packet.
        self.other = 0
        #: Packets whose headers contradict themselves or are cut off.
        self.malformed = 0
        #: What could not be looked into, and whether anything could.
        self.unread = Unread()
        self.read_any = False
        #: Something was left out of which Wireshark makes streams.
        self.inexact = False

    def decode(self, number: int, time_ns: int, link_type: int, data: bytes, wire: int) -> Packet | None:
        """The packet in a record (see `records.Record`), or None when it holds (or completes) none. Never raises."""
        if link_type == ETHERNET and len(data) >= _COMMON_SIZE:
            (kind, version, total, ident, fragment, ttl, protocol, source, destination, source_port, destination_port,
             sequence, acknowledgement, offset, flags, window) = _COMMON(data)  # fmt: skip
            if kind == 0x0800 and version == 0x45 and protocol == TCP and not fragment & 0x3FFF:
                start = 34 + ((offset >> 4) << 2)
                if start >= 54 and total >= start - 14:
                    self.read_any = True
                    return _new(
                        Packet,
                        (number, time_ns, TCP, source, destination, source_port, destination_port,
                         data[start : 14 + total], total + 14 - start, ttl, ident,
                         sequence, acknowledgement, flags, window, data[34:start], ()),
                    )  # fmt: skip
        self._number, self._time_ns, self._steps = number, time_ns, 0
        self._size = len(data)
        self._cut = self._size < wire
        self._carriers = ()
        self._header = b"", 0, 0
        found = self._found = []
        self._link(link_type, data, wire)
        if not found:
            return None
        if len(found) > 1:
            self.further = found[1:]
        return found[0]

    def taken(self) -> tuple[Packet, ...]:
        """`further`, which is empty afterwards."""
        further, self.further = tuple(self.further), _NOTHING
        return further

    def innermost(self) -> tuple[bytes, int]:
        """The IP packet around the last packet found, from its header on, and its length on the wire."""
        data, at, wire = self._header
        return data[at:], wire - at

    def ip_packets(self, number: int, time_ns: int, data: bytes, wire: int) -> list[Packet]:
        """The packets of an IP packet that somebody else has taken out of its frame."""
        self._number, self._time_ns, self._steps = number, time_ns, 0
        self._size = len(data)
        self._cut = self._size < wire
        self._carriers = ()
        self._found = []
        self._ip(data, 0, wire, 0)
        return self._found

    # -- link layers and encapsulations -----------------------------------------------------------

    def _link(self, link_type: int, data: bytes, wire: int, depth: int = 0) -> None:
        link = LINKS.get(link_type)
        if link is not None:
            at = link(data)
        elif link_type in wireless.LINKS:
            at = self._radio.offset(link_type, data)
        elif link_type in RARE:
            self.inexact |= link_type == _FRAME_RELAY
            self._walk(RARE[link_type](data, 0, wire), data, wire, depth)
            return
        else:
            self._foreign(link_type, data, wire)
            return
        if at >= 0:
            self._ip(data, at, wire, depth)
        elif at == LOOK and link_type in wireless.LINKS:
            self._wireless(link_type, data, wire, depth)
        elif at == LOOK and link_type == _SLL2:
            reader = encapsulation.ETHERTYPES.get(data[0] << 8 | data[1]) if len(data) > 20 else None
            if reader is not None:
                self._walk(reader(data, 20, wire), data, wire, depth)
        elif at == LOOK and link_type in _STARTS:
            self._walk(_STARTS[link_type], data, wire, depth)
        else:
            self.other += 1

    def _walk(self, step: Next, data: bytes, wire: int, depth: int) -> None:
        """From one header to the next, until there is IP or nothing to read."""
        while True:
            kind, at = step.kind, step.at
            self._steps += 1
            if depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
                self.unread.count(unread.DEEP, "", self._number)
                return
            if step.end is not None:
                wire = min(wire, step.end)
                if step.end < len(data):
                    data = data[: step.end]
            if kind is Kind.IP:
                self._ip(data, at, wire, depth)
                return
            if kind is Kind.SWAPPED:
                data = data[:at] + data[at + 1 : at + 2] + data[at : at + 1] + data[at + 2 :]
                kind = Kind.WIRELESS
            if kind in (Kind.RADIOTAP, Kind.WIRELESS):
                steps = encapsulation.behind_radio(self._radio, data, at, wire, kind is Kind.WIRELESS)
                for inner in steps:
                    self._walk(inner, data, wire, depth + 1)
                return
            if kind is Kind.LINK:
                self._link(step.value, data[at:], wire - at, depth + 1)
                return
            reader = READERS.get(kind)
            if reader is None:
                self._unreadable(step)
                return
            depth += 1
            step = encapsulation.ETHERTYPES[step.value](data, at, wire) if step.value else reader(data, at, wire)

    def _unreadable(self, step: Next) -> None:
        if step.kind is Kind.ENCRYPTED:
            code = unread.WIRELESS if step.what == wireless.ENCRYPTED else unread.ENCRYPTED
            self.unread.count(code, step.what, self._number)
        elif step.what == wireless.BAD_FCS:
            self._count_bad()
        elif step.kind is Kind.UNKNOWN:
            self.unread.count(unread.UNKNOWN, step.what, self._number)
        elif step is encapsulation.SHORT:
            self._damaged()
        self.other += 1

    def _count_bad(self) -> None:
        self.unread.count(unread.BAD_FCS, wireless.BAD_FCS, self._number)
        self.inexact = True

    def _wireless(self, link_type: int, data: bytes, wire: int, depth: int) -> None:
        if link_type in (wireless.RADIOTAP, wireless.IEEE802_11):
            self._walk(Next(Kind.WIRELESS if link_type == wireless.IEEE802_11 else Kind.RADIOTAP), data, wire, depth)
            return
        at, bad, inner = wireless.header(link_type, data)
        if bad:
            self._count_bad()
        elif 0 < at < len(data):
            self._link(inner, data[at:], wire - at, depth + 1) if depth < _MAX_DEPTH else self.unread.count(
                unread.DEEP, "", self._number
            )
        else:
            self.other += 1

    def _foreign(self, link_type: int, data: bytes, wire: int) -> None:
        """A link type that is not ours: scapy's business, imported only now."""
        if link_type < 0:
            self.other += 1
            return
        if self._scapy is None:
            from analyzer.capture.scapy_link import ScapyLinks

            self._scapy = ScapyLinks()
        if not self._scapy.knows(link_type):
            self.unread.count(unread.LINK, link_name(link_type), self._number)
            self.other += 1
            return
        found = self._scapy.ip(link_type, data)
        if found is None:
            self.other += 1
            return
        self._ip(found, 0, wire - (len(data) - len(found)), 1)

    # -- IP ---------------------------------------------------------------------------------------

    def _ip(self, data: bytes, at: int, wire: int, depth: int) -> None:
        """The packet whose IP header is at ``at``, which may be inside ``depth`` encapsulations."""
        if len(data) <= at:
            self._damaged()
            return
        self._header = data, at, wire
        version = data[at] >> 4
        if version == 4:
            self._ipv4(data, at, wire, depth)
        elif version == 6:
            self._ipv6(data, at, wire, depth)
        else:
            self.other += 1

    def _damaged(self) -> None:
        """Headers that contradict themselves, or that the snap length cut."""
        self.malformed += 1
        if self._cut:
            self._count_cut()

    def _count_cut(self) -> None:
        self.unread.count(unread.CUT, "", self._number, self._size)

    def _ipv4(self, data: bytes, at: int, wire: int, depth: int) -> None:
        if len(data) < at + 20:
            self._damaged()
            return
        version, total, ident, fragment, ttl, protocol, source, destination = _IPV4(data, at)
        header = (version & 15) << 2
        if total == 0:
            total = max(wire, len(data)) - at  # segmentation offload: the length is filled in by the network card
        if header < 20 or total < header:
            self.malformed += 1
            return
        start, end = at + header, at + total
        if fragment & 0x3FFF:
            offset, more = (fragment & 0x1FFF) << 3, bool(fragment & 0x2000)
            if end > len(data):
                # Cut by the snap length, so it can never be joined: the first one at least names its flow.
                if offset:
                    self.other += 1
                    return
            else:
                joined = self._fragments.add(
                    (source, destination, ident, protocol), protocol, offset, more, data[start:end], self._time_ns
                )
                if joined is None:
                    self._note_unfinished()
                    return
                data, start = joined[1], 0
                end = len(data)
        self._payload(protocol, source, destination, data, start, end, ttl, ident, depth)

    def _ipv6(self, data: bytes, at: int, wire: int, depth: int) -> None:
        if len(data) < at + 40:
            self._damaged()
            return
        length, protocol, ttl, source, destination = _IPV6(data, at)
        start = at + 40
        # 0: a jumbogram (RFC 2675), or segmentation offload.
        end = start + length if length else max(wire, len(data))
        for _ in range(_MAX_EXTENSIONS):
            if protocol in _PLAIN_EXTENSIONS and len(data) >= start + 2:
                protocol, start = data[start], start + ((data[start + 1] + 1) << 3)
            elif protocol == _FRAGMENT_HEADER and len(data) >= start + 8:
                protocol, offset, ident = _FRAGMENT(data, start)
                start += 8
                offset, more = offset & 0xFFF8, bool(offset & 1)
                if not offset and not more:
                    continue  # an "atomic" fragment (RFC 6946)
                if end > len(data):
                    if offset:
                        self.other += 1
                        return
                    continue
                joined = self._fragments.add(
                    (source, destination, ident, 0), protocol, offset, more, data[start:end], self._time_ns
                )
                if joined is None:
                    self._note_unfinished()
                    return
                protocol, data = joined
                start, end = 0, len(data)
            else:
                break
        self._payload(protocol, source, destination, data, start, end, ttl, 0, depth)

    def _note_unfinished(self) -> None:
        """A fragment was taken in, and its datagram still lacks others."""
        self.other += 1
        self.read_any = True
        if self._fragments.overflowed:
            self._notes.add_once(
                "limit-fragments", "more IP datagrams are in fragments at once than are put together; the oldest were given up", self._number
            )  # fmt: skip

    def _payload(
        self, protocol: int, source: bytes, destination: bytes, data: bytes, start: int, end: int, ttl: int, ident: int, depth: int
    ) -> None:  # fmt: skip
        """What an IP header carries: a packet, or a tunnel, or headers in between (AH, ESP without encryption)."""
        while protocol in PROTOCOLS:
            self._steps += 1
            if depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
                self.unread.count(unread.DEEP, "", self._number)
                return
            name, reader = PROTOCOLS[protocol]
            if end < len(data):
                data = data[:end]
            if start > len(data):
                self._damaged()
                return
            step = reader(data, start, end)
            depth += 1
            if step.kind is not Kind.TRANSPORT:
                self._within(name, source, destination, step, data, end, depth)
                return
            protocol, start, end = step.value, step.at, end if step.end is None else step.end
        self._transport(protocol, source, destination, data, start, end, ttl, ident, depth)

    def _within(
        self, name: str, source: bytes, destination: bytes, step: Next, data: bytes, end: int, depth: int
    ) -> None:
        """What a tunnel between two addresses carries."""
        before = self._carriers
        carriers = (*before, Carrier(name, source, destination))
        self.inexact |= name not in encapsulation.NUMBERED and step.kind not in (
            Kind.ENCRYPTED,
            Kind.UNKNOWN,
            Kind.QUIET,
        )
        if len(self._interned) < 4096:
            carriers = self._interned.setdefault(carriers, carriers)
        self._carriers = carriers
        self._walk(step, data, end, depth)
        self._carriers = before

    def _transport(
        self, protocol: int, source: bytes, destination: bytes, data: bytes, start: int, end: int, ttl: int, ident: int, depth: int
    ) -> None:  # fmt: skip
        """The packet whose transport header is at ``start`` and whose IP payload ends at ``end`` (on the wire)."""
        there = min(end, len(data)) - start
        number, time_ns = self._number, self._time_ns
        if protocol == TCP and there >= 16 and end >= start:
            source_port, destination_port, sequence, acknowledgement, offset, flags, window = _TCP(data, start)
            payload = start + ((offset >> 4) << 2)
            if payload - start < 20 or payload > end:
                payload = end  # an impossible header length: no payload, but Wireshark still counts its conversation
            self._found.append(Packet(
                number, time_ns, TCP, source, destination, source_port, destination_port, data[payload:end],
                end - payload, ttl, ident, sequence, acknowledgement, flags, window, data[start:payload], self._carriers,
            ))  # fmt: skip
            self.read_any = True
        elif protocol == UDP and there >= 8:
            source_port, destination_port, length = _UDP(data, start)
            if length >= 8 and start + length <= end:
                end = start + length
            elif 0 < length < 8:
                self.malformed += 1
                return
            self._found.append(Packet(
                number, time_ns, UDP, source, destination, source_port, destination_port,
                data[start + 8 : end], max(end - start - 8, 0), ttl, ident, header=data[start : start + 8], carriers=self._carriers,
            ))  # fmt: skip
            tunnel = UDP_PORTS.get(destination_port) or UDP_PORTS.get(source_port)
            if tunnel is not None and self._tunnelled(tunnel, source, destination, data, start + 8, end, depth):
                return
            self.read_any = True
        elif protocol in (ICMP, ICMPV6) and there >= 4:
            self._found.append(Packet(
                number, time_ns, protocol, source, destination, 0, 0, data[start:end], end - start, ttl, ident, carriers=self._carriers
            ))  # fmt: skip
            self.read_any = True
        elif protocol not in _TRANSPORTS:
            if protocol not in PLAIN_PROTOCOLS:
                self.unread.count(unread.UNKNOWN, f"IP protocol {protocol}", number)
            self.other += 1
        else:
            self._damaged()

    def _tunnelled(
        self, tunnel: tuple[str, encapsulation.Reader], source: bytes, destination: bytes, data: bytes, start: int, end: int, depth: int
    ) -> bool:  # fmt: skip
        """Looks into a datagram of a tunnel's port; whether it is the tunnel's."""
        name, reader = tunnel
        if data[start : start + 1] in _DTLS_TYPES and data[start + 1 : start + 2] == b"\xfe":
            return False  # some carriers want a device's own DTLS on a tunnel's port
        if end < len(data):
            data = data[:end]
        step = reader(data, start, end)
        if step.kind is Kind.QUIET:
            return False
        self._within(name, source, destination, step, data, end, depth + 1)
        return True
