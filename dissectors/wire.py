"""A cursor over bytes: every read is bounded and a short read is one kind of error."""

from __future__ import annotations

from dissectors.errors import Truncated


class Cursor:
    """Reads big-endian fields from ``data[start:end]``; raises :class:`Truncated` past the end."""

    __slots__ = ("data", "end", "offset")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self.data = data
        self.offset = start
        self.end = len(data) if end is None else min(end, len(data))

    def __len__(self) -> int:
        """Bytes left."""
        return self.end - self.offset

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        if length < 0 or self.offset + length > self.end:
            raise Truncated(f"{length} bytes wanted at offset {self.offset}, {self.end - self.offset} there")
        taken = self.data[self.offset : self.offset + length]
        self.offset += length
        return taken

    def uint(self, length: int) -> int:
        """The next ``length`` bytes as an unsigned big-endian integer."""
        return int.from_bytes(self.take(length), "big")

    def u8(self) -> int:
        """The next byte."""
        return self.uint(1)

    def u16(self) -> int:
        """The next 16 bits as an unsigned big-endian integer."""
        return self.uint(2)

    def u24(self) -> int:
        """The next 24 bits as an unsigned big-endian integer."""
        return self.uint(3)

    def u32(self) -> int:
        """The next 32 bits as an unsigned big-endian integer."""
        return self.uint(4)

    def block(self, length_size: int) -> Cursor:
        """A cursor over a block that is preceded by its length in ``length_size`` bytes."""
        length = self.uint(length_size)
        start = self.offset
        self.take(length)
        return Cursor(self.data, start, start + length)

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self))
