"""From the words of a command line to the captures of a run, in an order that depends on them alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from analyzer.errors import InputError
from analyzer.fleet.places import expand_url, is_url
from analyzer.fleet.tickets import archives_below, packed_captures
from analyzer.inputs import expand
from analyzer.tickets import is_archive

#: First bytes of captures: somebody piped one in where a list is due.
_CAPTURE = (b"\xa1\xb2", b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\x1f\x8b")
#: The largest captures first from this size on, so that none of them is begun last.
_LARGE = 8 << 20


def listed(words: Iterable[str], stream: BinaryIO | None = None) -> tuple[str, ...]:
    """The captures of folders, globs, URLs, archives and, for ``-``, of the list on standard input; each once, large ones
    first. One in an archive is named by the archive's path and its own in it.

    Raises InputError for what does not exist. A name on the list that does not exist is kept: it becomes a row.
    """
    found: dict[str, None] = {}
    for word in words:
        if word == "-":
            for name in _names(stream if stream is not None else sys.stdin.buffer):
                found.update(dict.fromkeys(_lenient(name)))
        elif is_url(word):
            found.update(dict.fromkeys(expand_url(word)))
        else:
            found.update(dict.fromkeys(_inside(word)))
    sizes = {name: _size(name) for name in found}
    return tuple(sorted(found, key=lambda name: -sizes[name] if sizes[name] >= _LARGE else 0))


def _inside(word: str) -> Iterable[str]:
    """The captures a word means; of an archive, or of those in a folder, what is in them. One that cannot be unpacked
    stays: it becomes a row."""
    path = Path(word)
    if path.is_file() and is_archive(path):
        return packed_captures(path) or (word,)
    packed = archives_below(path) if path.is_dir() else ()
    try:
        plain = expand((word,))
    except InputError:
        if not packed:
            raise
        plain = ()
    apart = [str(archive) for archive in packed]
    inside = [name for archive in packed for name in packed_captures(archive) or (str(archive),)]
    return dict.fromkeys((*(name for name in plain if name not in apart), *inside))


def _names(stream: BinaryIO) -> list[str]:
    """One name a line, or ended by zero bytes (``find -print0``)."""
    data = stream.read()
    if data.startswith(_CAPTURE):
        raise InputError(
            "-", "a capture on standard input", "batch expects a list of paths there; `analyze -` reads a capture"
        )
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [line.decode("utf-8", "surrogateescape") for line in lines if line.strip()]


def _lenient(name: str) -> tuple[str, ...]:
    if is_url(name):
        return (name,)
    return tuple(_inside(name)) if Path(name).exists() else (name,)


def _size(name: str) -> int:
    try:
        return 0 if is_url(name) else Path(name).stat().st_size
    except (OSError, ValueError):
        return 0
