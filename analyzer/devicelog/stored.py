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
        decode: io.IncrementalNewlineDecoder | None = None
        rest, skips = "", False
        for data in self._whole_head():
            if decode is None:
                decode = io.IncrementalNewlineDecoder(_decoder(data[:_HEAD]), translate=True)
            pieces = (rest + decode.decode(data)).split("\n")
            rest = pieces.pop()
            if skips and pieces:
                # The end of a line whose beginning was given out.
                del pieces[0]
                skips = False
            for piece in pieces:
                yield piece if len(piece) <= longest else piece[:longest]
            if skips:
                rest = ""
            elif len(rest) > longest:
                yield rest[:longest]
                rest, skips = "", True
        rest += decode.decode(b"", final=True) if decode is not None else ""
        if rest and not skips:
            yield rest.removesuffix("\n")[:longest]

    def _whole_head(self) -> Iterator[bytes]:
        """The chunks, the first of them long enough to tell an encoding by it."""
        chunks = self._bounded()
        head = b""
        for data in chunks:
            head += data
            if len(head) >= _HEAD:
                break
        if head:
            yield head
        yield from chunks

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


def _decoder(head: bytes) -> codecs.IncrementalDecoder:
    """By the mark at the start of a text, or the zero bytes of one without it."""
    encoding = "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    if head[1:2] == b"\0" != head[:1]:
        encoding = "utf-16-le"
    return codecs.getincrementaldecoder(encoding)(errors="replace")
