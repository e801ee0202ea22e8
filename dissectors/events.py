"""The vocabulary every dissector shares: who speaks, where in the capture, what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

#: A value that may appear among a step's clear facts; everything in it is printable and free of secrets.
Fact = str | int | float | bool | None | tuple[str, ...] | tuple[int, ...]


class Direction(StrEnum):
    """Who sent it. Values are those of the JSON report."""

    UP = "device-to-cloud"
    DOWN = "cloud-to-device"

    @property
    def other(self) -> Direction:
        """The way back."""
        return Direction.DOWN if self is Direction.UP else Direction.UP


class Mark(NamedTuple):
    """Where bytes stand in the capture: Wireshark frame numbers and the time of the last of them (ns since 1970)."""

    frames: tuple[int, ...]
    time_ns: int


class Status(StrEnum):
    """How much of a stage is there."""

    SEEN = "seen"
    PARTIAL = "partial"
    MALFORMED = "malformed"
    ABSENT = "absent"


class How(StrEnum):
    """How a direction or a session ended."""

    FIN = "fin"
    RST = "rst"
    ALERT = "alert"
    TIMEOUT = "timeout"
    ICMP = "icmp"
    SILENCE = "silence"
    CAPTURE_END = "capture-end"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a handshake as the wire shows it, present or absent.

    ``data`` is the message itself (handshake bytes, possibly short when PARTIAL); ``missing`` counts bytes that
    are known to belong to it but are not in the capture (a gap, a packet cut by the snap length).
    """

    stage: str
    status: Status
    direction: Direction
    frames: tuple[int, ...] = ()
    start_ns: int | None = None
    time_ns: int | None = None
    data: bytes = field(default=b"", repr=False)
    missing: int = 0
    fields: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One protected record after the handshake.

    ``index`` counts records of its direction from 0. ``after_gap`` says that bytes of this direction are missing right
    before it, so its predecessor is unknown. ``header`` and ``fragment`` are the wire bytes; what they mean is the
    transport's business.
    """

    direction: Direction
    index: int
    frames: tuple[int, ...]
    time_ns: int
    header: bytes = field(repr=False)
    fragment: bytes = field(repr=False)
    status: Status = Status.SEEN
    after_gap: bool = False


@dataclass(frozen=True, slots=True)
class Sign:
    """A letter of ``history`` and what it stands for. ``by`` is the side it is told of, None for either."""

    letter: str
    means: str
    by: Direction | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """As it stands in a history: a capital for the device, a small letter for the cloud."""
        up, down = self.letter.upper(), self.letter.lower()
        return (down, up) if self.by is None else (up,) if self.by is Direction.UP else (down,)


#: Behind the letters that are kept.
MORE_SIGNS = "+"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a dissector made of one conversation.

    ``history`` is one letter per thing seen, in order, capital = device, as in Zeek's ``history``: sortable, countable.
    What each letter stands for, every protocol says itself (``SIGNS`` in lightssl/stages.py and dtls/ledger.py).
    """

    protocol: str
    steps: tuple[Step, ...]
    records: tuple[Record, ...]
    history: str
    notes: tuple[str, ...] = ()

    def step(self, stage: str) -> Step | None:
        """The step of that name, or None when this protocol has no such stage here."""
        return next((step for step in self.steps if step.stage == stage), None)
