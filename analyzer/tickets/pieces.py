"""Captures that are one: the files of a ring buffer, told by their names and times, and read as one file.

How it works. Two files belong together when their names differ in their number only, both are of one form and link type,
and the later begins where the earlier ends. pcapng sections may follow each other in one file; of pcap files with the same
header the records may. Anything in doubt stays a capture of its own.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from analyzer.capture import open_capture
from analyzer.errors import InputError
from analyzer.inputs import MAGICS
from analyzer.tickets.files import TicketFile

#: dumpcap and tshark -b: NAME_00001_20261121002705.pcap.
_RING: Final = re.compile(r"^(.*)_(\d{5})_\d{14}(\.[a-z]+(?:\.gz)?)$")
_NUMBER: Final = re.compile(r"\d+")
#: Between two files that only a number ties: what nobody captured must not count as silence; and how far one may reach
#: into the next (ns).
_GAP_NS: Final = 1_000_000_000
_OVERLAP_NS: Final = 1_000_000
_PCAP_HEADER: Final = 24
#: Files of one ring buffer, and bytes of each, that are joined.
_MOST: Final = 1_000
_SIZE: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class _Piece:
    file: TicketFile
    head: bytes
    format: str
    first_ns: int
    last_ns: int


def joined(files: Sequence[TicketFile]) -> tuple[tuple[TicketFile, ...], ...]:
    """The captures in order, those that go on from one another together."""
    families: dict[tuple[str, str], list[TicketFile]] = {}
    for item in files:
        families.setdefault((item.folder, _family(item.name)), []).append(item)
    found: list[tuple[TicketFile, ...]] = []
    for family in families.values():
        found += _runs(family) if 1 < len(family) <= _MOST else [(item,) for item in family]
    order = {item.inside: place for place, item in enumerate(files)}
    return tuple(sorted(found, key=lambda run: order[run[0].inside]))


def ring_buffer(paths: Sequence[str]) -> tuple[str, ...]:
    """Of these paths those that by their names (dumpcap's and tshark's) go on from one another, in order; the first such run."""
    numbered = [(path, found) for path in paths if (found := _RING.match(PurePosixPath(path).name))]
    numbered.sort(key=lambda item: (str(PurePosixPath(item[0]).parent), item[1][1], int(item[1][2])))
    run: list[tuple[str, re.Match[str]]] = []
    for path, found in numbered:
        follows = run and (run[-1][1][1], int(run[-1][1][2]) + 1) == (found[1], int(found[2]))
        if not follows and len(run) > 1:
            break
        run = [*run, (path, found)] if follows else [(path, found)]
    return tuple(path for path, _ in run) if len(run) > 1 else ()


def _family(name: str) -> str:
    ring = _RING.match(name)
    if ring:
        return f"{ring[1]}*{ring[3]}"
    stem = name.lower().removesuffix(".gz")
    return _NUMBER.sub("#", stem) if _NUMBER.search(stem) else f"{stem}#"  # tcpdump -C: x.pcap, x.pcap1


def _runs(family: Sequence[TicketFile]) -> list[tuple[TicketFile, ...]]:
    pieces: list[_Piece] = []
    alone: list[tuple[TicketFile, ...]] = []
    for item in family:
        piece = _piece(item)
        if piece is None:
            alone.append((item,))
        else:
            pieces.append(piece)
    runs: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: (piece.first_ns, piece.last_ns, piece.file.inside)):
        if runs and _goes_on(runs[-1][-1], piece):
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return [*alone, *(tuple(piece.file for piece in run) for run in runs)]


def _goes_on(one: _Piece, other: _Piece) -> bool:
    apart = other.first_ns - one.last_ns
    if apart < -_OVERLAP_NS or one.format != other.format:
        return False
    before, after = _RING.match(one.file.name), _RING.match(other.file.name)
    if before and after:
        if int(after[2]) != int(before[2]) % 99_999 + 1:
            return False  # a file is missing in between
    elif apart > _GAP_NS:
        return False
    return one.format == "pcapng" or one.head == other.head


def _piece(item: TicketFile) -> _Piece | None:
    """What is asked of a piece; None for a file that cannot be one."""
    if item.size > _SIZE:
        return None
    try:
        capture = open_capture(item.source(), name=item.inside)
        for _ in capture.records():
            pass
    except InputError:
        return None
    if capture.first_ns is None or capture.last_ns is None or capture.problems or not capture.format:
        return None
    with opened(item) as stream:
        head = stream.read(_PCAP_HEADER)
    if head[:4] not in MAGICS:
        return None  # packed or made some other way: not to be put one behind the other
    return _Piece(item, head, capture.format, capture.first_ns, capture.last_ns)


def opened(item: TicketFile) -> BinaryIO:
    """The bytes of a capture, out of its gzip where it is in one. Raises OSError."""
    source = item.source()
    stream = source.open("rb") if isinstance(source, Path) else source
    packed = PurePosixPath(item.name).suffix.lower() == ".gz" or item.head(2) == b"\x1f\x8b"
    return gzip.GzipFile(fileobj=stream) if packed else stream  # type: ignore[return-value]


class Chain(io.RawIOBase):
    """Pieces one after the other, as the one file they would have been; read once, from the front."""

    def __init__(self, files: Sequence[TicketFile]) -> None:
        super().__init__()
        self._streams = self._opened(files)
        self._now: BinaryIO | None = next(self._streams, None)

    @staticmethod
    def _opened(files: Sequence[TicketFile]) -> Iterator[BinaryIO]:
        for number, item in enumerate(files):
            stream = opened(item)
            if number:
                head = stream.read(4)
                if head != b"\x0a\x0d\x0d\x0a":
                    stream.read(_PCAP_HEADER - 4)  # the header stands in the first piece
                else:
                    stream = io.BufferedReader(_Again(head, stream))
            yield stream

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """The next bytes of the pieces."""
        while self._now is not None:
            data = self._now.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._now.close()
            self._now = next(self._streams, None)
        return 0


class _Again(io.RawIOBase):
    """A stream with its first bytes put back."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data, self._head = self._head[: len(buffer)] or self._stream.read(len(buffer)), self._head[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
