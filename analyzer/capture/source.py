"""Bytes of an input, in order, once: a file or a pipe, gzip'ed or not, hashed as they pass.

How it works: `more(n)` is the only way in. It hands out at least ``n`` bytes (fewer only at the end), so that a reader
keeps a window over the file and never the file. gzip is recognised by its magic number and expanded chunk by chunk,
with the output of each step bounded, so a bomb costs time and not memory.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from typing import BinaryIO
from weakref import WeakSet

from analyzer.capture.records import Limits, Notes

CHUNK = 256 * 1024
_GZIP = b"\x1f\x8b"
_STEP = 64


class Source:
    """Streams ``file``. Ends early, with a note, on a read error, damaged gzip data or a limit."""

    def __init__(self, file: BinaryIO, notes: Notes, limits: Limits) -> None:
        self._file = file
        self._notes = notes
        self._left = limits.expanded
        self._hash = hashlib.sha256()
        #: Hashes what the caller is looking at meanwhile; OpenSSL works outside Python's lock.
        self._hashing: threading.Thread | None = None
        #: Everything of the file has been read and hashed.
        self.drained = False
        self._stopped = False
        #: Compressed bytes not expanded yet, and the expander; None when the file is not gzip'ed.
        self._packed = b""
        self._expander: zlib._Decompress | None = None
        self._head = self._raw()
        while self._head and len(self._head) < len(_GZIP):
            more = self._raw()
            if not more:
                break
            self._head += more
        self.gzip = self._head.startswith(_GZIP)
        if self.gzip:
            self._packed, self._head = self._head, b""
            self._expander = zlib.decompressobj(wbits=31)

    def _raw(self) -> bytes:
        """The next stored bytes; empty at the end or after a read error."""
        if self.drained or self._stopped:
            return b""
        try:
            data = self._file.read(CHUNK)
        except OSError as error:
            self._stopped = True
            self._notes.add("read-error", f"reading stopped: {error.strerror or error}")
            return b""
        if not data:
            self.drained = True
        self.settle()
        self._hash.update(data)
        return data

    def fill(self, window: bytearray, start: int, end: int) -> int:
        """Puts the next bytes into ``window[start:end]``; the offset behind them, less than ``end`` only when the input ends.

        They stay as they are until the next call: they are hashed meanwhile.
        """
        self.settle()
        at = start
        while at < end:
            if not self.gzip and not self._head:
                return self._read_into(window, at, end)
            data = self.more(1)
            if not data:
                break
            taken = data[: end - at]
            window[at : at + len(taken)] = taken
            at += len(taken)
            self._head = data[len(taken) :]
        return at

    def _read_into(self, window: bytearray, start: int, end: int) -> int:
        with memoryview(window)[start:end] as view:
            at = 0
            while at < len(view) and not self.drained and not self._stopped:
                try:
                    taken = self._file.readinto(view[at:])  # type: ignore[attr-defined]  # every binary reader has it
                except OSError as error:
                    self._stopped = True
                    self._notes.add("read-error", f"reading stopped: {error.strerror or error}")
                    break
                if not taken:
                    self.drained = True
                at += taken or 0
        if at:
            self._hashing = threading.Thread(target=_hash, args=(self._hash, memoryview(window)[start : start + at]))
            self._hashing.start()
            _at_work.add(self)
        return start + at

    def settle(self) -> None:
        """Waits until everything handed out is hashed."""
        if self._hashing is not None:
            self._hashing.join()
            self._hashing = None
            _at_work.discard(self)

    def more(self, minimum: int) -> bytes:
        """At least ``minimum`` more bytes, usually a chunk; fewer only when the input ends."""
        parts: list[bytes] = []
        have = 0
        if self.gzip and self._head:
            parts, self._head = [self._head], b""
            have = len(parts[0])
        while have < minimum:
            data = self._expanded() if self.gzip else self._plain()
            if not data:
                break
            parts.append(data)
            have += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, length: int) -> bytes | None:
        """Drops the next ``length`` bytes; what was read beyond them, or None when the input ends before."""
        while length > 0:
            data = self.more(1)
            if not data:
                return None
            if len(data) > length:
                return data[length:]
            length -= len(data)
        return b""

    def _plain(self) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._raw()

    def _expanded(self) -> bytes:
        """The next expanded bytes of any number of gzip members."""
        while self._expander is not None:
            if self._left is not None and self._left <= 0:
                self._notes.add("limit-bytes", "the gzip file expands to more than the limit; the rest was not read")
                self._expander = None
                break
            if not self._packed:
                self._packed = self._raw()
                if not self._packed:
                    if not self._stopped:
                        self._notes.add("cut-short", "the gzip file ends in the middle of its compressed data")
                    self._expander = None
                    break
            before = self._expander.copy()
            try:
                data = self._expander.decompress(self._packed, CHUNK)
            except zlib.error as error:
                self._notes.add("damaged-gzip", f"the gzip data is damaged: {error}")
                self._expander = None
                return _salvage(before, self._packed)
            if self._expander.eof:
                self._packed = self._expander.unused_data or self._raw()
                # Further members may follow; anything else behind the last one is padding, as gzip(1) has it.
                self._expander = zlib.decompressobj(wbits=31) if self._packed.startswith(_GZIP) else None
            else:
                self._packed = self._expander.unconsumed_tail
            if self._left is not None:
                self._left -= len(data)
            if data:
                return data
        return b""

    def drain(self) -> None:
        """Reads the rest for the hash."""
        while self._raw():
            pass

    def sha256(self) -> str | None:
        """Hex digest of the input as stored; None when it was not read to its end."""
        self.settle()
        return self._hash.hexdigest() if self.drained else None


def _hash(digest: hashlib._Hash, view: memoryview) -> None:
    with view:
        digest.update(view)


#: Inputs being hashed: a process that forks waits for them, so that no child begins with half a hash and no thread.
_at_work: WeakSet[Source] = WeakSet()


def _settle_all() -> None:
    for source in list(_at_work):
        source.settle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_settle_all)


def _salvage(expander: zlib._Decompress, packed: bytes) -> bytes:
    """What ``packed`` expands to before the damage in it: zlib keeps nothing of a call that fails, so in small steps."""
    parts: list[bytes] = []
    try:
        for start in range(0, len(packed), _STEP):
            parts.append(expander.decompress(packed[start : start + _STEP]))
    except zlib.error:
        pass
    return b"".join(parts)
