"""The rows of the ladder: each stage of an attempt with the facts that are in the clear."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from dissectors.dtls.assembly import Assembly
from dissectors.dtls.crypto import is_on_curve
from dissectors.dtls.ledger import Ledger
from dissectors.dtls.messages import (
    RAW_PUBLIC_KEY,
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ClientKeyExchange,
    ExtensionKind,
    HelloVerifyRequest,
    Kind,
    ServerHello,
    ServerKeyExchange,
    SignatureAlgorithm,
    Signed,
)
from dissectors.dtls.profile import generation
from dissectors.dtls.record import ContentType, WireRecord
from dissectors.events import Direction, Fact, Record, Status, Step

#: Plaintext bytes of an acknowledgement or ping: a CoAP header and nothing else.
ACK_LENGTH: Final = 4
#: Copies of a Hello looked for: three retransmissions, one more for the oldest firmware.
_MAX_HELLOS: Final = 5
_SIGNATURE_NAMES: Final = {item.value: item.name.lower().replace("_", "-") for item in SignatureAlgorithm}
_MARKERS: Final = {
    ContentType.MOVED: "254 (moved, device id behind the record)",
    ContentType.MOVED_CID: "253 (moved, connection id)",
    ContentType.CID: "25 (connection id)",
    ContentType.APPLICATION_DATA: "23 (plain)",
}


def absent(stage: str, direction: Direction) -> Step:
    """The row of a stage that should have come and did not."""
    return Step(stage, Status.ABSENT, direction)


def hello_step(ledger: Ledger) -> Step | None:
    """ClientHello, with and without cookie taken together: the last one counts, the frames are of all."""
    hellos = sorted(
        (message for (_, kind), message in ledger.device.messages.items() if kind == Kind.CLIENT_HELLO),
        key=lambda message: message.message_seq,
    )
    if not hellos:
        return None
    last = hellos[-1]
    client = last.parse(ClientHello.from_wire)
    fields: dict[str, Fact] = {}
    if client is not None:
        made_by = generation(client)
        fields["mbedtls"] = made_by.mbedtls if made_by else "unknown"
        if made_by:
            fields["firmware"] = made_by.firmware
        fields["cipher_suites"] = tuple(f"{suite:04x}" for suite in client.cipher_suites)
        fields["extensions"] = tuple(extension.kind for extension in client.extensions)
        fields["cookie_bytes"] = len(client.cookie)
        fields["connection_id_offered"] = client.offers_connection_id
    step = last.step("client-hello", Direction.UP, client, fields)
    first = hellos[0]
    copies = len(hellos) + sum(len(message.repeats) for message in hellos)
    frames = {frame for message in hellos for frame in message.frames}
    frames |= {frame for message in hellos for mark in message.repeats for frame in mark.frames}
    return Step(
        stage=step.stage,
        status=step.status,
        direction=step.direction,
        frames=tuple(sorted(frames)),
        start_ns=first.start_ns,
        time_ns=first.time_ns,
        data=step.data,
        missing=step.missing,
        fields={**step.fields, "sent": copies},
    )


def verify_step(ledger: Ledger) -> Step | None:
    """The cloud's HelloVerifyRequest, or None when none came."""
    message = ledger.verify.find(Kind.HELLO_VERIFY_REQUEST)
    if message is None:
        return None
    parsed = message.parse(HelloVerifyRequest.from_wire)
    fields: dict[str, Fact] = {"cookie_bytes": len(parsed.cookie)} if parsed else {}
    return message.step("hello-verify", Direction.DOWN, parsed, fields)


def cloud_steps(ledger: Ledger) -> list[Step]:
    """The cloud's answer; the last one when it began several."""
    answers = [answer for answer in ledger.answers if answer.flight.messages]
    if not answers:
        return []
    steps: list[Step] = []
    many: dict[str, Fact] = {"answers": len(answers)} if len(answers) > 1 else {}
    for message in answers[-1].flight.messages.values():
        if message.kind == Kind.SERVER_HELLO:
            hello = message.parse(ServerHello.from_wire)
            steps.append(message.step("server-hello", Direction.DOWN, hello, {**_server_hello(hello), **many}))
        elif message.kind == Kind.CERTIFICATE:
            certificate = message.parse(Certificate.from_wire)
            steps.append(message.step("server-certificate", Direction.DOWN, certificate, _certificate(certificate)))
        elif message.kind == Kind.SERVER_KEY_EXCHANGE:
            exchange = message.parse(ServerKeyExchange.from_wire)
            fields: dict[str, Fact] = {"group": exchange.group, **_signature(exchange.signed)} if exchange else {}
            steps.append(message.step("server-key-exchange", Direction.DOWN, exchange, fields))
        elif message.kind == Kind.CERTIFICATE_REQUEST:
            request = message.parse(CertificateRequest.from_wire)
            fields = {"certificate_types": tuple(request.types)} if request else {}
            steps.append(message.step("certificate-request", Direction.DOWN, request, fields))
        elif message.kind == Kind.SERVER_HELLO_DONE:
            steps.append(message.step("server-hello-done", Direction.DOWN, True, {}))
    return steps


def _server_hello(hello: ServerHello | None) -> dict[str, Fact]:
    if hello is None:
        return {}
    raw = hello.extension(ExtensionKind.SERVER_CERTIFICATE_TYPE) == bytes((RAW_PUBLIC_KEY,))
    fields: dict[str, Fact] = {
        "version": f"{hello.version:04x}",
        "cipher_suite": f"{hello.cipher_suite:04x}",
        "extensions": tuple(extension.kind for extension in hello.extensions),
        "raw_public_keys": raw,
    }
    if hello.connection_id is not None:
        fields["connection_id"] = hello.connection_id.hex()
    return fields


def _certificate(certificate: Certificate | None) -> dict[str, Fact]:
    if certificate is None:
        return {}
    if certificate.public_key is None:
        return {"form": "X.509" if certificate.chain else "empty", "certificates": len(certificate.chain)}
    return {
        "form": "raw public key",
        "fingerprint": sha256(certificate.public_key).hexdigest(),
        "on_curve": is_on_curve(certificate.public_key),
    }


def _signature(signed: Signed) -> dict[str, Fact]:
    return {"signature_algorithm": _SIGNATURE_NAMES.get(signed.algorithm, f"{signed.algorithm:04x}")}


def device_steps(ledger: Ledger) -> list[Step]:
    """What the device says after the cloud's answer, in the clear."""
    steps: list[Step] = []
    certificate = ledger.device.find(Kind.CERTIFICATE)
    if certificate is not None:
        key = certificate.parse(Certificate.from_wire)
        steps.append(certificate.step("device-certificate", Direction.UP, key, _certificate(key)))
    exchange = ledger.device.find(Kind.CLIENT_KEY_EXCHANGE)
    if exchange is not None:
        steps.append(
            exchange.step("client-key-exchange", Direction.UP, exchange.parse(ClientKeyExchange.from_wire), {})
        )
    verify = ledger.device.find(Kind.CERTIFICATE_VERIFY)
    if verify is not None:
        signature = verify.parse(CertificateVerify.from_wire)
        steps.append(_verify_row(verify, signature))
    return steps


def _verify_row(message: Assembly, verify: CertificateVerify | None) -> Step:
    return message.step("certificate-verify", Direction.UP, verify, _signature(verify.signed) if verify else {})


def finished_step(ledger: Ledger, direction: Direction, stage: str) -> Step | None:
    """Finished, or the ChangeCipherSpec before it when that is all there is."""
    found = ledger.finished[direction]
    cipher = ledger.ciphers.get(direction)
    if not found:
        if cipher is None:
            return None
        return Step(
            stage,
            Status.PARTIAL,
            direction,
            cipher.frames,
            cipher.time_ns,
            cipher.time_ns,
            fields={"change_cipher_spec": True},
        )
    record = ledger.records[found[0]]
    fields: dict[str, Fact] = {"copies": len(found)} if len(found) > 1 else {}
    return record_step(stage, [record], fields)


def record_step(stage: str, records: list[Record], fields: dict[str, Fact]) -> Step:
    """A row for protected records: the frames of the first and the last say where they are."""
    first, last = records[0], records[-1]
    frames = first.frames if first is last else (*first.frames, *last.frames)
    return Step(
        stage=stage,
        status=first.status,
        direction=first.direction,
        frames=tuple(sorted(set(frames))),
        start_ns=first.time_ns,
        time_ns=first.time_ns,
        data=first.fragment,
        fields={**fields, "plaintext_bytes": plaintext_length(first)},
    )


def plaintext_length(record: Record) -> int:
    """Bytes inside the record (with padding, when a connection id hides its type)."""
    return WireRecord.from_parts(record.header, record.fragment).plaintext_length or 0


def application_records(ledger: Ledger) -> list[Record]:
    """Protected records that are neither Finished nor, as far as their type shows it, an alert."""
    finished = {*ledger.finished[Direction.UP], *ledger.finished[Direction.DOWN]}
    hidden = (ContentType.HANDSHAKE, ContentType.ALERT)
    return [r for n, r in enumerate(ledger.records) if n not in finished and r.header[0] not in hidden]


def hello_run(ledger: Ledger) -> tuple[int, ...]:
    """Frames of the device's first application record and of its copies (same size) while nothing came back."""
    frames: list[int] = []
    size: int | None = None
    for record in application_records(ledger):
        if record.direction is Direction.DOWN:
            if size is not None:
                break
            continue
        length = plaintext_length(record)
        if size not in (None, length) or len(frames) == _MAX_HELLOS:
            break
        size = length
        frames.extend(record.frames[:1])
    return tuple(frames)


def application_steps(ledger: Ledger) -> list[Step]:
    """device-hello, hello-ack and session, by order and size alone; decryption may know better."""
    records = application_records(ledger)
    first = next((n for n, record in enumerate(records) if record.direction is Direction.UP), None)
    if first is None:
        return [record_step("session", records, _traffic(records))] if records else []
    run = {(frame,) for frame in hello_run(ledger)}
    fields: dict[str, Fact] = {"copies": len(run)} if len(run) > 1 else {}
    steps = [record_step("device-hello", [records[first]], fields)]
    rest = [record for record in records[first + 1 :] if record.frames[:1] not in run]
    ack = next((r for r in rest if r.direction is Direction.DOWN and plaintext_length(r) == ACK_LENGTH), None)
    if ack is not None:
        steps.append(record_step("hello-ack", [ack], {}))
    rest = [record for record in rest if record is not ack]
    if rest:
        steps.append(record_step("session", rest, _traffic(rest)))
    return steps


def _traffic(records: list[Record]) -> dict[str, Fact]:
    up = sum(record.direction is Direction.UP for record in records)
    return {"device_records": up, "cloud_records": len(records) - up}


def resumed_steps(ledger: Ledger) -> tuple[Step, ...]:
    """A session without its handshake: the device's first record, and whether anything came back."""
    records = ledger.records
    sent = [record for record in records if record.direction is Direction.UP]
    answers = [record for record in records if record.direction is Direction.DOWN]
    rows: list[Step] = []
    if sent:
        record = WireRecord.from_parts(sent[0].header, sent[0].fragment)
        fields: dict[str, Fact] = {
            "marker": _MARKERS.get(record.content_type, str(int(record.content_type))),
            "epoch": record.epoch,
            "sequence": record.sequence,
            "device_records": len(sent),
        }
        if ledger.device_id is not None:
            fields["device_id"] = ledger.device_id
        if record.connection_id:
            fields["connection_id"] = record.connection_id.hex()
        rows.append(record_step("resumed", [sent[0]], fields))
    else:
        rows.append(absent("resumed", Direction.UP))
    if answers:
        rows.append(record_step("session", answers, {"cloud_records": len(answers)}))
    else:
        rows.append(absent("session", Direction.DOWN))
    return tuple(rows)
