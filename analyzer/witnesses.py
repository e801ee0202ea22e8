"""Logs of any kind, told apart by their content: a device's own, or an open server's; a server's rotated log is one.

How it works. Lines are kept until one of them can only be a server's, or until so many had no such word that the log is a
device's (or no log at all, which the device's reader says in its own words). Then the reader of that kind gets them all.
Files of one folder whose names differ as a rotation's do are read one behind the other, the oldest first, where their
times follow each other.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import BinaryIO

from analyzer.devicelog import DeviceLog, LogLimits
from analyzer.devicelog.reader import read_stored, speaks_of_an_attempt, unreadable
from analyzer.devicelog.stored import StoredLog
from analyzer.serverlog import Clock, ServerLog, ServerReading, sign_of
from analyzer.serverlog.reader import LONGEST_SERVER, with_storage
from analyzer.serverlog.when import read_time

#: What a log from a pipe is called.
STDIN = "standard input"
#: Characters and lines without a sign after which a log is no server's.
_HEAD = 4 << 20
_HEAD_LINES = 50_000
#: Lines of a server's log that are read.
_LINES = 5_000_000
#: Lines before a server's first that are asked whether they are a device's.
_ASKED = 400
#: Files of one rotation; so far the next may reach back into the one before (s).
_MOST = 60
_OVERLAP = 2.0
_PACKED = re.compile(r"\.gz$", re.IGNORECASE)
#: How logrotate, docker, pm2, bunyan and winston call the older files: a number or a day, at the end or before the ending.
_ROTATED = re.compile(
    r"[._-]{1,2}(?P<day>20\d\d-?\d\d-?\d\d(?:[T_-]?\d\d(?:[-:.]?\d\d){0,2})?)(?=\.[a-z]{2,4}$|$)|\.(?P<number>\d{1,3})(?=\.[a-z]{2,4}$|$)",
    re.IGNORECASE,
)

Log = DeviceLog | ServerLog


@dataclass(frozen=True, slots=True)
class Source:
    """A log to read: how it is called, where it is (a path for the report), how it is opened, whether it has an end."""

    name: str
    place: str
    open: Callable[[], BinaryIO]
    has_end: bool = False

    @classmethod
    def of_path(cls, path: Path) -> Source:
        """A file, or standard input for ``-``."""
        if path == Path("-"):
            return cls(STDIN, "-", lambda: io.BufferedReader(_Borrowed(sys.stdin.buffer)))
        return cls(path.name, str(path), lambda: path.open("rb"), path.is_file())


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs of a case, in the order in which they were given. ``places``: the files of each, the newest first."""

    all: tuple[Log, ...] = ()
    places: tuple[tuple[str, ...], ...] = ()

    @property
    def device(self) -> tuple[DeviceLog, ...]:
        """The devices' own."""
        return tuple(log for log in self.all if isinstance(log, DeviceLog))

    @property
    def server(self) -> tuple[ServerLog, ...]:
        """The servers'."""
        return tuple(log for log in self.all if isinstance(log, ServerLog))

    def __add__(self, other: Logs) -> Logs:
        """These and others."""
        return Logs((*self.all, *other.all), (*self.places, *other.places))


def read_logs(paths: Iterable[Path]) -> Logs:
    """The logs at these paths, ``-`` for standard input. Raises InputError for one that cannot be opened or read."""
    return read_sources([Source.of_path(path) for path in paths])


def read_sources(sources: Sequence[Source], *, damaged: Callable[[Source], None] | None = None) -> Logs:
    """The logs of these sources; rotated files of one server's log together.

    Raises InputError for one that cannot be opened or read, unless ``damaged`` is told of it.
    """
    families: dict[tuple[object, ...], list[Source]] = {}
    for number, source in enumerate(sources):
        families.setdefault(_family(source, number), []).append(source)
    found: list[tuple[int, Log, tuple[str, ...]]] = []
    order = {id(source): number for number, source in enumerate(sources)}
    for family in families.values():
        parts = [family] if 1 < len(family) <= _MOST else [[source] for source in family]
        for part in parts:
            for log, read in _read(part, damaged):
                place = min(order[id(source)] for source in read)
                found.append((place, log, tuple(source.place for source in reversed(read))))
    found.sort(key=lambda item: item[0])
    return Logs(tuple(log for _, log, _ in found), tuple(places for _, _, places in found))


def _family(source: Source, number: int) -> tuple[object, ...]:
    plain = _PACKED.sub("", source.name)
    family = _ROTATED.sub("", plain)
    # What has no folder belongs to nothing.
    return (number,) if source.place == "-" else (str(PurePath(source.place).parent), family.lower())


def _age(source: Source) -> tuple[int, str, int]:
    """The order of a rotation's files by their names: days rising, then numbers falling, the file in use last."""
    found = _ROTATED.search(_PACKED.sub("", source.name))
    if found is None:
        return (1, "", 0)
    return (0, found["day"] or "", -int(found["number"] or 0))


def _read(
    sources: Sequence[Source], damaged: Callable[[Source], None] | None
) -> Iterator[tuple[Log, tuple[Source, ...]]]:
    """The logs in these sources: rotated files of a server's log as one, in the order of time."""
    with ExitStack() as stack:
        every: list[_Opened] = []
        for source in sorted(sources, key=_age):
            try:
                every.append(_Opened(source, stack.enter_context(source.open())))
            except OSError as error:
                _failed(source, error, damaged)
        known = any(item.is_server for item in every)
        waiting = [item for item in every if item.is_server or (known and item.may_be_server)]
        for item in every:
            if item not in waiting:
                try:
                    yield item.device_log(), (item.source,)
                except OSError as error:
                    _failed(item.source, error, damaged)
        if all(item.first is not None for item in waiting):
            waiting.sort(key=lambda item: item.first or 0.0)
        run: list[_Opened] = []
        reading = ServerReading()
        for item in waiting:
            if run and not reading.goes_on(item.first, _OVERLAP):
                yield _finished(reading, run), tuple(each.source for each in run)
                reading, run = ServerReading(), []
            run.append(item)
            try:
                item.feed(reading)
            except OSError as error:
                _failed(item.source, error, damaged)
        if run:
            yield _finished(reading, run), tuple(each.source for each in run)


def _failed(source: Source, error: OSError, damaged: Callable[[Source], None] | None) -> None:
    if damaged is None:
        raise unreadable(source.place if source.place != "-" else source.name, error) from error
    damaged(source)


def _finished(reading: ServerReading, run: Sequence[_Opened]) -> ServerLog:
    newest = run[-1]
    log = reading.log(newest.source.name)
    cut = next((item.cut for item in run if item.cut), None)
    size = sum(item.stored.size for item in run)
    return with_storage(log, cut=cut, size=size, sha256=newest.stored.sha256() if len(run) == 1 else None)


class _Opened:
    """A log that is open: its first lines, and what kind it is."""

    def __init__(self, source: Source, file: BinaryIO) -> None:
        self.source = source
        self.stored = StoredLog(file, LogLimits().bytes)
        self._lines = self.stored.lines(LONGEST_SERVER)
        self._head, self.is_server = _told(self._lines)
        #: The first time in it (s), or None.
        self.first = next(
            (
                when[0]
                for line in self._head[:_ASKED]
                if (when := read_time(line)) is not None and when[1] is not Clock.DAYLESS
            ),
            None,
        )
        #: Why not all of it was read, in words; None when it was.
        self.cut: str | None = None

    @property
    def may_be_server(self) -> bool:
        """Whether it may be the older part of a server's log in which nothing but chatter stands."""
        return bool(self._head) and not any(speaks_of_an_attempt(line) for line in self._head[:_ASKED])

    def device_log(self) -> DeviceLog:
        """The whole of it as a device's."""
        lines = chain(self._head, self._lines)
        return read_stored(self.stored, lines, self.source.name, LogLimits(), has_end=self.source.has_end)

    def feed(self, reading: ServerReading) -> None:
        """The whole of it to a server's log's reader."""
        reading.begin(self.source.name)
        lines = chain(self._head, self._lines)
        for line in islice(lines, max(0, _LINES - reading.lines)):
            reading.take(line)
        self._head = []
        if next(lines, None) is not None:
            self.cut = "it has more lines than the limit, and the rest was not read"
        if self.source.has_end:
            self.stored.drain()
        self.cut = self.stored.problem or self.cut


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


class _Borrowed(io.RawIOBase):
    """A stream that is not closed with what reads it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """What is there."""
        read = getattr(self._stream, "read1", self._stream.read)
        data: bytes = read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
