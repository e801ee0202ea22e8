"""From the words of a command line to tickets and plain captures, in order.

A folder is a ticket when captures and keys or logs lie in it; when its captures all lie in folders below that are tickets
themselves, each of those is one. A folder of captures only is what it always was: captures in a row.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from analyzer.inputs import expand
from analyzer.tickets.archive import is_archive
from analyzer.tickets.files import TicketFile, files_below
from analyzer.tickets.sorting import may_be_key_or_log

#: A ticket's place and its files.
Found = tuple[Path, tuple[TicketFile, ...]]

#: Folders of a ticket that are no tickets of their own, whatever lies in them.
_PARTS: Final = frozenset({"keys", "captures", "pcaps", "pcap", "logs", "core_keys", "devicekeys", "data"})
#: Folders are not looked into for tickets deeper than this.
_DEPTH: Final = 32


def roots(folder: Path) -> tuple[Found, ...]:
    """The tickets in ``folder``, each with its files; none when it holds captures and nothing to judge them by."""
    files = list(files_below(folder))
    captures = frozenset(item.path for item in files if not item.leftover and item.is_capture)
    return tuple(_roots(folder, "", files, captures))


def _roots(top: Path, prefix: str, files: Sequence[TicketFile], captures: frozenset[str], deep: int = 0) -> list[Found]:
    if not any(item.path in captures for item in files):
        return []
    below: dict[str, list[TicketFile]] = {}
    rest: list[TicketFile] = []
    for item in files:
        first, _, more = item.inside.removeprefix(prefix).partition("/")
        apart = more and first.lower() not in _PARTS and deep < _DEPTH
        (below.setdefault(first, []) if apart else rest).append(item)
    found: list[Found] = []
    for name in sorted(below):
        inside = _roots(top, f"{prefix}{name}/", below[name], captures, deep + 1)
        found += inside
        own = {item.path for _, items in inside for item in items}
        rest += [item for item in below[name] if item.path not in own]
    evidence = any(item.path not in captures and may_be_key_or_log(item) for item in rest)
    if evidence and any(item.path in captures for item in rest):
        here = tuple(_moved(item, prefix) for item in sorted(rest, key=lambda item: item.inside))
        return [(top / prefix, here), *found]
    return found


def _moved(item: TicketFile, prefix: str) -> TicketFile:
    return TicketFile(item.inside.removeprefix(prefix), item.path, item.size, item.mode, item.data)


def gather(words: Iterable[str]) -> tuple[str | Found | Path, ...]:
    """What ``words`` mean, in order: captures by their path (``-`` stays), tickets with their files, archives as paths.

    Raises InputError for a path that does not exist, and for a folder with nothing in it to read.
    """
    found: dict[object, str | Found | Path] = {}
    for word in words:
        path = Path(word)
        if word != "-" and not path.exists() and glob.has_magic(word):
            for match in gather(sorted(glob.glob(word, recursive=True)) or expand((word,))):  # noqa: PTH207
                found.setdefault(match[0] if isinstance(match, tuple) else match, match)
        elif word != "-" and path.is_dir():
            tickets = roots(path)
            inside = {item.path for _, files in tickets for item in files}
            if not tickets:
                found.update((name, name) for name in expand((word,)))
                continue
            for top, files in tickets:
                found.setdefault(top, (top, files))
            found.update((name, name) for name in expand((word,)) if name not in inside)
        elif word != "-" and path.is_file() and is_archive(path):
            found.setdefault(path, path)
        else:
            found.update((name, name) for name in expand((word,)))
    return tuple(found.values())
