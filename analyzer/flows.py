"""A UDP conversation becomes cases, one per DTLS attempt; then all of them are opened with what the whole capture knows.

How it works. Dissecting needs one conversation, decrypting all of them: the handshake whose secret opens a flow may be in
another conversation (the device moved), and two attempts together name a signer that one alone does not. So a
conversation is dissected when it ends, and :func:`open_all` runs once, after the last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from analyzer.case import Case, MessageRow
from analyzer.conversations import Carried, Datagram, IcmpNote, UdpConversation
from analyzer.conversations.options import UDP_PORTS
from analyzer.decrypt.dtls import DtlsDecryption, OpenedRecord, decrypt
from analyzer.decrypt.signers import MAX_RECOVERED, common_signer, exchanges, proves_possession, signed_by
from analyzer.decrypt.vault import Vault
from analyzer.keys import KeyRing
from analyzer.model import Ending, Role
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.messages import Signed
from dissectors.dtls.profile import Profile
from dissectors.dtls.record import ContentType
from dissectors.events import Direction, Fact, How, Mark, Status, Step, Transcript


@dataclass(frozen=True, slots=True)
class Flow:
    """What the rules see of an attempt and of the conversation it is part of."""

    attempt: DtlsAttempt
    #: All attempts of the conversation in this capture.
    siblings: tuple[DtlsAttempt, ...]
    icmp: tuple[IcmpNote, ...]
    notes: tuple[str, ...] = ()
    #: Frames that may have been changed on the way, by their UDP checksum.
    checksum_bad: tuple[int, ...] = ()
    carried: tuple[Carried, ...] = ()
    #: The conversation itself, for whoever compares captures.
    whole: UdpConversation | None = field(default=None, repr=False, compare=False)


#: What is further apart than this at a joint of two capture files (ns) does not go on from one to the other.
_GOES_ON_NS = 60 * 1_000_000_000
_Event = tuple[int, int, Datagram | IcmpNote]


def dissect(conversation: UdpConversation, ports: frozenset[int] = UDP_PORTS, joints: Sequence[int] = ()) -> list[Case]:
    """The device sessions of a conversation, without what keys say; empty for any other DTLS. ``ports`` are hints.

    ``joints``: frames (ascending) with which further capture files begin: a port is used again in another capture.
    """
    found: list[tuple[DtlsAttempt, ...]] = []
    for events in _apart(conversation, joints):
        machine = Dtls(hint_port=conversation.cloud.port in ports or conversation.role_source == "port")
        for _, _, event in sorted(events, key=lambda item: item[:2]):
            if isinstance(event, IcmpNote):
                machine.icmp(event.about, event.kind, event.code, Mark((event.frame,), event.time_ns))
            elif not (event.duplicate or event.damaged):
                machine.datagram(event.direction, event.data, event.mark, event.length)
        found.append(machine.attempts())
    ranged = sum(map(len, found)) > 1
    return [
        _case(conversation, attempt, attempts, ranged)
        for attempts in found
        for attempt in attempts
        if _is_ours(attempt)
    ]


def _apart(conversation: UdpConversation, joints: Sequence[int]) -> list[list[_Event]]:
    """What the conversation holds, one list for each capture that it was found in."""
    events: list[_Event] = [(d.mark.time_ns, d.mark.frames[0], d) for d in conversation.datagrams]
    events += [(note.time_ns, note.frame, note) for note in conversation.icmp]
    parts: dict[int, list[_Event]] = defaultdict(list)
    for event in events:
        parts[bisect_right(joints, event[1])].append(event)
    found: list[list[_Event]] = []
    for _, part in sorted(parts.items()):
        gap = min(event[0] for event in part) - max(event[0] for event in found[-1]) if found else -1
        if 0 <= gap <= _GOES_ON_NS:
            found[-1] += part
        else:
            found.append(part)
    return found


def _is_ours(attempt: DtlsAttempt) -> bool:
    """Whether an attempt may be reported as a device's: other DTLS never is."""
    return attempt.profile is Profile.PARTICLE or attempt.plausible


def _case(conversation: UdpConversation, attempt: DtlsAttempt, siblings: tuple[DtlsAttempt, ...], ranged: bool) -> Case:
    first, last = attempt.frames
    also = tuple(seen for other in conversation.also if (seen := other.within(first, last)) is not None)
    for seen in also:
        first, last = min(first, seen.first_frame), max(last, seen.last_frame)
    selection = conversation.filter
    if ranged:
        selection = f"({selection}) and frame.number ge {first} and frame.number le {last}"
    case = Case(
        transport="udp",
        protocol="dtls",
        stream=conversation.stream,
        filter=selection,
        device=conversation.device,
        cloud=conversation.cloud,
        role_source=conversation.role_source,
        first_frame=first,
        last_frame=last,
        start_ns=attempt.start_ns,
        end_ns=attempt.end_ns,
        transcript=attempt.transcript,
        ending=_ending(attempt),
    )
    frames = {error.mark.frames[0] for error in attempt.icmp if error.mark.frames}
    icmp = tuple(note for note in conversation.icmp if note.frame in frames)
    case.conversation = Flow(
        attempt, siblings, icmp, conversation.notes, conversation.checksum_bad, conversation.carried, conversation
    )
    case.also = also
    return case


def _ending(attempt: DtlsAttempt) -> Ending:
    """Who ended the attempt, and how."""
    last = max((time for time in attempt.last_ns if time is not None), default=attempt.start_ns)
    alert = _last_alert(attempt)
    if alert is not None:
        direction, mark = alert
        times = [step.time_ns for step in attempt.transcript.steps if step.time_ns is not None]
        times += [record.time_ns for record in attempt.transcript.records if record.frames != mark.frames]
        before = max((time for time in times if time <= mark.time_ns), default=attempt.start_ns)
        after = round((mark.time_ns - before) / 1e9, 6)
        return Ending("device" if direction is Direction.UP else "cloud", How.ALERT, mark.frames[0], after)
    if attempt.superseded_ns is not None:
        # The device began anew: it had waited in vain, or it did not like what it got.
        waited = round((attempt.superseded_ns - last) / 1e9, 6)
        how = How.TIMEOUT if attempt.last_ns[0] == last else How.SILENCE
        return Ending("device", how, None, waited)
    errors = [error for error in attempt.icmp if error.answers is Direction.UP]
    if errors and attempt.last_ns[1] is None:
        first = errors[0].mark
        return Ending("network", How.ICMP, first.frames[0], round((first.time_ns - attempt.start_ns) / 1e9, 6))
    return Ending("capture", How.CAPTURE_END, attempt.frames[1], None)


def _last_alert(attempt: DtlsAttempt) -> tuple[Direction, Mark] | None:
    """The alert that ended it, in the clear or protected, when nothing of its sender followed."""
    found = [(alert.direction, alert.mark) for alert in attempt.alerts]
    for record in attempt.transcript.records[-4:]:
        if record.header[0] == ContentType.ALERT:
            found.append((record.direction, Mark(record.frames, record.time_ns)))
    return max(found, key=lambda item: item[1].time_ns, default=None)


# -- with all keys, over the whole capture -------------------------------------------------------------------------------


def open_all(cases: Sequence[Case], ring: KeyRing) -> None:
    """Decrypt and check every DTLS case, name devices by what they show, and find signers that two attempts share."""
    flows = [case for case in cases if isinstance(case.conversation, Flow)]
    if not flows:
        return
    vault = Vault(ring)
    for case in flows:
        vault.learn(case.conversation.attempt)
    for case in flows:
        found = decrypt(case.conversation.attempt, ring, vault)
        case.decryption = found
        case.attempts = found.attempts
        case.messages = [_message(item) for item in found.records if item.type]
        case.transcript = _enriched(case.transcript, found)
        _name(case, found, ring)
    _by_connection_id(flows)
    _common_signers(flows)


def _message(item: OpenedRecord) -> MessageRow:
    record = item.record
    text = item.error or ""
    if item.summary is not None:
        facts = item.summary.facts
        blocks = [f"block {facts[name]}" for name in ("block1", "block2") if name in facts]
        again = ["sent again"] if facts.get("retransmission") else []
        text = ", ".join((item.summary.summary, *blocks, *again))
    return MessageRow(record.direction, record.frames, record.time_ns, item.type, text)


def _name(case: Case, found: DtlsDecryption, ring: KeyRing) -> None:
    """Who this is, best evidence first."""
    flow: Flow = case.conversation
    own = {key.device_id for key in found.shown_as if key.role is not Role.CLOUD_COPY and key.device_id}
    copies = {key.device_id for key in found.shown_as if key.role is Role.CLOUD_COPY and key.device_id}
    saved = found.held.source.device_id if found.held is not None and found.held.persisted is not None else None
    for device_id, source in (
        (found.device_id, "hello"),
        (next(iter(own)) if len(own) == 1 else None, "certificate"),
        (flow.attempt.device_id, "moved-record"),
        (saved, "session-dump"),
        (next(iter(copies)) if len(copies) == 1 and not own else None, "cloud-copy"),
    ):
        if device_id is not None:
            case.device_id, case.id_source = device_id, source
            return


def _by_connection_id(cases: Iterable[Case]) -> None:
    """A connection id outlives an address: a flow that carries one seen elsewhere is that device's."""
    owners: dict[bytes, set[str]] = defaultdict(set)
    flows = [(case, case.conversation.attempt.connection_id) for case in cases]
    for case, cid in flows:
        if cid and case.device_id is not None:
            owners[cid].add(case.device_id)
    for case, cid in flows:
        if cid and case.device_id is None and len(owners[cid]) == 1:
            case.device_id, case.id_source = next(iter(owners[cid])), "connection-id"


def _common_signers(cases: Sequence[Case]) -> None:
    """Recover the keys that made signatures no key in hand made, wherever two attempts share one."""
    devices: dict[bytes, list[Case]] = defaultdict(list)
    clouds: dict[object, list[Case]] = defaultdict(list)
    for case in cases:
        found: DtlsDecryption = case.decryption
        if found.possession is False and found.scalar is None and found.shown_key is not None:
            devices[found.shown_key].append(case)
        if found.signer is None and found.server_refuted:
            clouds[case.cloud].append(case)
    for group in devices.values():
        signer = common_signer(_device_signatures(group[:MAX_RECOVERED]))
        for case in group:
            if signer is not None and proves_possession(case.conversation.attempt, signer):
                case.decryption.recovered_device = signer
    for group in clouds.values():
        signatures = [
            (signed, message)
            for case in group[:MAX_RECOVERED]
            for signed, message, _ in exchanges(case.conversation.attempt)
        ]
        signer = common_signer(signatures)
        for case in group:
            if signer is not None and signed_by(case.conversation.attempt, signer):
                case.decryption.recovered_server = signer


def _device_signatures(cases: Iterable[Case]) -> list[tuple[Signed, bytes]]:
    found = []
    for case in cases:
        attempt: DtlsAttempt = case.conversation.attempt
        if attempt.certificate_verify is not None and attempt.flight is not None and attempt.flight.signed is not None:
            found.append((attempt.certificate_verify.signed, attempt.flight.signed))
    return found


# -- rows that decryption knows better -----------------------------------------------------------------------------------


def _enriched(transcript: Transcript, found: DtlsDecryption) -> Transcript:
    """The transcript with what the keys tell written into its rows."""
    more: dict[str, dict[str, Fact]] = {}
    if found.signer is not None:
        more["server-key-exchange"] = {"signed_by": found.signer.file}
    if found.shown_as:
        more["device-certificate"] = {"key_of": tuple(dict.fromkeys(key.file for key in found.shown_as))}
    if found.possession is not None:
        more["certificate-verify"] = {"signature": "holds" if found.possession else "fails"}
    for direction, stage in ((Direction.UP, "device-finished"), (Direction.DOWN, "cloud-finished")):
        if direction in found.finished:
            more[stage] = {"fits_handshake": found.finished[direction]}
    if found.hello is not None and found.hello.summary is not None:
        more["device-hello"] = {k: v for k, v in found.hello.summary.facts.items() if k not in ("id", "flags")}
    steps = tuple(
        replace(step, fields={**step.fields, **more[step.stage]})
        if step.stage in more and step.status is not Status.ABSENT
        else step
        for step in transcript.steps
    )
    return replace(transcript, steps=_answered(steps, found))


def _answered(steps: tuple[Step, ...], found: DtlsDecryption) -> tuple[Step, ...]:
    """The row of the Hello's acknowledgement, by message id where the session is open."""
    if found.hello is None or found.hello.summary is None:
        return steps
    number = found.hello.summary.facts.get("id")
    ack = next(
        (
            item
            for item in found.records
            if item.direction is Direction.DOWN
            and item.summary is not None
            and item.summary.facts.get("id") == number
            and item.summary.facts.get("answers") == "hello"
        ),
        None,
    )
    rows = []
    for step in steps:
        if step.stage != "hello-ack":
            rows.append(step)
        elif ack is None:
            rows.append(Step(step.stage, Status.ABSENT, step.direction))
        else:
            rows.append(
                replace(
                    step,
                    status=Status.SEEN,
                    frames=ack.record.frames,
                    start_ns=ack.record.time_ns,
                    time_ns=ack.record.time_ns,
                )
            )
    return tuple(rows)
