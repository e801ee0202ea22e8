"""The lightssl session as a machine: bytes, gaps and closes of both directions in; stages and records out.

How it works: :data:`STAGES` is the protocol. Each direction collects its stages in the order of the table; sizes are
fixed until the session key is in place, records follow. Nothing is decided by where a chunk begins or ends, so any
segmentation of the same bytes gives the same transcript. What one side says before the stage it should wait for is
complete is no error of the machine: it is collected at its place and counted (``early_bytes``).

Rules that do not fit the table, and why they stand here:
- a capture may begin in mid-session: bytes are held until content tells (records have lengths, a nonce has none);
- a cloud that is none is known only by what it says: :mod:`dissectors.detect` names it when the transcript is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from dissectors.detect import looks_random
from dissectors.events import Direction, How, Mark, Transcript
from dissectors.lightssl.records import records_at
from dissectors.lightssl.stages import HELLO, STAGE, STAGES, Lane, Stage
from dissectors.lightssl.transcript import Heard, tell

#: Bytes held back while content has not told whether the capture begins in mid-session.
UNDECIDED_LIMIT = 16384


class _Start(Enum):
    """Where in the connection the capture begins."""

    UNDECIDED = auto()
    HANDSHAKE = auto()
    AFTER_NONCE = auto()
    AFTER_IDENTITY = auto()
    MID_SESSION = auto()


@dataclass(slots=True)
class _Event:
    """One thing fed: bytes, a gap or a close."""

    direction: Direction
    mark: Mark
    turn: int
    data: bytes = field(default=b"", repr=False)
    gap: int = 0
    cut: bool = False
    how: How | None = None


class _Probe:
    """Does a direction begin with records? Fed until it knows."""

    __slots__ = ("begins_with_records", "data", "ended")

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.begins_with_records: bool | None = None

    def look(self, event: _Event) -> None:
        """Take what one event adds."""
        if self.begins_with_records is None and not self.ended:
            self.data += event.data
            self.settle(ended=not event.data)

    def settle(self, *, ended: bool) -> None:
        """Answer if these bytes allow it; always when they ``ended``."""
        if self.begins_with_records is None:
            self.ended = self.ended or ended
            self.begins_with_records = records_at(self.data, 0, ended=self.ended)


class LightSsl:
    """Feed one TCP connection in time order; never raises, whatever the bytes.

    ``start_seen``: True when the capture holds the connection's SYN (then its first byte is the connection's first);
    otherwise content tells whether the capture begins in mid-session.
    Memory is bounded: the handshake messages, ``records.MAX_RECORDS`` records per direction, kilobytes of lookahead.
    """

    def __init__(self, *, start_seen: bool | None = None) -> None:
        self._start = _Start.HANDSHAKE if start_seen else _Start.UNDECIDED
        self._probes = {direction: _Probe() for direction in Direction}
        self._held: list[_Event] = []
        self._held_bytes = 0
        self._turn = 0
        self._lanes = _lanes(STAGES, aligned=True)
        self._heard = Heard()
        self._first_run_over = False
        self._transcript: Transcript | None = None

    def receive(self, direction: Direction, data: bytes, mark: Mark) -> None:
        """Bytes of one direction, in stream order."""
        if data:
            self._take(_Event(direction, mark, self._turn + 1, data=data))

    def gap(self, direction: Direction, length: int, mark: Mark, cut: bool = False) -> None:
        """``length`` bytes of the stream are not in the capture; ``cut``: the snap length took them."""
        if length > 0:
            self._take(_Event(direction, mark, self._turn + 1, gap=length, cut=cut))

    def close(self, direction: Direction, how: How, mark: Mark) -> None:
        """``direction`` ended, as ``how`` says."""
        self._take(_Event(direction, mark, self._turn + 1, how=how))

    def transcript(self) -> Transcript:
        """What it all was. Ends the feeding: pieces that come later are ignored."""
        if self._transcript is None:
            if self._start is _Start.UNDECIDED:
                self._decide(final=True)
            for lane in self._lanes.values():
                lane.records.finish()
            self._heard.mid_session = self._start is _Start.MID_SESSION
            self._transcript = tell(self._lanes, self._heard)
        return self._transcript

    # Feeding

    def _take(self, event: _Event) -> None:
        if self._transcript is not None:
            return
        self._turn = event.turn
        self._count_first_run(event)
        if self._start is not _Start.UNDECIDED:
            self._apply(event)
            return
        self._held.append(event)
        self._held_bytes += len(event.data) or 64
        self._probes[event.direction].look(event)
        self._decide(final=self._held_bytes > UNDECIDED_LIMIT)

    def _apply(self, event: _Event) -> None:
        lane = self._lanes[event.direction]
        if event.how is not None:
            letter = {How.RST: "x", How.FIN: "f"}.get(event.how, "e")
            self._heard.happen(event.turn, letter, event.direction)
        elif event.gap:
            self._heard.happen(event.turn, "g", event.direction)
            if event.cut:
                self._heard.note("cut-packets")
            self._apply_gap(lane, event)
        else:
            self._apply_bytes(lane, event)

    def _apply_bytes(self, lane: Lane, event: _Event) -> None:
        lane.keep_head(event.data)
        rest = event.data
        for leg in lane.legs:
            taken = leg.take(rest, event.mark, event.turn)
            rest = rest[taken:]
            if taken and self._too_early(leg.stage):
                leg.early += taken
        if rest:
            if self._too_early(HELLO[event.direction]):
                lane.early_records += len(rest)
            lane.records.feed(rest, event.mark, event.turn)

    def _apply_gap(self, lane: Lane, event: _Event) -> None:
        lane.head_open = False
        rest = event.gap
        for leg in lane.legs:
            skipped = leg.skip(rest, event.turn)
            rest -= skipped
            if skipped and self._too_early(leg.stage):
                leg.early += skipped
        if rest:
            lane.records.gap(rest)

    def _too_early(self, stage: Stage) -> bool:
        """Is the stage that ``stage`` answers still incomplete?"""
        if stage.after is None or self._start is _Start.MID_SESSION:
            return False
        before = STAGE[stage.after]
        lane = self._lanes[before.direction]
        leg = lane.leg(before.name)
        if leg is not None:
            return not leg.complete
        # A stage without a leg is a record, or was before the capture.
        return before.size is None and not lane.records.bytes and not lane.records.missing_first

    def _count_first_run(self, event: _Event) -> None:
        """How many bytes the side that spoke first sent before the other said anything."""
        length = len(event.data) + event.gap
        if self._first_run_over or not length:
            return
        speaker, size = self._heard.first_run or (event.direction, 0)
        if speaker is event.direction:
            self._heard.first_run = (speaker, size + length)
        else:
            self._first_run_over = True

    # Where the capture begins

    def _decide(self, *, final: bool) -> None:
        """When content tells a handshake from records (``final``: it must), apply what was held."""
        probes = self._probes.values()
        if final:
            for probe in probes:
                probe.settle(ended=True)
        if any(probe.begins_with_records for probe in probes):
            self._begin(_Start.MID_SESSION)
        elif all(probe.begins_with_records is False for probe in probes):
            self._begin(*self._late())

    def _late(self) -> tuple[_Start, int]:
        """Where in the handshake a capture without the SYN begins, by the first run's size; the bytes lost before it."""
        if self._heard.first_run is None:
            return _Start.HANDSHAKE, 0
        speaker, size = self._heard.first_run
        nonce, identity, key = (STAGE[name].size or 0 for name in ("nonce", "identity", "session-key"))
        if speaker is Direction.UP:
            # The nonce was sent before the capture began; of the 256 bytes there may be the rest only.
            known = size == identity or (size < identity and self._first_run_over)
            return (_Start.AFTER_NONCE, identity - size) if known else (_Start.HANDSHAKE, 0)
        if size == key and looks_random(bytes(self._probes[speaker].data)):
            return _Start.AFTER_IDENTITY, 0
        return _Start.HANDSHAKE, nonce - size if size < nonce and self._first_run_over else 0

    def _begin(self, start: _Start, lost: int = 0) -> None:
        self._start = start
        if start is _Start.MID_SESSION:
            self._lanes = _lanes((), aligned=False)
            self._heard.note("mid-session-start")
        elif start is _Start.AFTER_NONCE:
            self._lanes = _lanes(STAGES[1:], aligned=True)
            self._heard.note("nonce-not-captured")
        elif start is _Start.AFTER_IDENTITY:
            self._lanes = _lanes(STAGES[2:], aligned=True)
            self._heard.note("identity-not-captured")
        if lost:
            self._heard.note("starts-within")
            speaker = Direction.UP if start is _Start.AFTER_NONCE else Direction.DOWN
            self._lanes[speaker].legs[0].skip(lost, 0)
        held, self._held = self._held, []
        for event in held:
            self._apply(event)


def _lanes(stages: tuple[Stage, ...], *, aligned: bool) -> dict[Direction, Lane]:
    return {direction: Lane(direction, stages, aligned=aligned) for direction in Direction}
