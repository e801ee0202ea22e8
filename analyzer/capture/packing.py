"""Compressed data expanded step by step, one layer around another, whatever it claims about its size.

How it works: a `Layer` pulls stored bytes from below and gives expanded ones, at most `CHUNK` a step, so that a bomb costs
time and not memory; the `Budget` that all layers of an input share bounds the time. `opened` looks at the first bytes of
what comes out and puts the next layer on top, at most `_MAX_LAYERS` of them (``x.pcap.gz`` in ``x.tar.xz``). A tar archive is
a layer as well: the first member that begins like a capture.

gzip, bzip2, xz, lzma and tar are the standard library's business (Python 3.14: zstd too), zstd and lz4 need the package's
extra ``compression``; without it that is what the error says. A zip archive has its list at the end, so it needs a file.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from analyzer.capture.records import Notes

CHUNK = 256 * 1024
_MAX_LAYERS = 4
#: Compressed bytes handed over at once: what is lost where they are damaged.
_STEP, _FINE_STEP = 16 * 1024, 64
#: zstd's library bounds no step's output; a block of 4 bytes may be 128 KiB.
_ZSTD_STEP = 512
#: A dictionary of xz or a window of zstd beyond this is refused (bytes).
_MAX_MEMORY = 256 << 20
_TAR_BLOCK, _TAR_MAGIC = 512, slice(257, 262)
_EXTRA = "pip install 'particle-handshake-analyzer[compression]' and it is read, or unpack it first:"
_MAX_MEMBERS = 100_000
#: How a file in an archive begins when it is a capture: pcap in its forms, pcapng, or packed once more.
CAPTURE_MAGICS = (
    b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\xcd\x34", b"\x34\xcd\xb2\xa1", b"\x0a\x0d\x0d\x0a",
)  # fmt: skip

Pull = Callable[[], bytes]


class Expander(Protocol):
    """What the standard library's decompressors have in common."""

    @property
    def eof(self) -> bool:
        """The end of the compressed data was reached."""

    @property
    def unused_data(self) -> bytes:
        """What came behind it."""

    @property
    def needs_input(self) -> bool:
        """Nothing more comes out before more goes in."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most about ``max_length`` expanded bytes; raises an error of its own kind for damaged data."""


class Missing(Exception):
    """It cannot be unpacked here: what it is, and what helps."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.hint = what, hint


@dataclass(frozen=True, slots=True)
class Form:
    """A format: its first bytes, its name, how an expander is made, and how much it is fed at once."""

    magic: bytes
    name: str
    make: Callable[[], Expander]
    step: int = _STEP


class _Gzip:
    """zlib's object, with the interface of the others."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(wbits=31)
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        tail = self._tail + data if self._tail else data
        before = self._object.copy()
        try:
            found = self._object.decompress(tail, max_length)
        except zlib.error as error:
            raise _Damaged(str(error), _salvage(before, tail)) from error
        self._tail = self._object.unconsumed_tail
        return found


class _Damaged(Exception):
    """Damaged data, and what came out in front of the damage."""

    def __init__(self, text: str, salvaged: bytes) -> None:
        super().__init__(text)
        self.salvaged = salvaged


def _salvage(expander: zlib._Decompress, packed: bytes) -> bytes:
    """What ``packed`` expands to before the damage in it: zlib keeps nothing of a call that fails, so in small steps."""
    parts: list[bytes] = []
    try:
        for start in range(0, len(packed), _FINE_STEP):
            parts.append(expander.decompress(packed[start : start + _FINE_STEP]))
    except zlib.error:
        pass
    return b"".join(parts)


class _Zstandard:
    """The package zstandard's object, with the interface of the others; it takes no bound, so it is fed little."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - an extra, without types
        self._object = module.ZstdDecompressor(max_window_size=_MAX_MEMORY).decompressobj()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._object.decompress(data))


def _xz() -> Expander:
    return lzma.LZMADecompressor(memlimit=_MAX_MEMORY)


def _zstd() -> Expander:
    try:
        found: Expander = importlib.import_module("compression.zstd").ZstdDecompressor()
    except ImportError:
        try:
            return _Zstandard(importlib.import_module("zstandard"))
        except ImportError:
            raise Missing("compressed with zstd", f"{_EXTRA} zstd -d") from None
    return found


def _lz4() -> Expander:
    try:
        found: Expander = importlib.import_module("lz4.frame").LZ4FrameDecompressor()
    except ImportError:
        raise Missing("compressed with lz4", f"{_EXTRA} lz4 -d") from None
    return found


FORMS = (
    Form(b"\x1f\x8b", "gzip", _Gzip, CHUNK),
    Form(b"BZh", "bzip2", bz2.BZ2Decompressor),
    Form(b"\xfd7zXZ\x00", "xz", _xz),
    Form(b"\x5d\x00\x00", "lzma", _xz),
    Form(b"\x28\xb5\x2f\xfd", "zstd", _zstd, _ZSTD_STEP),
    Form(b"\x04\x22\x4d\x18", "lz4", _lz4),
)


@dataclass(slots=True)
class Budget:
    """Expanded bytes that all layers of an input may still give; None: no limit."""

    left: int | None = None
    spent: bool = False

    def take(self, size: int) -> None:
        """``size`` bytes came out."""
        if self.left is not None:
            self.left -= size

    @property
    def over(self) -> bool:
        """Nothing is left."""
        return self.left is not None and self.left <= 0


def form_of(head: bytes) -> Form | None:
    """The format that begins so. ``.lzma`` has no magic number but its usual header, with a size in it that makes sense."""
    for form in FORMS:
        if head.startswith(form.magic):
            if form.name == "lzma" and not (len(head) >= 13 and (head[5:13] == b"\xff" * 8 or head[10:13] == bytes(3))):
                continue
            return form
    return None


def opened(pull: Pull, head: bytes, notes: Notes, budget: Budget) -> tuple[Pull, bytes, list[str]]:
    """Every layer taken off: where the bytes come from, the first of them, and the names of the layers, outermost first.

    Raises `Missing` where a library is not there.
    """
    names: list[str] = []
    while len(names) < _MAX_LAYERS:
        form = form_of(head)
        if form is None:
            # tar shows itself behind 257 bytes.
            while len(head) < _TAR_BLOCK and names and head and (more := pull()):
                head += more
            if head[_TAR_MAGIC] != b"ustar":
                break
            layer: Layer | TarMember = TarMember(_behind(head, pull), notes)
            names.append("tar")
        else:
            layer = Layer(_behind(head, pull), form, notes, budget)
            names.append(form.name)
        pull = layer.more
        head = pull()
    return pull, head, names


def _behind(head: bytes, pull: Pull) -> Pull:
    """``head`` first, then what ``pull`` gives."""
    parts = [head]
    return lambda: parts.pop() if parts else pull()


class Layer:
    """Expanded bytes of any number of members, one behind the other."""

    def __init__(self, pull: Pull, form: Form, notes: Notes, budget: Budget) -> None:
        self._pull, self._form, self._notes, self._budget = pull, form, notes, budget
        self._packed = b""
        self._expander: Expander | None = form.make()

    def more(self) -> bytes:
        """The next expanded bytes; empty at the end, and where the data is damaged, cut off or too much (which is noted)."""
        name = self._form.name
        while self._expander is not None:
            if self._budget.over:
                if not self._budget.spent:
                    self._budget.spent = True
                    self._notes.add(
                        "limit-bytes", f"the {name} file expands to more than the limit; the rest was not read"
                    )
                self._expander = None
                break
            if self._expander.needs_input and not self._packed:
                self._packed = self._pull()
                if not self._packed:
                    if not self._notes.stopped:
                        self._notes.add("cut-short", f"the {name} file ends in the middle of its compressed data")
                    self._expander = None
                    break
            step = b""
            if self._expander.needs_input:
                step, self._packed = self._packed[: self._form.step], self._packed[self._form.step :]
            try:
                data = self._expander.decompress(step, CHUNK)
            except Exception as error:  # each library has its own errors, and bad data is data
                self._notes.add("damaged-gzip", f"the {name} data is damaged: {str(error)[:120]}")
                self._expander = None
                return error.salvaged if isinstance(error, _Damaged) else b""
            if self._expander.eof:
                self._packed = (self._expander.unused_data or b"") + self._packed  # lz4 says None
                if len(self._packed) < len(self._form.magic):
                    self._packed += self._pull()
                # Further members may follow; anything else behind the last one is padding, as gzip(1) has it.
                again = self._packed.startswith(self._form.magic) and self._form.name != "lzma"
                self._expander = self._form.make() if again else None
            self._budget.take(len(data))
            if data:
                return data
        return b""


class TarMember:
    """The first member of a tar archive (POSIX.1-1988 and its successors) that begins like a capture; the rest is counted."""

    def __init__(self, pull: Pull, notes: Notes) -> None:
        self._pull, self._notes = pull, notes
        self._data = b""
        self._left = 0
        self._found = self._ended = False
        self._members = self._padding = 0

    def more(self) -> bytes:
        """The member's next bytes; empty at its end."""
        if not self._found and not self._search():
            return b""
        if not self._left:
            self._rest()
            return b""
        if not self._data:
            self._data = self._pull()
        data, self._data = self._data[: self._left], self._data[self._left :]
        if not data:
            if not self._notes.stopped:
                self._notes.add("cut-short", "the tar archive ends in the middle of a file")
            self._left, self._ended = 0, True
        self._left -= len(data)
        return data

    def _need(self, size: int) -> bool:
        while len(self._data) < size:
            data = self._pull()
            if not data:
                self._ended = True
                return False
            self._data += data
        return True

    def _skip(self, size: int) -> None:
        while size > 0 and not self._ended:
            if not self._data:
                self._need(1)
            dropped = min(size, len(self._data))
            self._data, size = self._data[dropped:], size - dropped

    def _search(self) -> bool:
        """Goes on to the next member that begins like a capture."""
        while not self._ended and self._members < _MAX_MEMBERS and self._need(_TAR_BLOCK):
            block, self._data = self._data[:_TAR_BLOCK], self._data[_TAR_BLOCK:]
            if block[_TAR_MAGIC] != b"ustar":
                break
            self._members += 1
            size = _tar_size(block[124:136])
            padded = (size + _TAR_BLOCK - 1) // _TAR_BLOCK * _TAR_BLOCK
            plain = block[156:157] in (b"0", b"\0", b"7") and size >= 4 and self._need(min(size, 16))
            if plain and (self._data.startswith(CAPTURE_MAGICS) or form_of(self._data[:16]) is not None):
                if not self._found:
                    self._found, self._left, self._padding = True, size, padded - size
                return True
            self._skip(padded)
        return False

    def _rest(self) -> None:
        """Whether more captures follow: they are not read."""
        if self._ended:
            return
        self._skip(self._padding)
        if self._search():
            self._notes.add(
                "more-captures", "the archive holds more than one capture; only the first was read: unpack it"
            )
        self._ended = True


def _tar_size(field: bytes) -> int:
    """A number in octal digits, or with the top bit set in base 256."""
    if field[:1] >= b"\x80":
        return int.from_bytes(field[4:], "big")
    text = field.strip(b" \0")
    return int(text, 8) if text and all(digit in b"01234567" for digit in text) else 0


class Once:
    """What of a file's interface a stream needs that is read once, in front to back."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes; empty at the end."""
        raise NotImplementedError

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """`read` into a buffer."""
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seekable(self) -> bool:
        """It is read once."""
        return False


class ZipMember(Once):
    """The first member of a zip archive that begins like a capture, as a file that is read once."""

    def __init__(self, file: BinaryIO, notes: Notes) -> None:
        """Raises `Missing` with the reason when there is none, or it cannot be read."""
        try:
            archive = zipfile.ZipFile(file)
            infos = [info for info in archive.infolist()[:_MAX_MEMBERS] if not info.is_dir()]
        except Exception as error:  # zipfile raises what it likes on a damaged list
            raise Missing(f"the zip archive cannot be read: {str(error)[:80]}") from error
        if infos and all(info.flag_bits & 1 for info in infos):
            raise Missing("an encrypted zip archive", "unpack it with its password")
        found = []
        for info in infos:
            if not info.flag_bits & 1 and info.file_size >= 4 and _begins(archive, info):
                found.append(info)
                if len(found) > 1:
                    notes.add(
                        "more-captures", "the archive holds more than one capture; only the first was read: unpack it"
                    )
                    break
        if not found:
            raise Missing(f"a zip archive without a capture in it ({len(infos):,} files)")
        try:
            self._stream = archive.open(found[0])
        except Exception as error:  # as above
            raise Missing(f"the zip archive cannot be read: {str(error)[:80]}") from error
        self._notes = notes

    def read(self, size: int = -1) -> bytes:
        """The next bytes; damage ends them, and is noted."""
        try:
            return self._stream.read(CHUNK if size < 0 else min(size, CHUNK))
        except Exception as error:  # zipfile and the decompressors behind it raise what they like on bad data
            if not self._notes.stopped:
                self._notes.stopped = True
                self._notes.add("damaged-gzip", f"the zip archive is damaged: {str(error)[:80]}")
            return b""


def _begins(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member begins like a capture; one that cannot be opened does not."""
    try:
        with archive.open(info) as stream:
            head = stream.read(16)
    except Exception:  # as in `ZipMember.read`
        return False
    return head.startswith(CAPTURE_MAGICS) or form_of(head) is not None
