"""A pcapng stream passed on as it comes, with verdicts between its packets: for Wireshark while it captures.

How it works. The bytes are cut into blocks again, so that nothing of ours lands inside one of theirs. A verdict is a packet of
one more interface, text with the verdict as its comment: packets that have gone out cannot be commented on any more.
"""

from __future__ import annotations

from struct import Struct
from threading import Lock
from typing import BinaryIO

from analyzer.capture.pcapng import MAGIC
from analyzer.exports.pcapng_writer import INTERFACE, SECTION, UPPER_PDU, PcapngWriter
from analyzer.exports.upper_pdu import named

#: Wireshark's dissector for text.
_DISSECTOR = "data-text-lines"
_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
#: A longer block is not held: the stream is passed on as it is from there, without verdicts.
_MAX_BLOCK = 64 * 1024 * 1024


class Weave:
    """Write a pcapng stream into ``out`` in pieces of any size; `say` adds a verdict behind what is whole."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = Lock()
        self._held = bytearray()
        self._writer: PcapngWriter | None = None
        self._interfaces = 0
        self._ours: int | None = None
        self._lost = False
        self._order = "<"

    def write(self, data: bytes) -> int:
        """Pass on what is whole of the stream so far."""
        with self._lock:
            self._held += data
            while (block := self._next()) is not None:
                self._out.write(block)
            self._out.flush()
        return len(data)

    def close(self) -> None:
        """The stream ended: what is left of it goes out as it is. ``out`` stays open, for `say`."""
        with self._lock:
            self._out.write(bytes(self._held))
            self._held.clear()

    def say(self, time_ns: int, comment: str, text: str) -> None:
        """A packet that says a verdict, if the stream has begun."""
        with self._lock:
            if self._writer is None or self._lost:
                return
            if self._ours is None:
                self._ours = self._interfaces
                self._interfaces += 1
                self._out.write(self._writer.interface(UPPER_PDU, name="analyze"))
            data = named(_DISSECTOR) + text.encode("utf-8", "replace")
            self._out.write(self._writer.packet(self._ours, time_ns, data, len(data), comments=(comment,)))
            self._out.flush()

    def _next(self) -> bytes | None:
        held = self._held
        if self._lost:
            return self._take(len(held)) if held else None
        if len(held) < 12:
            return None
        if held.startswith(MAGIC):
            self._order = _ORDER.get(bytes(held[8:12]), "")
            self._lost = not self._order
        elif self._writer is None:
            self._lost = True
        if self._lost:
            return self._take(len(held))
        kind, total = Struct(self._order + "II").unpack_from(held)
        if not 12 <= total <= _MAX_BLOCK or total % 4:
            self._lost = True
            return self._take(len(held))
        if len(held) < total:
            return None
        if kind == SECTION:
            self._writer, self._interfaces, self._ours = PcapngWriter("<" if self._order == "<" else ">"), 0, None
        elif kind == INTERFACE:
            # One that comes behind ours would be counted wrongly: ours is no longer used then.
            self._lost = self._ours is not None
            self._interfaces += 1
        return self._take(total)

    def _take(self, length: int) -> bytes:
        taken = bytes(self._held[:length])
        del self._held[:length]
        return taken
