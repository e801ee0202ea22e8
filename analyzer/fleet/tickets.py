"""Captures kept as tickets: each with keys of its own, in a folder of one name beside it or anywhere in its ticket."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from analyzer.errors import InputError
from analyzer.fleet.places import is_url
from analyzer.keys import KeyRing, load_keys
from analyzer.keys.folder import merged
from analyzer.tickets import TicketFile, is_archive, roots
from analyzer.tickets.archive import unpacked
from analyzer.tickets.sorting import sort

#: Rings a process keeps: captures of one ticket follow each other.
_KEPT = 16


class Tickets:
    """The keys of each capture: those of the run, and those in the folder called ``folder`` beside it, or (``places``)
    those of the ticket that the capture with this path is in.

    ``passphrases`` are for encrypted keys there. A ticket's folder is read once by each process of a run.
    """

    def __init__(
        self,
        common: KeyRing,
        folder: str = "",
        passphrases: tuple[bytes, ...] = (),
        places: Mapping[str, Path] | None = None,
    ) -> None:
        self._common = common
        self._folder = folder
        self._passphrases = passphrases
        self._places = places or {}
        self._rings: OrderedDict[Path, KeyRing] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tickets({self._folder!r})"

    def ring(self, path: str) -> KeyRing:
        """The keys for the capture at ``path``; the run's own ring where no such folder is beside it, or for a URL."""
        if is_url(path):
            return self._common
        place = self._places.get(path)
        if place is None and (packed := in_archive(path)) is not None:
            place = packed[0]
        beside = place or Path(path).parent / self._folder
        if place is None and not (self._folder and beside.is_dir()):
            return self._common
        known = self._rings.get(beside)
        if known is None:
            own = load_keys((beside,), passphrases=self._passphrases) if place is None else self._of_ticket(place)
            known = self._rings[beside] = merged(self._common, own, self._folder or "ticket")
            if len(self._rings) > _KEPT:
                self._rings.popitem(last=False)
        self._rings.move_to_end(beside)
        return known

    def _of_ticket(self, place: Path) -> KeyRing:
        if place.is_file():
            return sort(contents(str(place)), (), self._passphrases).ring
        files = next((files for top, files in roots(place) if top == place), ())
        return sort(files, (), self._passphrases).ring


def in_archive(path: str) -> tuple[Path, str] | None:
    """The archive that ``path`` leads into, and the name in it; None for any other path."""
    whole = Path(path)
    for parent in whole.parents:
        if parent.is_file():
            return parent, whole.relative_to(parent).as_posix()
        if parent.is_dir():
            return None
    return None


@lru_cache(maxsize=1)
def contents(archive: str) -> tuple[TicketFile, ...]:
    """The files of an archive; the last one stays unpacked, since its captures follow each other.

    Raises InputError when it cannot be unpacked.
    """
    return unpacked(Path(archive)).files


def packed_captures(archive: Path) -> tuple[str, ...]:
    """The captures in an archive, each by a path that `in_archive` takes apart; none where it cannot be unpacked."""
    try:
        files = contents(str(archive))
    except InputError:
        return ()
    return tuple(f"{archive}/{item.inside}" for item in files if not item.leftover and item.is_capture)


def archives_below(folder: Path) -> tuple[Path, ...]:
    """The archives below a folder that are tickets, in order; those inside a ticket's folder are left, as they are there."""
    own = {Path(item.path) for _, files in roots(folder) for item in files}
    return tuple(
        path
        for path in sorted(folder.rglob("*"))
        if path not in own and not path.is_symlink() and path.is_file() and is_archive(path)
    )


def places_of(words: Iterable[str]) -> dict[str, Path]:
    """For each capture that is in a ticket below these folders, its path and the ticket's."""
    found: dict[str, Path] = {}
    for word in words:
        if word != "-" and not is_url(word) and Path(word).is_dir():
            for top, files in roots(Path(word)):
                found.update((item.path, top) for item in files if not item.leftover and item.is_capture)
    return found
