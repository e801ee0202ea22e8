"""Bytes of an input, in order, once: a file or a pipe, compressed or not, hashed as they pass.

How it works: `more(n)` is the only way in. It hands out at least ``n`` bytes (fewer only at the end), so that a reader
keeps a window over the file and never the file. What is compressed is recognised by its first bytes and expanded chunk by
chunk (`packing`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import BinaryIO
from weakref import WeakSet

from analyzer.capture.packing import CHUNK, Budget, Pull, opened
from analyzer.capture.records import Limits, Notes

__all__ = ["CHUNK", "Source"]

#: As many bytes show what an input is compressed with.
_HEAD = 16


class Source:
    """Streams ``file``. Ends early, with a note, on a read error, damaged compressed data or a limit."""

    def __init__(self, file: BinaryIO, notes: Notes, limits: Limits, below: Source | None = None) -> None:
        """``below``: the source that ``file`` is made from, whose hash is the one to tell."""
        self._file = file
        self._below = below
        self._notes = notes
        self._hash = hashlib.sha256()
        #: Hashes what the caller is looking at meanwhile; OpenSSL works outside Python's lock.
        self._hashing: threading.Thread | None = None
        #: Everything of the file has been read and hashed.
        self.drained = False
        self._stopped = False
        self._pull: Pull = self._raw
        self._head = self._raw()
        while self._head and len(self._head) < _HEAD:
            more = self._raw()
            if not more:
                break
            self._head += more
        #: What the file is packed in, outermost first; `packing.Missing` is raised for what cannot be unpacked here.
        self._pull, self._head, self.packed = opened(self._raw, self._head, notes, Budget(limits.expanded))

    def _raw(self) -> bytes:
        """The next stored bytes; empty at the end or after a read error."""
        if self.drained or self._stopped:
            return b""
        try:
            data = self._file.read(CHUNK)
        except OSError as error:
            self._stopped = self._notes.stopped = True
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
            if not self.packed and not self._head:
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
        while have < minimum:
            data = self._next()
            if not data:
                break
            parts.append(data)
            have += len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def more_or_none(self, size: int) -> bytes:
        """The next bytes, some; empty at the end: what a file's ``read`` gives."""
        return self.more(1)

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

    def _next(self) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        return self._pull()

    def drain(self) -> None:
        """Reads the rest for the hash."""
        while self._raw():
            pass
        if self._below is not None:
            self._below.drain()

    def sha256(self) -> str | None:
        """Hex digest of the input as stored; None when it was not read to its end."""
        self.settle()
        if self._below is not None:
            return self._below.sha256()
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
