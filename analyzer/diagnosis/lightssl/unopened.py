"""Rules for the device's 256 bytes where no key in hand opens them, and for silence behind them.

Six different faults share the picture "40 down, 256 up, closed by the cloud"; only opening the 256 bytes tells them apart
(`identity`). Here is what can be said without.
"""

from __future__ import annotations

from analyzer.diagnosis.context import CloudKey, name
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl import transit
from analyzer.diagnosis.lightssl.identity import one_read
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.view import View
from analyzer.diagnosis.patience import ANSWER_WATCH
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.events import Direction

_CAUSES = (
    Code.SERVER_KEY_MISMATCH,
    Code.DEVICE_KEY_MISMATCH,
    Code.DEVICE_UNKNOWN,
    Code.DEVICE_KEY_CORRUPT,
    Code.SERVER_FAULT,
)


def other_key_stored(view: View) -> Draft | None:
    """This cloud's key does not open the identity, and what the device has stored is another key."""
    here, stored = view.refuted_cloud_key, view.stored_server_key
    if here is None or stored is None or stored.fingerprint in (None, here.key.fingerprint):
        return None
    text = f"what the device has stored as the cloud's key, {name(stored)}, is another key"
    return _wrong_server_key(view, here, Evidence(text))


def changed_on_the_way(view: View) -> Draft | None:
    """This cloud's key does not open the identity, and the device stores that key, or one changed bit explains it."""
    here, stored = view.refuted_cloud_key, view.stored_server_key
    if here is None:
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
    return Draft(
        Code.IDENTITY_REJECTED,
        Certainty.INFERRED if flip else Certainty.UNDETERMINED,
        "identity",
        view.frames("nonce", "identity"),
        summary,
        (*evidence, view.close_evidence()),
        alternatives=() if flip else (Code.SERVER_KEY_MISMATCH, Code.SERVER_FAULT),
        would_settle=("further attempts of the same device: a wrong key fails every time, damage on the way does not",),
        findings=findings,
    )


def not_opened(view: View) -> Draft | None:
    """This cloud's key does not open the identity. Asked behind `changed_on_the_way`: nothing else explains it."""
    here = view.refuted_cloud_key
    if here is None:
        return None
    if view.refuted_alike:
        text = f"the same in {len(view.refuted_alike)} more sessions of this device: not a byte that changed on the way"
        frames = tuple(sorted(other.first_frame for other in view.refuted_alike))[:8]
        return _wrong_server_key(view, here, Evidence(text, frames))
    text = "no single changed bit explains it, and the TCP checksum of the segment holds: not damage on the way"
    return _wrong_server_key(view, here, Evidence(text, view.frames("identity")))


def _does_not_open(view: View, here: CloudKey) -> list[Evidence]:
    text = f"the 256 bytes do not open with {name(here.key)}, the key of the cloud at {view.case.cloud}"
    evidence = [Evidence(text, view.frames("identity"))]
    if here.why == "session":
        evidence.append(
            Evidence("that this cloud holds that key is shown by another session of this capture", here.frames)
        )
    return evidence


def _wrong_server_key(view: View, here: CloudKey, why: Evidence) -> Draft:
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.PROVEN,
        "identity",
        view.frames("nonce", "identity"),
        "The server public key stored in the device is not this cloud's: the cloud cannot open what the device encrypts for somebody else.",
        (*_does_not_open(view, here), why, view.close_evidence()),
    )


def silent_cloud(view: View) -> Draft | None:
    """The cloud took the 256 bytes and never answers."""
    if view.closer is Direction.DOWN:
        return None
    frames = view.frames("nonce", "identity")
    if view.first_close is None and view.watched_s < ANSWER_WATCH:
        return too_short(view, "session-key", "the device identified itself")
    evidence = [Evidence("the device's 256 bytes", view.frames("identity")), *_delivery(view), view.close_evidence()]
    return Draft(
        Code.NO_SESSION_KEY,
        Certainty.INFERRED,
        "session-key",
        frames,
        f"The cloud takes the device's identity and falls silent: no session key in {view.watched_s:.0f} s.",
        tuple(evidence),
        alternatives=(Code.SERVER_FAULT, Code.SERVER_KEY_MISMATCH, Code.DEVICE_UNKNOWN, *_unknown_who(view)),
        would_settle=(
            "the cloud's private key: it opens the 256 bytes and tells whether they were right",
            "the server's log at that moment",
        ),
    )


def _unknown_who(view: View) -> tuple[Code, ...]:
    """Where the capture begins behind the nonce, nothing shows that a cloud answered."""
    return (Code.NOT_THE_CLOUD,) if view.conversation.facts.mid_stream and not view.seen("nonce") else ()


def _delivery(view: View) -> list[Evidence]:
    if view.conversation.facts.up.acked >= 256:
        return [Evidence("they are acknowledged by TCP: they arrived", view.frames("identity"))]
    return [Evidence("they are not acknowledged by TCP: they may never have arrived", view.frames("identity"))]


def rejected(view: View) -> Draft | None:
    """Closed after the identity, and nothing in hand says why."""
    evidence = [Evidence("the device identified itself", view.frames("identity")), view.close_evidence()]
    causes: tuple[Code, ...] = _CAUSES
    opened = view.decryption.identity is not None
    if view.healthy_siblings:
        other = view.healthy_siblings[0]
        causes = (Code.SERVER_FAULT,)
        evidence.append(
            Evidence(
                "the same device gets through with this cloud elsewhere in the capture: its keys are right",
                (other.first_frame,),
            )
        )
    elif opened:
        causes = (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN, Code.SERVER_FAULT)
        if len(view.identity_segments) > 1:
            causes = (Code.SERVER_FAULT, Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN)
            evidence.append(one_read(view))
        evidence.insert(
            1,
            Evidence(
                "the identity opens and echoes the nonce: the server key on the device is right",
                view.frames("identity"),
            ),
        )
    half = view.own_half
    if half is not None and opened:
        text = f"{half.file} is the public half of the private key beside it, as `particle keys save` leaves it: it does not tell what the cloud has on file"
        evidence.append(Evidence(text))
    evidence += _files_alone(view)
    if not view.whole("identity") and not opened and not view.healthy_siblings:
        causes = (*causes, Code.SERVER_KEY_ERASED)  # which the whole of the 256 bytes would show
    if not opened:
        causes = (*causes, *_unknown_who(view))
    device = view.device_id or "ID"
    settle = [
        f"the server's own record of this device (data/deviceKeys/{device}.pub.pem or core_keys/{device}.pub.pem there): none, another key, or the right one"
        if opened
        else "the cloud's private key (default_key.pem on a custom server): it opens the 256 bytes and tells which",
        "the server's log line at that moment",
    ]
    if not view.whole("identity"):
        settle.insert(
            0, "a capture with whole packets (no snap length, nothing lost): parts of the 256 bytes are missing here"
        )
    return Draft(
        Code.IDENTITY_REJECTED,
        Certainty.UNDETERMINED,
        "identity",
        view.frames("nonce", "identity"),
        "The cloud refuses the device although the server key on it is right: what the cloud has on file for the device is not in hand."
        if opened and not view.healthy_siblings
        else "The cloud ended the connection right after the device identified itself, and the evidence in hand cannot say why.",
        tuple(evidence),
        alternatives=causes,
        would_settle=tuple(settle),
    )


def _files_alone(view: View) -> list[Evidence]:
    """What the files say among themselves when none of them opens the message."""
    found = []
    private, copy = view.device_private, view.cloud_copy
    if private is not None and private.status != "ok":
        found.append(Evidence(f"the device's key file {private.file} is not usable: {private.problem}"))
    elif private is not None and copy is not None and private.fingerprint != copy.fingerprint:
        found.append(Evidence(f"the cloud's {copy.file} is not the pair of the device's {private.file}"))
    return found
