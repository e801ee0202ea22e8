"""What a text report is written with: glyphs, colours and line ends of one :class:`Style`, so that nothing else asks which."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.reports.grouping import Tone
from analyzer.reports.writing import Style
from analyzer.safe import clipped, printable


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters a stream can show. Every sign differs from the others in shape, not only in colour."""

    ok: str
    bad: str
    unsure: str
    note: str
    here: str
    to: str
    back: str
    times: str
    more: str
    bullet: str
    line: str
    right: str
    left: str
    dotted: str
    dashed: str
    wavy: str
    life: str
    waiting: str
    cut: str


UNICODE = Glyphs("✓", "✗", "?", "!", "▸", "→", "←", "×", "…", "·", "─", "▶", "◀", "·", "╌", "~", "│", "┊", "//")
ASCII = Glyphs("ok", "!!", "??", "!", ">", "->", "<-", "x", "...", "-", "-", ">", "<", ".", "-", "~", "|", ":", "//")

#: SGR codes (ECMA-48 8.3.117) by what they stand for.
_COLOURS = {
    "bold": "1",
    "dim": "2",
    "ok": "32",
    "bad": "31",
    "unsure": "33",
    "strong-ok": "32;1",
    "strong-bad": "31;1",
    "strong-unsure": "33;1",
}
_TONES = {Tone.OK: "ok", Tone.BAD: "bad", Tone.UNSURE: "unsure"}
#: Where a line must not end: between ``(frame`` and its number, between a number and its unit.
_HELD = re.compile(r"(?<=\(frame) |(?<=\(frames) |(?<=\d) (?=(?:ms|s|min|h|d|B)\b)")


class Pen:
    """Writes text that is inert and fits; colour only where the style has it."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.width = style.width
        self.glyphs = UNICODE if style.unicode else ASCII

    def paint(self, text: str, colour: str) -> str:
        """``text`` in a colour of the table, or as it is (blank, no colour named, no colour wanted)."""
        if not self.style.color or not colour or not text.strip():
            return text
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"

    def plain(self, text: str) -> str:
        """Text from outside: inert, on one line, and within what the stream can show."""
        shown = printable(clipped(text))
        return shown if self.style.unicode else shown.encode("ascii", "backslashreplace").decode()

    def sign(self, tone: Tone) -> str:
        """The sign of a verdict, not coloured."""
        return {Tone.OK: self.glyphs.ok, Tone.BAD: self.glyphs.bad, Tone.UNSURE: self.glyphs.unsure}[tone]

    def tone(self, text: str, tone: Tone) -> str:
        """``text`` strong and in the colour of ``tone``."""
        return self.paint(text, f"strong-{_TONES[tone]}")

    def fold(self, text: str, width: int) -> list[str]:
        """``text`` inert and in lines of at most ``width`` columns; words longer than that are broken."""
        held = _HELD.sub("\u00a0", self.plain(text))
        lines = textwrap.wrap(held, max(8, width), break_on_hyphens=False)
        return [line.replace("\u00a0", " ") for line in lines] or [""]

    def block(self, text: str, indent: int, lead: str = "", colour: str = "") -> Iterator[str]:
        """A paragraph whose further lines stand ``indent`` columns in; ``lead`` (in ``colour``) takes the first indent."""
        for number, line in enumerate(self.fold(text, self.width - 1 - indent)):
            start = lead.ljust(indent) if number == 0 else " " * indent
            if number == 0 and colour:
                start = self.paint(lead, colour) + " " * max(0, indent - len(lead))
            yield f"{start}{line}".rstrip() + "\n"
