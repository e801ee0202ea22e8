"""The lightssl protocol as a table, and the two lanes (one per direction) that collect what the table promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dissectors.events import Direction, Mark, Sign
from dissectors.lightssl.records import RecordStream
from dissectors.lightssl.stream import join_frames


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the protocol: who sends how many bytes, after which other stage; ``size`` None means records.

    ``letter`` stands for it in ``history`` (capital when the device sends it).
    """

    name: str
    direction: Direction
    size: int | None
    after: str | None
    letter: str


#: The protocol. The device waits for 40 random bytes, answers 256 (RSA under the server's key), gets 384 back (128 RSA
#: under its own key, 256 signature), and from there both sides send records; the first of each side is its Hello.
#: Source: device-os communication/src/{spark_protocol,lightssl_message_channel}.cpp@v0.4.0..v6.2.0 (handshake(),
#: establish()), spark-protocol js/lib/Handshake.js@2c797c1.
STAGES: tuple[Stage, ...] = (
    Stage("nonce", Direction.DOWN, 40, None, "n"),
    Stage("identity", Direction.UP, 256, "nonce", "I"),
    Stage("session-key", Direction.DOWN, 384, "identity", "k"),
    Stage("device-hello", Direction.UP, None, "session-key", "H"),
    Stage("cloud-hello", Direction.DOWN, None, "device-hello", "h"),
    Stage("session", Direction.UP, None, "cloud-hello", "R"),
)
STAGE: Mapping[str, Stage] = {stage.name: stage for stage in STAGES}
#: What the letters of ``history`` stand for.
SIGNS: Final[tuple[Sign, ...]] = (
    Sign(STAGE["nonce"].letter, "nonce, all 40 bytes", Direction.DOWN),
    Sign(STAGE["identity"].letter, "identity, all 256 bytes", Direction.UP),
    Sign(STAGE["session-key"].letter, "session key, all 384 bytes", Direction.DOWN),
    Sign(STAGE["device-hello"].letter, "Hello: the first record of that side"),
    Sign(STAGE["session"].letter, "another record"),
    Sign("p", "part of one of these: not all of its bytes are there"),
    Sign("m", "malformed: bytes that none of these can be"),
    Sign("g", "gap: bytes that went over the wire and are not in the capture"),
    Sign("f", "FIN: that side closes"),
    Sign("x", "RST: that side resets"),
    Sign("e", "the end, as the capture or its reader has it"),
)
#: The stage that the first record of each direction is.
HELLO: Mapping[Direction, Stage] = {
    Direction.UP: STAGE["device-hello"],
    Direction.DOWN: STAGE["cloud-hello"],
}
#: Short session key messages that a known fault produces: a 1024-bit server key (Brewskey before 2e1dde3), an ECDSA
#: signature where ciphertext belongs (Brewskey DeviceKey.encrypt() with an EC key on file).
ODD_SESSION_KEY: Mapping[range, str] = {
    range(256, 257): "server-key-1024-bits",
    range(326, 329): "signature-instead-of-ciphertext",
}
#: First bytes of a direction kept for naming what is not lightssl.
HEAD_KEPT = 4096


@dataclass(slots=True)
class Leg:
    """A handshake message being collected: its bytes, its holes, where they stood."""

    stage: Stage
    size: int
    data: bytearray = field(default_factory=bytearray, repr=False)
    #: (offset, length) of every stretch that is missing.
    holes: list[tuple[int, int]] = field(default_factory=list)
    #: Bytes collected or missing so far.
    position: int = 0
    #: Bytes that came before the stage this one answers was complete.
    early: int = 0
    frames: tuple[int, ...] = ()
    start_ns: int | None = None
    time_ns: int | None = None
    turn: int = 0

    @property
    def complete(self) -> bool:
        """True when its end has been reached, with or without holes."""
        return self.position == self.size

    @property
    def missing(self) -> int:
        """Bytes known to belong here that are not in the capture."""
        return sum(length for _, length in self.holes)

    def take(self, data: bytes, mark: Mark, turn: int) -> int:
        """Collect from ``data`` what belongs here; the number of bytes taken."""
        taken = data[: self.size - self.position]
        if taken:
            self.data += taken
            self.position += len(taken)
            self.frames = join_frames(self.frames, mark.frames)
            self.start_ns = mark.time_ns if self.start_ns is None else self.start_ns
            self.time_ns, self.turn = mark.time_ns, turn
        return len(taken)

    def skip(self, length: int, turn: int) -> int:
        """Count missing bytes that belong here; how many did."""
        skipped = min(length, self.size - self.position)
        if skipped:
            self.holes.append((self.position, skipped))
            self.position += skipped
            self.turn = turn
        return skipped


class Lane:
    """One direction: its legs in the order of the table, then records."""

    def __init__(self, direction: Direction, stages: tuple[Stage, ...], *, aligned: bool) -> None:
        self.legs = [Leg(stage, stage.size) for stage in stages if stage.direction is direction and stage.size]
        self.records = RecordStream(direction, aligned=aligned)
        #: The first bytes, up to the first gap.
        self.head = bytearray()
        self.head_open = True
        #: All bytes received; record bytes that came before the stage they answer was complete.
        self.bytes = 0
        self.early_records = 0

    def leg(self, name: str) -> Leg | None:
        """The leg of that stage, None when this lane has none."""
        return next((leg for leg in self.legs if leg.stage.name == name), None)

    def keep_head(self, data: bytes) -> None:
        """Remember the first bytes of this direction."""
        self.bytes += len(data)
        if self.head_open:
            self.head += data[: HEAD_KEPT - len(self.head)]
