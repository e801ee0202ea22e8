"""Captures kept as tickets: each with keys of its own, in a folder of one name beside it or anywhere in its ticket."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path

from analyzer.fleet.places import is_url
from analyzer.keys import KeyRing, load_keys
from analyzer.keys.folder import merged
from analyzer.tickets import roots
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
        place = self._places.get(path)
        beside = place or Path(path).parent / self._folder
        if is_url(path) or not beside.is_dir() or not (place or self._folder):
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
        files = next((files for top, files in roots(place) if top == place), ())
        return sort(files, (), self._passphrases).ring


def places_of(words: Iterable[str]) -> dict[str, Path]:
    """For each capture that is in a ticket below these folders, its path and the ticket's."""
    found: dict[str, Path] = {}
    for word in words:
        if word != "-" and not is_url(word) and Path(word).is_dir():
            for top, files in roots(Path(word)):
                found.update((item.path, top) for item in files if not item.leftover and item.is_capture)
    return found
