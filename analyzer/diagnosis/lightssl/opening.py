"""Rules up to the nonce: the connection, what answered, and what did not."""

from __future__ import annotations

from analyzer.conversations import Chunk, Close
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.icmp import icmp_text
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.view import View
from analyzer.diagnosis.patience import ABANDON_WITHIN, ANSWER_WATCH, CONNECT_EARLY, CONNECT_WATCH
from analyzer.firmware.timers import timer
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.events import Direction, How, Status


def refused(view: View) -> Draft | None:
    """RST or ICMP unreachable in answer to the SYN."""
    facts = view.conversation.facts
    if not facts.syn or facts.syn_ack is not None or facts.established is not None or view.data_seen:
        return None
    rst = next((close for close in view.closes if close.how is How.RST and close.direction is Direction.DOWN), None)
    syn = facts.syn[0]
    if rst is not None:
        evidence = (
            Evidence(f"SYN to {view.case.cloud}", syn.frames),
            Evidence("answered with RST: nothing listens there, or a firewall refuses", rst.mark.frames),
        )
        return Draft(
            Code.CONNECT_REFUSED,
            Certainty.INFERRED,
            "connect",
            (*syn.frames, *rst.mark.frames),
            f"{view.case.cloud} refuses the connection: nothing listens on that port, or a firewall says no in its place.",
            evidence,
        )
    if facts.icmp:
        first = facts.icmp[0]
        evidence = (
            Evidence(f"SYN to {view.case.cloud}", syn.frames),
            Evidence(f"answered with ICMP {icmp_text(first)}", (first.frame,)),
        )
        return Draft(
            Code.CONNECT_REFUSED,
            Certainty.INFERRED,
            "connect",
            (*syn.frames, first.frame),
            f"The network reports that {view.case.cloud} cannot be reached ({icmp_text(first)}).",
            evidence,
        )
    return None


def unanswered(view: View) -> Draft | None:
    """SYN, and nothing comes back at all."""
    facts = view.conversation.facts
    if not facts.syn or facts.syn_ack is not None or facts.established is not None or view.data_seen:
        return None
    frames = tuple(frame for mark in facts.syn for frame in mark.frames)
    watched = (view.context.end_ns - facts.syn[0].time_ns) / 1e9
    if len(facts.syn) == 1 and watched < CONNECT_WATCH:
        return Draft(
            Code.CAPTURE_INCOMPLETE,
            Certainty.INFERRED,
            "connect",
            frames,
            f"The capture ends {watched:.1f} s after the SYN: too early to say whether it is answered.",
            (Evidence("a single SYN, then the capture ends", frames),),
            would_settle=("a capture that goes on for a minute",),
        )
    tries = f"{len(facts.syn)} SYNs" if len(facts.syn) > 1 else "one SYN"
    return Draft(
        Code.CONNECT_UNANSWERED,
        Certainty.INFERRED,
        "connect",
        frames,
        f"Nothing answers at {view.case.cloud}: {tries} in {watched:.0f} s, no reply of any kind.",
        (Evidence(f"{tries}, no SYN-ACK, no RST, no ICMP", frames),),
        would_settle=("a capture on the cloud's side: does the SYN arrive there?",),
    )


def one_direction(view: View) -> Draft | None:
    """Only one side of the conversation is in the capture."""
    if not view.conversation.facts.one_direction_only:
        return None
    frames = (view.conversation.first_frame, view.conversation.last_frame)
    text = "every packet of this session comes from the same side, and they acknowledge data of the other"
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        "Only one direction of this session is in the capture: what the other side said decides, and it is not there.",
        (Evidence(text, frames),),
        would_settle=(
            "a capture at a point where both directions pass (mirror port set to both, no asymmetric route)",
        ),
    )


def late_start(view: View) -> Draft | None:
    """The capture starts after the handshake."""
    transcript = view.case.transcript
    facts = view.conversation.facts
    unopened = not facts.syn and _unspoken(view) is not None
    if (facts.mid_stream or unopened) and "mid-session-start" not in transcript.notes and not transcript.records:
        return _nothing_before(view)
    begun = not view.conversation.facts.syn and not view.seen("nonce") and transcript.records
    if "mid-session-start" not in transcript.notes and not begun:
        return None
    text = "the first data are encrypted records; there is no nonce, identity or session key before them"
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        (view.conversation.first_frame, view.conversation.last_frame),
        "The capture starts after the handshake: encrypted records go both ways, but what led to them is not there.",
        (Evidence(text, (view.conversation.first_frame,)),),
        would_settle=("a capture that starts before the device connects (reset the device after starting it)",),
    )


def _nothing_before(view: View) -> Draft | None:
    """No SYN, and of the handshake not enough to say what is missing from what is merely not in the capture."""
    within = "starts-within" in view.case.transcript.notes
    begun = view.seen("identity") and not (within and not view.seen("nonce"))
    if begun or view.seen("session-key") or view.step("nonce").status is Status.MALFORMED:
        return None
    bytes_seen = sum(len(piece.data) for piece in view.conversation.pieces if isinstance(piece, Chunk))
    if bytes_seen or view.data_seen:
        counted = f"{bytes_seen} bytes of it" if bytes_seen else "packets with data, cut off in front of it,"
        text = f"neither SYN nor SYN-ACK is in the capture, and {counted} are: how it began is not there"
        summary = "The capture starts in the middle of this connection: what went before is not there, so nothing can be said of it."
    elif view.conversation.facts.syn_ack is not None:
        text = "the SYN is not in the capture, nor any data"
        summary = "The capture starts while the device connects, and it ends the connection itself: what it waited for is not there."
    else:
        text = "neither SYN nor SYN-ACK is in the capture, nor any data"
        summary = "The capture starts when this connection is over but for its end: what was said on it is not there."
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        (view.conversation.first_frame, view.conversation.last_frame),
        summary,
        (Evidence(text, (view.conversation.first_frame,)),),
        would_settle=("a capture that starts before the device connects (reset the device after starting it)",),
    )


#: Facts of a foreign answer that tell who it is.
_TELLING = (
    ("location", "it redirects to"),
    ("title", "page title"),
    ("server", "it calls itself"),
    ("banner", "banner"),
)


def somebody_else(view: View) -> Draft | None:
    """What answered is not a Particle cloud."""
    nonce = view.step("nonce")
    what = nonce.fields.get("answer") or nonce.fields.get("looks_like")
    if nonce.status is not Status.MALFORMED or not what:
        return None
    evidence = [
        Evidence(f"where 40 random bytes belong, the other side sends {what}", nonce.frames),
        *(
            Evidence(f"{label}: {nonce.fields[fact]}", nonce.frames)
            for fact, label in _TELLING
            if nonce.fields.get(fact)
        ),
    ]
    return Draft(
        Code.NOT_THE_CLOUD,
        Certainty.INFERRED,
        "nonce",
        nonce.frames,
        f"Something that is not a Particle cloud answers at {view.case.cloud}: {what}.",
        tuple(evidence),
    )


#: Captured bytes of a first message that tell nothing of who speaks.
_FEW = 5


def sizes_alone(view: View) -> Draft | None:
    """Of what the other side says first nothing is captured, and its size is not a nonce's."""
    nonce, key = view.step("nonce"), view.step("session-key")
    if "cut-packets" not in view.case.transcript.notes or len(nonce.data) >= _FEW or not key.fields.get("early_bytes"):
        return None
    text = "the other side says more than 40 bytes before the device answers, and the packets are cut in front of them"
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        "nonce",
        (*nonce.frames, *key.frames),
        "The packets are cut in front of what was said, and the sizes do not look like a Particle cloud's: what answered cannot be told.",
        (Evidence(text, (*nonce.frames, *key.frames)),),
        alternatives=(Code.NOT_THE_CLOUD,),
        would_settle=("a capture with whole packets (tcpdump -s 0)",),
    )


def answered_too_late(view: View) -> Draft | None:
    """The SYN-ACK came when the device had given up connecting."""
    close, waited, limit = _unspoken(view), _connected_after(view), timer("connect").first
    if close is None or waited is None or close.how is not How.RST or waited < limit - CONNECT_EARLY:
        return None
    return Draft(
        Code.CONNECT_UNANSWERED,
        Certainty.INFERRED,
        "connect",
        (*view.frames("connect"), *close.mark.frames),
        f"{view.case.cloud} answers the SYN after {waited:.1f} s: too late, the device had given up (it waits {limit:g} s).",
        (
            _connected(view, waited),
            Evidence("the device answers with RST: it no longer knows that connection", close.mark.frames),
        ),
    )


def abandoned(view: View) -> Draft | None:
    """The device itself ends the connection before the cloud can have said anything."""
    close, waited, accepted = _unspoken(view), _connected_after(view), view.conversation.facts.syn_ack
    if close is None or waited is None or accepted is None:
        return None
    if (close.mark.time_ns - accepted.time_ns) / 1e9 >= ABANDON_WITHIN or view.context.timeless:
        return None
    how = "resets" if close.how is How.RST else "closes"
    return Draft(
        Code.SESSION_DROPPED,
        Certainty.INFERRED,
        "nonce",
        (*view.frames("connect"), *close.mark.frames),
        f"The device {how} the connection as soon as it is accepted: it restarted or was told to stop. Nothing was said.",
        (_connected(view, waited), view.close_evidence()),
        would_settle=("the device's log at that moment",),
    )


def _unspoken(view: View) -> Close | None:
    """The device's FIN or RST, when it came first and no data went before it."""
    close = view.first_close
    return close if close is not None and close.direction is Direction.UP and not view.data_seen else None


def _connected_after(view: View) -> float | None:
    """Seconds from the first SYN to the SYN-ACK; None when either is not in the capture."""
    facts = view.conversation.facts
    return (facts.syn_ack.time_ns - facts.syn[0].time_ns) / 1e9 if facts.syn and facts.syn_ack is not None else None


def _connected(view: View, waited: float) -> Evidence:
    accepted = view.conversation.facts.syn_ack
    return Evidence(f"SYN-ACK {waited:.3f} s after the first SYN", accepted.frames if accepted is not None else ())


def closed_before_nonce(view: View) -> Draft | None:
    """Connected, and the other side ends it before all 40 bytes have come."""
    close = view.first_close
    if close is None or close.direction is not Direction.DOWN:
        return None
    how = "resets" if close.how is How.RST else "closes"
    return Draft(
        Code.CLOSED_BEFORE_NONCE,
        Certainty.INFERRED,
        "nonce",
        (*_accepted(view), *close.mark.frames),
        f"{view.case.cloud} accepts the connection and {how} it before sending a nonce: a server that is up but does not serve, or a middlebox.",
        (Evidence("the connection is accepted", _accepted(view)), view.close_evidence()),
        would_settle=(
            "the server's log at that time",
            "a capture on the server's side: does it see this connection?",
        ),
    )


def no_nonce(view: View) -> Draft:
    """Connected, and the 40 bytes never come (or not all of them)."""
    if view.first_close is None and view.watched_s < ANSWER_WATCH:
        return too_short(view, "nonce", "the connection is accepted")
    nonce = view.step("nonce")
    have = len(nonce.data) + nonce.missing
    if have:
        summary = f"Only {have} of the 40 bytes of the nonce arrive from {view.case.cloud}, then nothing."
    else:
        summary = f"{view.case.cloud} accepts the connection and never says a word: no nonce in {view.watched_s:.0f} s."
    # Without a clock nobody knows whether the device waited for it.
    open_ = view.context.timeless and _unspoken(view) is not None
    return Draft(
        Code.NO_NONCE,
        Certainty.UNDETERMINED if open_ else Certainty.INFERRED,
        "nonce",
        (*_accepted(view), *nonce.frames),
        summary,
        (
            Evidence("the connection is accepted", _accepted(view)),
            Evidence(f"{have} of 40 bytes of a nonce", nonce.frames),
            view.close_evidence(),
        ),
        alternatives=(Code.SESSION_DROPPED,) if open_ else (),
        would_settle=("a connection to that address from another network: does it get 40 bytes at once?",),
    )


def _accepted(view: View) -> tuple[int, ...]:
    return view.frames("connect") or (view.conversation.first_frame,)


def no_identity(view: View) -> Draft:
    """The nonce came and the device never answers it, or not with all 256 bytes."""
    identity = view.step("identity")
    sent = len(identity.data) + identity.missing
    frames = view.frames("nonce", "identity")
    if view.first_close is None and view.watched_s < ANSWER_WATCH:
        return too_short(view, "identity", "the nonce arrived")
    evidence = [Evidence("the cloud's 40-byte nonce", view.frames("nonce"))]
    if sent:
        evidence.append(Evidence(f"only {sent} of the device's 256 bytes", identity.frames))
    evidence.append(view.close_evidence())
    stored = view.stored_server_key
    if stored is not None and stored.status != "ok":
        evidence.append(Evidence(f"the stored server key in the folder, {stored.file}, is unusable: {stored.problem}"))
    unusable = view.unusable_cloud_key
    findings: tuple[Finding, ...] = ()
    if unusable is not None:
        text = f"the cloud's own key, {unusable.file}, has {unusable.bits} bits: no device can encrypt with it"
        findings = (Finding("cloud-key-size", Certainty.INFERRED, text, ()),)
        evidence.append(Evidence(text))
    return Draft(
        Code.NO_IDENTITY,
        Certainty.INFERRED,
        "identity",
        frames,
        "The device receives the nonce and never answers: it could not encrypt its identity, or it stopped running.",
        tuple(evidence),
        alternatives=(Code.SERVER_KEY_ERASED, Code.SESSION_DROPPED),
        would_settle=(
            "a dump of the device's server-key slot: a zero or even modulus makes the device stop here",
            'the device\'s log: "RSA encrypt error" (server key) or no further line (crash)',
        ),
        findings=findings,
    )
