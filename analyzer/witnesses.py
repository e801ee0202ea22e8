"""The logs of a case, told apart by their content: a device's own, or an open server's.

How it works. Lines are kept until one of them can only be a server's, or until so many had no such word that the log is a
device's (or no log at all, which the device's reader says in its own words). Then the reader of that kind gets them all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from analyzer.devicelog import DeviceLog, LogLimits
from analyzer.devicelog.reader import read_stored, speaks_of_an_attempt, unreadable
from analyzer.devicelog.stored import StoredLog
from analyzer.serverlog import ServerLog, ServerReading, sign_of
from analyzer.serverlog.reader import LONGEST_SERVER, with_storage

#: What a log from a pipe is called.
STDIN = "standard input"
#: Characters and lines without a sign after which a log is no server's.
_HEAD = 4 << 20
_HEAD_LINES = 50_000
#: Lines of a server's log that are read.
_LINES = 5_000_000
#: Lines before a server's first that are asked whether they are a device's.
_ASKED = 400

Log = DeviceLog | ServerLog


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs of a case, in the order in which they were given."""

    all: tuple[Log, ...] = ()

    @property
    def device(self) -> tuple[DeviceLog, ...]:
        """The devices' own."""
        return tuple(log for log in self.all if isinstance(log, DeviceLog))

    @property
    def server(self) -> tuple[ServerLog, ...]:
        """The servers'."""
        return tuple(log for log in self.all if isinstance(log, ServerLog))


def read_logs(paths: Iterable[Path]) -> Logs:
    """The logs at these paths, ``-`` for standard input. Raises InputError for one that cannot be opened or read."""
    return Logs(tuple(_read(sys.stdin.buffer, STDIN) if path == Path("-") else _read_path(path) for path in paths))


def read_log(source: Path | BinaryIO, *, name: str) -> Log:
    """One log, of whichever kind its content is. Raises InputError when it cannot be opened or read."""
    return replace(_read_path(source), name=name) if isinstance(source, Path) else _read(source, name)


def _read_path(path: Path) -> Log:
    try:
        with path.open("rb") as file:
            return _read(file, path.name, has_end=path.is_file())
    except OSError as error:
        raise unreadable(str(path), error) from error


def _read(file: BinaryIO, name: str, *, has_end: bool = False) -> Log:
    limits = LogLimits()
    stored = StoredLog(file, limits.bytes)
    try:
        lines = stored.lines(LONGEST_SERVER)
        head, is_server = _told(lines)
        every = chain(head, lines)
        if not is_server:
            return read_stored(stored, every, name, limits, has_end=has_end)
        reading = ServerReading()
        for line in islice(every, _LINES):
            reading.take(line)
        cut = "it has more lines than the limit, and the rest was not read" if next(every, None) is not None else None
        if has_end:
            stored.drain()
        return with_storage(reading.log(name), cut=stored.problem or cut, size=stored.size, sha256=stored.sha256())
    except OSError as error:
        raise unreadable(name, error) from error


def _told(lines: Iterator[str]) -> tuple[list[str], bool]:
    """The lines up to the first that can only be a server's, and whether there is one and no device speaks before it."""
    head: list[str] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line) + 64
        if sign_of(line):
            return head, not any(speaks_of_an_attempt(before) for before in head[-_ASKED:-1])
        if size > _HEAD or len(head) > _HEAD_LINES:
            break
    return head, False
