"""A conversation becomes cases: dissected, decrypted, and named where it names itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Literal

from analyzer.case import Case, MessageRow
from analyzer.conversations import Chunk, Close, Gap, TcpConversation
from analyzer.decrypt import lightssl
from analyzer.keys import KeyRing
from analyzer.model import Ending, Endpoint, Role
from analyzer.names import Lookup, as_step, leading_to, particle_name
from dissectors.events import Direction, Fact, How, Mark, Status, Step, Transcript
from dissectors.handshakes import usual_port
from dissectors.lightssl.handshake import LightSsl


def examine_tcp(conversation: TcpConversation, ring: KeyRing) -> Case | None:
    """The case of a TCP conversation, or None when it is no device session after all."""
    facts = conversation.facts
    machine = LightSsl(start_seen=bool(facts.syn or facts.syn_ack))
    for piece in conversation.pieces:
        if isinstance(piece, Chunk):
            machine.receive(piece.direction, piece.data, piece.mark)
        elif isinstance(piece, Gap):
            machine.gap(piece.direction, piece.length, piece.mark, piece.cut)
        else:
            machine.close(piece.direction, piece.how, piece.mark)
    transcript = machine.transcript()
    decryption = lightssl.decrypt(transcript, ring)
    known = any(step.status in (Status.SEEN, Status.PARTIAL) for step in transcript.steps) or transcript.records
    case = Case(
        transport="tcp",
        protocol="lightssl" if known else "unknown",
        stream=conversation.stream,
        filter=conversation.filter,
        device=conversation.device,
        cloud=conversation.cloud,
        role_source=conversation.role_source,
        first_frame=conversation.first_frame,
        last_frame=conversation.last_frame,
        start_ns=conversation.start_ns,
        end_ns=conversation.end_ns,
        transcript=transcript,
        ending=_ending(conversation),
        attempts=decryption.attempts,
        messages=[_message(item) for item in decryption.records],
        prelude=[_connect(conversation)],
    )
    case.conversation, case.decryption = conversation, decryption
    case.transcript = _enriched(transcript, decryption)
    if decryption.identity is not None:
        case.device_id, case.id_source = decryption.identity.plaintext.device_id, "identity"
    elif decryption.session is not None and decryption.session.key.device_id is not None:
        case.device_id, case.id_source = decryption.session.key.device_id, "device-key"
    return case


def _enriched(transcript: Transcript, found: lightssl.LightSslDecryption) -> Transcript:
    """The transcript with what the keys tell written into its rows; nothing in it is secret."""
    more: dict[str, dict[str, Fact]] = {}
    if found.identity is not None:
        plaintext = found.identity.plaintext
        more["identity"] = {"device_id": plaintext.device_id}
        if plaintext.tail is not None and plaintext.tail.fingerprint is not None:
            more["identity"]["fingerprint"] = plaintext.tail.fingerprint
        if found.identity.key is not None:
            more["identity"]["opened_with"] = found.identity.key.file
    if found.signer is not None:
        more["session-key"] = {"signed_by": found.signer.file}
    hello = next((item for item in found.records if item.record.direction is Direction.UP), None)
    if hello is not None and hello.summary is not None and hello.summary.type == "hello":
        more["device-hello"] = {k: v for k, v in hello.summary.facts.items() if k not in ("id", "flags")}
    steps = tuple(
        replace(step, fields={**step.fields, **more[step.stage]})
        if step.stage in more and step.status is not Status.ABSENT
        else step
        for step in transcript.steps
    )
    return replace(transcript, steps=steps)


def _message(item: lightssl.OpenedRecord) -> MessageRow:
    record = item.record
    if item.summary is None:
        return MessageRow(record.direction, record.frames, record.time_ns, "undecryptable", item.error or "")
    return MessageRow(record.direction, record.frames, record.time_ns, item.summary.type, item.summary.summary)


def _connect(conversation: TcpConversation) -> Step:
    facts = conversation.facts
    marks: list[Mark] = [*facts.syn]
    marks += [mark for mark in (facts.syn_ack, facts.established) if mark is not None]
    if not marks:
        status = Status.ABSENT
    elif facts.syn and facts.syn_ack is not None:
        status = Status.SEEN
    else:
        status = Status.PARTIAL
    frames = tuple(sorted({frame for mark in marks for frame in mark.frames}))
    times = [mark.time_ns for mark in marks]
    return Step(
        "connect",
        status,
        Direction.UP,
        frames,
        min(times, default=None),
        min(times, default=None),
        fields={
            "syn": len(facts.syn),
            **({"ack": False} if status is Status.SEEN and facts.established is None else {}),
        },
    )


def _ending(conversation: TcpConversation) -> Ending:
    payload = [piece.mark.time_ns for piece in conversation.pieces if not isinstance(piece, Close)]
    last = max(payload, default=conversation.start_ns)
    close = next((piece for piece in conversation.pieces if isinstance(piece, Close)), None)
    if close is not None:
        by: Literal["device", "cloud"] = "device" if close.direction is Direction.UP else "cloud"
        return Ending(
            by,
            close.how,
            close.mark.frames[0] if close.mark.frames else None,
            round((close.mark.time_ns - last) / 1e9, 6),
        )
    if conversation.facts.icmp:
        first = conversation.facts.icmp[0]
        return Ending("network", How.ICMP, first.frame, round((first.time_ns - last) / 1e9, 6))
    return Ending("capture", How.CAPTURE_END, conversation.last_frame, None)


def name_devices(cases: list[Case], ring: KeyRing) -> None:
    """Give sessions that do not name their device the id of the address they come from, or of the folder's only device.

    An address counts when exactly one device id was seen from it in this capture. Last comes a guess: the only device of
    the folder not seen otherwise whose stored server address is where this session goes.
    """
    seen: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.device_id is not None:
            seen[case.device.address].add(case.device_id)
    owners = {
        key.device_id
        for role in (Role.DEVICE_PRIVATE, Role.DEVICE_SERVER_KEY, Role.CLOUD_COPY)
        for key in ring.by_role(role)
        if key.device_id
    }
    unseen = owners - {device for ids in seen.values() for device in ids}
    addresses = {case.device.address for case in cases}
    nameless: dict[Endpoint, Counter[str]] = defaultdict(Counter)
    for case in cases:
        if case.device_id is None:
            nameless[case.cloud][case.device.address] += 1
    stored: dict[tuple[str, tuple[str, int] | None], list[str]] = defaultdict(list)
    for transport in ("tcp", "udp") if nameless else ():
        for device in unseen:
            stored[transport, _stored(ring, device, transport)].append(device)
    for case in cases:
        if case.device_id is not None:
            continue
        ids = seen[case.device.address]
        if len(ids) == 1:
            case.device_id, case.id_source = next(iter(ids)), "address"
            _count_out(nameless[case.cloud], case.device.address)
            continue
        if ids:
            continue
        if len(owners) == 1 and len(addresses) == 1 and not _another(case, next(iter(owners))):
            case.device_id, case.id_source = next(iter(owners)), "only-device-in-keys"
            _count_out(nameless[case.cloud], case.device.address)
            continue
        sent_here = stored.get((case.transport, (case.cloud.address, case.cloud.port)), ())
        if len(sent_here) == 1 and len(nameless[case.cloud]) == 1 and not _another(case, sent_here[0]):
            case.device_id, case.id_source = sent_here[0], "stored-address"
            _count_out(nameless[case.cloud], case.device.address)


def _another(case: Case, device: str) -> bool:
    """Whether a session shows by itself that its device is not that one: it went on although that one's key does not fit."""
    found = case.decryption
    step = case.transcript.step("device-hello")
    went_on = step is not None and step.status is not Status.ABSENT
    refuted = found.session_refuted if isinstance(found, lightssl.LightSslDecryption) else ()
    return went_on and any(key.device_id == device for key in refuted)


def _count_out(addresses: Counter[str], address: str) -> None:
    """A session from this address has its name now."""
    addresses[address] -= 1
    if not addresses[address]:
        del addresses[address]


def _stored(ring: KeyRing, device_id: str, transport: Literal["tcp", "udp"]) -> tuple[str, int] | None:
    """Address and port the device has stored for its cloud, when that is an IP address."""
    address = ring.server_address_for(device_id, transport)
    if address is None or address.kind != "ip" or address.host is None:
        return None
    return address.host, address.port or usual_port(transport)


def resolve(cases: list[Case], lookups: Sequence[Lookup]) -> None:
    """Give every session the look-up that led to it: its name, its row, and the device id when the name carries one."""
    leading: dict[tuple[bytes, bytes], list[Lookup]] = defaultdict(list)
    for seen in lookups:
        for address in set(seen.addresses):
            leading[seen.client, address].append(seen)
    for case in cases if leading else ():
        client, cloud = ip_address(case.device.address).packed, ip_address(case.cloud.address).packed
        lookup = leading_to(leading.get((client, cloud), ()), client, cloud, case.start_ns)
        if lookup is None:
            continue
        case.host = lookup.name
        case.prelude.insert(0, as_step(lookup))
        told = particle_name(lookup.name)
        if case.device_id is None and told is not None and told.device_id is not None:
            case.device_id, case.id_source = told.device_id, "name"


__all__ = ["examine_tcp", "name_devices", "resolve"]
