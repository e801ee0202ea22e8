"""The DTLS side of a UDP flow as a machine: datagrams of both directions in, attempts out.

How it works. A new ClientHello random is a new attempt; the same random again is a retransmission or, with a cookie, the
same attempt going on. What the cloud says is filed by content, not by time alone: a ServerHello whose random was seen in an
earlier attempt, or a ServerKeyExchange byte for byte the same, belongs to that attempt even when a new ClientHello came
in between, because a cloud goes on repeating an old flight while the device has given up and started over. Protected
records carry nothing to tell them by but their sequence numbers: a handshake takes them once its own key exchange was
seen; before that they are the session's that was there before. A flow that begins with them is a resumed session.

Nothing here raises on any bytes, and memory is bounded by the limits of :mod:`dissectors.dtls.ledger`.
"""

from __future__ import annotations

from typing import Final

from dissectors.dtls.attempt import Alert, DtlsAttempt, Icmp
from dissectors.dtls.ladder import finish
from dissectors.dtls.ledger import MAX_KEPT, Answer, Ledger
from dissectors.dtls.messages import Fragment, Kind, ServerHello
from dissectors.dtls.record import CID_LENGTH, ContentType, WireRecord, read_datagram
from dissectors.errors import WireError
from dissectors.events import Direction, Mark
from dissectors.wire import Cursor

#: Attempts kept of one flow: a device that retries every 128 s fills it in two weeks.
MAX_ATTEMPTS: Final = 10_000
#: Handshake fragments read from one record.
_MAX_FRAGMENTS: Final = 64
#: No device waits so long for the end of a handshake (ns): 9 to 60 s, by version (`analyzer.firmware.timers`).
_GIVEN_UP_NS: Final = 120 * 1_000_000_000
_RANDOM: Final = slice(2, 34)

_UP_STAGES: Final = {
    Kind.CLIENT_HELLO: "client-hello",
    Kind.CERTIFICATE: "device-certificate",
    Kind.CLIENT_KEY_EXCHANGE: "client-key-exchange",
    Kind.CERTIFICATE_VERIFY: "certificate-verify",
}
_DOWN_STAGES: Final = {
    Kind.HELLO_VERIFY_REQUEST: "hello-verify",
    Kind.SERVER_HELLO: "server-hello",
    Kind.CERTIFICATE: "server-certificate",
    Kind.SERVER_KEY_EXCHANGE: "server-key-exchange",
    Kind.CERTIFICATE_REQUEST: "certificate-request",
    Kind.SERVER_HELLO_DONE: "server-hello-done",
}


class Dtls:
    """Feed one UDP flow in time order.

    ``hint_port``: the flow uses a port this protocol is known to use, which is what makes protected records without any
    handshake or move marker worth a device session.
    """

    def __init__(self, *, hint_port: bool = False) -> None:
        self._hint = hint_port
        self._ledgers: list[Ledger] = []
        self._by_random: dict[bytes, Ledger] = {}
        self._by_answer: dict[bytes, tuple[Ledger, Answer]] = {}
        self._by_exchange: dict[bytes, tuple[Ledger, Answer]] = {}
        #: Where handshake messages of the cloud go that do not say it themselves.
        self._answering: tuple[Ledger, Answer] | None = None
        self._refused = 0

    def datagram(self, direction: Direction, data: bytes, mark: Mark, wire_length: int | None = None) -> None:
        """One UDP payload; ``wire_length`` when the capture holds less than was sent."""
        parsed = read_datagram(data, wire_length, self._cid_length())
        if parsed.keep_alive:
            self._keep_alive(direction, mark)
            return
        touched: dict[int, Ledger] = {}
        for record in parsed.records:
            for ledger in self._record(direction, record, mark):
                touched[id(ledger)] = ledger
        if parsed.unread and self._ledgers:
            ledger = self._ledgers[-1]
            ledger.spoil(direction, mark)
            touched.setdefault(id(ledger), ledger)
        for ledger in touched.values():
            ledger.touch(direction, mark)
            if wire_length is not None and wire_length > len(data):
                ledger.torn.add(direction)

    def icmp(self, answers: Direction, kind: int, code: int, mark: Mark) -> None:
        """An ICMP error of this type and code about a datagram that went in direction ``answers``."""
        if self._ledgers:
            ledger = self._ledgers[-1]
            if len(ledger.icmp) < MAX_KEPT:
                ledger.icmp.append(Icmp(answers, kind, code, mark))
            ledger.write("i", answers.other)
            ledger.touch(None, mark)

    def attempts(self) -> tuple[DtlsAttempt, ...]:
        """All attempts so far, in the order in which they began; may be asked at any time."""
        following = [*(ledger.start_ns for ledger in self._ledgers[1:]), None]
        return tuple(
            finish(ledger, self._hint, next_ns, self._refused)
            for ledger, next_ns in zip(self._ledgers, following, strict=False)
        )

    # -- records -------------------------------------------------------------------------------------------------------

    def _cid_length(self) -> int:
        ledger = self._ledgers[-1] if self._ledgers else None
        if ledger is None or ledger.resumed or ledger.connection_id is None:
            return CID_LENGTH
        return len(ledger.connection_id)

    def _open(self, mark: Mark, random: bytes | None = None) -> Ledger | None:
        """A new attempt, or None when no more are kept."""
        if len(self._ledgers) >= MAX_ATTEMPTS:
            self._refused += 1
            return None
        return self._begin(mark, random)

    def _begin(self, mark: Mark, random: bytes | None = None) -> Ledger:
        ledger = Ledger(len(self._ledgers), mark, random)
        self._ledgers.append(ledger)
        if random is not None:
            self._by_random[random] = ledger
        self._answering = (ledger, ledger.answer)
        return ledger

    def _current(self, mark: Mark) -> Ledger:
        return self._ledgers[-1] if self._ledgers else self._begin(mark)

    def _record(self, direction: Direction, record: WireRecord, mark: Mark) -> list[Ledger]:
        """File one record; the attempts it belongs to."""
        if record.protected:
            return self._protected(direction, record, mark)
        if record.content_type is ContentType.HANDSHAKE:
            return self._handshake(direction, record, mark)
        ledger = self._current(mark)
        if record.content_type is ContentType.ALERT and len(record.fragment) == 2:
            if len(ledger.alerts) < MAX_KEPT:
                ledger.alerts.append(Alert(direction, record.fragment[0], record.fragment[1], mark))
            ledger.write("a", direction)
        elif record.content_type is ContentType.CHANGE_CIPHER_SPEC:
            ledger.write("x" if direction not in ledger.ciphers else "t", direction)
            ledger.ciphers.setdefault(direction, mark)
        else:
            ledger.spoil(direction, mark)
        return [ledger]

    def _keep_alive(self, direction: Direction, mark: Mark) -> None:
        if self._ledgers:
            ledger = self._ledgers[-1]
            if len(ledger.keep_alives) < MAX_KEPT:
                ledger.keep_alives.append(mark)
            ledger.write("p", direction)
            ledger.touch(direction, mark)

    def _protected(self, direction: Direction, record: WireRecord, mark: Mark) -> list[Ledger]:
        ledger = self._session_of(direction, record, mark)
        if ledger is None:
            return []
        ledger.protect(direction, record, mark)
        return [ledger]

    def _session_of(self, direction: Direction, record: WireRecord, mark: Mark) -> Ledger | None:
        """The attempt a protected record belongs to."""
        current = self._ledgers[-1] if self._ledgers else None
        if current is None or self._begins_resumed(direction, record, mark, current):
            current = self._open(mark)
            if current is not None:
                # A Finished is the end of a handshake whose beginning is not in the capture, and no resumed session.
                current.resumed = record.content_type is not ContentType.HANDSHAKE and record.sequence > 0
            return current
        if current.resumed or current.number == 0:
            return current
        before = self._ledgers[-2]
        expected = before.next_sequence[direction]
        if not before.established or expected is None:
            return current
        if not current.device_flight_seen:
            return before
        # The cloud may still send on the old session; the new one starts again at sequence number 0.
        late = direction is Direction.DOWN and not current.finished[direction] and record.sequence >= expected > 0
        return before if late else current

    def _begins_resumed(self, direction: Direction, record: WireRecord, mark: Mark, current: Ledger) -> bool:
        """Whether the device goes on with a stored session after a handshake that came to nothing."""
        given_up = mark.time_ns - current.end_ns > _GIVEN_UP_NS
        return (
            direction is Direction.UP
            and not current.established
            and (given_up or not current.device_flight_seen)
            and direction not in current.torn
            and record.content_type is not ContentType.HANDSHAKE
            and record.sequence > 0
            and not (current.number and self._ledgers[-2].established)
        )

    # -- handshake messages ----------------------------------------------------------------------------------------

    def _handshake(self, direction: Direction, record: WireRecord, mark: Mark) -> list[Ledger]:
        """File the messages and fragments of one record."""
        cursor = Cursor(record.fragment)
        touched: list[Ledger] = []
        for _ in range(_MAX_FRAGMENTS):
            if not len(cursor):
                break
            try:
                fragment = Fragment.from_wire(cursor, record.missing)
            except WireError:
                current = self._current(mark)
                current.spoil(direction, mark)
                touched.append(current)
                break
            ledger = (
                self._from_device(fragment, mark) if direction is Direction.UP else self._from_cloud(fragment, mark)
            )
            if ledger is not None:
                touched.append(ledger)
        return touched

    def _from_device(self, fragment: Fragment, mark: Mark) -> Ledger | None:
        current = self._current(mark)
        ledger: Ledger | None = current
        if fragment.kind == Kind.CLIENT_HELLO and fragment.offset == 0:
            random = fragment.data[_RANDOM]
            if not random and current.resumed:
                current.spoil(Direction.UP, mark)  # cut: another handshake begins, and nothing tells which
                return current
            if random and not _alike(current.random, random):
                ledger = self._by_random.get(random) or self._adopt(random) or self._open(mark, random)
        if ledger is None:
            return None
        assembly = ledger.device.messages.get((fragment.message_seq, fragment.kind))
        repeats = len(assembly.repeats) if assembly else 0
        assembly = ledger.device.take(fragment, mark)
        if assembly is not None:
            ledger.count(assembly, repeats, _stage(_UP_STAGES, fragment.kind), Direction.UP, mark)
        return ledger

    def _adopt(self, random: bytes) -> Ledger | None:
        """The attempt whose answer arrived (in the capture) before its first ClientHello did."""
        if len(self._ledgers) != 1:
            return None
        ledger = self._ledgers[0]
        if ledger.random is not None or ledger.resumed or ledger.device.messages or ledger.records:
            return None
        ledger.random = random
        self._by_random[random] = ledger
        return ledger

    def _from_cloud(self, fragment: Fragment, mark: Mark) -> Ledger:
        current = self._current(mark)
        if fragment.kind == Kind.HELLO_VERIFY_REQUEST:
            flight, ledger = current.verify, current
            self._answering = (current, current.answer)
        else:
            ledger, answer = self._answer_of(fragment, current)
            flight = answer.flight
            self._answering = (ledger, answer)
        known = flight.messages.get((fragment.message_seq, fragment.kind))
        repeats = len(known.repeats) if known else 0
        assembly = flight.take(fragment, mark)
        if ledger is not current:
            current.stale.setdefault(ledger.number, []).extend(mark.frames)
            current.write("o", Direction.DOWN)
        if assembly is not None:
            ledger.count(assembly, repeats, _stage(_DOWN_STAGES, fragment.kind), Direction.DOWN, mark)
            self._learn(ledger, flight, assembly.kind, assembly.body)
        return current

    def _answer_of(self, fragment: Fragment, current: Ledger) -> tuple[Ledger, Answer]:
        """Which answer of the cloud a message is part of."""
        if fragment.kind == Kind.SERVER_HELLO and fragment.offset == 0:
            random = fragment.data[_RANDOM]
            found = self._by_answer.get(random) if random else None
            if found is not None:
                return found
            answer = current.answer
            if answer.random is not None and not _alike(answer.random, random):
                answer = current.restart()
            if random and answer.random is None:
                answer.random = random
                self._by_answer[random] = (current, answer)
            return current, answer
        if fragment.kind == Kind.SERVER_KEY_EXCHANGE:
            found = self._by_exchange.get(fragment.data)
            if found is not None:
                return found
        answering = self._answering
        return answering if answering is not None else (current, current.answer)

    def _learn(self, ledger: Ledger, flight: object, kind: int, body: bytes | None) -> None:
        """Remember what identifies an answer: its key exchange, and the connection id it gives out."""
        if body is None:
            return
        answer = next((answer for answer in ledger.answers if answer.flight is flight), None)
        if kind == Kind.SERVER_KEY_EXCHANGE and answer is not None:
            self._by_exchange.setdefault(body, (ledger, answer))
        elif kind == Kind.SERVER_HELLO and ledger.connection_id is None:
            try:
                ledger.connection_id = ServerHello.from_wire(body).connection_id
            except WireError:
                return


def _alike(known: bytes | None, random: bytes) -> bool:
    """Whether two randoms are the same as far as both are there: a fragment or a cut packet may hold part of one."""
    if not known or not random:
        return False
    length = min(len(known), len(random))
    return known[:length] == random[:length]


def _stage(stages: dict[Kind, str], kind: int) -> str:
    return next((stage for known, stage in stages.items() if known == kind), f"handshake-{kind}")
