"""A file of a ticket, on disk or out of an archive, read the same way; and what nobody meant to hand over."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from analyzer.inputs import MAGICS, NAMES

_GZIP: Final = b"\x1f\x8b"
#: What file managers, archivers and editors leave behind.
_LEFTOVERS: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"})
_EDITORS: Final = ("~", ".swp", ".swo", ".swn", ".tmp", ".part", ".crdownload", ".lnk")
#: Files of one folder that are looked at.
MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class TicketFile:
    """``inside``: its path in the ticket, with slashes; ``path``: how a report names it, from where the program was
    started; ``size``: bytes. Out of an archive the bytes are in memory, and no file is written."""

    inside: str
    path: str
    size: int
    mode: int = 0
    data: bytes | None = field(default=None, repr=False)

    def read(self) -> bytes:
        """All of it. Raises OSError."""
        return Path(self.path).read_bytes() if self.data is None else self.data

    def head(self, length: int) -> bytes:
        """The first bytes; empty when it cannot be read."""
        if self.data is not None:
            return self.data[:length]
        try:
            with Path(self.path).open("rb") as stream:
                return stream.read(length)
        except OSError:
            return b""

    def source(self) -> Path | BinaryIO:
        """What a reader takes: the path, or the bytes as a stream."""
        return Path(self.path) if self.data is None else io.BytesIO(self.data)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.inside).name

    @property
    def folder(self) -> str:
        """The folder it is in, inside the ticket; "." for the top."""
        return str(PurePosixPath(self.inside).parent)

    @property
    def leftover(self) -> bool:
        """Whether a tool left it, or it is hidden: nobody meant to hand it over."""
        parts = [part.lower() for part in PurePosixPath(self.inside).parts]
        name = parts[-1] if parts else ""
        hidden = any(part.startswith((".", "~$", "._")) or part in _LEFTOVERS for part in parts)
        return hidden or name.endswith(_EDITORS) or (name.startswith("#") and name.endswith("#"))

    @property
    def is_capture(self) -> bool:
        """Whether it begins like a capture (also behind gzip), or is called like one."""
        return self.name.lower().endswith(NAMES) or self.begins_like_capture

    @property
    def begins_like_capture(self) -> bool:
        """Whether its first bytes are a capture's, also behind gzip."""
        head = self.head(512)
        if head.startswith(_GZIP):
            try:
                head = zlib.decompressobj(wbits=31).decompress(head, 4)
            except zlib.error:
                return False
        return head[:4] in MAGICS


def files_below(folder: Path) -> Iterator[TicketFile]:
    """Every regular file below ``folder``, sorted, at most `MOST`. Links that lead out of it are not followed."""
    real = folder.resolve()
    count = 0
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(here) / name
            try:
                if path.is_symlink() and not path.resolve().is_relative_to(real):
                    continue
                if not path.is_file():
                    continue
                status = path.stat()
            except OSError:
                continue
            count += 1
            if count > MOST:
                return
            yield TicketFile(path.relative_to(folder).as_posix(), str(path), status.st_size, status.st_mode)
