"""Which records of a block can matter to a device's session, told from a few bytes of each, all records at once.

How it works. The walk over record headers is plain Python (one addition a record); everything after it is numpy over
the whole block: EtherType, IP header, ports, TCP flags become arrays, and each flow a salted 64-bit number. A record is
passed over only when nothing in the program would look at it: no IP; IP that is no TCP, UDP, ICMP or tunnel; a TCP segment
without SYN, FIN or RST of a flow that the conversation table only counts; a UDP datagram of such a flow that does not
begin like DTLS. Whatever is unusual (IP options, fragments, VLAN tags, extension headers, cut headers) is kept: the
decoder decides. So the answer is the decoder's and the table's, and the index can only save them work.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from analyzer.packet import ICMP, ICMPV6, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: Whether a flow (protocol, key as in `conversations.table`) is only counted by now.
Settled = Callable[[int, bytes], bool]

_IPV4, _IPV6 = 0x0800, 0x86DD
#: EtherTypes behind which `links.behind_ethertype` may find IP: VLAN tags, PPPoE, MPLS; lengths (LLC) are below 1501.
_MAY_HOLD_IP = (0x8100, 0x88A8, 0x9100, 0x8864, 0x8847, 0x8848)
#: IP protocols without a conversation in them; everything else is left to the decoder.
_KEPT_PROTOCOLS = (ICMP, ICMPV6, 4, 41, 47)
_DTLS_TYPES = (20, 21, 22, 23, 25, 253, 254)
_CONTROL = 0x07  # FIN, SYN, RST
#: A flow is asked about after so many of its packets in a block: a TCP flow is decided by its first payload, a UDP flow
#: by its first datagram.
_FIRST_ASKED = {TCP: 2, UDP: 1}
_ASKED_AGAIN = 2


def available() -> bool:
    """Whether numpy is there; without it captures are read record by record, with the same result."""
    return importlib.util.find_spec("numpy") is not None and not os.environ.get("ANALYZE_NO_INDEX")


class Layout(NamedTuple):
    """Where in a record of a link type the EtherType (None: there is none) and the IP header are."""

    kind: int | None
    ip: int


#: Ethernet, raw IP, Linux cooked v1 and v2. Other link types take the long way.
LAYOUTS: dict[int, Layout] = {
    1: Layout(12, 14),
    12: Layout(None, 0),
    14: Layout(None, 0),
    101: Layout(None, 0),
    113: Layout(14, 16),
    228: Layout(None, 0),
    276: Layout(0, 20),
}


class Screen:
    """Decides block by block; remembers the flows that are settled."""

    def __init__(self, layout: Layout, settled: Settled) -> None:
        import numpy

        self._np = numpy
        self._layout = layout
        self._settled = settled
        # A salt nobody knows: flows cannot be made to collide. The answer does not depend on it.
        salt = os.urandom(24)
        self._salt = [numpy.uint64(int.from_bytes(salt[at : at + 8], "little") | 1) for at in (0, 8, 16)]
        self._known: Array = numpy.empty(0, numpy.uint64)

    def wanted(self, block: bytes, starts: list[int], lengths: Array) -> Iterator[int]:
        """Indices of the records to decode, ascending. ``starts``: offsets of the captured bytes, ``lengths`` of them.

        Between two of them the caller has the packet taken in by the conversation table.
        """
        np = self._np
        if not starts:
            return
        at = np.array(starts, np.int64)
        padded = np.frombuffer(block + bytes(64), np.uint8)
        size = padded.size
        word = np.ndarray((size - 3,), ">u4", padded.data, strides=(1,))
        half = np.ndarray((size - 1,), ">u2", padded.data, strides=(1,))
        long_enough = lengths >= 54 - 14 + self._layout.ip
        ip = at + self._layout.ip
        first = padded[ip]
        if self._layout.kind is None:
            version4, version6 = first == 0x45, (first >> 4) == 6
            may_hold_ip = ~(version4 | version6)
        else:
            kind = half[at + self._layout.kind]
            version4, version6 = (kind == _IPV4) & (first == 0x45), (kind == _IPV6) & ((first >> 4) == 6)
            may_hold_ip = (
                np.isin(kind, _MAY_HOLD_IP)
                | (kind <= 1500)
                | (((kind == _IPV4) | (kind == _IPV6)) & ~(version4 | version6))
            )
        version4 &= long_enough
        version6 &= lengths >= self._layout.ip + 60
        odd = may_hold_ip | ~(long_enough & (version4 | version6 | ~may_hold_ip))
        if self._layout.kind is not None:
            odd |= ((kind == _IPV4) & ~version4) | ((kind == _IPV6) & ~version6)
        else:
            odd |= ~(version4 | version6)
        keep, flow, protocol, transport = self._flows(padded, word, half, ip, version4, version6)
        keep |= odd
        tcp, udp = protocol == TCP, protocol == UDP
        control = np.zeros(at.size, bool)
        control[tcp] = (padded[transport[tcp] + 13] & _CONTROL) != 0
        dtls = np.zeros(at.size, bool)
        body = transport[udp] + 8
        dtls[udp] = np.isin(padded[body], _DTLS_TYPES) & np.isin(half[body + 1], (0xFEFF, 0xFEFD, 0xFEFC))
        known = self._is_known(flow) & (tcp | udp)
        fresh = (tcp | udp) & ~known
        keep |= fresh | (tcp & control) | (udp & dtls)
        always = keep & (~fresh | control | dtls)
        yield from self._ask(block, np.flatnonzero(keep), always, flow, protocol, ip, transport, version4)

    def _ask(
        self,
        block: bytes,
        kept: Array,
        always: Array,
        flow: Array,
        protocol: Array,
        ip: Array,
        transport: Array,
        version4: Array,
    ) -> Iterator[int]:
        """The records in ``kept``, without those of flows that are found settled on the way.

        Most flows of a gateway are decided by their first payload, so a flow is asked about after its first packets and
        then ever more rarely; one dictionary look-up is all that a later packet of it costs.
        """
        np = self._np
        left: dict[int, int] = {}
        settled: list[int] = []
        rows = zip(kept.tolist(), flow[kept].tolist(), always[kept].tolist(), protocol[kept].tolist(), strict=True)
        for item, number, certain, kind in rows:
            if certain:
                yield item
                continue
            due = left.get(number)
            if due is None:
                due = _FIRST_ASKED[kind]
            elif due < 0:
                continue
            yield item
            if due > 1:
                left[number] = due - 1
            elif self._settled(kind, _key(block, int(ip[item]), int(transport[item]), four=bool(version4[item]))):
                left[number] = -1
                settled.append(number)
            else:
                left[number] = _ASKED_AGAIN
        if settled:
            self._known = np.sort(np.concatenate((self._known, np.array(settled, np.uint64))))

    def _flows(
        self, padded: Array, word: Array, half: Array, ip: Array, version4: Array, version6: Array
    ) -> tuple[Array, Array, Array, Array]:
        """(to be decoded whatever it is, flow number, protocol 6, 17 or 0, offset of the transport header)."""
        np = self._np
        keep = np.zeros(ip.size, bool)
        protocol = np.zeros(ip.size, np.uint8)
        transport = np.zeros(ip.size, np.int64)
        flow = np.zeros(ip.size, np.uint64)
        four, six = np.flatnonzero(version4), np.flatnonzero(version6)
        for chosen, header in ((four, 20), (six, 40)):
            if not chosen.size:
                continue
            base = ip[chosen]
            number = padded[base + (9 if header == 20 else 6)]
            plain = (number == TCP) | (number == UDP)
            if header == 20:
                whole = (half[base + 6] & 0x3FFF) == 0
                keep[chosen[~whole]] = True
                plain &= whole
                keep[chosen] |= np.isin(number, _KEPT_PROTOCOLS)
            else:
                # Extension headers are not followed here; "no next header" and plain foreign protocols are rare.
                keep[chosen[~plain]] = True
            picked, base = chosen[plain], base[plain]
            protocol[picked] = number[plain]
            transport[picked] = base + header
            ports = word[base + header].astype(np.uint64)
            if header == 20:
                source, target = word[base + 12].astype(np.uint64), word[base + 16].astype(np.uint64)
            else:
                source, target = self._long_address(word, base + 8), self._long_address(word, base + 24)
            flow[picked] = self._number(source, target, ports, number[plain])
        return keep, flow, protocol, transport

    def _long_address(self, word: Array, at: Array) -> Array:
        """A 64-bit number for an IPv6 address."""
        np = self._np
        high = word[at].astype(np.uint64) << np.uint64(32) | word[at + 4]
        low = word[at + 8].astype(np.uint64) << np.uint64(32) | word[at + 12]
        return self._mixed(high * self._salt[2] ^ low)

    def _number(self, source: Array, target: Array, ports: Array, protocol: Array) -> Array:
        """A 64-bit number for a flow, the same in both directions."""
        np = self._np
        one = self._mixed(source * self._salt[0] + (ports >> np.uint64(16)))
        other = self._mixed(target * self._salt[0] + (ports & np.uint64(0xFFFF)))
        low, high = np.minimum(one, other), np.maximum(one, other)
        number: Array = self._mixed(low * self._salt[1] ^ high) ^ protocol.astype(np.uint64)
        return number

    def _mixed(self, value: Array) -> Array:
        """The finaliser of MurmurHash3: every input bit reaches every output bit."""
        np = self._np
        value = value ^ value >> np.uint64(33)
        value = value * np.uint64(0xFF51AFD7ED558CCD)
        value = value ^ value >> np.uint64(33)
        value = value * self._salt[2]
        mixed: Array = value ^ value >> np.uint64(33)
        return mixed

    def _is_known(self, flow: Array) -> Array:
        np = self._np
        if not self._known.size:
            return np.zeros(flow.size, bool)
        place = np.searchsorted(self._known, flow)
        place[place == self._known.size] = 0
        found: Array = self._known[place] == flow
        return found


def _key(block: bytes, ip: int, transport: int, *, four: bool) -> bytes:
    """The flow's key in the conversation table: both ends as address and port, the smaller first."""
    size, at = (4, ip + 12) if four else (16, ip + 8)
    a = block[at : at + size] + block[transport : transport + 2]
    b = block[at + size : at + 2 * size] + block[transport + 2 : transport + 4]
    return a + b if a <= b else b + a
