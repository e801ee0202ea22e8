"""Which records of a block can matter to a device's session, told from a few bytes of each, all records at once.

How it works. The walk over record headers is plain Python (one addition a record); everything after it is numpy over
the whole block: EtherType, IP header, ports, TCP flags become arrays (`Fields`), and each flow a salted 64-bit number.
`Screen` then leaves out what nothing in the program would look at: no IP; IP that is no TCP, UDP, ICMP or tunnel; a TCP
segment other than SYN of a flow that the conversation table only counts; a UDP datagram of such a flow that does not begin
like DTLS. New flows that the table would drop at once (a client that speaks first, a datagram that is no DTLS, no port of
interest) are counted there by one call instead of being decoded. Whatever is unusual (IP options, fragments, VLAN tags,
extension headers, cut headers) is left to the decoder. So the answer is the decoder's and the table's; the index only
saves them work.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from analyzer.capture.deferred import Aside
from analyzer.capture.encapsulation import PLAIN_PROTOCOLS
from analyzer.capture.links import PLAIN_ETHERTYPES
from analyzer.capture.vpn import FIRST_BYTES
from analyzer.packet import ICMP, ICMPV6, TCP, UDP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_IPV4, _IPV6 = 0x0800, 0x86DD
#: EtherTypes that the decoder looks at or counts: all but those known to hold no IP (and IP itself).
_MAY_HOLD_IP = tuple(sorted(set(range(1 << 16)) - PLAIN_ETHERTYPES - {_IPV4, _IPV6}))
#: IP protocols that are no TCP or UDP and still matter: ICMP, tunnels, and what is counted as unknown.
_KEPT_PROTOCOLS = tuple(sorted({ICMP, ICMPV6} | set(range(256)) - PLAIN_PROTOCOLS))
#: VLAN tags of which one is followed here: 802.1Q, 802.1ad.
_TAGS = (0x8100, 0x88A8)
_DTLS_TYPES = (20, 21, 22, 23, 25, 253, 254)
_DTLS_VERSIONS = (0xFEFF, 0xFEFD, 0xFEFC)
_SYN, _ACK = 0x02, 0x10
#: GTP-U's port, and how a header of version 1 without further fields begins (3GPP TS 29.281 section 5.1).
_GTP, _GTP_PLAIN = 2152, 0x30FF
#: A client that has received fewer bytes than a nonce has and speaks is no device.
_NONCE = 40
#: A flow is asked about after so many of its packets in a block: a UDP flow is decided by its first datagram.
_FIRST_ASKED = {TCP: 2, UDP: 1}
_ASKED_AGAIN = 2


#: A flow that the table need only count: key, side that opened it, sequence numbers of SYN and SYN-ACK.
_Dull = tuple[bytes, int, int, int]


class Flows(Protocol):
    """What the index asks the conversation table. A key is both ends as address and port, the smaller first."""

    def settled(self, protocol: int, key: bytes) -> bool:
        """Whether the flow is only counted by now."""

    def knows(self, protocol: int, key: bytes) -> bool:
        """Whether a packet of the flow was taken in before."""

    def count_tcp(self, key: bytes, side: int, sequence: int, other_sequence: int) -> bool:
        """Count a new flow by its SYN (from ``side``) and SYN-ACK; False when it is not new."""

    def count_udp(self, key: bytes) -> bool:
        """Count a new flow; False when it is not new."""

    def of_interest(self, protocol: int) -> frozenset[int]:
        """Ports whose flows are never passed over."""

    def looked_at_last(self) -> frozenset[int]:
        """Ports whose datagrams touch no session, so that they may come after everything else (`Deferred`)."""

    def wanted_last(self) -> tuple[Collection[bytes], Sequence[bytes]] | None:
        """Which of those matter: from or to these addresses, or look-ups with these words in them (lower case); None: all."""

    def lose(self) -> None:
        """Something was left out that Wireshark numbers: no stream numbers from now on."""


def available() -> bool:
    """Whether numpy is there; without it captures are read record by record, with the same result."""
    return _has_numpy() and not os.environ.get("ANALYZE_NO_INDEX")


@cache
def _has_numpy() -> bool:
    """Asked for every capture; the answer takes a look at every folder of the path."""
    return importlib.util.find_spec("numpy") is not None


def _table(values: Iterable[int]) -> Array:
    """Whether a 16-bit number is one of ``values``, as an array to look it up in."""
    import numpy as np

    table: Array = np.zeros(1 << 16, bool)
    table[list(values)] = True
    return table


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


class Fields:
    """The headers of one block's records as arrays, one entry a record."""

    def __init__(self, numbers: Numbers, layout: Layout, block: bytearray, at: Array, lengths: Array) -> None:
        import numpy as np

        self._np = np
        self.block = block
        self.bytes: Array = np.frombuffer(block, np.uint8)
        size = self.bytes.size
        #: Big-endian words and halves at any offset: overlapping views, so that a field is one look-up.
        self.word: Array = np.ndarray((size - 3,), ">u4", self.bytes.data, strides=(1,))
        self.half: Array = np.ndarray((size - 1,), ">u2", self.bytes.data, strides=(1,))
        self.ip: Array = at + layout.ip
        first = self.bytes[self.ip]
        if layout.kind is None:
            four, six = first == 0x45, (first >> 4) == 6
            self.odd: Array = ~(four | six)
        else:
            kind = self.half[at + layout.kind]
            tagged = (kind == _TAGS[0]) | (kind == _TAGS[1])
            kind = np.where(tagged, self.half[at + layout.kind + 4], kind)
            self.ip = self.ip + (tagged * 4)
            lengths = lengths - (tagged * 4)
            first = self.bytes[self.ip]
            four, six = (kind == _IPV4) & (first == 0x45), (kind == _IPV6) & ((first >> 4) == 6)
            is_ip = (kind == _IPV4) | (kind == _IPV6)
            self.odd = numbers.odd_kinds[kind] | (is_ip & ~(four | six))
        four &= lengths >= layout.ip + 40
        six &= lengths >= layout.ip + 60
        self.odd |= (lengths < layout.ip + 40) | (((first >> 4) == 6) & (lengths < layout.ip + 60) & ~four)
        self.four: Array = four
        count, captured = at.size, lengths + (self.ip - at - layout.ip)
        self.protocol: Array = np.zeros(count, np.uint8)
        self.transport: Array = np.zeros(count, np.int64)
        self.flow: Array = np.zeros(count, np.uint64)
        self._read(np.flatnonzero(four), 20, numbers)
        self._read(np.flatnonzero(six), 40, numbers)
        #: Records whose fields are those inside a tunnel, and the tunnel's own flows.
        self.inside, self.outer = self._opened(at + captured, numbers)

    def _opened(self, ends: Array, numbers: Numbers) -> tuple[Array, Array]:
        """Looks into GTP-U without further headers: fields of the TCP or UDP packet in it take the place of the tunnel's.

        Whatever else a tunnel holds the decoder looks into. ``ends``: of the captured bytes.
        """
        np = self._np
        rows = np.flatnonzero(self.four & (self.protocol == UDP) & ~self.odd)
        at = self.transport[rows]
        at, rows = (item[(self.half[at] == _GTP) | (self.half[at + 2] == _GTP)] for item in (at, rows))
        ip = at + 16
        room = np.minimum(ends[rows] - ip, self.half[at + 4].astype(np.int64) - 16)
        fits = room >= 40
        rows, at, ip, room = rows[fits], at[fits], ip[fits], room[fits]
        first = self.bytes[ip]
        four, six = first == 0x45, (first >> 4 == 6) & (room >= 60)
        number = self.bytes[ip + np.where(four, 9, 6)]
        fits = (self.half[at + 8] == _GTP_PLAIN) & ((number == TCP) | (number == UDP))
        fits &= (four & ((self.half[ip + 6] & 0x3FFF) == 0)) | six
        rows, four = rows[fits], four[fits]
        outer = self.flow[rows]
        self.ip[rows], self.four[rows] = ip[fits], four
        self._read(rows[four], 20, numbers)
        self._read(rows[~four], 40, numbers)
        return rows, outer

    def _read(self, chosen: Array, header: int, numbers: Numbers) -> None:
        """Protocol, transport header and flow of the IPv4 (``header`` 20) or IPv6 (40) records in ``chosen``."""
        if not chosen.size:
            return
        base = self.ip[chosen]
        number = self.bytes[base + (9 if header == 20 else 6)]
        plain = (number == TCP) | (number == UDP)
        if header == 20:
            whole = (self.half[base + 6] & 0x3FFF) == 0
            self.odd[chosen] |= ~whole | numbers.kept_protocols[number]
            plain &= whole
        else:
            self.odd[chosen] |= ~plain  # extension headers are not followed here
        picked, base, number = chosen[plain], base[plain], number[plain]
        self.protocol[picked] = number
        self.transport[picked] = base + header
        ports = self.word[base + header]
        if header == 20:
            source, target = self.word[base + 12], self.word[base + 16]
        else:
            source, target = numbers.address(self.word, base + 8), numbers.address(self.word, base + 24)
        self.flow[picked] = numbers.flow(source, target, ports, number)

    def key(self, item: int) -> tuple[bytes, int]:
        """The flow's key in the conversation table, and which of its sides (0, 1) sent this record."""
        block, ip, ports = self.block, int(self.ip[item]), int(self.transport[item])
        size, at = (4, ip + 12) if self.four[item] else (16, ip + 8)
        a = block[at : at + size] + block[ports : ports + 2]
        b = block[at + size : at + 2 * size] + block[ports + 2 : ports + 4]
        return (bytes(a + b), 0) if a <= b else (bytes(b + a), 1)

    def keys(self, items: Array) -> list[tuple[bytes, int]]:
        """`key` of each of ``items``."""
        np = self._np
        four = self.four[items]
        if not four.all():
            of_four = iter(self.keys(items[four]))
            rows = zip(items.tolist(), four.tolist(), strict=True)
            return [next(of_four) if plain else self.key(item) for item, plain in rows]
        ip, ports = self.ip[items], self.word[self.transport[items]].astype(np.uint64)
        source = self.word[ip + 12].astype(np.uint64) << np.uint64(16) | ports >> np.uint64(16)
        target = self.word[ip + 16].astype(np.uint64) << np.uint64(16) | ports & np.uint64(0xFFFF)
        both = np.stack((np.minimum(source, target), np.maximum(source, target)), axis=1).astype(">u8")
        packed = both.view(np.uint8).reshape(-1, 2, 8)[:, :, 2:].tobytes()
        sides = (source > target).tolist()
        return [(packed[12 * row : 12 * row + 12], int(side)) for row, side in enumerate(sides)]


class Numbers:
    """Salted 64-bit numbers for addresses and flows. Nobody knows the salt, so flows cannot be made to collide."""

    def __init__(self) -> None:
        import numpy as np

        salt = os.urandom(24)
        self._np = np
        self._one, self._two, self._three = (
            np.uint64(int.from_bytes(salt[at : at + 8], "little") | 1) for at in (0, 8, 16)
        )

        #: Look-up tables of what the headers say.
        self.odd_kinds = _table(_MAY_HOLD_IP)
        self.kept_protocols = _table(_KEPT_PROTOCOLS)
        self.dtls_types, self.dtls_versions = _table(_DTLS_TYPES), _table(_DTLS_VERSIONS)

    def address(self, word: Array, at: Array) -> Array:
        """A number for each IPv6 address."""
        np = self._np
        high = word[at].astype(np.uint64) << np.uint64(32) | word[at + 4]
        low = word[at + 8].astype(np.uint64) << np.uint64(32) | word[at + 12]
        return self._mixed(high * self._three ^ low)

    def flow(self, source: Array, target: Array, ports: Array, protocol: Array) -> Array:
        """A number for each flow, the same in both directions."""
        np = self._np
        wide = ports.astype(np.uint64)
        one = self._mixed(source.astype(np.uint64) * self._one + (wide >> np.uint64(16)))
        other = self._mixed(target.astype(np.uint64) * self._one + (wide & np.uint64(0xFFFF)))
        low, high = np.minimum(one, other), np.maximum(one, other)
        found: Array = self._mixed(low * self._two ^ high) ^ protocol.astype(np.uint64)
        return found

    def _mixed(self, value: Array) -> Array:
        """The finaliser of MurmurHash3: every input bit reaches every output bit."""
        np = self._np
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ value >> np.uint64(33)) * self._three
        mixed: Array = value ^ value >> np.uint64(33)
        return mixed


class Settled:
    """The numbers of flows that are settled.

    A table in which a number has one place: one that comes later takes it over, and the flow that was there is asked
    about again. So a look-up is one step for any number of flows.
    """

    #: Places at first and at most; a place is eight bytes.
    _FEWEST, _MOST = 1 << 16, 1 << 21

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._places: Array = np.zeros(self._FEWEST, np.uint64)
        self._count = 0

    def add(self, numbers: Array) -> None:
        """Remembers ``numbers``."""
        np = self._np
        self._count += numbers.size
        if 8 * self._count > self._places.size < self._MOST:
            old = self._places[self._places != 0]
            self._places = np.zeros(min(8 * self._places.size, self._MOST), np.uint64)
            self._places[self._place(old)] = old
        self._places[self._place(numbers)] = numbers

    def has(self, numbers: Array) -> Array:
        """Which of ``numbers`` are remembered."""
        found: Array = self._places[self._place(numbers)] == numbers
        return found

    def _place(self, numbers: Array) -> Array:
        place: Array = (numbers & self._np.uint64(self._places.size - 1)).astype(self._np.int64)
        return place


class Screen:
    """Decides block by block; remembers the flows that are settled."""

    def __init__(self, layout: Layout, flows: Flows) -> None:
        import numpy as np

        self._np = np
        self._layout = layout
        self._flows = flows
        self._numbers = Numbers()
        self._settled = Settled()
        #: Tunnels of which a packet was let through: their flows are numbered by that.
        self._tunnels = Settled()
        #: Whether a flow was counted without its packets being decoded.
        self.counted = False
        #: What of the last block is to be looked at last, when all of `wanted` is through.
        self.aside: Aside | None = None
        last = flows.looked_at_last()
        #: Whether a port is of interest, by protocol; whether its datagrams are looked at last.
        self._ports = {TCP: _table(flows.of_interest(TCP)), UDP: _table(flows.of_interest(UDP) - last)}
        self._last, self._dns = _table(last), _table((53,))
        self._begin = _table(FIRST_BYTES)

    def wanted(self, block: bytearray, starts: Array, lengths: Array) -> Iterator[int]:
        """Indices of the records to decode, ascending. ``starts``: offsets of the captured bytes, ``lengths`` of them.

        ``block`` goes on for 64 bytes behind the last record.

        Between two of them the caller has the packet taken in by the conversation table.
        """
        self.aside = None
        if not starts.size:
            return
        np = self._np
        fields = Fields(self._numbers, self._layout, block, starts, lengths)
        first = self._first_of_tunnels(fields)
        tcp, udp = fields.protocol == TCP, fields.protocol == UDP
        syn, dtls = np.zeros(tcp.size, bool), np.zeros(tcp.size, bool)
        syn[tcp] = (fields.bytes[fields.transport[tcp] + 13] & _SYN) != 0
        body = fields.transport[udp] + 8
        dtls[udp] = self._numbers.dtls_types[fields.bytes[body]] & self._numbers.dtls_versions[fields.half[body + 1]]
        known = self._settled.has(fields.flow) & (tcp | udp)
        fresh = (tcp | udp) & ~known
        certain = fields.odd | syn | dtls
        dull = self._dull_tcp(fields, tcp & fresh)
        dull.update(self._dull_udp(fields, udp & fresh, dtls))
        for item in first:
            dull.pop(item, None)
        keep = certain | fresh
        if dull:
            self.counted = True
            rows = np.fromiter(dull, np.int64, len(dull))
            self._settled.add(fields.flow[rows])
            passed = self._settled.has(fields.flow) & fresh  # what was settled before is not fresh
            passed[rows] = False
            keep &= ~passed | fields.odd
        aside = self._set_aside(fields, udp, dtls)
        if aside.any():
            counted = np.zeros(aside.size, bool)
            counted[list(dull)] = True
            keep &= ~aside | counted
        yield from self._ask(fields, np.flatnonzero(keep), certain, dull, aside)
        rows = np.flatnonzero(aside)
        if rows.size:
            source, target = fields.half[fields.transport[rows]], fields.half[fields.transport[rows] + 2]
            clients = np.stack((self._last[target], self._last[source]), axis=1)
            lookup = self._dns[source] | self._dns[target]
            self.aside = Aside(rows, fields.ip[rows], fields.four[rows], clients, lookup)

    def _first_of_tunnels(self, fields: Fields) -> list[int]:
        """The records that show a tunnel first; they are decoded, whatever is inside."""
        np = self._np
        numbers, first = np.unique(fields.outer, return_index=True)
        new = ~self._tunnels.has(numbers)
        self._tunnels.add(numbers[new])
        rows: list[int] = fields.inside[first[new]].tolist()
        fields.odd[rows] = True
        return rows

    def _set_aside(self, fields: Fields, udp: Array, dtls: Array) -> Array:
        """Which records are looked at last: none of a flow that has a datagram here which begins like DTLS."""
        np = self._np
        last: Array = np.zeros(udp.size, bool)
        rows = np.flatnonzero(udp & ~fields.odd)
        ports = fields.transport[rows]
        one, other = fields.half[ports], fields.half[ports + 2]
        last[rows] = (self._last[one] | self._last[other]) & ~(self._ports[UDP][one] | self._ports[UDP][other])
        if (last & dtls).any():
            last &= ~np.isin(fields.flow, fields.flow[last & dtls])
        return last

    def _dull_tcp(self, fields: Fields, fresh: Array) -> dict[int, _Dull]:
        """New flows that begin in this block and whose client speaks before it can have a nonce, by their SYN."""
        np = self._np
        chosen = np.flatnonzero(fresh)
        transport = fields.transport[chosen]
        flags = fields.bytes[transport + 13]
        four = fields.four[chosen]
        length = fields.half[fields.ip[chosen] + np.where(four, 2, 4)].astype(np.int64) - np.where(four, 20, 0)
        carries = length > (fields.bytes[transport + 12] >> 4).astype(np.int64) << 2
        opens, answers = (flags & (_SYN | _ACK)) == _SYN, (flags & (_SYN | _ACK)) == (_SYN | _ACK)
        quiet = self._quiet(fields, chosen, TCP)
        if not chosen.size:
            return {}
        # One sort brings each flow's records together, in order; then a look at each group.
        flow = fields.flow[chosen]
        order = np.argsort(flow, kind="stable")
        flow = flow[order]
        begins = np.flatnonzero(np.concatenate(([True], flow[1:] != flow[:-1])))
        place, beyond = np.arange(chosen.size), chosen.size

        def first(which: Array) -> Array:
            found: Array = np.minimum.reduceat(np.where(which, place, beyond)[order], begins)
            return found

        def count(which: Array) -> Array:
            found: Array = np.add.reduceat(which[order].astype(np.int64), begins)
            return found

        opening, reply, speech = order[begins], first(answers), first(carries)
        fitting = (opens & quiet)[opening] & (count(opens & quiet) == 1) & (count(answers) == 1)
        fitting &= (opening < reply) & (reply < speech) & (speech < beyond)
        opening, reply, speech = opening[fitting], reply[fitting], speech[fitting]
        if not opening.size:
            return {}
        ports = fields.word[transport]
        received = fields.word[transport[speech] + 8] - (fields.word[transport[reply] + 4] + np.uint32(1))
        sound = (
            (ports[opening] == ports[speech])
            & (ports[opening] != ports[reply])
            & ((fields.bytes[transport[speech] + 13] & (_SYN | _ACK)) == _ACK)
            & (received < _NONCE)
        )
        sequences = fields.word[transport + 4]
        found = zip(
            chosen[opening[sound]].tolist(),
            sequences[opening[sound]].tolist(),
            sequences[reply[sound]].tolist(),
            strict=True,
        )
        dull: dict[int, _Dull] = {}
        keys = fields.keys(chosen[opening[sound]])
        for (item, sequence, other), (key, side) in zip(found, keys, strict=True):
            if not self._flows.knows(TCP, key):
                dull[item] = key, side, sequence, other
        return dull

    def _dull_udp(self, fields: Fields, fresh: Array, dtls: Array) -> dict[int, _Dull]:
        """New flows between ports that mean nothing to us, none of whose datagrams in this block looks like DTLS."""
        np = self._np
        chosen = np.flatnonzero(fresh)
        chosen = chosen[self._quiet(fields, chosen, UDP)]
        numbers, first = np.unique(fields.flow[chosen], return_index=True)
        first = first[~np.isin(numbers, fields.flow[np.flatnonzero(fresh & dtls)])]
        # What may be the beginning of an encrypted tunnel the table looks at itself.
        ports = fields.transport[chosen[first]]
        last = self._last[fields.half[ports]] | self._last[fields.half[ports + 2]]
        first = first[last | ~self._begin[fields.bytes[ports + 8]]]
        dull: dict[int, _Dull] = {}
        for item, (key, side) in zip(chosen[first].tolist(), fields.keys(chosen[first]), strict=True):
            if not self._flows.knows(UDP, key):
                dull[item] = key, side, 0, 0
        return dull

    def _quiet(self, fields: Fields, chosen: Array, protocol: int) -> Array:
        interesting, transport = self._ports[protocol], fields.transport[chosen]
        quiet: Array = ~(interesting[fields.half[transport]] | interesting[fields.half[transport + 2]])
        return quiet

    def _ask(self, fields: Fields, kept: Array, certain: Array, dull: dict[int, _Dull], aside: Array) -> Iterator[int]:
        """The records in ``kept``, without those of flows that are found settled on the way.

        A flow whose kind its first packets tell is asked about after them and then ever so often; one dictionary
        look-up is all that a later packet of it costs.
        """
        flows = self._flows
        left: dict[int, int] = {}
        settled: list[int] = []
        rows = zip(
            kept.tolist(),
            fields.flow[kept].tolist(),
            certain[kept].tolist(),
            fields.protocol[kept].tolist(),
            strict=True,
        )
        for item, number, sure, protocol in rows:
            counted = dull.get(item)
            if counted is not None:
                key, side, sequence, other = counted
                if not (flows.count_tcp(key, side, sequence, other) if protocol == TCP else flows.count_udp(key)):
                    aside[item] = False
                    yield item
                continue
            if sure:
                yield item
                continue
            due = left.get(number, 0) or _FIRST_ASKED[protocol]
            if due < 0:
                continue
            yield item
            if due > 1:
                left[number] = due - 1
            elif flows.settled(protocol, fields.key(item)[0]):
                left[number] = -1
                settled.append(number)
            else:
                left[number] = _ASKED_AGAIN
        self._settled.add(self._np.array(settled, self._np.uint64))
