"""From the words on the command line to the capture files they mean."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from analyzer.errors import InputError

#: First bytes of what may be a capture: pcap in both byte orders and precisions, its modified form, pcapng, gzip.
MAGICS = (
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\xcd\x34",
    b"\x34\xcd\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",
)
_GZIP = b"\x1f\x8b"
#: Names in a folder that a mistyped one is compared with, and how alike they must be (0 to 1).
_LOOKED_AT = 2_000
_NEAR_MISS = 0.8
#: How capture files are called.
NAMES = (
    *(".pcap", ".pcapng", ".cap", ".dmp", ".ntar", ".snoop", ".erf", ".ncf", ".5vw", ".trc1", ".btsnoop"),
    *(
        name + packed
        for name in (".pcap", ".pcapng", ".cap")
        for packed in (".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4")
    ),
)


def expand(words: Iterable[str]) -> tuple[str, ...]:
    """The capture paths ``words`` mean, in order, each once; ``-`` stays.

    A folder is searched recursively for files that begin like a capture (or are called like one: those are
    then reported when they are not). Raises InputError for a path that does not exist and for a folder without captures.
    """
    found: dict[str, None] = {}
    for word in words:
        if word == "-":
            found[word] = None
            continue
        path = Path(word)
        if path.is_dir():
            inside = [
                str(item)
                for item in sorted(path.rglob("*"))
                if item.is_file() and not _left_behind(item.relative_to(path)) and _looks_like_capture(item)
            ]
            if not inside:
                raise InputError(word, "no captures in this folder", "captures are .pcap or .pcapng files, also .gz")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[word] = None
        else:
            matches = sorted(glob.glob(word, recursive=True)) if glob.has_magic(word) else []  # noqa: PTH207 - Path.glob knows no absolute pattern
            if not matches:
                raise InputError(word, "no such file or folder", _meant(path))
            found.update(dict.fromkeys(expand(matches)))
    return tuple(found)


def _meant(path: Path) -> str:
    """A name beside a path that is not there and that it is nearly: a slip of the finger."""
    try:
        names = [item.name for item in islice(path.parent.iterdir(), _LOOKED_AT)]
    except OSError:
        return ""
    near = get_close_matches(path.name, names, 1, _NEAR_MISS)
    return f"did you mean {path.parent / near[0]}?" if near else ""


def _left_behind(path: Path) -> bool:
    """Whether macOS left a file beside the one meant (`__MACOSX/`, `._NAME`)."""
    return "__MACOSX" in path.parts or path.name.startswith("._")


def _looks_like_capture(path: Path) -> bool:
    if path.name.lower().endswith(NAMES):
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(4)
    except OSError:
        return False
    return head in MAGICS
