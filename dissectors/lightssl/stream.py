"""Bytes of one direction in order, each remembering the frames it came in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from dissectors.events import Mark


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes taken out of a :class:`Marked`: where they stood in the capture.

    ``turn`` numbers the call that delivered the last byte: it orders things of both directions.
    """

    data: bytes = field(repr=False)
    frames: tuple[int, ...]
    start_ns: int
    time_ns: int
    turn: int


def join_frames(*parts: tuple[int, ...]) -> tuple[int, ...]:
    """All frame numbers of ``parts``, in order, each once."""
    return tuple(dict.fromkeys(frame for part in parts for frame in part))


class Marked:
    """A first-in first-out buffer of bytes with their marks. The caller bounds it by taking."""

    __slots__ = ("_marks", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._marks: deque[tuple[int, Mark, int]] = deque()

    def __len__(self) -> int:
        return len(self.data)

    def push(self, data: bytes, mark: Mark, turn: int) -> None:
        """Append bytes of one chunk; nothing is kept for an empty one."""
        if data:
            self.data += data
            self._marks.append((len(data), mark, turn))

    def take(self, length: int) -> Piece:
        """Remove the first ``length`` bytes (1 .. len(self))."""
        taken = bytes(self.data[:length])
        del self.data[:length]
        frames: list[int] = []
        first = last = self._marks[0]
        left = length
        while left:
            size, mark, turn = last = self._marks[0]
            frames += mark.frames
            if size > left:
                self._marks[0] = (size - left, mark, turn)
                break
            self._marks.popleft()
            left -= size
        return Piece(taken, tuple(dict.fromkeys(frames)), first[1].time_ns, last[1].time_ns, last[2])
