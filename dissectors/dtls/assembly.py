"""One handshake message put together from the fragments and copies in which it arrived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from dissectors.dtls.messages import Fragment, Kind
from dissectors.errors import WireError
from dissectors.events import Direction, Fact, Mark, Status, Step

#: Longer messages are not held: an X.509 chain fits, a hostile length does not.
MAX_MESSAGE: Final = 2**16
#: Fragments and copies remembered of one message.
MAX_PIECES: Final = 256
#: Copies kept of a message that differ from the first: one changed on the way, or all but one.
MAX_OTHERS: Final = 4

_Parsed = TypeVar("_Parsed")


class Assembly:
    """Collects a message of one ``kind``, ``message_seq`` and ``length``.

    ``repeats`` are the marks of copies that came after the range they cover was there. ``disputed`` is set when two
    copies of the same byte differ: then the first one is kept, and whole copies that differ from it in ``others``.
    """

    __slots__ = (
        "_covered",
        "_pieces",
        "body",
        "disputed",
        "frames",
        "kind",
        "length",
        "message_seq",
        "others",
        "repeats",
        "start_ns",
        "time_ns",
    )

    def __init__(self, fragment: Fragment) -> None:
        self.kind = fragment.kind
        self.message_seq = fragment.message_seq
        self.length = fragment.length
        self.body: bytes | None = None
        self.frames: tuple[int, ...] = ()
        self.start_ns: int | None = None
        self.time_ns: int | None = None
        self.repeats: list[Mark] = []
        self.disputed = False
        self.others: tuple[bytes, ...] = ()
        self._pieces: list[tuple[int, bytes]] = []
        #: Ranges held, disjoint and sorted.
        self._covered: list[tuple[int, int]] = []

    def add(self, fragment: Fragment, mark: Mark) -> None:
        """Take a fragment of this message."""
        if self.start_ns is None:
            self.start_ns = mark.time_ns
        if fragment.length != self.length or self.length > MAX_MESSAGE:
            self.disputed = self.disputed or fragment.length != self.length
            return
        start, end = fragment.offset, fragment.offset + len(fragment.data)
        if self.body is None and not self._holds(start, end) and len(self._pieces) < MAX_PIECES:
            self._dispute(start, fragment.data)
            self._pieces.append((start, fragment.data))
            self._cover(start, end)
            self.frames = tuple(sorted({*self.frames, *mark.frames}))
            self.time_ns = mark.time_ns
            self._complete()
            return
        self._dispute(start, fragment.data)
        if start == 0 and len(self.repeats) < MAX_PIECES:
            self.repeats.append(mark)

    def _holds(self, start: int, end: int) -> bool:
        if start == end:
            return self.time_ns is not None
        return any(low <= start and end <= high for low, high in self._covered)

    def _cover(self, start: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for low, high in sorted([*self._covered, (start, end)]):
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        self._covered = merged

    def _complete(self) -> None:
        if self.held == self.length:
            buffer = bytearray(self.length)
            for start, data in reversed(self._pieces):
                buffer[start : start + len(data)] = data
            self.body = bytes(buffer)
            self._pieces = []

    def _dispute(self, start: int, data: bytes) -> None:
        """Whether bytes already held differ from this copy of them."""
        if self.body is not None:
            differs = self.body[start : start + len(data)] != data
            self.disputed = self.disputed or differs
            if differs and len(data) == self.length and data not in self.others and len(self.others) < MAX_OTHERS:
                self.others = (*self.others, data)
            return
        for low, held in self._pieces:
            first, last = max(low, start), min(low + len(held), start + len(data))
            if first < last and held[first - low : last - low] != data[first - start : last - start]:
                self.disputed = True

    @property
    def held(self) -> int:
        """Bytes of the message that are there."""
        return sum(high - low for low, high in self._covered)

    @property
    def head(self) -> bytes:
        """The bytes that are there from the start of the message on."""
        if self.body is not None:
            return self.body
        return next((data for start, data in self._pieces if start == 0), b"")

    @property
    def complete(self) -> bool:
        """Whether every byte of the message is there."""
        return self.body is not None

    def to_wire(self) -> bytes:
        """Header and body in unfragmented form, as handshake hashes take it. Only for a complete message."""
        body = self.body or b""
        return Fragment(self.kind, self.length, self.message_seq, 0, body).to_wire()

    def parse(self, from_wire: Callable[[bytes], _Parsed]) -> _Parsed | None:
        """The message, or None when it is incomplete or malformed."""
        if self.body is None:
            return None
        try:
            return from_wire(self.body)
        except WireError:
            return None

    def variants(self, from_wire: Callable[[bytes], _Parsed]) -> tuple[_Parsed, ...]:
        """The copies that differ from the first, as far as they can be read."""
        found = []
        for body in self.others:
            try:
                found.append(from_wire(body))
            except WireError:
                continue
        return tuple(found)

    def step(self, stage: str, direction: Direction, parsed: object, fields: dict[str, Fact]) -> Step:
        """The row for this message; ``parsed`` is None when it could not be read."""
        if self.body is None:
            status = Status.MALFORMED if self.length > MAX_MESSAGE else Status.PARTIAL
        else:
            status = Status.MALFORMED if parsed is None else Status.SEEN
        if self.repeats:
            fields = {**fields, "copies": 1 + len(self.repeats)}
        if self.disputed:
            fields = {**fields, "copies_differ": True}
        return Step(
            stage=stage,
            status=status,
            direction=direction,
            frames=self.frames,
            start_ns=self.start_ns,
            time_ns=self.time_ns if self.time_ns is not None else self.start_ns,
            data=self.head,
            missing=self.length - len(self.head),
            fields=fields,
        )


class Flight:
    """The handshake messages of one direction, by sequence number and type; at most :data:`MAX_MESSAGES` of them."""

    MAX_MESSAGES: Final = 32
    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: dict[tuple[int, int], Assembly] = {}

    def take(self, fragment: Fragment, mark: Mark) -> Assembly | None:
        """Add a fragment; its message, or None when no more are held."""
        key = (fragment.message_seq, fragment.kind)
        assembly = self.messages.get(key)
        if assembly is None:
            if len(self.messages) >= self.MAX_MESSAGES:
                return None
            assembly = self.messages[key] = Assembly(fragment)
        assembly.add(fragment, mark)
        return assembly

    def find(self, kind: Kind) -> Assembly | None:
        """The message of that type; the last one by sequence number when there are several."""
        found = [key for key in self.messages if key[1] == kind]
        return self.messages[max(found)] if found else None

    def run(self, first: int, last: int) -> list[Assembly] | None:
        """The complete messages with sequence numbers ``first`` to ``last``; None when one is missing or ambiguous."""
        if last - first >= self.MAX_MESSAGES:
            return None
        found = []
        for number in range(first, last + 1):
            here = [assembly for (seq, _), assembly in self.messages.items() if seq == number]
            if len(here) != 1 or not here[0].complete:
                return None
            found.append(here[0])
        return found

    @property
    def disputed(self) -> bool:
        """Whether fragments of any message contradict each other."""
        return any(assembly.disputed for assembly in self.messages.values())
