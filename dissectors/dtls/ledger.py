"""Everything entered for one attempt while its datagrams are fed."""

from __future__ import annotations

from typing import Final

from dissectors.dtls.assembly import Assembly, Flight
from dissectors.dtls.attempt import Alert, Icmp, Repeat
from dissectors.dtls.messages import Kind
from dissectors.dtls.record import ContentType, WireRecord
from dissectors.events import Direction, Mark, Record, Sign, Status

#: Letters of the history kept of one attempt; a "+" then says that there were more.
MAX_HISTORY: Final = 240
#: Records, repeats and such kept of one attempt. A device that lives for a year on one session stays below it.
MAX_KEPT: Final = 200_000
#: Answers of the cloud kept of one attempt.
MAX_ANSWERS: Final = 16
#: Plaintext bytes of a Finished; with a connection id it is padded.
FINISHED_LENGTH: Final = 24
FINISHED_CID_LENGTH: Final = 32

#: History letters of handshake messages, as the cloud would write them.
LETTERS: Final[dict[int, str]] = {
    Kind.CLIENT_HELLO: "c",
    Kind.HELLO_VERIFY_REQUEST: "v",
    Kind.SERVER_HELLO: "s",
    Kind.CERTIFICATE: "b",
    Kind.SERVER_KEY_EXCHANGE: "k",
    Kind.CERTIFICATE_REQUEST: "q",
    Kind.SERVER_HELLO_DONE: "d",
    Kind.CLIENT_KEY_EXCHANGE: "e",
    Kind.CERTIFICATE_VERIFY: "y",
}
#: What the letters of ``history`` stand for.
SIGNS: Final[tuple[Sign, ...]] = (
    Sign("c", "ClientHello", Direction.UP),
    Sign("v", "HelloVerifyRequest: the cloud asks for its cookie back", Direction.DOWN),
    Sign("s", "ServerHello", Direction.DOWN),
    Sign("b", "Certificate; a device's is its bare public key"),
    Sign("k", "ServerKeyExchange: what the server key signs", Direction.DOWN),
    Sign("q", "CertificateRequest", Direction.DOWN),
    Sign("d", "ServerHelloDone", Direction.DOWN),
    Sign("e", "ClientKeyExchange", Direction.UP),
    Sign("y", "CertificateVerify: what the device's key signs", Direction.UP),
    Sign("x", "ChangeCipherSpec"),
    Sign("f", "Finished"),
    Sign("r", "a record behind it"),
    Sign("m", "a record that marks a session gone on with (type 253 or 254)"),
    Sign("a", "alert, in the clear or known by its type"),
    Sign("t", "one of these messages once more"),
    Sign("o", "another handshake message, or one that answers an earlier attempt"),
    Sign("j", "a record that came before, number for number"),
    Sign("p", "keep-alive: a datagram of one byte"),
    Sign("i", "ICMP error: what the other side sent did not arrive"),
    Sign("z", "bytes that are no DTLS"),
)


class Answer:
    """A flight of the cloud in the making. ``random`` is its ServerHello's, None while that is not there."""

    __slots__ = ("flight", "random")

    def __init__(self) -> None:
        self.random: bytes | None = None
        self.flight = Flight()


class Ledger:
    """One attempt in the making. ``random`` is the ClientHello's (possibly cut), None without one."""

    def __init__(self, number: int, mark: Mark, random: bytes | None = None) -> None:
        self.number = number
        self.random = random
        self.resumed = False
        self.device = Flight()
        self.verify = Flight()
        self.answers: list[Answer] = []
        self.ciphers: dict[Direction, Mark] = {}
        self.records: list[Record] = []
        self.finished: dict[Direction, list[int]] = {Direction.UP: [], Direction.DOWN: []}
        self.next_sequence: dict[Direction, int | None] = {Direction.UP: None, Direction.DOWN: None}
        self.counts = {Direction.UP: 0, Direction.DOWN: 0}
        self.datagrams = {Direction.UP: 0, Direction.DOWN: 0}
        self.last_ns: dict[Direction, int | None] = {Direction.UP: None, Direction.DOWN: None}
        self.connection_id: bytes | None = None
        self.device_id: str | None = None
        self.repeats: list[Repeat] = []
        self.alerts: list[Alert] = []
        self.icmp: list[Icmp] = []
        self.keep_alives: list[Mark] = []
        self.stale: dict[int, list[int]] = {}
        self.unreadable: list[int] = []
        #: Who sent datagrams that the capture holds only in part: records may be missing that nothing counts.
        self.torn: set[Direction] = set()
        self.replays = 0
        self.notes: dict[str, None] = {}
        self.frames = (mark.frames[0], mark.frames[-1]) if mark.frames else (0, 0)
        self.start_ns = self.end_ns = mark.time_ns
        self._history: list[str] = []
        self._seen_sequences: dict[Direction, set[tuple[int, int]]] = {Direction.UP: set(), Direction.DOWN: set()}

    # -- what every datagram adds ----------------------------------------------------------------------------------

    def touch(self, direction: Direction | None, mark: Mark) -> None:
        """A datagram (or ICMP error, without direction) belongs here."""
        self.end_ns = max(self.end_ns, mark.time_ns)
        if mark.frames:
            self.frames = (min(self.frames[0], *mark.frames), max(self.frames[1], *mark.frames))
        if direction is not None:
            self.datagrams[direction] += 1
            self.last_ns[direction] = mark.time_ns

    def write(self, letter: str, direction: Direction) -> None:
        """Add to the history: capitals are the device's."""
        if len(self._history) < MAX_HISTORY:
            self._history.append(letter.upper() if direction is Direction.UP else letter)
        elif len(self._history) == MAX_HISTORY:
            self._history.append("+")

    @property
    def history(self) -> str:
        """What was seen so far, a letter each."""
        return "".join(self._history)

    def note(self, text: str) -> None:
        """Remember something once."""
        self.notes[text] = None

    def spoil(self, direction: Direction, mark: Mark) -> None:
        """A datagram holds bytes that are no record, or a record no message."""
        if len(self.unreadable) < MAX_KEPT:
            self.unreadable.extend(mark.frames)
        self.write("z", direction)

    # -- handshake -----------------------------------------------------------------------------------------------------

    @property
    def answer(self) -> Answer:
        """The answer that is being collected."""
        if not self.answers:
            self.answers.append(Answer())
        return self.answers[-1]

    def restart(self) -> Answer:
        """The cloud began another answer to the same ClientHello."""
        if len(self.answers) < MAX_ANSWERS:
            self.answers.append(Answer())
        else:
            self.note("more answers of the cloud than are kept")
        return self.answers[-1]

    def count(self, assembly: Assembly, repeats: int, stage: str, direction: Direction, mark: Mark) -> None:
        """After a fragment was added to ``assembly``, which had ``repeats`` copies before: write it down."""
        letter = LETTERS.get(assembly.kind, "o")
        if len(assembly.repeats) > repeats:
            earlier = assembly.repeats[-2].time_ns if repeats else assembly.start_ns or mark.time_ns
            self.repeated(Repeat(direction, stage, mark, (mark.time_ns - earlier) / 1e9))
            letter = "t"
        self.write(letter, direction)

    def repeated(self, repeat: Repeat) -> None:
        """Note a message that came again; only so many are kept."""
        if len(self.repeats) < MAX_KEPT:
            self.repeats.append(repeat)

    @property
    def device_flight_seen(self) -> bool:
        """Whether anything the device sends after a good server flight is there."""
        return any(self.device.find(kind) for kind in (Kind.CLIENT_KEY_EXCHANGE, Kind.CERTIFICATE_VERIFY)) or (
            Direction.UP in self.ciphers
        )

    # -- protected records -----------------------------------------------------------------------------------------

    @property
    def established(self) -> bool:
        """Whether protected records of both sides, or of a resumed session, are there."""
        return self.resumed or bool(self.finished[Direction.UP] and self.finished[Direction.DOWN])

    def is_finished(self, direction: Direction, record: WireRecord) -> bool:
        """Whether a protected record is a Finished, by type, or (type hidden by a connection id) by size and place."""
        if self.resumed:
            return False
        if record.content_type is ContentType.HANDSHAKE:
            return record.plaintext_length == FINISHED_LENGTH
        return (
            direction is Direction.UP
            and record.content_type is ContentType.CID
            and record.plaintext_length == FINISHED_CID_LENGTH
            and (record.sequence == 0 or self._may_be_repeated)
        )

    @property
    def _may_be_repeated(self) -> bool:
        """Whether the device sent the flight that ends with its Finished more often than that was seen, and not cut off."""
        exchange = self.device.find(Kind.CLIENT_KEY_EXCHANGE)
        sent = 1 + len(exchange.repeats) if exchange else 0
        seen = len(self.finished[Direction.UP])
        return seen < sent and (seen > 0 or Direction.UP not in self.torn)

    def protect(self, direction: Direction, record: WireRecord, mark: Mark) -> None:
        """Enter a protected record."""
        seen = self._seen_sequences[direction]
        key = (record.epoch, record.sequence)
        if key in seen:
            self.replays += 1
            self.write("j", direction)
            return
        if len(self.records) >= MAX_KEPT:
            self.note("more records than are kept")
            return
        seen.add(key)
        if record.connection_id and self.connection_id is None:
            self.connection_id = record.connection_id
        if record.device_id is not None:
            self.device_id = record.device_id.hex()
        expected = self.next_sequence[direction]
        self.next_sequence[direction] = max(record.sequence + 1, expected or 0)
        if self.is_finished(direction, record):
            self._finished(direction, mark)
        else:
            moved = record.content_type in (ContentType.MOVED, ContentType.MOVED_CID)
            letter = "m" if moved else "a" if record.content_type is ContentType.ALERT else "r"
            self.write(letter, direction)
        self.records.append(
            Record(
                direction=direction,
                index=self.counts[direction],
                frames=mark.frames,
                time_ns=mark.time_ns,
                header=record.header,
                fragment=record.fragment,
                status=Status.PARTIAL if record.missing else Status.SEEN,
                after_gap=expected is not None and record.sequence != expected,
            )
        )
        self.counts[direction] += 1

    def _finished(self, direction: Direction, mark: Mark) -> None:
        earlier = self.finished[direction]
        self.write("t" if earlier else "f", direction)
        if earlier:
            stage = "device-finished" if direction is Direction.UP else "cloud-finished"
            self.repeated(Repeat(direction, stage, mark, (mark.time_ns - self.records[earlier[-1]].time_ns) / 1e9))
        earlier.append(len(self.records))
