"""Captures kept as tickets: each with a folder of keys beside it that are for that capture alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from analyzer.fleet.places import is_url
from analyzer.keys import KeyRing, load_keys
from analyzer.keys.folder import settle_roles

#: Rings a process keeps: captures of one ticket follow each other.
_KEPT = 16


class Tickets:
    """The keys of each capture: those of the run, and those in the folder called ``folder`` beside it.

    ``passphrases`` are for encrypted keys there. A ticket's folder is read once by each process of a run.
    """

    def __init__(self, common: KeyRing, folder: str, passphrases: tuple[bytes, ...] = ()) -> None:
        self._common = common
        self._folder = folder
        self._passphrases = passphrases
        self._rings: OrderedDict[Path, KeyRing] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tickets({self._folder!r})"

    def ring(self, path: str) -> KeyRing:
        """The keys for the capture at ``path``; the run's own ring where no such folder is beside it, or for a URL."""
        beside = Path(path).parent / self._folder
        if is_url(path) or not beside.is_dir():
            return self._common
        known = self._rings.get(beside)
        if known is None:
            own = load_keys((beside,), passphrases=self._passphrases)
            known = self._rings[beside] = _together(self._common, own, self._folder)
            if len(self._rings) > _KEPT:
                self._rings.popitem(last=False)
        self._rings.move_to_end(beside)
        return known


def _together(common: KeyRing, own: KeyRing, folder: str) -> KeyRing:
    """Both rings as one. A file whose name the run's keys have too is told apart by the folder it is in."""
    taken = {key.file for key in common.keys}
    renamed = (replace(key, file=f"{folder}/{key.file}") if key.file in taken else key for key in own.keys)
    both = f"{common.fingerprint_of_folder}/{own.fingerprint_of_folder}"
    return KeyRing(
        settle_roles([*renamed, *common.keys]),
        (*own.skipped, *common.skipped),
        sha256(both.encode()).hexdigest(),
        (*own.findings, *common.findings),
    )
