"""A ticket ready to be judged: captures with the keys and logs that came with them, and what every file was taken for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from analyzer.errors import InputError
from analyzer.keys.ring import KeyRing
from analyzer.model import TicketInput
from analyzer.tickets.archive import unpacked
from analyzer.tickets.files import TicketFile
from analyzer.tickets.finding import Found
from analyzer.tickets.pieces import Chain, joined
from analyzer.tickets.sorting import sort

if TYPE_CHECKING:
    from analyzer.witnesses import Logs


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture of a ticket: a file, or several that go on from one another."""

    files: tuple[TicketFile, ...]

    @property
    def name(self) -> str:
        """The path a report calls it by."""
        return self.files[0].path

    @property
    def joined(self) -> tuple[str, ...]:
        """The paths of its further files."""
        return tuple(item.path for item in self.files[1:])

    def source(self) -> Path | BinaryIO:
        """What the reader takes."""
        return self.files[0].source() if len(self.files) == 1 else cast("BinaryIO", Chain(self.files))


@dataclass(frozen=True, slots=True)
class Ticket:
    """``place``: its folder or archive. ``inputs`` lists every file with what it was taken for."""

    place: str
    captures: tuple[Capture, ...]
    ring: KeyRing
    logs: Logs
    inputs: tuple[TicketInput, ...]

    @classmethod
    def of(cls, found: Found | Path, passphrases: tuple[bytes, ...] = ()) -> Ticket:
        """The ticket that `gather` found. Raises InputError as `read` does."""
        place, files = (found, None) if isinstance(found, Path) else found
        return cls.read(place, files, passphrases=passphrases)

    @classmethod
    def read(
        cls, place: Path, files: tuple[TicketFile, ...] | None = None, *, passphrases: tuple[bytes, ...] = ()
    ) -> Ticket:
        """The ticket in a folder of these files, or in the archive at ``place``.

        Raises InputError for an archive that cannot be unpacked, or holds neither a capture nor a log.
        """
        left: tuple[str, ...] = ()
        if files is None:
            inside = unpacked(place)
            files, left = inside.files, inside.left
        found = sort(files, left, passphrases)
        if not found.captures and not found.logs.all:
            raise InputError(str(place), "no captures in it", "captures are .pcap or .pcapng files, also .gz")
        inputs = tuple(TicketInput(path, taken) for path, taken in sorted(found.taken))
        return cls(str(place), tuple(Capture(run) for run in joined(found.captures)), found.ring, found.logs, inputs)

    @property
    def packed(self) -> bool:
        """Whether it is an archive: its files cannot be named in a command."""
        return Path(self.place).is_file()

    def told(self) -> Iterator[str]:
        """One line per file: what it was taken for."""
        for item in self.inputs:
            yield f"{item.path}: {item.taken_as.value}"
