"""Rules for what comes after both Finished: the Hello, the session, its end."""

from __future__ import annotations

from analyzer.case import Case
from analyzer.decrypt.dtls import OpenedRecord
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.dtls.device import doubts, what_fits
from analyzer.diagnosis.dtls.opening import MINUTE, cut_off, cut_short, too_short
from analyzer.diagnosis.dtls.view import View, established
from analyzer.diagnosis.patience import DISPLACED_WITHIN
from analyzer.firmware.timers import timer
from analyzer.model import Certainty, Code, Evidence
from dissectors.dtls.record import WireRecord
from dissectors.events import Direction, Record, Status

UP, DOWN = Direction.UP, Direction.DOWN
_KEY_STAGES = ("server-key-exchange", "device-certificate", "certificate-verify", "device-finished", "cloud-finished")
#: So many records without an answer are no slow one: a message and its first two repetitions.
_DROPPED_RECORDS = 3
#: Records that do not verify which are named.
_LISTED = 8
#: Changes no checksum sees that are tried on one record: a ciphertext has hardly a place for one, a hostile one thousands.
_CHANGES_TRIED = 256


def corrupt_record(view: View) -> Draft | None:
    """A record does not verify although the session's secret opens its neighbours."""
    bad = view.decryption.bad_records
    good = view.opened
    if not bad or view.decryption.held is None or not good:
        return None
    directions = {item.direction for item in bad}
    who = "device" if directions == {UP} else "cloud" if directions == {DOWN} else "device and the cloud"
    frames = tuple(frame for item in bad for frame in item.record.frames)
    many = f"{len(bad)} records" if len(bad) > 1 else "A record"
    found = [(item, _changed_unseen(view, item)) for item in bad[:_LISTED]]
    unseen = [item for item, changed in found if changed]
    sure = any(changed is False and _bracketed(view, item) for item, changed in found)
    return Draft(
        Code.RECORD_CORRUPT,
        Certainty.INFERRED,
        "session",
        frames,
        f"{many} of the {who} {'do' if len(bad) > 1 else 'does'} not verify: changed on the way, and dropped silently by the receiver. The keys are right.",
        (
            Evidence(
                f"the session's secret ({view.decryption.held.source.file}) opens {len(good)} records",
                good[0].record.frames,
            ),
            *(
                Evidence(
                    f"record {sequence_of(item.record)} of the {_who(item.record)}: the authentication tag does not verify",
                    item.record.frames,
                )
                for item in bad[:_LISTED]
            ),
            *(
                Evidence(
                    "it verifies with two bytes of 0xff as 0x00 (or back), which no checksum tells apart",
                    item.record.frames,
                )
                for item in unseen
            ),
        ),
        would_settle=() if sure else ("a longer capture of this session",),
        claim=Claim() if sure else None,
    )


def _changed_unseen(view: View, bad: OpenedRecord) -> bool | None:
    """Whether a change that the UDP checksum is blind to (0xffff is 0 to it, RFC 1071) explains the record: then nothing
    vouches for the bytes, and it may as well be the capture that is damaged. None: too many places to tell."""
    held, whole = view.decryption.held, bad.record.fragment
    if held is None:
        return None
    left = _CHANGES_TRIED
    for value, other in ((b"\xff\xff", bytes(2)), (bytes(2), b"\xff\xff")):
        at = whole.find(value)
        while at >= 0:
            if not left:
                return None
            left -= 1
            changed = WireRecord.from_parts(bad.record.header, whole[:at] + other + whole[at + 2 :])
            if held.keys.open(bad.direction, changed) is not None:
                return True
            at = whole.find(value, at + 1)
    return False


def _bracketed(view: View, bad: OpenedRecord) -> bool:
    """Whether sound records of the same side stand right before and behind it, by number and in time.

    A latecomer of a session whose secret is not in hand fails as well; its number fits no gap but by chance.
    """
    same = [item.record for item in view.opened if item.direction is bad.direction]
    before = [record for record in same if record.time_ns <= bad.record.time_ns]
    after = [record for record in same if record.time_ns > bad.record.time_ns]
    if not before or not after:
        return False
    number = sequence_of(bad.record)
    return max(map(sequence_of, before)) < number < min(map(sequence_of, after))


def _who(record: Record) -> str:
    return "device" if record.direction is UP else "cloud"


def sequence_of(record: Record) -> int:
    """The record's sequence number."""
    return int.from_bytes(record.header[5:11], "big")


def hello_watch() -> float:
    """What a device waits before it repeats a message: less of the capture than this shows no silence."""
    return timer("coap-retransmit").first


def ended_at_once(view: View) -> Draft | None:
    """The handshake completes, and an alert ends the session before the device says Hello."""
    alert = view.alert(DOWN) or view.alert(UP)
    if not _unspoken(view) or alert is None:
        return None
    _, alternatives, settle = doubts(view)
    return Draft(
        Code.HANDSHAKE_REJECTED,
        Certainty.INFERRED,
        "cloud-finished",
        (*view.frames("device-finished", "cloud-finished"), *alert[1]),
        f"The handshake completes, and the session is ended at once with {alert[0]}.",
        (*what_fits(view), Evidence(alert[0], alert[1]), view.ending()),
        alternatives,
        settle,
    )


def hello_to_come(view: View) -> Draft | None:
    """The handshake completes, and the capture ends before the Hello is due."""
    if not _unspoken(view) or view.restarted or view.waited_s >= hello_watch():
        return None
    if view.step("cloud-finished").status is not Status.SEEN:
        return cut_short(view, "cloud-finished", "the cloud's ChangeCipherSpec")
    frames = view.frames("device-finished", "cloud-finished")
    return Draft(
        Code.HEALTHY,
        Certainty.INFERRED,
        "cloud-finished",
        frames,
        "The handshake completes: both keys are accepted. The capture ends before the device says Hello.",
        (*what_fits(view), Evidence("Finished of both sides", frames), view.ending()),
    )


def no_hello(view: View) -> Draft | None:
    """The handshake completes, and the device says nothing on it. Asked behind `hello_to_come`."""
    if not _unspoken(view):
        return None
    frames = view.frames("device-finished", "cloud-finished")
    again = view.repeats("device-finished")
    text = (
        "the device repeats its Finished: the cloud's does not reach it" if again else "no record of the device follows"
    )
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        "device-hello",
        frames,
        "The cloud completes the handshake, and the device does not go on: the cloud's last flight does not reach it, or it restarted.",
        (*what_fits(view), Evidence(text, frames), view.ending()),
        would_settle=("a capture on the device's side of the network: does the cloud's Finished arrive?", MINUTE),
    )


def _unspoken(view: View) -> bool:
    """Whether the handshake completes without a record of the device on it."""
    return view.seen("cloud-finished") and not any(record.direction is UP for record in view.applications)


def unanswered_hello(view: View) -> Draft | None:
    """The device's Hello is not acknowledged."""
    if not view.seen("device-hello") or view.session_up:
        return None
    hello = view.attempt.hello_frames or view.frames("device-hello")
    alert = view.alert(DOWN)
    back = [record for record in view.applications if record.direction is DOWN]
    if alert is None and not back and len(hello) == 1 and too_short(view, hello_watch()):
        return cut_short(view, "hello-ack", "the device's Hello")
    server = view.attempt.flight
    if alert is None and back and back[0].status is Status.PARTIAL and (server is None or server.hello is None):
        # Where a record begins depends on the connection id that the ServerHello names.
        return cut_off(
            view, "hello-ack", back[0].frames, "the answer to the device's Hello is cut, and the ServerHello too"
        )
    evidence = [
        *what_fits(view),
        Evidence("both sides completed the handshake", view.frames("device-finished", "cloud-finished")),
    ]
    opened = view.decryption.hello
    if opened is not None and opened.summary is not None:
        evidence.append(Evidence(f"the device's first message: {opened.summary.summary}", opened.record.frames))
    else:
        size = view.step("device-hello").fields.get("plaintext_bytes")
        evidence.append(
            Evidence(f"the device's first message is {size} bytes long, as its Hello is", view.frames("device-hello"))
        )
    if alert is not None:
        summary = f"The handshake completes, and the cloud answers the device's Hello with {alert[0]}: it ends the session there."
        evidence.append(Evidence(f"the cloud's answer: {alert[0]}", alert[1]))
    elif back:
        summary = "The handshake completes; what comes back to the device's Hello is no acknowledgement."
        evidence.append(Evidence("a record of the cloud, and not the 4 bytes of an acknowledgement", back[0].frames))
    else:
        summary = "The handshake completes, and the cloud never acknowledges the device's Hello."
        evidence.append(Evidence(f"sent {len(hello)} time{'s' * (len(hello) > 1)}, nothing comes back", hello))
    certainty, alternatives, settle = doubts(view)
    return Draft(
        Code.HELLO_UNANSWERED,
        certainty,
        "hello-ack",
        (*hello, *(alert[1] if alert else ())),
        summary,
        (*evidence, view.ending()),
        tuple(dict.fromkeys((*alternatives, Code.SESSION_DROPPED))),
        settle,
    )


def displaced(view: View) -> Draft | None:
    """Closed by the cloud because the same device id connected from elsewhere."""
    alert = view.alert(DOWN)
    if alert is None or view.device_id is None:
        return None
    ended = max(
        (record.time_ns for record in view.attempt.transcript.records if set(record.frames) & set(alert[1])),
        default=None,
    )
    if ended is None:
        return None
    for other in view.context.by_device[view.device_id]:
        elsewhere = other.device != view.case.device and other.cloud == view.case.cloud
        if (
            elsewhere
            and _both_alive(view, other, ended)
            and established(other)
            and view.case.start_ns < other.start_ns <= ended <= other.start_ns + int(DISPLACED_WITHIN * 1e9)
        ):
            return Draft(
                Code.SESSION_DISPLACED,
                Certainty.INFERRED,
                "session",
                (other.first_frame, *alert[1]),
                f"The cloud ends this session because device id {view.device_id} connected again from {other.device}.",
                (
                    Evidence(
                        f"the same device id connects from {other.device} while this session is up",
                        (other.first_frame,),
                    ),
                    Evidence(
                        f"{(ended - other.start_ns) / 1e9:.1f} s later the cloud ends this session: {alert[0]}",
                        alert[1],
                    ),
                ),
            )
    return None


def _both_alive(view: View, other: Case, ended: int) -> bool:
    """Whether two devices speak: this one after the other began, or again from its own address once it was put out.

    A device that comes back after an outage, from another port or address, begins anew and is silent on what it had.
    """
    records = view.attempt.transcript.records
    if any(record.direction is UP and record.time_ns > other.start_ns for record in records):
        return True
    here = view.case.device.address
    again = (case for case in view.context.by_device[view.device_id or ""] if case.start_ns > ended)
    return other.device.address != here and any(case.device.address == here for case in again)


def closed(view: View) -> Draft | None:
    """An established session is ended by an alert or by a command of the cloud."""
    for direction in (DOWN, UP):
        alert = view.alert(direction)
        if alert is not None:
            who = "cloud" if direction is DOWN else "device"
            return _dropped(
                view,
                f"The session was up; then the {who} ended it with {alert[0]}.",
                Evidence(f"{alert[0]} by the {who}", alert[1]),
            )
    told = next((item for item in view.opened if item.direction is DOWN and item.type == "reset"), None)
    if told is not None and view.restarted:
        return _dropped(
            view,
            "The session was up; then the cloud told the device to discard it.",
            Evidence("a CoAP reset of the cloud: the device forgets the session", told.record.frames),
        )
    return None


def gone_silent(view: View) -> Draft | None:
    """The cloud no longer answers what the device sends on an established session."""
    tail = view.unanswered_tail
    repeated = sum(timer("coap-retransmit").seconds[: _DROPPED_RECORDS - 1])
    if len(tail) < _DROPPED_RECORDS or (tail[-1].time_ns - tail[0].time_ns) / 1e9 < repeated:
        return None
    frames = tuple(frame for record in tail for frame in record.frames)
    unreachable = [note for note in view.flow.icmp if note.about is UP]
    evidence = Evidence(
        f"{len(tail)} records of the device in {(tail[-1].time_ns - tail[0].time_ns) / 1e9:.0f} s, nothing back",
        frames[:12],
    )
    draft = _dropped(view, "The session was up; then the cloud no longer answers the device.", evidence)
    if unreachable:
        more = Evidence("ICMP reports that the cloud cannot be reached", tuple(note.frame for note in unreachable)[:12])
        return Draft(
            draft.code,
            draft.certainty,
            draft.stage,
            draft.frames,
            draft.summary,
            (*draft.evidence, more),
            draft.alternatives,
            draft.would_settle,
        )
    return draft


def _dropped(view: View, summary: str, evidence: Evidence) -> Draft:
    return Draft(
        Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "session",
        evidence.frames,
        summary,
        (*_up(view), evidence, view.ending()),
        alternatives=(Code.SESSION_DISPLACED,) if view.alert(DOWN) else (),
        would_settle=("the cloud's log at that moment", "a capture on the other side of the network"),
    )


def _up(view: View) -> list[Evidence]:
    return [
        *what_fits(view),
        Evidence("the Hello is acknowledged: both keys were accepted", view.frames("device-hello", "hello-ack")),
    ]


def healthy(view: View) -> Draft | None:
    """Both Finished, the Hello and its acknowledgement, and nothing wrong after them."""
    if not view.session_up:
        return None
    good = view.opened
    whole = all(record.status is Status.SEEN for record in view.applications)  # what is cut was not verified
    sure = len(good) >= 2 and {item.direction for item in good} == set(Direction) and not view.decryption.bad_records
    evidence = _up(view)
    if view.decryption.held is not None:
        evidence.append(
            Evidence(
                f"{len(good)} of {len(view.attempt.transcript.records)} records decrypt with {view.decryption.held.source.file}",
                good[0].record.frames if good else (),
            )
        )
    if view.restarted:
        evidence.append(view.ending())
    many = len(view.applications)
    text = "the handshake completes and the session works" if many > 2 else "the handshake completes"
    return Draft(
        Code.HEALTHY,
        Certainty.INFERRED,
        "session",
        view.frames(*_KEY_STAGES, "device-hello", "hello-ack"),
        f"The device is through: {text}.",
        tuple(evidence),
        claim=Claim() if sure and whole else None,
    )
