"""Play a TCP connection to the lightssl machine, one frame per line, and read genuine ones from tests/data."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from dissectors.events import Direction, How, Mark, Status, Transcript
from dissectors.lightssl import LightSsl

UP, DOWN = Direction.UP, Direction.DOWN
DATA = Path(__file__).parent / "data" / "lightssl"


def noise(size: int, seed: int = 1) -> bytes:
    """Random bytes that are the same in every run."""
    return random.Random(seed).randbytes(size)


NONCE, IDENTITY, SESSION_KEY = noise(40, 1), noise(256, 2), noise(384, 3)


def record(size: int = 16, seed: int = 9) -> bytes:
    """A record of random ciphertext, as on the wire."""
    return size.to_bytes(2, "big") + noise(size, seed)


class Play:
    """``play.down(b"...").up(b"...")``: each call is one frame, a millisecond after the one before."""

    def __init__(self, start_seen: bool | None = True) -> None:
        self.machine = LightSsl(start_seen=start_seen)
        self.frame = 0

    def _mark(self) -> Mark:
        self.frame += 1
        return Mark((self.frame,), self.frame * 1_000_000)

    def up(self, *parts: bytes) -> Play:
        for part in parts:
            self.machine.receive(UP, part, self._mark())
        return self

    def down(self, *parts: bytes) -> Play:
        for part in parts:
            self.machine.receive(DOWN, part, self._mark())
        return self

    def gap(self, direction: Direction, length: int, *, cut: bool = False) -> Play:
        self.machine.gap(direction, length, self._mark(), cut)
        return self

    def close(self, direction: Direction, how: How = How.FIN) -> Play:
        self.machine.close(direction, how, self._mark())
        return self

    def greeting(self) -> Play:
        """Nonce, identity and session key, one frame each."""
        return self.down(NONCE).up(IDENTITY).down(SESSION_KEY)

    def end(self) -> Transcript:
        return self.machine.transcript()


def rows(transcript: Transcript) -> list[tuple[str, Status, int, int]]:
    """(stage, status, bytes there, bytes missing) of every row."""
    return [(step.stage, step.status, len(step.data), step.missing) for step in transcript.steps]


def substance(transcript: Transcript) -> object:
    """All of a transcript but frames and times: what must not depend on segmentation."""
    steps = [(s.stage, s.status, s.direction, s.data, s.missing, dict(s.fields)) for s in transcript.steps]
    records = [(r.direction, r.index, r.header, r.fragment, r.status, r.after_gap) for r in transcript.records]
    return steps, records, transcript.history, transcript.notes


@dataclass(frozen=True)
class Genuine:
    """A connection of genuine firmware; ``pieces`` as (direction, bytes | gap length | how it closed)."""

    name: str
    what: str
    pieces: tuple[tuple[Direction, bytes | int | How], ...]
    device_id: str | None
    credentials: bytes | None
    cloud_private_pem: str | None
    device_private_der: bytes | None

    def play(self, machine: LightSsl) -> Transcript:
        """The machine's transcript of it, one frame per piece."""
        for frame, (direction, what) in enumerate(self.pieces, 1):
            feed(machine, direction, what, Mark((frame,), frame))
        return machine.transcript()


def feed(machine: LightSsl, direction: Direction, what: bytes | int | How, mark: Mark) -> None:
    """One piece into the machine."""
    if isinstance(what, bytes):
        machine.receive(direction, what, mark)
    elif isinstance(what, int):
        machine.gap(direction, what, mark)
    else:
        machine.close(direction, what, mark)


def _piece(direction: str, what: str | int) -> tuple[Direction, bytes | int | How]:
    side = UP if direction == "up" else DOWN
    if isinstance(what, int):
        return side, what
    return side, How(what) if what in set(How) else bytes.fromhex(what)


def genuine() -> dict[str, Genuine]:
    """The genuine sessions by name (their source is in tests/data/lightssl/sessions.json)."""
    found = {}
    for entry in json.loads((DATA / "sessions.json").read_text())["sessions"]:
        der, credentials = entry.get("device_private_der"), entry.get("credentials")
        found[entry["name"]] = Genuine(
            entry["name"],
            entry["what"],
            tuple(_piece(*piece) for piece in entry["pieces"]),
            entry["device_id"],
            bytes.fromhex(credentials) if credentials else None,
            entry.get("cloud_private_pem"),
            bytes.fromhex(der) if der else None,
        )
    return found


def vector() -> dict[str, object]:
    """The one known-answer vector (its source is in the file)."""
    return dict(json.loads((DATA / "vector.json").read_text()))
