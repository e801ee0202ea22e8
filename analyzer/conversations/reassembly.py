"""The segments of one TCP connection into its two byte streams, in the order in which the ends could read them.

How it works, for a list of segments in time order:
1. *Place*: sequence numbers become offsets from the first byte (unwrapped, so 2^32 is no border), and it is settled which
   ranges the capture holds at all. So a hole can be told from data that is merely late.
2. *Play*: the segments again, one by one. A direction is delivered as far as it is contiguous. Where it stops at a range
   that is in no frame, and later data or the other side's acknowledgement shows that it was sent, it goes on behind a gap.
   Data that was first for a byte wins, as in most stacks; segments whose checksum is wrong count only where there is
   nothing better, as a receiver drops them.
Nothing depends on who is the device: sides are 0 and 1 here (`roles` decides later, by what was delivered).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from analyzer.conversations.checksum import wrong
from analyzer.conversations.intervals import Intervals
from analyzer.packet import ACK, FIN, RST, SYN, Packet
from dissectors.events import How

_MASK = 0xFFFFFFFF
#: A segment or acknowledgement further off than this is of another connection, or forged.
_STRAY = 1 << 26
#: Acknowledged but uncaptured bytes behind the last captured one are believed up to here.
_BELIEVED = 1 << 20
#: New data below what was sent already: reordered when it follows this soon, otherwise sent again.
_REORDERED_NS = 200_000_000


class Part(NamedTuple):
    """A piece before roles are known: data, a gap (``data`` None) or a close (``how``)."""

    side: int
    offset: int
    data: bytes | None
    length: int
    cut: bool
    how: How | None
    frame: int
    time_ns: int


class Side:
    """One direction while it is put together, and what was learnt of it."""

    def __init__(self) -> None:
        self.packets = 0
        #: Unwrapping: a sequence number and its unwrapped value.
        self._reference: int | None = None
        self._unwrapped = 0
        #: Unwrapped value of the first byte.
        self.origin = 0
        #: Ranges captured anywhere, and sent as far as the captured packets' lengths tell.
        self.captured = Intervals()
        self.sent = Intervals()
        self.fin: int | None = None
        #: Acknowledged by the other side; claimed to be sent, by acknowledgements or this side's own later sequence
        #: numbers (the highest and the one below it); how much of that is believed.
        self.acked = 0
        self._claimed = 0
        self._claimed_before = 0
        self.believed = 0
        #: While playing: delivered up to; known to have been sent up to; waiting pieces.
        self.next = 0
        self.high = 0
        self.waiting: list[tuple[int, int, bytes, int]] = []
        self.arrived = Intervals()
        self.seen = Intervals()
        self.top = 0
        self.top_ns = 0
        self.fin_frame: int | None = None
        self.closed = False
        self.reset = False
        self.again: list[tuple[int, bytes, int]] = []
        self.last_payload_ns: int | None = None
        self.last_again = 0
        self.ttls: set[int] = set()

    @property
    def end(self) -> int:
        """The end of what was sent, as far as captured packets tell."""
        return self.sent.ends[-1] if self.sent.ends else 0

    def refer(self, sequence: int) -> None:
        self._reference = sequence
        self._unwrapped = 0

    def unwrap(self, sequence: int, follow: bool = True) -> int | None:
        """The unwrapped value; None for one that is far from all before it. ``follow``: later ones may be further on."""
        if self._reference is None:
            self._reference = sequence
        distance = ((sequence - self._reference + 0x80000000) & _MASK) - 0x80000000
        if abs(distance) > _STRAY:
            return None
        value = self._unwrapped + distance
        if distance > 0 and follow:
            self._reference, self._unwrapped = sequence, value
        return value

    def claim(self, offset: int) -> None:
        """Something says that everything below ``offset`` was sent."""
        if offset > self._claimed:
            self._claimed_before, self._claimed = self._claimed, offset

    def settle(self) -> None:
        """How far claims show data that was not captured. A FIN takes a sequence number, but is no byte."""
        beyond = self._claimed - self.end
        if self.fin is not None:
            self.believed = min(self._claimed, self.fin)
        elif beyond > 0 and (beyond == 1 or self._claimed - self._claimed_before == 1):
            self.believed = self._claimed - 1
        elif beyond > _BELIEVED:
            self.believed = self.end
        else:
            self.believed = self._claimed


class Assembly:
    """A reassembled connection; ``sides`` are those of the two ends. See the module's *How it works*."""

    def __init__(self, segments: Sequence[Packet], first_end: tuple[bytes, int]) -> None:
        self.segments = segments
        self.sides = (Side(), Side())
        self.parts: list[Part] = []
        self.syns: list[tuple[int, Packet]] = []
        self.syn_acks: list[tuple[int, Packet]] = []
        self.established: Packet | None = None
        self.resets: list[tuple[int, Packet]] = []
        self.fins: list[tuple[int, int]] = []
        self.retransmissions: list[tuple[int, int]] = []
        self.keepalives: list[tuple[int, int, int]] = []
        self.zero_windows: list[tuple[int, int]] = []
        self.out_of_order: list[tuple[int, int]] = []
        self.conflicts: list[int] = []
        self.checksum_bad: list[int] = []
        self.notes: dict[str, None] = {}
        self._which = [0 if (p.source, p.source_port) == first_end else 1 for p in segments]
        #: Per segment: start, captured end and wire end of its data; its acknowledgement. None: has none.
        self._spans: list[tuple[int, int, int] | None] = []
        self._acks: list[int | None] = []
        self._offsets: list[int | None] = []
        self._unused: set[int] = set()
        self._place()
        self._play()
        self._flush()
        self._compare()

    @property
    def mid_stream(self) -> bool:
        """No SYN is in the capture."""
        return not self.syns and not self.syn_acks

    @property
    def opener(self) -> int | None:
        """The side that sent the SYN, also when only its answer is in the capture."""
        if self.syns:
            return self.syns[0][0]
        return 1 - self.syn_acks[0][0] if self.syn_acks else None

    @property
    def one_direction_only(self) -> bool:
        """One side's packets are missing although the other side acknowledges them."""
        if all(side.packets for side in self.sides):
            return False
        return any(packet.flags & (ACK | RST) == ACK for packet in self.segments)

    # -- place ------------------------------------------------------------------------------------

    def _place(self) -> None:
        sequences, acknowledgements = self._unwrap()
        self._find_origins(sequences, acknowledgements)
        suspects: list[tuple[int, Side]] = []
        for index, packet in enumerate(self.segments):
            me, other = self.sides[self._which[index]], self.sides[1 - self._which[index]]
            value, ack = sequences[index], acknowledgements[index]
            offset = None if ack is None else ack - other.origin
            self._acks.append(offset)
            if offset is not None:
                other.acked = max(other.acked, offset)
                other.claim(offset)
            self._offsets.append(None if value is None else value - me.origin)
            if value is None:
                self._spans.append(None)
                continue
            me.claim(value - me.origin)
            start = value - me.origin + (1 if packet.flags & SYN else 0)
            end = start + packet.length
            span = (start, start + len(packet.payload), end) if packet.length else None
            self._spans.append(span)
            if wrong(packet):
                self.checksum_bad.append(packet.number)
                if span:
                    suspects.append((index, me))
                continue
            if packet.flags & FIN and me.fin is None and end >= 0:
                me.fin = end
            if span:
                me.captured.add(max(start, 0), span[1])
                me.sent.add(max(start, 0), end)
        for index, me in suspects:
            span = self._spans[index]
            if span is None:
                continue
            if me.captured.covers(max(span[0], 0), span[1]):
                self._unused.add(index)
            else:
                me.sent.add(max(span[0], 0), span[2])
        for index, me in suspects:
            span = self._spans[index]
            if span is not None and index not in self._unused:
                me.captured.add(max(span[0], 0), span[1])
        for side in self.sides:
            side.settle()

    def _unwrap(self) -> tuple[list[int | None], list[int | None]]:
        """Unwrapped sequence and acknowledgement numbers; None where there is none or it is a stray."""
        references = self._references()
        for side, reference in zip(self.sides, references, strict=True):
            if reference is not None:
                side.refer(reference)
        sequences: list[int | None] = []
        acknowledgements: list[int | None] = []
        strays = 0
        for which, packet in zip(self._which, self.segments, strict=True):
            me, other = self.sides[which], self.sides[1 - which]
            me.packets += 1
            if packet.flags & RST:
                sequences.append(None)
                acknowledgements.append(None)
                continue
            value = me.unwrap(packet.sequence)
            strays += value is None
            sequences.append(value)
            acknowledgements.append(other.unwrap(packet.acknowledgement, False) if packet.flags & ACK else None)
        if strays:
            self.notes["segments of another connection between the same ports were left out"] = None
        return sequences, acknowledgements

    def _references(self) -> list[int | None]:
        """Where unwrapping starts: the SYN's number, otherwise one that half of the side's segments are near to."""
        found: list[int | None] = [None, None]
        samples: list[list[int]] = [[], []]
        for which, packet in zip(self._which, self.segments, strict=True):
            if packet.flags & RST:
                continue
            if packet.flags & SYN:
                if found[which] is None:
                    found[which] = packet.sequence
            elif len(samples[which]) < 8:
                samples[which].append(packet.sequence)
        for which in (0, 1):
            if found[which] is None:
                near = [
                    sum(abs(((b - a + 0x80000000) & _MASK) - 0x80000000) <= _STRAY for b in samples[which])
                    for a in samples[which]
                ]
                if near:
                    found[which] = samples[which][near.index(max(near))]
        return found

    def _find_origins(self, sequences: list[int | None], acknowledgements: list[int | None]) -> None:
        """Offset 0 of both sides: behind the SYN, or where a SYN-ACK says, or the first byte seen."""
        exact: list[int | None] = [None, None]
        told: list[int | None] = [None, None]  # by the first acknowledgement from the other side
        data: list[int | None] = [None, None]
        first: list[int | None] = [None, None]
        heard: list[int | None] = [None, None]  # the highest acknowledgement so far, to know keep-alives by
        syn = [False, False]
        for index, packet in enumerate(self.segments):
            which, value, ack = self._which[index], sequences[index], acknowledgements[index]
            if ack is not None:
                if told[1 - which] is None:
                    told[1 - which] = ack
                heard[1 - which] = max(ack, heard[1 - which] or ack)
                if packet.flags & SYN and exact[1 - which] is None:
                    exact[1 - which] = ack
            if value is None:
                continue
            if packet.flags & SYN:
                if not syn[which]:
                    exact[which], syn[which] = value + 1, True
                continue
            first[which] = value if first[which] is None else first[which]
            probe = packet.length <= 1 and heard[which] is not None and value < (heard[which] or 0)
            if packet.length and not probe:
                lowest = data[which]
                data[which] = value if lowest is None else min(value, lowest)
        for which in (0, 1):
            candidates = [data[which], told[which]] if syn[1 - which] else [data[which]]
            known = [value for value in candidates if value is not None]
            if exact[which] is not None:
                origin = exact[which]
            elif known:
                origin = min(known)
            else:
                origin = told[which] if told[which] is not None else first[which]
            self.sides[which].origin = origin or 0

    # -- play -------------------------------------------------------------------------------------

    def _play(self) -> None:
        for index, packet in enumerate(self.segments):
            which = self._which[index]
            me = self.sides[which]
            me.ttls.add(packet.ttl)
            if packet.flags & RST:
                self.resets.append((which, packet))
                if not me.reset:
                    me.reset = True
                    self.parts.append(Part(which, me.next, None, 0, False, How.RST, packet.number, packet.time_ns))
                continue
            if packet.flags & SYN:
                self._on_syn(which, packet)
            elif self.established is None and packet.flags & ACK and which == self.opener:
                self.established = packet
            if packet.window == 0 and not packet.flags & SYN:
                self.zero_windows.append((packet.number, which))
            ack = self._acks[index]
            if ack is not None:
                self._sent_up_to(1 - which, min(ack, self.sides[1 - which].believed), packet)
            span = self._spans[index]
            if span is not None and index not in self._unused:
                self._on_data(which, packet, *span)
            elif span is None:
                self._on_empty(which, index, packet)
            if packet.flags & FIN and me.fin is not None:
                self.fins.append((packet.number, which))
                if me.fin_frame is None:
                    me.fin_frame = packet.number
                else:
                    self.retransmissions.append((packet.number, which))
                self._sent_up_to(which, me.fin, packet)

    def _on_syn(self, which: int, packet: Packet) -> None:
        known = self.syn_acks if packet.flags & ACK else self.syns
        if known:
            self.retransmissions.append((packet.number, which))
        known.append((which, packet))

    def _on_empty(self, which: int, index: int, packet: Packet) -> None:
        """No data, but a sequence number: it shows what was sent before; one below that is a keep-alive."""
        me, offset = self.sides[which], self._offsets[index]
        if offset is None or packet.flags & (SYN | FIN):
            return
        if me.top < offset <= me.believed:
            me.top, me.top_ns = offset, packet.time_ns
            self._sent_up_to(which, offset, packet)
        elif offset == me.top - 1 and packet.flags & ACK and me.fin_frame is None and (me.top or not self.mid_stream):
            self.keepalives.append((packet.number, packet.time_ns, which))

    def _on_data(self, which: int, packet: Packet, start: int, there: int, end: int) -> None:
        me = self.sides[which]
        limit = me.fin if me.fin_frame is not None else None
        if limit is not None and end > limit:
            self.notes["data behind a FIN was left out"] = None
            there, end = min(there, limit), min(end, limit)
        payload, skipped = packet.payload, max(0, -start)
        if skipped:
            payload, start = payload[skipped:], 0
        if end - max(start, 0) <= 0:
            if packet.length == 1 and end == me.top:
                self.keepalives.append((packet.number, packet.time_ns, which))
            return
        if not self._classify(which, packet, start, end):
            return
        new = me.arrived.add(start, there)
        for low, high in new:
            heappush(me.waiting, (low, packet.number, payload[low - start : high - start], packet.number))
        if new != [(start, there)] and there > start:
            me.again.append((start, payload[: there - start], packet.number))
        self._sent_up_to(which, end, packet)

    def _classify(self, which: int, packet: Packet, start: int, end: int) -> bool:
        """New, sent again or reordered; False for a keep-alive, whose byte is none of the stream's."""
        me = self.sides[which]
        fresh = me.seen.add(start, end)
        if not fresh and packet.length == 1 and end == me.top:
            self.keepalives.append((packet.number, packet.time_ns, which))
            return False
        me.last_payload_ns = packet.time_ns
        if fresh == [(start, end)] and start >= me.top:
            pass
        elif fresh == [(start, end)] and packet.time_ns - me.top_ns <= _REORDERED_NS:
            self.out_of_order.append((packet.number, which))
        else:
            self.retransmissions.append((packet.number, which))
            me.last_again = max(me.last_again, end)
        if end > me.top:
            me.top, me.top_ns = end, packet.time_ns
        return True

    def _sent_up_to(self, which: int, offset: int, packet: Packet) -> None:
        """``packet`` shows that the side has sent everything below ``offset``: delivers what that makes readable."""
        me = self.sides[which]
        me.high = max(me.high, offset)
        while True:
            if me.waiting and me.waiting[0][0] <= me.next:
                start, _, data, frame = heappop(me.waiting)
                self.parts.append(Part(which, start, data, len(data), False, None, frame, packet.time_ns))
                me.next = start + len(data)
            elif me.next < me.high and not me.captured.covers(me.next, me.next + 1):
                self._gap(which, packet)
            else:
                break
        if me.fin_frame is not None and me.fin is not None and me.next >= me.fin and not me.closed:
            me.closed = True
            self.parts.append(Part(which, me.next, None, 0, False, How.FIN, me.fin_frame, packet.time_ns))

    def _flush(self) -> None:
        """What still waits can only wait for data that was left out (behind a FIN, say): it goes on behind a gap."""
        for which, me in enumerate(self.sides):
            while me.waiting:
                start, _, data, frame = heappop(me.waiting)
                time_ns = self.segments[-1].time_ns
                if start > me.next:
                    self.parts.append(Part(which, me.next, None, start - me.next, False, None, frame, time_ns))
                self.parts.append(Part(which, start, data, len(data), False, None, frame, time_ns))
                me.next = start + len(data)

    def _gap(self, which: int, packet: Packet) -> None:
        """Goes over the range at ``next`` that is in no frame, as one gap per reason."""
        me = self.sides[which]
        behind = me.captured.next_start(me.next)
        stop = me.high if behind is None else min(me.high, behind)
        cut_until = me.sent.end_of(me.next)
        cut = cut_until > me.next
        if cut:
            stop = min(stop, cut_until)
        else:
            sent = me.sent.next_start(me.next)
            stop = stop if sent is None else min(stop, sent)
        last = self.parts[-1] if self.parts else None
        if last and last.data is None and last.how is None and last.side == which and last.cut == cut:
            self.parts[-1] = last._replace(length=stop - last.offset, frame=packet.number, time_ns=packet.time_ns)
        else:
            length = stop - me.next
            self.parts.append(Part(which, me.next, None, length, cut, None, packet.number, packet.time_ns))
        me.next = stop

    # -- compare ----------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Segments that overlap others must agree with what was delivered; those that do not are named."""
        for which, side in enumerate(self.sides):
            if not side.again:
                continue
            runs = _runs([part for part in self.parts if part.side == which and part.data])
            at = 0
            for start, payload, frame in sorted(side.again):
                while at + 1 < len(runs) and runs[at][0] + len(runs[at][1]) <= start:
                    at += 1
                if _differs(runs, at, start, payload):
                    self.conflicts.append(frame)
        self.conflicts.sort()


def _runs(parts: Sequence[Part]) -> list[tuple[int, bytes]]:
    """Delivered data with its offset, neighbours joined, so that one comparison spans many segments."""
    runs: list[tuple[int, bytes]] = []
    first = 0
    for index, part in enumerate(parts):
        if index + 1 == len(parts) or parts[index + 1].offset != part.offset + part.length:
            runs.append((parts[first].offset, b"".join(part.data or b"" for part in parts[first : index + 1])))
            first = index + 1
    return runs


def _differs(runs: list[tuple[int, bytes]], at: int, start: int, payload: bytes) -> bool:
    """Some byte of ``payload`` at ``start`` is not the delivered one; ``at`` is a run at or before it."""
    end = start + len(payload)
    while at < len(runs) and runs[at][0] < end:
        offset, data = runs[at]
        at += 1
        low, high = max(offset, start), min(offset + len(data), end)
        if low < high and data[low - offset : high - offset] != payload[low - start : high - start]:
            return True
    return False
