"""The blocks of a pcapng file as they are stored, each with the frame it is to Wireshark: for copying a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from analyzer.capture.pcapng import MAGIC
from analyzer.capture.source import Source

_ORDER = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
#: Blocks Wireshark gives a frame number: packets, and systemd journal entries, Sysdig events, custom blocks.
#: (wireshark:wiretap/pcapng.c; the capture readers count the same way, a test compares them.)
FRAMES = frozenset({2, 3, 6, 9, 0x204, 0x216, 0x221, 0xBAD, 0x40000BAD})
#: A longer block is not held in memory: the copy ends there.
_MAX_BLOCK = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One block. ``frame`` is None when it is no frame; ``stored`` are its bytes in the file."""

    kind: int
    order: str
    stored: bytes = field(repr=False)
    frame: int | None

    @property
    def body(self) -> bytes:
        """What is between the two lengths."""
        total: int = Struct(self.order + "I").unpack_from(self.stored, 4)[0]
        return self.stored[8 : total - 4]


class Blocks:
    """Iterate once over the blocks of a file whose first bytes are ``head`` and start with a section header.

    ``problem`` says afterwards why the file was not used to its end, if it was not.
    """

    def __init__(self, source: Source, head: bytes) -> None:
        self._source = source
        self._data = head
        self._at = 0
        self.problem: str | None = None

    def __iter__(self) -> Iterator[Block]:
        order, number = "<", 0
        while self._have(12):
            data, at = self._data, self._at
            if data.startswith(MAGIC, at):
                order = _ORDER.get(data[at + 8 : at + 12], "")
            if not order:
                self.problem = f"damaged behind frame {number}"
                return
            kind, total = Struct(order + "II").unpack_from(data, at)
            length = (total + 3) & ~3
            if not 12 <= total <= _MAX_BLOCK:
                self.problem = f"damaged behind frame {number}"
                return
            if not self._have(length):
                break
            stored = self._data[self._at : self._at + length]
            self._at += length
            if Struct(order + "I").unpack_from(stored, length - 4)[0] not in (total, length):
                self.problem = f"damaged behind frame {number}"
                return
            number += kind in FRAMES
            yield Block(kind, order, stored, number if kind in FRAMES else None)
        if len(self._data) > self._at:
            self.problem = f"cut off behind frame {number}"

    def _have(self, length: int) -> bool:
        """At least ``length`` bytes are there from the current position on."""
        missing = length - (len(self._data) - self._at)
        if missing > 0:
            self._data = self._data[self._at :] + self._source.more(missing)
            self._at = 0
        return len(self._data) - self._at >= length
