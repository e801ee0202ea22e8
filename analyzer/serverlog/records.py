"""What a server's log says, as types: connections of devices, the log. No secret is kept in any of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from analyzer.firmware.serverlines import ServerLine


class Clock(StrEnum):
    """What the times in a log are worth."""

    ABSOLUTE = "absolute"
    #: Written without a time zone.
    LOCAL = "local"
    #: Written without a year (syslog); counted in 1972, a leap year.
    YEARLESS = "yearless"
    #: Only the time of day, counted from the log's first day.
    DAYLESS = "dayless"
    NONE = "none"


@dataclass(slots=True)
class Connection:
    """One connection of a device as the server tells it. Times are seconds on the log's clock; lines count from 1.

    ``says`` is the line that decides what it came to, ``text`` that line without its prefix, at most 200 characters.
    """

    key: str
    line: int
    last_line: int
    opened_at: float | None = None
    at: float | None = None
    device: str | None = None
    address: str | None = None
    port: int | None = None
    up: bool = False
    up_at: float | None = None
    up_line: int = 0
    says: ServerLine | None = None
    says_line: int = 0
    text: str = ""
    ended: ServerLine | None = None
    ended_at: float | None = None
    ended_line: int = 0
    duration_s: float | None = None
    run: int = 0

    @property
    def begins(self) -> float | None:
        """When it begins, as far as the log tells."""
        if self.opened_at is not None:
            return self.opened_at
        return self.up_at if self.up_at is not None else self.at if self.at is not None else self.ended_at


@dataclass(frozen=True, slots=True)
class Run:
    """The time between two starts of the server. ``peers``: how many devices (by id, else address) got each line that
    decides; ``up``: how many connected."""

    peers: Counter[str] = field(default_factory=Counter)
    up: int = 0


@dataclass(frozen=True, slots=True)
class ServerLog:
    """A server's log. ``lines`` counts all lines read; ``cut`` says in words why not all of it was used."""

    name: str
    connections: tuple[Connection, ...]
    runs: tuple[Run, ...] = ()
    #: Lines about the server itself: number, text, what it says.
    about: tuple[tuple[int, str, ServerLine], ...] = ()
    program: str | None = None
    ports: tuple[int, ...] = ()
    clock: Clock = Clock.NONE
    lines: int = 0
    known: int = 0
    cut: str | None = None
    bytes: int = 0
    sha256: str | None = None
    #: The first line with a private key in it, or None.
    secret_line: int | None = None
    #: Connections that were not kept, of how many there are.
    dropped: int = 0
    #: Of a log in several files, the oldest first: their names, and how many lines stand before each.
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def title(self) -> str:
        """Its name, and that there are older files with it."""
        older = len(self.parts) - 1
        return f"{self.name} (with {older} older file{'' if older == 1 else 's'})" if older > 0 else self.name

    def place(self, line: int) -> tuple[str, int]:
        """The file in which a line stands, and its number there."""
        at = next((part for part in reversed(self.parts) if part[1] < line), None)
        return (self.name, line) if at is None or len(self.parts) == 1 else (at[0], line - at[1])

    def cite(self, line: int) -> str:
        """A line by its file and number: ``server.log.1 line 5``."""
        name, number = self.place(line)
        return f"{name} line {number}"

    def span(self, first: int, last: int) -> str:
        """Lines from one to another: ``server.log lines 5-9``."""
        (name, start), (other, end) = self.place(first), self.place(last)
        return f"{name} lines {start}-{end}" if name == other else f"{name} line {start} to {other} line {end}"
