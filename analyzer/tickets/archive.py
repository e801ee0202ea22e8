"""Archives as tickets: zip, tar, tar.gz and (with py7zr) 7z, whatever is in them, read into memory within bounds.

How it works. Nothing is written, so no path can lead anywhere; a name that tries is left out all the same, because it
would be told to people. Sizes in headers are only believed where they are too large: what counts is what comes out.
Links, devices and further archives are left alone. An archive that is over a bound is refused as a whole, in one line.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from analyzer.errors import InputError
from analyzer.tickets.files import TicketFile

_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_GZIP: Final = b"\x1f\x8b"
_TAR: Final = (257, b"ustar")
_SEVEN: Final = b"7z\xbc\xaf\x27\x1c"
_RAR: Final = b"Rar!\x1a\x07"
_STEP: Final = 1 << 20
#: So much of a file tells an archive that is not in a gzip.
_LOOK: Final = 512
_UNPACK: Final = "unpack it, and give the folder"
_ENCRYPTED: Final = 1
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """Entries, bytes that come out in all, times by which one entry may grow (from ``grown_from`` bytes on), folders deep."""

    entries: int = 10_000
    expanded: int = 512 << 20
    ratio: int = 1_000
    grown_from: int = 4 << 20
    depth: int = 32


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The files of an archive, and the names of entries that were left in it."""

    files: tuple[TicketFile, ...]
    left: tuple[str, ...]


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its first bytes (a gzip'ed one: when a tar is inside)."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_LOOK)
            if head.startswith(_GZIP):
                head += stream.read(_STEP // 4)
    except OSError:
        return False
    if head.startswith((_ZIP, _EMPTY_ZIP)) or _is_tar(head):
        return True
    if head.startswith((_SEVEN, _RAR)):
        return True
    if not head.startswith(_GZIP):
        return False
    try:
        return _is_tar(zlib.decompressobj(wbits=31).decompress(head, 512))
    except zlib.error:
        return False


def _is_tar(head: bytes) -> bool:
    at, magic = _TAR
    return head[at : at + len(magic)] == magic


def unpacked(path: Path, limits: ArchiveLimits | None = None) -> Unpacked:
    """Everything in the archive. Raises InputError: cannot be read, is encrypted, or is over a bound."""
    limits = limits or ArchiveLimits()
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            if head.startswith(_RAR):
                raise InputError(str(path), "a RAR archive", _UNPACK)
            stream.seek(0)
            if head.startswith(_SEVEN):
                return _Unpacking(path, limits).of(_seven_entries(path, stream, limits))
            if head.startswith((_ZIP, _EMPTY_ZIP)):
                return _Unpacking(path, limits).of(_zip_entries(path, stream, limits))
            return _Unpacking(path, limits).of(_tar_entries(path, stream, limits))
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or 'input error'}") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise InputError(str(path), "a damaged archive", "copy it again, or unpack what can be unpacked") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry: ``file`` None is no regular file; ``stored`` is its size in the archive, as far as known."""

    name: str
    file: BinaryIO | None
    stored: int = 0


class _Unpacking:
    """What has come out so far."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self._path = path
        self._limits = limits
        self._out = 0

    def of(self, entries: Iterator[_Entry]) -> Unpacked:
        files: dict[str, TicketFile] = {}
        left: list[str] = []
        for number, entry in enumerate(entries):
            if number >= self._limits.entries:
                raise self._refused(f"more than {self._limits.entries:,} files")
            name = self._harmless(entry.name)
            if name is None or entry.file is None or name in files:
                left.append(name or PurePosixPath(entry.name.replace("\\", "/")).name or "?")
                continue
            try:
                data = self._data(entry)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
                left.append(name)
                continue
            files[name] = TicketFile(name, f"{self._path}/{name}", len(data), 0, data)
        return Unpacked(tuple(files[name] for name in sorted(files)), tuple(left))

    def _harmless(self, name: str) -> str | None:
        """The name with slashes and without "./"; None for one that leads out, or is no name."""
        name = name.replace("\\", "/")
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or ":" in parts[0] or len(parts) > self._limits.depth:
            return None
        return None if "\0" in name or len(name) > 1024 else "/".join(parts)

    def _data(self, entry: _Entry) -> bytes:
        assert entry.file is not None
        pieces: list[bytes] = []
        size = 0
        while piece := entry.file.read(_STEP):
            pieces.append(piece)
            size += len(piece)
            self._out += len(piece)
            if self._out > self._limits.expanded:
                raise self._refused(f"more than {self._limits.expanded >> 20:,} MB come out of it")
            if entry.stored and size > self._limits.grown_from and size > self._limits.ratio * entry.stored:
                raise self._refused(f"a file in it grows more than {self._limits.ratio:,}-fold")
        return b"".join(pieces)

    def _refused(self, why: str) -> InputError:
        return InputError(str(self._path), f"an archive that is not unpacked: {why}", _UNPACK)


def _zip_entries(path: Path, stream: BinaryIO, limits: ArchiveLimits) -> Iterator[_Entry]:
    with zipfile.ZipFile(stream) as archive:
        infos = archive.infolist()
        if len(infos) > 2 * limits.entries:
            raise InputError(str(path), f"an archive that is not unpacked: more than {limits.entries:,} files", _UNPACK)
        if any(info.flag_bits & _ENCRYPTED for info in infos):
            raise InputError(str(path), "an encrypted zip archive", "unpack it with its password, and give the folder")
        for info in infos:
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
            if kind not in (0, stat.S_IFREG):
                yield _Entry(info.filename, None)
                continue
            try:
                file = archive.open(info)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
                yield _Entry(info.filename, None)
                continue
            with file:
                yield _Entry(info.filename, file, max(1, info.compress_size))  # type: ignore[arg-type]


def _seven_entries(path: Path, stream: BinaryIO, limits: ArchiveLimits) -> Iterator[_Entry]:
    try:
        from analyzer.tickets import seven
    except ImportError:
        hint = f"{_UNPACK}, or install the extra: pip install 'particle-handshake-analyzer[compression]'"
        raise InputError(str(path), "a 7z archive", hint) from None
    try:
        for name, file, stored in seven.entries(stream, limits.entries, limits.expanded):
            yield _Entry(name, file, stored)
    except seven.Refused as refused:
        raise InputError(str(path), f"an archive that is not unpacked: {refused}", _UNPACK) from None


def _tar_entries(path: Path, stream: BinaryIO, limits: ArchiveLimits) -> Iterator[_Entry]:
    stored = path.stat().st_size
    plain = _Expanded(stream, path, limits, stored)
    with tarfile.open(fileobj=plain, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            yield _Entry(member.name, file)


class _Expanded:
    """The tar, out of its gzip where it is in one; ends in `InputError` where more comes out than is allowed."""

    def __init__(self, stream: BinaryIO, path: Path, limits: ArchiveLimits, stored: int) -> None:
        self._stream = stream
        self._path = path
        self._left = limits.expanded + (limits.entries << 10)
        self._expander = zlib.decompressobj(wbits=31) if stream.read(2) == _GZIP else None
        stream.seek(0)
        self._packed = b""
        self._most = max(limits.grown_from, limits.ratio * stored)

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``."""
        data = self._stream.read(size) if self._expander is None else self._expand(size)
        self._left -= len(data)
        self._most -= len(data)
        if self._left < 0 or (self._expander is not None and self._most < 0):
            raise InputError(str(self._path), "an archive that is not unpacked: too much comes out of it", _UNPACK)
        return data

    def _expand(self, size: int) -> bytes:
        assert self._expander is not None
        while not self._expander.eof:
            self._packed = self._packed or self._stream.read(1 << 16)
            if not self._packed:
                return b""
            data = self._expander.decompress(self._packed, size)
            self._packed = self._expander.unconsumed_tail
            if data:
                return data
        return b""
