"""The bytes of a log as they are stored: a file or a pipe, gzip'ed or not, hashed as they pass, never more than a bound.

How it works. Chunks of the input are expanded where they begin like gzip, step by step with a bounded output, so that a
bomb costs time and not memory; the bound on what comes out ends it. Damage ends the text where it is; what came before counts.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b"
_WBITS = 31  # zlib: with a gzip header
_HEAD = 3


class StoredLog:
    """The text of ``file``, at most ``limit`` bytes of it (expanded). Afterwards: what was read, and why not all."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self._hash = hashlib.sha256()
        self._drained = False
        #: Bytes of the input as stored.
        self.size = 0
        #: Why the text ends before the log does, in words; None when it does not.
        self.problem: str | None = None

    def lines(self, longest: int) -> Iterator[str]:
        """Lines without their ends, UTF-8 or UTF-16; of a line longer than ``longest`` characters the beginning."""
        data = io.BufferedReader(_Chunks(self._bounded()), _CHUNK)
        head = data.peek(_HEAD)[:_HEAD]
        encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        if head[1:2] == b"\0" != head[:1]:  # without the mark at its start
            encoding = "utf-16-le"
        text = io.TextIOWrapper(data, encoding, errors="replace", newline=None)
        fresh = True
        while piece := text.readline(longest):
            if fresh:
                yield piece.rstrip("\n")
            fresh = piece.endswith("\n")

    def sha256(self) -> str | None:
        """Hex digest of the input as stored; None when it was not read to its end."""
        return self._hash.hexdigest() if self._drained else None

    def drain(self) -> None:
        """Read the rest for the hash: only for what has an end."""
        while self._stored():
            pass

    def _stored(self) -> bytes:
        # A pipe gives what is there: a log that is still being written is read line by line.
        read = getattr(self._file, "read1", self._file.read)
        data: bytes = read(_CHUNK)
        self._drained = self._drained or not data
        self._hash.update(data)
        self.size += len(data)
        return data

    def _bounded(self) -> Iterator[bytes]:
        for data in self._text():
            if len(data) > self._left:
                yield data[: self._left]
                self.problem = "it is longer than the limit, and the rest was not read"
                return
            self._left -= len(data)
            yield data

    def _text(self) -> Iterator[bytes]:
        data = self._stored()
        while data and len(data) < len(_GZIP):
            more = self._stored()
            if not more:
                break
            data += more
        if data.startswith(_GZIP):
            yield from self._expanded(data)
            return
        while data:
            yield data
            data = self._stored()

    def _expanded(self, packed: bytes) -> Iterator[bytes]:
        """Any number of gzip members; what is behind the last one is padding, as gzip(1) has it."""
        while packed.startswith(_GZIP):
            expander = zlib.decompressobj(wbits=_WBITS)
            while not expander.eof:
                packed = packed or self._stored()
                if not packed:
                    self.problem = "the gzip file ends in the middle of its compressed data"
                    return
                try:
                    data = expander.decompress(packed, _CHUNK)
                except zlib.error:
                    self.problem = "the gzip data is damaged"
                    return
                packed = expander.unused_data if expander.eof else expander.unconsumed_tail
                if data:
                    yield data
            while len(packed) < len(_GZIP) and (more := self._stored()):
                packed += more


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # any writable buffer
        """The next bytes."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
