"""Rules for sessions without a handshake: resumed from retained memory, moved to another address, or begun unseen."""

from __future__ import annotations

from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.dtls.opening import cut_off, cut_short
from analyzer.diagnosis.dtls.session import hello_watch, sequence_of
from analyzer.diagnosis.dtls.view import View
from analyzer.model import Certainty, Code, Evidence
from dissectors.events import Direction

UP, DOWN = Direction.UP, Direction.DOWN
#: A device's first record after its Finished (number 0) and a copy of it has a number below this.
_FRESH = 3


def unseen(view: View) -> Draft | None:
    """Only the cloud's side of a session without its handshake."""
    if view.heard(UP):
        return None
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        "Only what the cloud sends is in the capture, and no handshake.",
        (Evidence("protected records of the cloud, nothing of the device", frames),),
        would_settle=("a capture of both directions that starts before the device connects",),
    )


def refused(view: View) -> Draft | None:
    """The only answer to a resumed session is an alert."""
    alert = view.alert(DOWN)
    if alert is None or any(record.direction is DOWN for record in view.applications):
        return None
    return _lost(
        view,
        f"The cloud refuses the resumed session with {alert[0]}: it no longer knows it.",
        Evidence(f"the cloud's only answer: {alert[0]}", alert[1]),
    )


def unanswered(view: View) -> Draft | None:
    """Nothing comes back on a resumed session."""
    if any(record.direction is DOWN for record in view.attempt.transcript.records) or view.alert(DOWN) is not None:
        return None
    sent = [record for record in view.attempt.transcript.records if record.direction is UP]
    frames = tuple(frame for record in sent for frame in record.frames)
    icmp = [note for note in view.flow.icmp if note.about is UP]
    if icmp:
        text = "The resumed session is not answered: the network reports that the cloud cannot be reached."
        return _lost(view, text, Evidence("ICMP errors about the device's records", tuple(n.frame for n in icmp)[:12]))
    if not view.restarted and view.waited_s < hello_watch():
        return cut_short(view, "resumed", "the device's first record")
    silence = Evidence(f"{len(sent)} record{'s' * (len(sent) > 1)} of the device, nothing back", frames[:12])
    if not (view.marked or view.opened) and sequence_of(sent[0]) < _FRESH:
        return Draft(
            Code.CAPTURE_INCOMPLETE,
            Certainty.INFERRED,
            None,
            view.attempt.frames,
            "The capture starts right behind a handshake that is not in it; what the device then says is not answered.",
            (
                Evidence(f"the first record has sequence number {sequence_of(sent[0])}", frames[:1]),
                silence,
                view.ending(),
            ),
            alternatives=(Code.HELLO_UNANSWERED, Code.SESSION_LOST, Code.DEVICE_KEY_MISMATCH),
            would_settle=("a capture that starts before the device connects (reset the device after starting it)",),
        )
    text = "The device goes on with a stored session, and nothing answers: the cloud no longer knows it, or does not follow the device to its new address."
    return _lost(view, text, silence)


def _lost(view: View, summary: str, evidence: Evidence) -> Draft:
    first = view.step("resumed")
    more = [
        Evidence(
            f"the device's first record has sequence number {first.fields.get('sequence')}: no handshake goes before it",
            first.frames,
        ),
        evidence,
    ]
    good = view.opened
    if good and view.decryption.held is not None:
        more.append(
            Evidence(
                f"it opens with {view.decryption.held.source.file}: the device's half of the session is right",
                good[0].record.frames,
            )
        )
    clear = bool(view.marked or good) and (view.restarted or len(view.attempt.transcript.records) > 1)
    return Draft(
        Code.SESSION_LOST,
        Certainty.INFERRED if clear else Certainty.UNDETERMINED,
        "resumed",
        (*first.frames, *evidence.frames),
        summary,
        (*more, view.ending()),
        alternatives=() if clear else (Code.CAPTURE_INCOMPLETE,),
        would_settle=(
            "the cloud's record of this session (it lives in the cloud's memory)",
            "a capture on the cloud's side: do the records arrive?",
        ),
    )


def late_start(view: View) -> Draft | None:
    """Answered, but not a session that moved: nothing marks it, and nothing in hand opens it."""
    if view.attempt.torn and view.attempt.unreadable and not view.opened:
        frames = view.attempt.unreadable[:12]
        return cut_off(view, "resumed", frames, "messages of a handshake are cut before they show what they are")
    if view.marked or view.opened:
        return None
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        "The capture starts after the handshake: encrypted records go both ways, but what led to them is not there.",
        (Evidence("the first datagram is a protected record, without the mark of a session that moved", frames[:1]),),
        would_settle=(
            "a capture that starts before the device connects (reset the device after starting it)",
            "a dump of the device's saved session, or the key log of that handshake: it opens these records",
        ),
    )


def healthy(view: View) -> Draft:
    """A resumed session that is answered."""
    records = view.attempt.transcript.records
    good = view.opened
    opened = {item.direction for item in good}
    first, session = view.step("resumed"), view.step("session")
    evidence = [
        Evidence(f"the device goes on with a stored session: record type {first.fields.get('marker')}", first.frames),
        Evidence("the cloud answers on it: both sides hold the same keys", session.frames),
    ]
    if view.decryption.held is not None:
        evidence.append(
            Evidence(
                f"{len(good)} of {len(records)} records decrypt with {view.decryption.held.source.file}",
                good[0].record.frames if good else (),
            )
        )
    return Draft(
        Code.HEALTHY,
        Certainty.INFERRED,
        "resumed",
        (*first.frames, *session.frames),
        "The device resumes its session without a handshake, and the cloud answers.",
        tuple(evidence),
        claim=Claim() if opened == set(Direction) and len(good) >= 2 else None,
    )
