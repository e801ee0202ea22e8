"""The segments of one TCP connection into its two byte streams, in the order in which the ends could read them.

How it works: `placement` has said where each segment belongs and which ranges the capture holds, so a hole can be told
from data that is merely late. Here the segments are played again, one by one, in time order. A direction is delivered as
far as it is contiguous. Where it stops at a range that is in no frame, and later data, a sequence number or the other
side's acknowledgement shows that it was sent, it goes on behind a gap. Data that was first for a byte wins, as in most
stacks. Nothing depends on who is the device: sides are 0 and 1 (`roles` decides later, by what was delivered).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from analyzer.conversations.intervals import Intervals
from analyzer.conversations.placement import Placement, Sent, Span
from analyzer.packet import ACK, FIN, RST, SYN, Packet
from dissectors.events import How

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


class Delivery:
    """One direction while it is played."""

    def __init__(self, sent: Sent) -> None:
        self.sent = sent
        #: Delivered up to; known to have been sent up to; pieces that wait, by offset.
        self.next = 0
        self.high = 0
        self.waiting: list[tuple[int, int, bytes]] = []
        #: Ranges that came so far: captured bytes, and with what was cut off.
        self.arrived = Intervals()
        self.seen = Intervals()
        #: The highest offset sent so far and since when; where data sent again ends.
        self.top = 0
        self.top_ns = 0
        self.last_again = 0
        self.fin_frame: int | None = None
        self.closed = False
        self.reset = False
        #: Data that overlaps other data, to be compared: offset, payload, frame.
        self.again: list[tuple[int, bytes, int]] = []
        self.last_payload_ns: int | None = None
        self.ttls: set[int] = set()


class Assembly:
    """A reassembled connection; ``sides`` are those of the two ends, ``first_end`` is side 0."""

    def __init__(self, segments: Sequence[Packet], first_end: tuple[bytes, int]) -> None:
        self.segments = segments
        self._which = [0 if (p.source, p.source_port) == first_end else 1 for p in segments]
        self._placed = placed = Placement(segments, self._which)
        self.sides = (Delivery(placed.sides[0]), Delivery(placed.sides[1]))
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
        self.checksum_bad = placed.checksum_bad
        self.checksums = placed.checksums
        #: What was left out, each said once.
        self.notes: dict[str, None] = {}
        if placed.strays:
            self.notes["segments of another connection between the same ports were left out"] = None
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
        if all(side.sent.packets for side in self.sides):
            return False
        return any(packet.flags & (ACK | RST) == ACK for packet in self.segments)

    def _play(self) -> None:
        for index, packet in enumerate(self.segments):
            which = self._which[index]
            me = self.sides[which]
            if index in self._placed.refused and (not packet.payload or index in self._placed.unused):
                continue
            me.ttls.add(packet.ttl)
            if packet.flags & RST and self._of_another(which, packet):
                self.notes["a reset of an older connection between the same ports was left out"] = None
                continue
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
            ack = self._placed.acks[index]
            if ack is not None:
                self._sent_up_to(1 - which, min(ack, self.sides[1 - which].sent.believed), packet)
            span = self._placed.spans[index]
            if span is not None and index not in self._placed.unused:
                self._on_data(which, packet, span)
            elif span is None:
                self._on_empty(which, index, packet)
            if packet.flags & FIN and me.sent.fin is not None:
                self.fins.append((packet.number, which))
                if me.fin_frame is None:
                    me.fin_frame = packet.number
                else:
                    self.retransmissions.append((packet.number, which))
                self._sent_up_to(which, me.sent.fin, packet)

    def _of_another(self, which: int, packet: Packet) -> bool:
        """A RST between SYN and SYN-ACK, by the one who opens and not of this connection.

        So a port that is still in TIME-WAIT is freed (RFC 9293 3.10.7.3 and 3.10.7.4): SYN, an acknowledgement of the old
        connection, a RST of its number, SYN again.
        """
        if self.syn_acks or not self.syns or self.syns[0][0] != which or packet.flags & ACK:
            return False
        return (packet.sequence - self.syns[0][1].sequence) & 0xFFFFFFFF > 1

    def _on_syn(self, which: int, packet: Packet) -> None:
        known = self.syn_acks if packet.flags & ACK else self.syns
        if known:
            self.retransmissions.append((packet.number, which))
        known.append((which, packet))

    def _on_empty(self, which: int, index: int, packet: Packet) -> None:
        """No data, but a sequence number: it shows what was sent before; one below that is a keep-alive."""
        me, offset = self.sides[which], self._placed.offsets[index]
        if offset is None or packet.flags & (SYN | FIN):
            return
        if me.top < offset <= me.sent.believed:
            me.top, me.top_ns = offset, packet.time_ns
            self._sent_up_to(which, offset, packet)
        elif offset == me.top - 1 and packet.flags & ACK and me.fin_frame is None and (me.top or not self.mid_stream):
            self.keepalives.append((packet.number, packet.time_ns, which))

    def _on_data(self, which: int, packet: Packet, span: Span) -> None:
        me, (start, there, end) = self.sides[which], span
        limit = me.sent.fin if me.fin_frame is not None else None
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
            heappush(me.waiting, (low, packet.number, payload[low - start : high - start]))
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
                start, frame, data = heappop(me.waiting)
                self.parts.append(Part(which, start, data, len(data), False, None, frame, packet.time_ns))
                me.next = start + len(data)
            elif me.next < me.high and not me.sent.captured.covers(me.next, me.next + 1):
                self._gap(which, packet)
            else:
                break
        if me.fin_frame is not None and me.sent.fin is not None and me.next >= me.sent.fin and not me.closed:
            me.closed = True
            self.parts.append(Part(which, me.next, None, 0, False, How.FIN, me.fin_frame, packet.time_ns))

    def _flush(self) -> None:
        """What still waits can only wait for data that was left out (behind a FIN, say): it goes on behind a gap."""
        for which, me in enumerate(self.sides):
            while me.waiting:
                start, frame, data = heappop(me.waiting)
                time_ns = self.segments[-1].time_ns
                if start > me.next:
                    self.parts.append(Part(which, me.next, None, start - me.next, False, None, frame, time_ns))
                self.parts.append(Part(which, start, data, len(data), False, None, frame, time_ns))
                me.next = start + len(data)

    def _gap(self, which: int, packet: Packet) -> None:
        """Goes over the range at ``next`` that is in no frame, as one gap per reason."""
        me = self.sides[which]
        behind = me.sent.captured.next_start(me.next)
        stop = me.high if behind is None else min(me.high, behind)
        cut_until = me.sent.ranges.end_of(me.next)
        cut = cut_until > me.next
        if cut:
            stop = min(stop, cut_until)
        else:
            sent = me.sent.ranges.next_start(me.next)
            stop = stop if sent is None else min(stop, sent)
        last = self.parts[-1] if self.parts else None
        if last and last.data is None and last.how is None and last.side == which and last.cut == cut:
            self.parts[-1] = last._replace(length=stop - last.offset, frame=packet.number, time_ns=packet.time_ns)
        else:
            length = stop - me.next
            self.parts.append(Part(which, me.next, None, length, cut, None, packet.number, packet.time_ns))
        me.next = stop

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
