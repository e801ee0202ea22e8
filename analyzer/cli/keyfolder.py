"""Key folders as options give them: passphrases, progress, and what cannot be read."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors import InputError
from analyzer.safe import printable

if TYPE_CHECKING:
    from analyzer.keys import KeyRing

_PROGRESS_FROM = 500


def load(paths: Sequence[Path], passphrase_file: Path | None) -> KeyRing:
    """The keys of these folders and files. Raises InputError for a path that is not there or cannot be read."""
    from analyzer.keys import load_keys

    for path in paths:
        if not path.exists():
            raise InputError(str(path), "no such key file or folder", "give --keys a folder or file that exists")
    progress = _progress if sys.stderr.isatty() else None
    known = passphrases(passphrase_file)
    ring = load_keys(tuple(paths), passphrases=known, progress=progress)
    while locked := [key.file for key in ring.keys if key.status == "unusable" and _needs_passphrase(key.problem)]:
        if passphrase_file is not None or not (sys.stdin.isatty() and sys.stderr.isatty()):
            break
        try:
            given = getpass.getpass(f"passphrase for {printable(locked[0])} (empty: go on without): ").encode()
        except EOFError:  # Ctrl-D: no more is given
            given = b""
        if not given:
            break
        known = (*known, given)
        ring = load_keys(tuple(paths), passphrases=known)
    _say_where_none_is(paths, ring)
    return ring


def _say_where_none_is(paths: Sequence[Path], ring: KeyRing) -> None:
    """A note for each place that was given for its keys and holds none: easily the wrong folder."""
    for path in paths:
        if not ring.keys or (path.is_dir() and not any(item.is_file() for item in path.rglob("*"))):
            print(printable(f"analyze: {path}: no key was found there"), file=sys.stderr)


def _needs_passphrase(problem: str | None) -> bool:
    return problem is not None and "passphrase" in problem


def passphrases(path: Path | None) -> tuple[bytes, ...]:
    """The lines of the passphrase file. Raises InputError when it cannot be read."""
    if path is None:
        return ()
    try:
        return tuple(line for line in path.read_bytes().splitlines() if line)
    except OSError as error:
        raise InputError(
            str(path), error.strerror or "cannot be read", "--passphrase-file names a file with one passphrase a line"
        ) from error


def _progress(done: int, total: int) -> None:
    if total < _PROGRESS_FROM:
        return
    width = 30
    filled = width * done // max(total, 1)
    end = "\n" if done >= total else ""
    sys.stderr.write(f"\rreading keys [{'#' * filled}{'.' * (width - filled)}] {done}/{total}{end}")
    sys.stderr.flush()
