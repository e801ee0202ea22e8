"""From what was entered for one attempt to its rows: which stages came, which should have come and did not.

How it works. The handshake goes in flights. Every stage of a flight that was reached should be there; when the last
flight reached is complete, the next one should have come as well. What is missing of these is a row with status absent;
what lies beyond was never due and gets no row.
"""

from __future__ import annotations

from typing import Final

from dissectors.dtls.assembly import Assembly, Flight
from dissectors.dtls.attempt import DtlsAttempt, ServerFlight, StaleAnswer
from dissectors.dtls.ledger import Answer, Ledger
from dissectors.dtls.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    Kind,
    ServerHello,
    ServerKeyExchange,
)
from dissectors.dtls.profile import Profile, client_profile, generation, server_profile
from dissectors.dtls.record import ContentType, WireRecord
from dissectors.dtls.rows import (
    absent,
    application_steps,
    cloud_steps,
    device_steps,
    finished_step,
    hello_run,
    hello_step,
    resumed_steps,
    verify_step,
)
from dissectors.events import Direction, Status, Step, Transcript

#: Stages by flight. Those in :data:`_OPTIONAL` come or do not, as the cloud likes.
FLIGHTS: Final = (
    (Direction.UP, ("client-hello",)),
    (Direction.DOWN, ("hello-verify",)),
    (
        Direction.DOWN,
        ("server-hello", "server-certificate", "server-key-exchange", "certificate-request", "server-hello-done"),
    ),
    (Direction.UP, ("device-certificate", "client-key-exchange", "certificate-verify", "device-finished")),
    (Direction.DOWN, ("cloud-finished",)),
    (Direction.UP, ("device-hello",)),
    (Direction.DOWN, ("hello-ack",)),
    (Direction.UP, ("session",)),
)
_OPTIONAL: Final = frozenset({"hello-verify", "server-certificate", "certificate-request", "session"})
#: Only sent when the cloud asked for it.
_ON_REQUEST: Final = frozenset({"device-certificate", "certificate-verify"})


#: Record types of a session that a device says it goes on with.
_MARKED: Final = (ContentType.MOVED, ContentType.MOVED_CID)


def finish(ledger: Ledger, hint_port: bool, superseded_ns: int | None, refused: int) -> DtlsAttempt:
    """The attempt as it stands. ``refused`` counts attempts of the flow that were not kept."""
    client = _client_hello(ledger)
    certificate = ledger.device.find(Kind.CERTIFICATE)
    verify = ledger.device.find(Kind.CERTIFICATE_VERIFY)
    flights = tuple(_server_flight(ledger, answer) for answer in ledger.answers if answer.flight.messages)
    profile, reason, plausible = _profile(ledger, client, flights, hint_port)
    notes = [*ledger.notes]
    if ledger.replays:
        notes.append(f"{ledger.replays} records came more than once (same epoch and sequence number)")
    if ledger.resumed and not any(record.header[0] in _MARKED for record in ledger.records):
        notes.append("mid-session-start")
    if refused:
        notes.append(f"{refused} further attempts or flows of records were not kept")
    return DtlsAttempt(
        number=ledger.number,
        kind="resumed" if ledger.resumed else "handshake",
        profile=profile,
        profile_reason=reason,
        plausible=plausible,
        transcript=Transcript("dtls", _steps(ledger), tuple(ledger.records), ledger.history, tuple(notes)),
        frames=ledger.frames,
        start_ns=ledger.start_ns,
        end_ns=ledger.end_ns,
        client_random=client.random if client else None,
        client_hello=client,
        generation=generation(client) if client else None,
        flights=flights,
        device_certificate=certificate.parse(Certificate.from_wire) if certificate else None,
        other_certificates=certificate.variants(Certificate.from_wire) if certificate else (),
        certificate_verify=verify.parse(CertificateVerify.from_wire) if verify else None,
        connection_id=ledger.connection_id,
        device_id=ledger.device_id,
        repeats=tuple(ledger.repeats),
        alerts=tuple(ledger.alerts),
        icmp=tuple(ledger.icmp),
        keep_alives=tuple(ledger.keep_alives),
        stale=tuple(StaleAnswer(number, tuple(dict.fromkeys(frames))) for number, frames in ledger.stale.items()),
        hello_frames=hello_run(ledger),
        unreadable=tuple(ledger.unreadable),
        torn=frozenset(ledger.torn),
        superseded_ns=superseded_ns,
        datagrams=(ledger.datagrams[Direction.UP], ledger.datagrams[Direction.DOWN]),
        last_ns=(ledger.last_ns[Direction.UP], ledger.last_ns[Direction.DOWN]),
    )


def _client_hello(ledger: Ledger) -> ClientHello | None:
    """The ClientHello: the last copy that a device can have written, for one may have been changed on the way."""
    sent = [message for (_, kind), message in ledger.device.messages.items() if kind == Kind.CLIENT_HELLO]
    sent.sort(key=lambda message: message.message_seq, reverse=True)
    copies = [
        copy
        for message in sent
        for copy in (message.parse(ClientHello.from_wire), *message.variants(ClientHello.from_wire))
        if copy is not None
    ]
    sound = (copy for copy in copies if client_profile(copy)[0] is Profile.PARTICLE)
    return next(sound, copies[0] if copies else None)


def _profile(
    ledger: Ledger, client: ClientHello | None, flights: tuple[ServerFlight, ...], hint: bool
) -> tuple[Profile, str, bool]:
    """Whose DTLS this is, best evidence first, the reason, and whether an unknown one may still be a device's."""
    if client is not None:
        return *client_profile(client), False
    for record in ledger.records:
        if record.header[0] == ContentType.MOVED and ledger.device_id is not None:
            return Profile.PARTICLE, "type 254 record with a device id behind it", False
        if record.header[0] == ContentType.MOVED_CID:
            return Profile.PARTICLE, "type 253 record", False
    server = next((flight.hello for flight in flights if flight.hello is not None), None)
    if server is not None:
        return *server_profile(server), False
    if hint and ledger.records and all(_nonce_fits(record.header, record.fragment) for record in ledger.records[:8]):
        return Profile.UNKNOWN, "protected records on a known port; the handshake is not in the capture", True
    if hint and ledger.device.find(Kind.CLIENT_HELLO) is not None:
        return Profile.UNKNOWN, "the ClientHello on a known port is cut in the capture", True
    return Profile.UNKNOWN, "nothing in the capture tells whose DTLS this is", False


def _nonce_fits(header: bytes, fragment: bytes) -> bool:
    return WireRecord.from_parts(header, fragment).nonce_is_sequence


def _server_flight(ledger: Ledger, answer: Answer) -> ServerFlight:
    flight = answer.flight
    hello, certificate = flight.find(Kind.SERVER_HELLO), flight.find(Kind.CERTIFICATE)
    exchange, request = flight.find(Kind.SERVER_KEY_EXCHANGE), flight.find(Kind.CERTIFICATE_REQUEST)
    signed = _signed(ledger, flight)
    return ServerFlight(
        hello=hello.parse(ServerHello.from_wire) if hello else None,
        certificate=certificate.parse(Certificate.from_wire) if certificate else None,
        key_exchange=exchange.parse(ServerKeyExchange.from_wire) if exchange else None,
        request=request.parse(CertificateRequest.from_wire) if request else None,
        frames=tuple(sorted({frame for message in flight.messages.values() for frame in message.frames})),
        key_exchange_frames=exchange.frames if exchange else (),
        certificate_frames=certificate.frames if certificate else (),
        other_exchanges=exchange.variants(ServerKeyExchange.from_wire) if exchange else (),
        signed=signed,
        finished=_finished(ledger, signed),
        disputed=flight.disputed or ledger.device.disputed,
        belongs=_belongs(ledger, hello),
    )


def _belongs(ledger: Ledger, hello: Assembly | None) -> bool:
    asked = [seq for seq, kind in ledger.device.messages if kind == Kind.CLIENT_HELLO]
    return hello is None or not asked or hello.message_seq <= max(asked)


def _signed(ledger: Ledger, flight: Flight) -> bytes | None:
    """The handshake up to ClientKeyExchange as CertificateVerify signs it (RFC 5246 section 7.4.8), if it is all there."""
    hello, exchange = ledger.device.find(Kind.CLIENT_HELLO), ledger.device.find(Kind.CLIENT_KEY_EXCHANGE)
    first, last = flight.find(Kind.SERVER_HELLO), flight.find(Kind.SERVER_HELLO_DONE)
    if hello is None or exchange is None or first is None or last is None or not hello.complete:
        return None
    answer = flight.run(first.message_seq, last.message_seq)
    device = ledger.device.run(hello.message_seq + 1, exchange.message_seq)
    if answer is None or device is None:
        return None
    return b"".join(message.to_wire() for message in (hello, *answer, *device))


def _finished(ledger: Ledger, signed: bytes | None) -> bytes | None:
    """The handshake as the device's Finished hashes it."""
    exchange, verify = ledger.device.find(Kind.CLIENT_KEY_EXCHANGE), ledger.device.find(Kind.CERTIFICATE_VERIFY)
    if signed is None or exchange is None:
        return None
    if verify is None:
        return signed if ledger.device.find(Kind.CERTIFICATE) is None else None
    complete = verify.complete and verify.message_seq == exchange.message_seq + 1
    return signed + verify.to_wire() if complete else None


def _steps(ledger: Ledger) -> tuple[Step, ...]:
    if ledger.resumed:
        return resumed_steps(ledger)
    found: dict[str, Step] = {}
    hello, request = hello_step(ledger), verify_step(ledger)
    for step in (hello, request, *cloud_steps(ledger), *device_steps(ledger)):
        if step is not None:
            found[step.stage] = step
    for direction, stage in ((Direction.UP, "device-finished"), (Direction.DOWN, "cloud-finished")):
        step = finished_step(ledger, direction, stage)
        if step is not None:
            found[stage] = step
    for step in application_steps(ledger):
        found[step.stage] = step
    return _with_absent(found)


def _with_absent(found: dict[str, Step]) -> tuple[Step, ...]:
    """All rows in order, with those that were due and did not come."""
    reached = max((number for number, (_, stages) in enumerate(FLIGHTS) if any(s in found for s in stages)), default=0)
    asked = "certificate-request" in found or not any(s in found for s in ("server-hello", "server-hello-done"))
    rows: list[Step] = []
    for number, (direction, stages) in enumerate(FLIGHTS):
        due = number <= reached
        for stage in stages:
            step = found.get(stage)
            if step is not None:
                rows.append(step)
            elif due and stage not in _OPTIONAL and (asked or stage not in _ON_REQUEST):
                rows.append(absent(stage, direction))
        if number == reached and _complete(found, stages, asked):
            # The cookie exchange is the cloud's choice: what is due behind a ClientHello is the answer proper.
            reached = 2 if number == 0 else number + 1
    return tuple(rows)


def _complete(found: dict[str, Step], stages: tuple[str, ...], asked: bool) -> bool:
    """Whether a flight came in full, so that the next one is due."""
    if stages == ("hello-verify",):
        return "client-hello" in found and found["client-hello"].fields.get("cookie_bytes") != 0
    due = [stage for stage in stages if stage not in _OPTIONAL and (asked or stage not in _ON_REQUEST)]
    return all(stage in found and found[stage].status is not Status.ABSENT for stage in due) and any(
        s in found for s in stages
    )
