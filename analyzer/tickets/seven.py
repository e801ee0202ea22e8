"""7z archives, through py7zr (the extra ``compression``), into memory within bounds.

How it works. What comes out of an entry goes to a writer of our own that stops at a bound, whatever the headers declare.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from py7zr import SevenZipFile
from py7zr.exceptions import ArchiveError
from py7zr.io import Py7zIO, WriterFactory


class Refused(Exception):
    """Why an archive is not unpacked, for people."""


def entries(stream: BinaryIO, most: int, expanded: int) -> Iterator[tuple[str, BinaryIO | None, int]]:
    """Name, bytes (None: no regular file) and size in the archive (1: not known) of each entry.

    Raises Refused: encrypted, damaged, more than ``most`` entries, or more than ``expanded`` bytes would come out.
    """
    out = _Out(expanded)
    try:
        with SevenZipFile(stream) as archive:
            if archive.needs_password():
                raise Refused("it is encrypted")
            infos = archive.list()
            if len(infos) > most:
                raise Refused(f"more than {most:,} files")
            if sum(info.uncompressed or 0 for info in infos) > expanded:
                raise Refused(f"more than {expanded >> 20:,} MB come out of it")
            archive.extractall(factory=out)
    except (ArchiveError, lzma.LZMAError, EOFError, OSError, ValueError, ArithmeticError, LookupError) as error:
        raise Refused("it is damaged, or packed in a way that is not known here") from error
    except MemoryError as error:
        raise Refused("it asks for too much memory") from error
    for info in infos:
        if info.is_directory:
            continue
        held = out.files.get(info.filename)
        yield info.filename, BytesIO(held.data()) if info.is_file and held is not None else None, info.compressed or 1


class _Out(WriterFactory):  # type: ignore[misc,unused-ignore]  # without the extra there is no such class
    """Keeps what comes out."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.files: dict[str, _Kept] = {}

    def create(self, filename: str) -> _Kept:
        kept = self.files[filename] = _Kept(self)
        return kept


class _Kept(Py7zIO):  # type: ignore[misc,unused-ignore]
    """One entry's bytes."""

    def __init__(self, out: _Out) -> None:
        self._out = out
        self._stream = BytesIO()

    def data(self) -> bytes:
        return self._stream.getvalue()

    def write(self, s: bytes | bytearray) -> int:
        self._out.room -= len(s)
        if self._out.room < 0:
            raise Refused("more comes out of it than is allowed")
        return self._stream.write(s)

    def read(self, size: int | None = None) -> bytes:
        return self._stream.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def flush(self) -> None:
        self._stream.flush()

    def size(self) -> int:
        return len(self._stream.getbuffer())
