"""Rules for what comes after the key exchange: the Hellos and the session itself."""

from __future__ import annotations

from itertools import islice

from analyzer.case import Case
from analyzer.conversations import Chunk
from analyzer.decrypt.lightssl import OpenedRecord
from analyzer.diagnosis.context import SHORT_LIVED, name
from analyzer.diagnosis.context import lived as lived_until
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.view import View
from analyzer.diagnosis.patience import CONNECT_WATCH, DISPLACED_WITHIN, IGNORED_WATCH, NEAR_TIMER
from analyzer.firmware.timers import timer
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors import coap
from dissectors.events import Direction, How, Status


def corrupt_hello(view: View) -> Draft | None:
    """The device's Hello does not decrypt or parse."""
    bad = view.decryption.bad_record
    return _corrupt(view, bad) if bad is not None and bad.record.direction is Direction.UP else None


def unanswered_hello(view: View) -> Draft:
    """The device's Hello, and no Hello back."""
    frames = view.frames("device-hello")
    if view.first_close is None and view.watched_s < timer("hello-wait").first:
        return too_short(view, "cloud-hello", "the device's Hello")
    evidence = [Evidence("the device used the session key: its first record is its Hello", frames)]
    opened = next((item for item in view.decryption.records if item.record.direction is Direction.UP), None)
    if opened is not None and opened.summary is not None:
        evidence.append(Evidence(f"it decrypts: {opened.summary.summary}", frames))
    evidence.append(view.close_evidence())
    return Draft(
        Code.HELLO_UNANSWERED,
        Certainty.INFERRED,
        "cloud-hello",
        frames,
        "The keys on both sides fit and the device says Hello; the cloud does not answer it.",
        tuple(evidence),
        alternatives=(Code.SERVER_FAULT, Code.SESSION_DROPPED),
        would_settle=(
            'the server\'s log at that moment ("failed to parse hello", "get_hello timed out")',
            "a capture on the cloud's side: does the Hello arrive?",
        ),
    )


def displaced(view: View) -> Draft | None:
    """Closed by the cloud because the same device id connected elsewhere, while this device was still there."""
    close = view.first_close
    if close is None or close.direction is not Direction.DOWN or close.how is not How.FIN:
        return None
    closed = close.mark.time_ns
    earliest = max(view.case.start_ns, closed - int(DISPLACED_WITHIN * 1e9))
    for other in view.context.same_cloud(view.case).within(earliest, closed):
        # Where a coarse clock gives both one time, the file's order tells which came first.
        if other.first_frame <= view.case.first_frame or other.device == view.case.device:
            continue
        told = other.transcript.step("identity")
        # A clock that was set puts things in another order; the cloud knew of the other one before it closed this one.
        in_order = told is not None and bool(told.frames) and told.frames[0] < min(close.mark.frames, default=0)
        alive = _alive_beside(view, other)
        if alive is None or not in_order:
            continue
        firm = view.case.id_source == "identity" and other.id_source == "identity"
        elsewhere = other.device.address != view.case.device.address
        text = f"the same device id connects from {other.device} while this session is up"
        return Draft(
            Code.SESSION_DISPLACED,
            Certainty.INFERRED,
            "session",
            (other.first_frame, *close.mark.frames),
            f"The cloud ended this session because device id {view.case.device_id} connected again"
            + (f" from {other.device.address}: two devices share one id." if elsewhere else " on a new connection."),
            (
                Evidence(text, (other.first_frame,)),
                alive,
                Evidence(
                    f"{(closed - other.start_ns) / 1e9:.1f} s later the cloud closes this session", close.mark.frames
                ),
            ),
            claim=Claim() if firm else None,
        )
    return None


def _alive_beside(view: View, other: Case) -> Evidence | None:
    """The device of this session still sends, in order, after the other one identified itself: these are two devices.

    A device that came back after an outage has forgotten the old connection: it answers on it with a reset or not at all.
    """
    facts, identity = view.conversation.facts, other.transcript.step("identity")
    if identity is None or identity.time_ns is None or facts.up.retransmitted_unacked:
        return None
    if any(reset.direction is Direction.UP for reset in facts.rsts):
        return None
    ends = [close for close in view.closes if close.direction is Direction.UP and close.how is How.FIN]
    told = (identity.time_ns, *identity.frames[:1])
    sent = [
        piece.mark for piece in view.conversation.pieces if isinstance(piece, Chunk) and piece.direction is Direction.UP
    ]
    if any((mark.time_ns, *mark.frames[:1]) > told for mark in sent):
        return Evidence(
            "its device still sends records after that: two devices are alive at once", view.frames("session")[-1:]
        )
    if any((close.mark.time_ns, *close.mark.frames[:1]) > told for close in ends) or facts.down.fin_acked:
        return Evidence(
            "its device takes the close in order: two devices are alive at once",
            tuple(f for c in ends for f in c.mark.frames),
        )
    return None


def came_back(view: View) -> Draft | None:
    """The session had died on the way; the device connects anew, and the cloud then clears the old one away."""
    facts, close = view.conversation.facts, view.first_close
    if close is None or close.direction is not Direction.DOWN:
        return None
    end = close.mark.time_ns
    later = [
        case
        for case in view.context.same_cloud(view.case).within(view.case.start_ns + 1, end + int(DISPLACED_WITHIN * 1e9))
        if case is not view.case and case.device.address == view.case.device.address
    ]
    unheard = facts.up.retransmitted_unacked or any(reset.direction is Direction.UP for reset in facts.rsts)
    if not later or not unheard:
        return None
    again = tuple(frame for frame, sender in facts.retransmissions if sender is Direction.UP)[:12]
    evidence = [*_keys_fit(view)]
    if again:
        evidence.append(Evidence("the device sends its data again and again, and nobody acknowledges it", again))
    evidence.append(Evidence("then the same device, at the same address, connects anew", (later[0].first_frame,)))
    evidence.append(view.close_evidence())
    return Draft(
        Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "session",
        (*again, later[0].first_frame, *close.mark.frames),
        "The session was up; then the path was interrupted, and the device came back on a new connection.",
        tuple(evidence),
        would_settle=(
            "a capture on the other side of the router or firewall: when does it stop passing this connection?",
        ),
    )


#: Sessions that the cloud ends are a pattern from this many on.
_PATTERN = 2
#: A session that the cloud ends within this of the Hellos was ended by them (s).
_AT_ONCE = 3.0


def thrown_out(view: View) -> Draft | None:
    """The handshake completes, and the cloud ends the session soon after, again and again.

    One that is still open when the capture ends, behind others that all ended so, is one of them.
    """
    close = view.first_close
    if close is not None and (close.direction is not Direction.DOWN or view.forged):
        return None
    lived = lived_until(view.case, close.mark.time_ns if close is not None else view.context.end_ns)
    if lived is None or lived > SHORT_LIVED:
        return None
    ended = view.context.same_cloud(view.case).ended_by_cloud()
    others = len(ended) - (id(view.case) in ended)
    alike = list(islice((item for item in ended.values() if item[0] is not view.case), 8))
    if close is None and (others < _PATTERN or lived > max(its for _, its in alike) + NEAR_TIMER):
        return None
    if close is not None and not others and lived > _AT_ONCE:
        return None
    twin = next((case for case in view.context.same_cloud(view.case).through() if _elsewhere(case, view.case)), None)
    if twin is not None:
        return _between_two(view, twin)
    usual = lived if close is not None else alike[0][1]
    describe = timer("brewskey-describe").first
    near = abs(usual - describe) < NEAR_TIMER
    asked = _unanswered_describe(view) if close is not None else None
    ends = close.mark.frames if close is not None else ()
    evidence = [*_keys_fit(view)]
    if close is not None:
        how = "resets" if close.how is How.RST else "closes"
        evidence.append(Evidence(f"the cloud {how} it {lived:.1f} s after the Hellos, the device does not", ends))
    if near:
        evidence.append(
            Evidence(
                f"that is the {describe:g} s for which Brewskey's server waits for the device's description (Describe)"
            )
        )
    if asked is not None:
        evidence.append(asked)
    if alike:
        plural = "s" if others > 1 else ""
        text = f"{others} other session{plural} of this device with this cloud ended so"
        evidence.append(Evidence(text, tuple(case.first_frame for case, _ in alike)))
    known = view.decryption.session is not None
    after = "at once" if usual <= _AT_ONCE else f"after {usual:.0f} s"
    why = " for want of an answer to its Describe" if near or asked is not None else ""
    summary = (
        f"The device gets through, and the cloud ends the session {after}{why}: no key is wrong."
        if close is not None
        else f"The device gets through; the cloud ended {others} other sessions of it {after}{why}."
    )
    text = f"the cloud ends each session of this device {after}: {others + (close is not None)} in this capture"
    return Draft(
        Code.SERVER_FAULT if known else Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "session",
        (*view.frames("cloud-hello"), *ends),
        summary,
        tuple(evidence),
        alternatives=(Code.SESSION_DROPPED,) if known else (Code.SERVER_FAULT, Code.SESSION_DISPLACED),
        would_settle=("the server's log at that moment",),
        findings=(Finding("ended-by-cloud", Certainty.INFERRED, text, ends),),
    )


def _elsewhere(other: Case, case: Case) -> bool:
    return other.device.address != case.device.address


def _between_two(view: View, twin: Case) -> Draft:
    """Ended by the cloud, and the same id gets through from another address: it may have come again, unseen."""
    return Draft(
        Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "session",
        view.closes[0].mark.frames if view.closes else view.frames("cloud-hello"),
        "The device gets through, and the cloud ends the session: no key is wrong, but two devices use this id.",
        (
            *_keys_fit(view),
            view.close_evidence(),
            Evidence(f"the same id also gets through from {twin.device.address}", (twin.first_frame,)),
        ),
        alternatives=(Code.SESSION_DISPLACED, Code.SERVER_FAULT),
        would_settle=("a longer capture: does the same id connect again just before the cloud closes?",),
    )


def _unanswered_describe(view: View) -> Evidence | None:
    """A request of the cloud, asking for an answer, that the device never answers."""
    up = {
        item.message.message_id
        for item in view.decryption.records
        if item.message is not None and item.record.direction is Direction.UP
    }
    for item in view.decryption.records:
        message = item.message
        if message is None or item.record.direction is not Direction.DOWN or message.type is not coap.Type.CON:
            continue
        if message.message_id not in up and item.summary is not None:
            return Evidence(f"the cloud's request ({item.summary.summary}) is never answered", item.record.frames)
    return None


def corrupt_record(view: View) -> Draft | None:
    """A record does not decrypt or parse."""
    bad = view.decryption.bad_record
    if bad is not None:
        return _corrupt(view, bad)
    session = view.decryption.session
    malformed = next((record for record in view.case.transcript.records if record.status is Status.MALFORMED), None)
    if malformed is None:
        return None
    who = "device" if malformed.direction is Direction.UP else "cloud"
    return Draft(
        Code.RECORD_CORRUPT,
        Certainty.INFERRED,
        "session",
        malformed.frames,
        f"A record of the {who} begins with a length that no record can have: the stream is damaged from there on.",
        (*_keys_fit(view), Evidence("impossible record length", malformed.frames), view.close_evidence()),
        alternatives=() if session else (Code.SESSION_DROPPED,),
    )


def _corrupt(view: View, bad: OpenedRecord) -> Draft:
    session = view.decryption.session
    assert session is not None
    good = [item for item in view.decryption.records if item.message is not None]
    sure = session.hmac is True or len(good) >= 2
    who = "device" if bad.record.direction is Direction.UP else "cloud"
    frames = bad.record.frames
    changed = tuple(sorted(set(view.conversation.facts.checksum_bad) & set(_vector(view, bad))))
    why = (
        "the TCP checksum of the record before is wrong, which this one is decrypted with: it changed after it was sent"
    )
    return Draft(
        Code.RECORD_CORRUPT,
        Certainty.INFERRED,
        "session",
        frames,
        f"The session key is right, but record {bad.record.index + 1} of the {who} does not decrypt: it was damaged on the way, or the two sides lost step.",
        (
            *_keys_fit(view),
            Evidence(f"{bad.error}", frames),
            *((Evidence(why, changed),) if changed else ()),
            view.close_evidence(),
        ),
        claim=Claim() if sure and not changed else None,
    )


def _vector(view: View, bad: OpenedRecord) -> tuple[int, ...]:
    """Frames of the record before ``bad``: the initialisation vector is its first 16 bytes."""
    records = (item.record for item in view.decryption.records)
    before = [item for item in records if item.direction is bad.record.direction and item.index < bad.record.index]
    return before[-1].frames if before else ()


def _keys_fit(view: View) -> list[Evidence]:
    session = view.decryption.session
    if session is None:
        return []
    good = sum(1 for item in view.decryption.records if item.message is not None)
    return [
        Evidence(
            f"the session key opens with {name(session.key)}; {good} of {len(view.decryption.records)} records decrypt",
            view.frames("session-key"),
        )
    ]


def cut(view: View) -> Draft | None:
    """An established session is reset, or one side stops being answered by TCP."""
    reset = view.reset
    if reset is not None:
        who = "the device's side" if reset.direction is Direction.UP else "the cloud's side"
        return Draft(
            Code.SESSION_DROPPED,
            Certainty.INFERRED,
            "session",
            reset.mark.frames,
            f"The session was up and is reset from {who}.",
            (*_keys_fit(view), Evidence(f"RST from {who}", reset.mark.frames)),
            would_settle=("a capture on the other side: was the RST sent by the peer or by something in between?",),
        )
    if view.first_close is not None:
        return None
    for direction in Direction:
        if not view.conversation.facts.of(direction).retransmitted_unacked:
            continue
        frames = tuple(frame for frame, sender in view.conversation.facts.retransmissions if sender is direction)
        if len(frames) < 2 and (view.context.end_ns - view.conversation.end_ns) / 1e9 < CONNECT_WATCH:
            continue  # the capture ends with it: an answer may have come
        who, other = ("device", "cloud") if direction is Direction.UP else ("cloud", "device")
        return Draft(
            Code.SESSION_DROPPED,
            Certainty.INFERRED,
            "session",
            frames,
            f"The session was up; then the {who} sends its data again and again and the {other} no longer acknowledges it.",
            (*_keys_fit(view), Evidence(f"{len(frames)} retransmissions, the last without acknowledgement", frames)),
            would_settle=(f"a capture on the {other}'s side: do these segments arrive there?",),
        )
    return None


#: Without a clock so many records in a row without an answer are a pattern.
_IGNORED_TIMELESS = 4


def dumb_server(view: View) -> Draft | None:
    """The session is up, and the cloud never says anything after its Hello although the device keeps asking."""
    asked = [record for record in view.case.transcript.records if record.direction is Direction.UP]
    answered = [record for record in view.case.transcript.records if record.direction is Direction.DOWN]
    if len(asked) < 3 or len(answered) > 2 or not answered:
        return None
    last = answered[-1].time_ns
    ignored = [record for record in asked if record.time_ns > last]
    timeless = view.context.timeless
    if timeless:  # the order of the frames is all there is
        ignored = [record for record in asked if record.frames[:1] > answered[-1].frames[-1:]]
    if len(ignored) < (_IGNORED_TIMELESS if timeless else 2):
        return None
    if not timeless and (view.last_payload_ns - last) < IGNORED_WATCH * 1e9:
        return None
    frames = tuple(frame for record in ignored for frame in record.frames)[:12]
    session = view.decryption.session
    waiting = [
        item
        for item in view.decryption.records
        if item.record in ignored and item.message is not None and item.message.type is coap.Type.CON
    ]
    evidence = [
        *_keys_fit(view),
        Evidence("the cloud's last record", answered[-1].frames),
        Evidence(f"{len(ignored)} records of the device after that are acknowledged by TCP and never answered", frames),
        view.close_evidence(),
    ]
    if session is not None:
        text = f"; {len(waiting)} of them ask for an acknowledgement" if waiting else ""
        return Draft(
            Code.SERVER_FAULT,
            Certainty.UNDETERMINED if timeless else Certainty.INFERRED,
            "session",
            frames,
            f"Every key fits and the device's records are right{text}, yet the cloud goes dumb after its Hello: it can no longer read them (an old server on a new Node does this).",
            tuple(evidence),
            alternatives=(Code.SESSION_DROPPED, *((Code.HEALTHY,) if timeless else ())),
            would_settle=("the server's log at that moment",),
        )
    return Draft(
        Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "session",
        frames,
        "The session was up; then the cloud no longer answers the device, although TCP still delivers.",
        tuple(evidence),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=("the device's private key: it decrypts the session and shows what is not answered",),
    )


def unseen(view: View) -> Draft | None:
    """By their sizes both sides got through, but of neither Hello, and of no record, is a byte captured."""
    hellos = [view.step(stage) for stage in ("device-hello", "cloud-hello")]
    if any(step.data for step in hellos) or view.case.transcript.records or view.decryption.session is not None:
        return None
    frames = view.frames("nonce", "identity", "session-key")
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        "session",
        frames,
        "The packets are cut in front of what was said: by their sizes the device got through, but nothing of its session is there.",
        (
            Evidence("the handshake's messages have their sizes, and data follows in both directions", frames),
            view.close_evidence(),
        ),
        alternatives=(Code.HEALTHY,),
        would_settle=("a capture with whole packets (tcpdump -s 0)",),
    )


def healthy(view: View) -> Draft:
    """Both Hellos, and nothing wrong after them."""
    session = view.decryption.session
    frames = view.frames("nonce", "identity", "session-key", "device-hello", "cloud-hello")
    good = [item for item in view.decryption.records if item.message is not None]
    whole = all(view.whole(stage) for stage in ("nonce", "identity", "session-key"))
    # Of bytes that are not in the capture only the number is known.
    text = "nonce, identity, session key and both Hellos, as they should be"
    told = text if whole else "both Hellos are there; the messages before them are not whole in the capture"
    evidence = [Evidence(told, frames), *_keys_fit(view)]
    sure = (
        session is not None
        and not session.repaired
        and len(good) >= 2
        and {item.record.direction for item in good} == set(Direction)
    )
    if view.first_close is not None:
        evidence.append(view.close_evidence())
    many = len(view.case.transcript.records)
    text = (
        "The device is through: the handshake completes and the session works"
        if many > 2
        else "The device is through: the handshake completes"
    )
    return Draft(
        Code.HEALTHY,
        Certainty.INFERRED,
        "session",
        frames,
        f"{text}.",
        tuple(evidence),
        claim=Claim() if sure else None,
    )
