"""What people give without its option: keys and logs beside captures, and the other way round."""

from __future__ import annotations

import shlex
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from analyzer.safe import printable

if TYPE_CHECKING:
    from analyzer.cli.capturing import Request

#: Files of a folder that are looked at to tell what it holds.
_LOOKED_AT: Final = 2_000


def sorted_out(request: Request) -> Request:
    """The request with keys and logs that stand among its captures given to their options, each told in a line.

    Only beside a capture: what is given alone keeps its meaning, and its error.
    """
    words = tuple(request.paths or ())
    found = {word: _taken_for(word) for word in words} if len(words) > 1 else {}
    if not {"keys", "log"} & set(found.values()) or "capture" not in found.values():
        return request
    keys = [Path(word) for word in words if found[word] == "keys"]
    logs = [Path(word) for word in words if found[word] == "log"]
    if not request.quiet:
        for option, paths, what in (("--keys", keys, "holds keys"), ("--log", logs, "is a log")):
            for path in paths:
                told = f"analyze: {path} {what} and is no capture: used as {option} {shlex.quote(str(path))}"
                print(printable(told), file=sys.stderr)
    return request._replace(
        paths=[word for word in words if found[word] == "capture"],
        keys=[*(request.keys or ()), *keys],
        log=[*(request.log or ()), *logs],
    )


def _taken_for(word: str) -> str:
    """What a word of the command line is: "capture" (also what may be one), "keys" or "log"."""
    from analyzer.tickets.files import TicketFile, files_below
    from analyzer.tickets.sorting import is_key_by_name, is_log

    path = Path(word)
    if word == "-" or not path.exists():
        return "capture"
    if path.is_dir():
        files = [item for item in islice(files_below(path), _LOOKED_AT) if not item.leftover]
        plain = any(item.is_capture for item in files) or not any(is_key_by_name(item) for item in files)
        return "capture" if plain else "keys"
    item = TicketFile(path.name, word, path.stat().st_size)
    if item.is_capture:
        return "capture"
    if is_key_by_name(item):
        return "keys"
    return "log" if is_log(item) else "capture"


def begins_like_capture(path: Path) -> bool:
    """Whether a file that was given as something else is a capture."""
    if not path.is_file():
        return False
    from analyzer.tickets.files import TicketFile

    return TicketFile("", str(path), 0).begins_like_capture
