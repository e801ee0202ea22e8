"""Log lines as data (lines.toml): which stage a line belongs to and what it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from analyzer.firmware.tables import strings, table
from analyzer.model import Code

#: Longer lines are cut before they are looked at; no line of any firmware is longer (its buffer is 200 bytes).
LONGEST = 600


class LineKind(StrEnum):
    """What a line tells: see the head of lines.toml."""

    BOOT = "boot"
    FACT = "fact"
    INIT = "init"
    ATTEMPT = "attempt"
    ADDRESS = "address"
    WAITING = "waiting"
    REACHED = "reached"
    FAILED = "failed"
    RESULT = "result"
    CONNECTED = "connected"
    LOST = "lost"
    ENDED = "ended"
    NETWORK = "network"
    SESSION = "session"
    REPAIR = "repair"
    SECRET = "secret"
    SENT = "sent"
    BEFORE = "before"
    INFO = "info"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Line:
    """One known log line; ``spaces`` are the spaces its number may lie in, likeliest first."""

    pattern: re.Pattern[str]
    kind: LineKind
    text: str
    example: str
    stage: str | None = None
    spaces: tuple[str, ...] = ()
    eras: str | None = None
    family: str | None = None
    transport: str | None = None
    verdicts: tuple[Code, ...] = ()


@cache
def known_lines() -> tuple[Line, ...]:
    """All entries of lines.toml in the order in which they are tried."""
    return tuple(_line(entry) for entry in table("lines")["line"])


def match_line(message: str) -> tuple[Line, Mapping[str, str]] | None:
    """The known line that ``message`` (without its prefix) is, and its named values; None when it is not known.

    Only the first `LONGEST` characters count. The patterns hold no nested repetition, so the time is linear.
    """
    message = message[:LONGEST]
    for line in known_lines():
        found = line.pattern.search(message)
        if found:
            return line, {name: value for name, value in found.groupdict().items() if value}
    return None


def number_of(line: Line, values: Mapping[str, str]) -> int | None:
    """The number in a matched line, signed; hexadecimal ones (always printed after a minus) become negative."""
    if "n" in values:
        return int(values["n"])
    if "hex" in values and line.spaces:
        return -int(values["hex"], 16)
    return None


def _line(entry: dict[str, Any]) -> Line:
    return Line(
        re.compile(entry["pattern"]),
        LineKind(entry["kind"]),
        entry["text"],
        entry["example"],
        entry.get("stage"),
        strings(entry, "spaces"),
        entry.get("eras"),
        entry.get("family"),
        entry.get("transport"),
        tuple(Code(code) for code in strings(entry, "verdicts")),
    )
