"""Where each segment of a TCP connection belongs in its stream, and which ranges the capture holds at all.

How it works: sequence numbers are unwrapped (so 2^32 is no border) and become offsets from the first byte of their side.
Segments that are far from all others belong to another connection, or are forged, and get no place. Segments whose
checksum is wrong count only where there is nothing better, as a receiver drops them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analyzer.conversations.checksum import Sum, verify
from analyzer.conversations.intervals import Intervals
from analyzer.packet import ACK, FIN, RST, SYN, Packet

_MASK = 0xFFFFFFFF
#: A segment or acknowledgement further off than this is a stray.
_STRAY = 1 << 26
#: Bytes behind the last captured one that something claims were sent are believed up to here.
_BELIEVED = 1 << 20
_SAMPLES = 8


class Span(NamedTuple):
    """The data of a segment: from ``start`` to ``end`` on the wire, captured up to ``there``."""

    start: int
    there: int
    end: int


class Sent:
    """What one side sent, as far as the capture tells."""

    def __init__(self) -> None:
        self.packets = 0
        #: Unwrapping: a sequence number and its unwrapped value; the unwrapped value of the first byte.
        self._reference: int | None = None
        self._unwrapped = 0
        self.origin = 0
        #: Ranges captured anywhere, and sent as far as the captured packets' lengths tell.
        self.captured = Intervals()
        self.ranges = Intervals()
        #: Offset of the FIN.
        self.fin: int | None = None
        #: Acknowledged by the other side; claimed to be sent, by acknowledgements or this side's own later sequence
        #: numbers (the highest and the one below it); how much of that is believed.
        self.acked = 0
        self._claimed = 0
        self._claimed_before = 0
        self.believed = 0

    @property
    def end(self) -> int:
        """The end of what was sent, as far as captured packets tell."""
        return self.ranges.ends[-1] if self.ranges.ends else 0

    def refer(self, sequence: int) -> None:
        """From now on positions are counted from this sequence number."""
        self._reference = sequence
        self._unwrapped = 0

    @property
    def first(self) -> int | None:
        """The sequence number of the first byte; None when nothing tells."""
        if self._reference is None:
            return None
        return (self._reference - self._unwrapped + self.origin) & _MASK

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


class Placement:
    """Offsets of everything in ``segments``, which are in time order; ``which`` says for each what side sent it."""

    def __init__(self, segments: Sequence[Packet], which: Sequence[int]) -> None:
        self._segments = segments
        self._which = which
        self.sides = (Sent(), Sent())
        #: Per segment: its data, its acknowledgement, the offset of its sequence number. None: has none, or is a stray.
        self.spans: list[Span | None] = []
        self.acks: list[int | None] = []
        self.offsets: list[int | None] = []
        #: Damaged segments that are not needed (indices), and the frames of all damaged ones. ``refused``: those whose
        #: sender fills in right checksums otherwise, so that their receiver took nothing of them, no flag either.
        self.unused: set[int] = set()
        self._sums = [verify(packet) for packet in segments]
        #: How many are right, and wrong.
        self.checksums = self._sums.count(Sum.RIGHT), self._sums.count(Sum.WRONG)
        sound = {side for side, state in zip(which, self._sums, strict=True) if state is Sum.RIGHT}
        self.refused = {index for index, state in enumerate(self._sums) if state is Sum.WRONG and which[index] in sound}
        self.checksum_bad: list[int] = []
        #: Some segments are of another connection.
        self.strays = False
        sequences, acknowledgements = self._unwrap()
        self._find_origins(sequences, acknowledgements)
        self._place(sequences, acknowledgements)
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
        for index, (which, packet) in enumerate(zip(self._which, self._segments, strict=True)):
            me, other = self.sides[which], self.sides[1 - which]
            me.packets += 1
            refused = index in self.refused
            if packet.flags & RST or (refused and not packet.payload):
                sequences.append(None)
                acknowledgements.append(None)
                continue
            value = me.unwrap(packet.sequence, not refused)
            self.strays |= value is None and not refused
            sequences.append(value)
            told = packet.flags & ACK and not refused
            acknowledgements.append(other.unwrap(packet.acknowledgement, False) if told else None)
        return sequences, acknowledgements

    def _references(self) -> list[int | None]:
        """Where unwrapping starts: the SYN's number, otherwise one that half of the side's segments are near to."""
        found: list[int | None] = [None, None]
        samples: list[list[int]] = [[], []]
        for index, (which, packet) in enumerate(zip(self._which, self._segments, strict=True)):
            if packet.flags & RST or index in self.refused:
                continue
            if packet.flags & SYN:
                if found[which] is None:
                    found[which] = packet.sequence
            elif len(samples[which]) < _SAMPLES:
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
        for index, packet in enumerate(self._segments):
            which, value, ack = self._which[index], sequences[index], acknowledgements[index]
            if ack is not None:
                if told[1 - which] is None:
                    told[1 - which] = ack
                heard[1 - which] = max(ack, heard[1 - which] or ack)
                if packet.flags & SYN and exact[1 - which] is None:
                    exact[1 - which] = ack
            if value is None or index in self.refused:
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

    def _place(self, sequences: list[int | None], acknowledgements: list[int | None]) -> None:
        suspects: list[tuple[int, Span, Sent]] = []
        #: Per side: whether it fills in checksums of data, and data without one.
        fills_in = [False, False]
        absent: tuple[list[int], list[int]] = ([], [])
        for index, packet in enumerate(self._segments):
            me, other = self.sides[self._which[index]], self.sides[1 - self._which[index]]
            value, ack = sequences[index], acknowledgements[index]
            offset = None if ack is None else ack - other.origin
            self.acks.append(offset)
            if offset is not None:
                other.acked = max(other.acked, offset)
                other.claim(offset)
            self.offsets.append(None if value is None else value - me.origin)
            if value is None:
                self.spans.append(None)
                if index in self.refused:
                    self.checksum_bad.append(packet.number)
                continue
            me.claim(value - me.origin)
            start = value - me.origin + (1 if packet.flags & SYN else 0)
            end = start + packet.length
            span = Span(start, start + len(packet.payload), end) if packet.length else None
            self.spans.append(span)
            state = self._sums[index]
            if packet.payload and state is Sum.RIGHT:
                fills_in[self._which[index]] = True
            elif packet.payload and state is Sum.ABSENT:
                absent[self._which[index]].append(packet.number)
            if state is Sum.WRONG:
                self.checksum_bad.append(packet.number)
                if span:
                    suspects.append((index, span, me))
                continue
            if packet.flags & FIN and me.fin is None and end >= 0:
                me.fin = end
            if span:
                me.captured.add(max(start, 0), span.there)
                me.ranges.add(max(start, 0), end)
        for filled, frames in zip(fills_in, absent, strict=True):
            self.checksum_bad += frames if filled else ()
        self.checksum_bad.sort()
        needed = [entry for entry in suspects if not entry[2].captured.covers(max(entry[1].start, 0), entry[1].there)]
        self.unused = {index for index, *_ in suspects} - {index for index, *_ in needed}
        for _, span, me in needed:
            me.captured.add(max(span.start, 0), span.there)
            me.ranges.add(max(span.start, 0), span.end)
