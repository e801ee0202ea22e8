"""What the open servers' log lines say, as data (serverlines.toml): what a line can tell, and what it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from analyzer.firmware.tables import strings, table
from analyzer.model import Certainty, Code


class Says(StrEnum):
    """What kind of thing a line tells: see the head of serverlines.toml."""

    START = "start"
    OPENED = "opened"
    FAILED = "failed"
    UNNAMED = "unnamed"
    UP = "up"
    ENDED = "ended"
    FAULT = "fault"
    SERVER = "server"
    CHATTER = "chatter"


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One thing a server says. ``words``: a line says it when all of one group stand in it; ``every``: the verdict when all
    devices get this line; ``rules_out``: what it cannot be, as the server had tested that before; ``lasts``: lengths of a
    session (s) that say the same."""

    name: str
    words: tuple[tuple[str, ...], ...]
    kind: Says
    text: str
    example: str
    source: str
    form: str | None = None
    stage: str | None = None
    summary: str = ""
    code: Code | None = None
    certainty: Certainty = Certainty.UNDETERMINED
    alternatives: tuple[Code, ...] = ()
    every: Code | None = None
    rules_out: tuple[Code, ...] = ()
    lasts: tuple[float, ...] = ()
    #: Steps of remedies.toml for exactly this, where the verdict alone has more than one cause.
    repair: str | None = None

    def said_in(self, text: str) -> bool:
        """Whether one group of its words stands in ``text``."""
        return any(all(word in text for word in group) for group in self.words)


@cache
def server_lines() -> tuple[ServerLine, ...]:
    """All entries in the order in which they are tried."""
    return tuple(_line(entry) for entry in table("serverlines")["says"])


@cache
def server_line(name: str) -> ServerLine:
    """The entry of that name. Raises StopIteration for a name that is none: a mistake in the program."""
    return next(line for line in server_lines() if line.name == name)


def said(text: str, form: str | None = None) -> ServerLine | None:
    """What ``text``, a line of a server with its error behind it, says; None when it is nothing known.

    ``form``: "text" or "bunyan" where the caller knows how the line was printed; lines of the other form do not count then.
    """
    for line in server_lines():
        if (line.form is None or form is None or line.form == form) and line.said_in(text):
            return line
    return None


def _line(entry: dict[str, Any]) -> ServerLine:
    return ServerLine(
        name=entry["name"],
        words=tuple((item,) if isinstance(item, str) else tuple(item) for item in entry["words"]),
        kind=Says(entry["kind"]),
        text=entry["text"],
        example=entry["example"],
        source=entry["source"],
        form=entry.get("form"),
        stage=entry.get("stage"),
        summary=entry.get("summary", ""),
        code=Code(entry["code"]) if "code" in entry else None,
        certainty=Certainty(entry.get("certainty", "undetermined")),
        alternatives=tuple(Code(code) for code in strings(entry, "alternatives")),
        every=Code(entry["every"]) if "every" in entry else None,
        rules_out=tuple(Code(code) for code in strings(entry, "rules_out")),
        lasts=tuple(float(value) for value in entry.get("lasts", ())),
        repair=entry.get("repair"),
    )
