"""The ladder of a session in characters: two lifelines, an arrow for each row, what became of it beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.model import Outcome, Session
from analyzer.reports.ladder import log_clock, offset_text
from analyzer.reports.pen import Pen
from analyzer.reports.rungs import Kind, Note, Rung, rungs
from dissectors.events import Direction, How, Status

#: Columns before the lane: a mark, the time, the frames.
_TIME, _FRAMES = 9, 9
_BEFORE = 1 + _TIME + 2 + _FRAMES + 2
#: Columns for the names of stages where notes stand on the same line.
_NAMES = 21
_WIDE = 110
_NARROW = 76
#: A device id takes more room than a narrow ladder has; its ends tell devices apart.
_ID = re.compile(r"(?<![0-9a-fA-F])([0-9a-fA-F]{4})[0-9a-fA-F]{16}([0-9a-fA-F]{4})(?![0-9a-fA-F])")
_HOW = {
    How.FIN: "FIN",
    How.RST: "RST",
    How.ALERT: "alert",
    How.ICMP: "ICMP",
    How.TIMEOUT: "",
    How.SILENCE: "",
    How.CAPTURE_END: "",
}


def ladder(pen: Pen, session: Session) -> Iterator[str]:
    """The lines of the ladder."""
    inner = 21 if pen.width >= _NARROW else 13
    columns = f"{'time':>{_TIME + 1}}  {'frames':<{_FRAMES}}  "
    yield pen.paint(f"{columns}{'device':<{inner - 3}}cloud", "dim") + "\n"
    for rung in rungs(session):
        yield from _Row(pen, session, rung, inner).lines()


class _Row:
    """One row on its way to lines of text."""

    def __init__(self, pen: Pen, session: Session, rung: Rung, inner: int) -> None:
        self.pen, self.session, self.rung, self.inner = pen, session, rung, inner

    def lines(self) -> Iterator[str]:
        """The arrow with the name of its stage, and below it, between the lifelines, what does not fit beside it."""
        pen, rung = self.pen, self.rung
        here = (
            rung.kind is Kind.STAGE
            and rung.label == self.session.verdict.stage
            and self.session.verdict.code.value != "healthy"
        )
        mark = pen.glyphs.here if here else " "
        before = f"{offset_text(rung.offset_s):>{_TIME}}  {rung.frames_shown(1):<{_FRAMES}.{_FRAMES}}  "
        lead = pen.paint(mark, "bold") + pen.paint(before, "dim") + self._lane()
        wide = pen.width >= _WIDE
        name, told = self._name(), list(self._told())
        indent = 0 if not name else _NAMES if wide else 2
        room = pen.width - 1 - _BEFORE - self.inner - 2 - 2 - indent
        lines = [line for text, colour in told for line in self._folded(text, room, colour)]
        beside_it = bool(lines) and (wide or not name or len(name) + 2 + len(lines[0][0]) <= room)
        first = lines.pop(0) if beside_it else None
        beside = pen.paint(name, "bold") if name else ""
        if first is not None:
            gap = " " * max(2, _NAMES - len(name) if wide else 0) if name else ""
            beside += gap + pen.paint(first[0], first[1])
        yield f"{lead}  {beside}".rstrip() + "\n"
        below = " " * _BEFORE + self._life() + "  " + " " * indent
        for line, colour in lines:
            yield f"{below}{pen.paint(line, colour)}".rstrip() + "\n"

    def _folded(self, text: str, room: int, colour: str) -> Iterator[tuple[str, str]]:
        if self.pen.width < _WIDE:
            text = _ID.sub(rf"\1{self.pen.glyphs.more}\2", text)
        for number, line in enumerate(self.pen.fold(text, room - 2)):
            yield ("  " if number else "") + line, colour

    def _name(self) -> str:
        return self.pen.plain(self.rung.label) if self.rung.kind is Kind.STAGE else ""

    def _told(self) -> Iterator[tuple[str, str]]:
        """What is said beside the arrow, each with its colour."""
        pen, rung = self.pen, self.rung
        if rung.kind not in (Kind.STAGE, Kind.PAUSE):
            after = "".join(f", {note.text}" for note in rung.notes)
            yield f"{rung.label}{after}", ""
            return
        if rung.state:
            sign = pen.glyphs.bad if rung.status is not Status.PARTIAL else pen.glyphs.note
            yield f"{sign} {rung.state}", "bad"
        for note in rung.notes:
            yield self._note(note)
        for line in rung.log:
            clash = f"  {pen.glyphs.note} disagrees" if line.agrees is False else ""
            yield f"{log_clock(line)} {line.text}{clash}", "bad" if line.agrees is False else "dim"

    def _note(self, note: Note) -> tuple[str, str]:
        glyphs = self.pen.glyphs
        if note.outcome is Outcome.PROVED:
            return f"{glyphs.ok} {note.text}", "ok"
        if note.outcome is Outcome.REFUTED:
            return f"{glyphs.bad} {note.text}", "bad"
        return note.text, ""

    def _life(self) -> str:
        if self.rung.kind is Kind.OPEN:
            return " " * (self.inner + 2)
        line = self.pen.paint(self.pen.glyphs.life, "dim")
        return f"{line}{' ' * self.inner}{line}"

    def _lane(self) -> str:
        glyphs, kind = self.pen.glyphs, self.rung.kind
        sides = glyphs.waiting if kind is Kind.PAUSE else " " if kind is Kind.OPEN else glyphs.life
        side = self.pen.paint(sides, "dim")
        return f"{side}{self._arrow()}{side}"

    def _arrow(self) -> str:
        glyphs, rung = self.pen.glyphs, self.rung
        inner = self.inner
        if rung.kind is Kind.PAUSE:
            return self.pen.paint(self._label(rung.label, inner, " "), "dim")
        if rung.kind in (Kind.OPEN, Kind.SILENCE):
            return " " * inner
        label = (
            _HOW[self.session.ending.how]
            if rung.kind is Kind.END
            else "ICMP"
            if rung.kind is Kind.NETWORK
            else rung.measure
        )
        if rung.status is Status.ABSENT:
            dots = f"{glyphs.dotted} " * inner
            return self.pen.paint(self._label(label, inner, dots), "dim")
        if rung.kind is Kind.GAP:
            return self._label(f"{glyphs.cut} {label} {glyphs.cut}", inner, f"{glyphs.dotted} " * inner)
        fill = (
            glyphs.dashed + " "
            if rung.kind is Kind.AGAIN
            else glyphs.wavy
            if rung.status is Status.MALFORMED
            else glyphs.line
        )
        right = rung.direction is not Direction.DOWN
        if rung.status is Status.PARTIAL:
            broken = self._label(label, inner - 5, fill * inner)
            return f"{broken}{glyphs.cut}   " if right else f"   {glyphs.cut}{broken}"
        if rung.direction is None:
            return f"{glyphs.left}{self._label(label, inner - 2, fill * inner)}{glyphs.right}"
        body = self._label(label, inner - 1, fill * inner)
        return f"{body}{glyphs.right}" if right else f"{glyphs.left}{body}"

    def _label(self, label: str, width: int, fill: str) -> str:
        """``label`` in the middle of ``width`` columns of ``fill``; left out where it does not fit."""
        if len(label) + 2 > width:
            label = ""
        shown = f" {label} " if label else ""
        left = (width - len(shown)) // 2
        long = (fill * width)[:width]
        return long[:left] + shown + long[left + len(shown) :]
