"""Rules for the device's 256 bytes where no key in hand opens them, and for silence behind them.

Six different faults share the picture "40 down, 256 up, closed by the cloud"; only opening the 256 bytes tells them apart
(`identity`). Here is what can be said without.
"""

from __future__ import annotations

from dataclasses import replace

from analyzer.case import FIRM_SOURCES
from analyzer.diagnosis import premise
from analyzer.diagnosis.context import CloudKey, name
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.lightssl import causes, transit
from analyzer.diagnosis.lightssl.identity import one_read
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.view import Delivery, View
from analyzer.diagnosis.patience import REFUSED_WITHIN
from analyzer.diagnosis.premise import Ground, Premise
from analyzer.model import Cause, Certainty, Code, Evidence, Finding
from dissectors.events import Direction

_SIZES = {"identity": 256, "session-key": 384}


def undelivered(view: View) -> Draft | None:
    """The device's 256 bytes never reached the cloud: nobody can have refused them."""
    if view.delivery("identity") is not Delivery.LOST:
        return None
    frames, up = view.frames("identity"), view.conversation.facts.up
    evidence = [*view.not_acknowledged("identity"), view.close_evidence()]
    return Draft(
        Code.NO_SESSION_KEY,
        Certainty.INFERRED,
        "session-key",
        (*view.frames("nonce"), *frames),
        f"The device's 256 bytes never reach the cloud: it acknowledges {up.acked} of them. The network loses them; no key can be blamed.",
        tuple(evidence),
        alternatives=(Code.SESSION_DROPPED,),
        would_settle=("a capture on the cloud's side: do these segments arrive there?",),
        findings=(lost_on_the_way(view, "identity"),),
    )


def lost_on_the_way(view: View, stage: str) -> Finding:
    """``undelivered``: the large message of that stage is lost where small packets pass."""
    side = "device to cloud" if view.step(stage).direction is Direction.UP else "cloud to device"
    text = f"the {_SIZES[stage]} bytes of the {stage} are not acknowledged although small packets pass: a path that loses large packets from {side} (MTU black hole), or a filter"
    return Finding("undelivered", Certainty.INFERRED, text, view.frames(stage))


def ends_early(view: View) -> Draft | None:
    """The capture ends before the cloud can have refused anything: no key can be blamed."""
    return too_short(view, "session-key", "the device identified itself") if view.open_end else None


def unusable_cloud_key(view: View) -> Draft | None:
    """The cloud's key in the folder is of a size that no device can use: it reads 256 bytes of it, whatever its length."""
    key = view.unusable_cloud_key
    if key is None or view.decryption.identity is not None or view.refused_by is not Direction.DOWN:
        return None
    text = (
        f"{key.file} has {key.bits} bits: a device takes 2048 at a fixed place, so what it encrypts opens with no key"
    )
    return Draft(
        Code.SERVER_FAULT,
        Certainty.INFERRED,
        "identity",
        view.frames("nonce", "identity"),
        f"The cloud's own key cannot work: {text}. The cloud needs a new key of 2048 bits.",
        (Evidence(text), view.close_evidence()),
        alternatives=(Code.SERVER_KEY_MISMATCH,),
        would_settle=("which key file the running server really reads",),
        findings=(Finding("cloud-key-size", Certainty.INFERRED, text, ()),),
        premises=(premise.words(premise.cloud_key(key, view.case.cloud)),),
    )


def other_key_stored(view: View) -> Draft | None:
    """This cloud's key does not open the identity, the cloud refused it, and what the device has stored is another key."""
    here, stored = view.refuted_cloud_key, view.stored_server_key
    if here is None or stored is None or stored.fingerprint in (None, here.key.fingerprint):
        return None
    if view.refused_by is not Direction.DOWN or view.same_modulus(stored, here.key):
        return None
    text = f"what the device has stored as the cloud's key, {name(stored)}, is another key"
    own = view.case.id_source in FIRM_SOURCES
    premises = (*view.of_this_cloud(here.key), premise.stored_key(stored), *(() if own else _whose(view)))
    return _wrong_server_key(view, here, Evidence(text), Claim(Direction.DOWN, premises))


def _whose(view: View) -> tuple[Premise, ...]:
    return (Premise(Ground.DEVICE, "", view.device_id or ""),)


def changed_on_the_way(view: View) -> Draft | None:
    """This cloud's key does not open the identity, and the device stores that key, or one changed bit explains it."""
    here, stored = view.refuted_cloud_key, view.stored_server_key
    if here is None or view.refused_by is not Direction.DOWN:
        return None
    same = stored is not None and stored.fingerprint == here.key.fingerprint
    if not same and (view.refuted_alike or not transit.could_be_transit(view, here.key)):
        return None
    evidence = _does_not_open(view, here)
    flip = transit.identity_flip(view, here.key)
    findings: tuple[Finding, ...] = ()
    if flip is not None:
        summary = f"The device's 256 bytes were changed on the way ({flip}): with that byte put back they open and echo the nonce. No key is wrong."
        findings = (Finding("corrupted-in-transit", Certainty.PROVEN, f"identity: {flip}", view.frames("identity")),)
        evidence.append(Evidence(f"{flip}: put back, the message opens and echoes the nonce", view.frames("identity")))
    else:
        summary = "The 256 bytes do not open although the device stores the right server key: they were changed on the way, or the device holds another key than its file."
    # Where only the folder says whose session this is, its keys clear nobody.
    tied = view.case.id_source in FIRM_SOURCES
    untied = () if tied else (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_CORRUPT)
    return Draft(
        Code.IDENTITY_REJECTED,
        Certainty.INFERRED if flip else Certainty.UNDETERMINED,
        "identity",
        view.frames("nonce", "identity"),
        summary,
        (*evidence, view.close_evidence()),
        alternatives=() if flip else (Code.SERVER_KEY_MISMATCH, Code.SERVER_FAULT, Code.SESSION_DROPPED, *untied),
        would_settle=("further attempts of the same device: a wrong key fails every time, damage on the way does not",),
        findings=findings,
    )


def not_opened(view: View) -> Draft | None:
    """The key that this cloud was seen using does not open what this device sends, time after time.

    A box that rewrites every message does the same, so it is no proof; and of a single message nothing is said.
    """
    here = view.refuted_cloud_key
    if here is None or here.why != "session" or not view.refuted_alike or view.refused_by is not Direction.DOWN:
        return None
    text = f"the same in {len(view.refuted_alike)} more sessions of this device"
    frames = tuple(sorted(other.first_frame for other in view.refuted_alike))[:8]
    draft = _wrong_server_key(view, here, Evidence(text, frames), None)
    rewritten = Evidence("a middle box that changes bytes of every such message would look the same on the wire")
    return replace(
        draft,
        alternatives=(Code.IDENTITY_REJECTED, Code.SESSION_DROPPED),
        against=(rewritten,),
        would_settle=("a dump of the device's server-key slot: is it this cloud's key?", _BOTH_SIDES),
    )


def _does_not_open(view: View, here: CloudKey) -> list[Evidence]:
    whose = f", the key of the cloud at {view.case.cloud}" if here.why == "session" else ", the only cloud key in hand"
    evidence = [Evidence(f"the 256 bytes do not open with {name(here.key)}{whose}", view.frames("identity"))]
    if here.why == "session":
        evidence.append(
            Evidence("that this cloud holds that key is shown by another session of this capture", here.frames)
        )
    return evidence


def _wrong_server_key(view: View, here: CloudKey, why: Evidence, claim: Claim | None) -> Draft:
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        view.frames("nonce", "identity"),
        "The server public key stored in the device is not this cloud's: the cloud cannot open what the device encrypts for somebody else.",
        (*_does_not_open(view, here), why, view.close_evidence()),
        claim=claim,
    )


def silent_cloud(view: View) -> Draft | None:
    """The cloud took the 256 bytes and never answers: it does not close, or only when its own time limit runs out."""
    late = view.closer is Direction.DOWN and (view.timed_out is not None or view.watched_s >= REFUSED_WITHIN)
    if view.closer is Direction.DOWN and not late:
        return None
    frames = view.frames("nonce", "identity")
    evidence = [Evidence("the device's 256 bytes", view.frames("identity")), *_delivery(view), view.close_evidence()]
    if view.timed_out is not None:
        evidence.append(Evidence(f"that is {view.timed_out}: the server waited, it refused nothing"))
    evidence += _opened(view)
    arrived = view.delivery("identity") is Delivery.ARRIVED
    waited = f"no session key in {view.watched_s:.0f} s"
    return Draft(
        Code.NO_SESSION_KEY,
        Certainty.INFERRED,
        "session-key",
        frames,
        f"The cloud takes the device's identity and falls silent: {waited}."
        if arrived
        else f"The device identifies itself, and nothing comes back: {waited}.",
        tuple(evidence),
        alternatives=(Code.SERVER_FAULT, Code.SESSION_DROPPED)
        if view.decryption.identity is not None
        else (
            *(Code.SERVER_FAULT, Code.SESSION_DROPPED, Code.SERVER_KEY_MISMATCH, Code.DEVICE_UNKNOWN),
            *_unknown_who(view),
        ),
        would_settle=(
            *(() if view.decryption.identity is not None else (_OPENS,)),
            "the server's log at that moment",
            *(() if arrived else (_BOTH_SIDES,)),
        ),
    )


_OPENS = "the cloud's private key: it opens the 256 bytes and tells whether they were right"
_BOTH_SIDES = "a capture on the cloud's side at the same time: do the same 256 bytes arrive there?"


def _opened(view: View) -> list[Evidence]:
    opening = view.decryption.identity
    if opening is None or opening.key is None or not opening.nonce_echoed:
        return []
    text = f"the identity opens with {name(opening.key)} and echoes the nonce: what the device sent is right"
    return [Evidence(text, view.frames("identity"))]


def _unknown_who(view: View) -> tuple[Code, ...]:
    """Where the capture begins behind the nonce, nothing shows that a cloud answered."""
    return (Code.NOT_THE_CLOUD,) if view.conversation.facts.mid_stream and not view.seen("nonce") else ()


def _delivery(view: View) -> list[Evidence]:
    if view.delivery("identity") is Delivery.ARRIVED:
        return [Evidence("they are acknowledged by TCP: they arrived", view.frames("identity"))]
    return [Evidence("nothing in the capture acknowledges them: they may never have arrived", view.frames("identity"))]


def rejected(view: View) -> Draft:
    """Closed after the identity, and nothing in hand says why."""
    opening = view.decryption.identity
    opened = opening is not None and opening.key is not None
    evidence = [Evidence("the device identified itself", view.frames("identity")), *_opened(view)]
    if view.refuted_cloud_key is not None:
        evidence += _does_not_open(view, view.refuted_cloud_key)
    if len(view.identity_segments) > 1:
        evidence.append(one_read(view))
    half = view.own_half
    if half is not None and opened:
        text = f"{half.file} is the public half of the private key beside it, as `particle keys save` leaves it: it does not tell what the cloud has on file"
        evidence.append(Evidence(text))
    evidence.append(view.close_evidence())
    if view.nearer is not None:
        evidence.append(view.nearer)
    weighed = causes.of_refused_identity(view)
    if not opened:
        weighed = (*weighed, *map(Cause, _unknown_who(view)))
    device = view.device_id or "ID"
    settle = [
        f"the server's own record of this device (data/deviceKeys/{device}.pub.pem or core_keys/{device}.pub.pem there): none, another key, or the right one"
        if opened
        else _OPENS,
        "the server's log line at that moment",
    ]
    if not view.whole("identity"):
        settle.insert(
            0, "a capture with whole packets (no snap length, nothing lost): parts of the 256 bytes are missing here"
        )
    # Both keys of the device are known to be right: what is left on the cloud's side is its record, or none, or a fault.
    in_pieces = len(view.identity_segments) > 1 or view.delivery("identity") is Delivery.PARTLY
    record = half is not None and opened and view.refused_by is Direction.DOWN and not in_pieces
    code = Code.DEVICE_KEY_MISMATCH if record and not any(view.through) else Code.IDENTITY_REJECTED
    # Without the SYN nothing tells how much of it the cloud had acknowledged, nor in how many pieces it came.
    others = (Code.IDENTITY_REJECTED,) if view.conversation.facts.mid_stream else ()
    return Draft(
        code,
        Certainty.UNDETERMINED,
        "identity",
        view.frames("nonce", "identity"),
        "The cloud refuses the device although the server key on it is right: what the cloud has on file for the device is not in hand."
        if opened and not any(view.through) and view.cloud_copy is None
        else "The cloud ended the connection right after the device identified itself, and the evidence in hand cannot say why.",
        tuple(evidence),
        alternatives=tuple(other for other in (*others, *(cause.code for cause in weighed)) if other is not code),
        would_settle=tuple(settle),
        causes=weighed,
    )
