"""Tickets on the command line: what a word means, what each file was taken for, and keys that lie beside a capture."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.cli.keyfolder import passphrases
from analyzer.safe import printable

if TYPE_CHECKING:
    from analyzer.cli.capturing import Request
    from analyzer.tickets import Ticket

#: How the folder is called that people keep keys in, beside a capture.
_BESIDE = ("keys", "core_keys", "deviceKeys")
#: Files of a ring buffer that are named in a line.
_NAMED = 8


def inputs_of(request: Request) -> tuple[str | Ticket, ...]:
    """Captures by their paths, tickets read. Raises InputError for what is not there or cannot be unpacked."""
    words = tuple(request.paths or ())
    if words and all(word == "-" or (Path(word).is_file() and not _archived(word)) for word in words):
        if not request.keys and not request.quiet:
            _say_what_lies_beside(words)
        if len(words) > 1 and not request.quiet:
            _say_what_goes_on(words)
        return tuple(dict.fromkeys(words))
    from analyzer.tickets import Ticket, gather

    found: list[str | Ticket] = []
    for item in gather(words):
        if isinstance(item, str):
            found.append(item)
            continue
        ticket = Ticket.of(item, passphrases(request.passphrase_file))
        found.append(ticket)
        if request.verbose:
            for line in ticket.told():
                print(printable(f"analyze: {ticket.place}: {line}"), file=sys.stderr)
    return tuple(found)


def _archived(word: str) -> bool:
    from analyzer.tickets.archive import is_archive

    return is_archive(Path(word))


def _say_what_goes_on(words: tuple[str, ...]) -> None:
    """A line on files of a ring buffer that are given one by one: a session may go over several of them."""
    from analyzer.tickets.pieces import ring_buffer

    run = ring_buffer(words)
    if run:
        files = " ".join(map(shlex.quote, run[:_NAMED])) + (" ..." if len(run) > _NAMED else "")
        told = (
            f"{len(run)} of these files go on from one another; sessions may, too: mergecap -a -w joined.pcapng {files}"
        )
        print(printable(f"analyze: {told}"), file=sys.stderr)


def _say_what_lies_beside(words: tuple[str, ...]) -> None:
    """A line for each folder of keys beside a capture that nothing reads."""
    told: dict[Path, str] = {}
    for word in words:
        if word == "-":
            continue
        for name in _BESIDE:
            folder = Path(word).parent / name
            if folder.is_dir() and any(item.is_file() for item in folder.iterdir()):
                told.setdefault(folder, word)
    for folder, word in told.items():
        told_line = f"analyze: keys lie beside {Path(word).name}: add --keys {shlex.quote(str(folder))}"
        print(printable(told_line), file=sys.stderr)
