"""Rules for the cloud's 384 bytes: not all of them, or all of them and the device gives up."""

from __future__ import annotations

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl import transit
from analyzer.diagnosis.lightssl.identity import no_key_in_slot
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.view import View, name
from analyzer.keys import Key
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.events import Direction
from dissectors.lightssl.messages import TailKind

#: The device decrypts within a second; spark-protocol waits 30 s for its Hello, Brewskey 10 s in all (tcp.md 2.1).
_HELLO_WATCH = 5.0
_CAUSES = (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT, Code.SERVER_SIGNATURE_MISMATCH)


def truncated(view: View) -> Draft | None:
    """Fewer than 384 bytes came."""
    step = view.step("session-key")
    have = len(step.data) + step.missing
    if not have or have >= 384:
        return None
    frames = view.frames("session-key")
    if view.first_close is None and view.watched_s < _HELLO_WATCH:
        return too_short(view, "session-key", f"{have} of the 384 bytes of the session key")
    evidence = [Evidence(f"{have} of 384 bytes", frames), view.close_evidence()]
    odd = {
        256: "128 + 128 bytes: a server key of 1024 bits, which Brewskey made until August 2017 (Brewskey/spark-protocol@2e1dde3)"
    }.get(have)
    if odd is None and 326 <= have <= 328:
        odd = "70 to 72 + 256 bytes: the cloud has an EC key on file for this device and sends an ECDSA signature in place of the encrypted key"
    if odd:
        evidence.append(Evidence(odd, frames))
    return Draft(
        Code.SESSION_KEY_TRUNCATED,
        Certainty.INFERRED,
        "session-key",
        frames,
        f"The cloud's session key stops after {have} of 384 bytes" + (f": {odd}." if odd else "."),
        tuple(evidence),
        would_settle=("a capture on the cloud's side: does it send all 384 bytes?",),
    )


def damaged_device_key(view: View) -> Draft | None:
    """The session key opens only with the intact parts of the device's damaged key."""
    session = view.decryption.session
    if session is None or not session.repaired:
        return None
    key = session.key
    certainty = Certainty.PROVEN if session.hmac or session.hmac is None else Certainty.INFERRED
    evidence = [
        Evidence(f"{key.file}: {key.problem}"),
        Evidence(
            "used as the firmware uses it (its primes and CRT parts), it does not open the session key",
            view.frames("session-key"),
        ),
        Evidence(
            "rebuilt from its intact parts it does: the cloud encrypted for the right public key",
            view.frames("session-key"),
        ),
        *view.aftermath(),
    ]
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        certainty,
        "session-key",
        view.frames("session-key"),
        f"The private key in the device is damaged ({key.problem}): it cannot open what the cloud rightly encrypts for it.",
        tuple(evidence),
    )


def no_key(view: View) -> Draft | None:
    """The identity shows that there is no key in the device's slot, so it can open nothing."""
    if view.decryption.session is not None and not view.decryption.session.repaired:
        return None
    return no_key_in_slot(view, [Evidence("the cloud's 384 bytes", view.frames("session-key"))])


def stale_copy(view: View) -> Draft | None:
    """The cloud's copy is not the public key that the device itself sends."""
    mine, copy, private = view.tail_fingerprint, view.cloud_copy, view.device_private
    if view.decryption.session is not None or mine is None or copy is None or copy.fingerprint == mine:
        return None
    if private is not None and view.tail_is_slot(private) and view.modulus_damaged(private):
        return None  # what the device sends is not its key but the damage
    frames = view.frames("session-key")
    evidence = [
        Evidence(f"the device sends its public key in the identity: SHA256:{mine[:16]}", view.frames("identity")),
        Evidence(
            f"the cloud's {copy.file} is another key (SHA256:{(copy.fingerprint or '')[:16]}), and it encrypts with that"
        ),
    ]
    if private is not None and private in view.decryption.session_refuted:
        evidence.append(Evidence(f"the device's private key {name(private)} does not open the session key", frames))
    evidence += view.aftermath()
    return _mismatch(view, Certainty.PROVEN, evidence)


def unusable_device_key(view: View) -> Draft | None:
    """The file that is in the device's slot is no key the firmware can use, and it opens nothing."""
    private = view.device_private
    if view.decryption.session is not None or private is None or private.status == "ok":
        return None
    frames = view.frames("session-key")
    opening = view.decryption.identity
    shown = view.tail_is_slot(private)
    no_key = (
        opening is not None
        and opening.plaintext.tail is not None
        and opening.plaintext.tail.kind is not TailKind.MODULUS
    )
    evidence = [Evidence(f"{private.file}: {private.problem}")]
    if shown:
        evidence.insert(
            0,
            Evidence(
                "the public key in the identity is what that file yields: it is what the device holds",
                view.frames("identity"),
            ),
        )
    evidence += [Evidence("it does not open the session key", frames), *view.aftermath()]
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        Certainty.PROVEN if shown or no_key else Certainty.INFERRED,
        "session-key",
        frames,
        f"The private key in the device is damaged or of the wrong kind: {private.problem}.",
        tuple(evidence),
        alternatives=() if shown or no_key else (Code.DEVICE_KEY_MISMATCH,),
        would_settle=()
        if shown or no_key
        else ("the cloud's private key: the identity then shows which key the device really holds",),
    )


def wrong_signature(view: View) -> Draft | None:
    """The device's key opens the session key; the signature over it is not by the server key the device stores."""
    session = view.decryption.session
    if session is None or session.repaired:
        return None
    stored = view.stored_server_key
    refuted = stored is not None and any(
        key.fingerprint == stored.fingerprint for key in view.decryption.signature_refuted
    )
    signer = view.decryption.signer
    frames = view.frames("session-key")
    evidence = [Evidence(f"the session key opens with {name(session.key)}: the device's own key is right", frames)]
    if stored is not None and refuted:
        evidence.append(Evidence(f"its signature is not by {name(stored)}, the server key the device stores", frames))
        if signer is not None:
            evidence.append(Evidence(f"it is by {name(signer)}", frames))
        if signer is None and session.hmac is not True:
            flip = transit.signature_flip(view, stored)
            if flip is not None:
                return _flipped(view, flip, evidence)
        sure = session.hmac is True or _again(view, stored) or _signature_intact(view)
        evidence += view.aftermath()
        return Draft(
            Code.SERVER_SIGNATURE_MISMATCH,
            Certainty.PROVEN if sure else Certainty.INFERRED,
            "session-key",
            frames,
            "The cloud signs the session key with another key than the one the device trusts.",
            tuple(evidence),
        )
    if session.hmac is False and signer is not None:
        evidence += [
            Evidence(f"it is signed with {name(signer)}, but what is signed is not this session key", frames),
            *view.aftermath(),
        ]
        return Draft(
            Code.SERVER_SIGNATURE_MISMATCH,
            Certainty.INFERRED,
            "session-key",
            frames,
            "The signature does not belong to the session key it comes with.",
            tuple(evidence),
            alternatives=(Code.SERVER_FAULT,),
        )
    if stored is None and signer is None and view.decryption.signature_refuted:
        evidence += [
            Evidence("its signature is by none of the server keys in the folder", frames),
            *view.aftermath(),
        ]
        return Draft(
            Code.SERVER_SIGNATURE_MISMATCH,
            Certainty.INFERRED,
            "session-key",
            frames,
            "The device's key opens the session key, so what is left is the signature: it is by no server key in hand.",
            tuple(evidence),
            would_settle=("a dump of the server-key slot of the device",),
        )
    return None


def _again(view: View, stored: Key) -> bool:
    """Whether other sessions of this device fail the same way: damage on the way does not repeat itself."""
    return any(
        any(key.fingerprint == stored.fingerprint for key in other.decryption.signature_refuted)
        for other in view.context.same_device(view.case)
    )


def _signature_intact(view: View) -> bool:
    """Whether the signature block has its shape under some key: then not a byte of it changed."""
    return view.decryption.signer is not None


def wrong_device_key(view: View) -> Draft | None:
    """The session key is not encrypted for the key the device holds."""
    if view.decryption.session is not None:
        return None
    frames = view.frames("session-key")
    private, copy = view.device_private, view.cloud_copy
    mine = view.tail_fingerprint or (private.fingerprint if private is not None and private.status == "ok" else None)
    evidence: list[Evidence] = []
    if view.tail_fingerprint is not None:
        evidence.append(
            Evidence(
                f"the device sends its public key in the identity: SHA256:{view.tail_fingerprint[:16]}",
                view.frames("identity"),
            )
        )
    fails = private is not None and private in view.decryption.session_refuted
    if private is not None and fails:
        evidence.append(Evidence(f"the device's private key {name(private)} does not open the session key", frames))
    if copy is not None and mine is not None and copy.fingerprint != mine:
        evidence += [
            Evidence(
                f"the cloud's {copy.file} is another key (SHA256:{(copy.fingerprint or '')[:16]}), and it encrypts with that"
            ),
            *view.aftermath(),
        ]
        sure = fails or view.tail_fingerprint is not None
        return _mismatch(view, Certainty.PROVEN if sure else Certainty.INFERRED, evidence)
    if not fails or private is None:
        return None
    if copy is not None:
        return _in_transit(view, private, evidence)
    if view.tail_fingerprint is not None and view.tail_fingerprint != private.fingerprint:
        return None  # the file is another device's: says nothing about this one
    if _fails_again(view, private):
        evidence.append(Evidence("the same in other sessions of this device: not a byte that changed on the way"))
    elif set(view.conversation.facts.checksum_bad) & set(frames):
        return None
    else:
        flip = transit.session_key_flip(view, private)
        if flip is not None:
            return _flipped(view, flip, evidence)
        evidence.append(
            Evidence("no single changed bit explains it, and the TCP checksums hold: not damage on the way", frames)
        )
    evidence += [*_waits(view), *view.aftermath()]
    return _mismatch(view, Certainty.PROVEN, evidence)


def _mismatch(view: View, certainty: Certainty, evidence: list[Evidence]) -> Draft:
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        certainty,
        "session-key",
        view.frames("session-key"),
        "The cloud encrypts the session key for another public key than the device's: the copy it has on file is not this device's key.",
        tuple(evidence),
    )


def _fails_again(view: View, private: Key) -> bool:
    return any(private in other.decryption.session_refuted for other in view.context.same_device(view.case))


def _in_transit(view: View, private: Key, evidence: list[Evidence]) -> Draft:
    flip = transit.session_key_flip(view, private)
    if flip is not None:
        return _flipped(view, flip, evidence)
    evidence += [
        Evidence(
            "the cloud has the right public key on file: the 384 bytes were changed on the way, or the running cloud uses another file"
        ),
        *view.aftermath(),
    ]
    return Draft(
        Code.SESSION_KEY_UNUSABLE,
        Certainty.UNDETERMINED,
        "session-key",
        view.frames("session-key"),
        "The session key does not open with the device's key although the cloud has the right public key on file.",
        tuple(evidence),
        alternatives=(Code.DEVICE_KEY_MISMATCH, Code.SERVER_FAULT),
        would_settle=("further attempts of the same device: a wrong key fails every time, damage on the way does not",),
    )


def _flipped(view: View, flip: str, evidence: list[Evidence]) -> Draft:
    frames = view.frames("session-key")
    evidence += [Evidence(f"{flip}: put back, the session key and its signature are right", frames), *view.aftermath()]
    return Draft(
        Code.SESSION_KEY_UNUSABLE,
        Certainty.INFERRED,
        "session-key",
        frames,
        f"The session key was changed on the way ({flip}). No key is wrong.",
        tuple(evidence),
        findings=(Finding("corrupted-in-transit", Certainty.PROVEN, f"session key: {flip}", frames),),
    )


def gave_up(view: View) -> Draft:
    """The 384 bytes came, the device stopped, and nothing in hand says why."""
    frames = view.frames("session-key")
    if view.first_close is None and view.watched_s < _HELLO_WATCH:
        return too_short(view, "device-hello", "the session key")
    evidence = [Evidence("the cloud's 384 bytes", frames)]
    causes: tuple[Code, ...] = _CAUSES
    session = view.decryption.session
    if session is not None:
        causes = (
            (Code.SERVER_SIGNATURE_MISMATCH, Code.SESSION_DROPPED) if session.hmac is None else (Code.SESSION_DROPPED,)
        )
        evidence.append(
            Evidence(
                f"they open with {name(session.key)}"
                + (", and the signature is over them: both keys are right" if session.hmac else ""),
                frames,
            )
        )
    elif view.healthy_siblings:
        evidence.append(
            Evidence(
                "the same device gets through with this cloud elsewhere in the capture: its keys are right",
                (view.healthy_siblings[0].first_frame,),
            )
        )
        causes = (Code.SESSION_DROPPED,)
    if view.decryption.signer is not None:
        evidence.append(Evidence(f"signed with {name(view.decryption.signer)}: that cloud answered", frames))
    evidence += [*_waits(view), *view.aftermath()]
    settle = [
        "the device's private key (DFU dump of its slot): it opens the first 128 bytes or proves that they are for another key",
        'the device\'s log: "decryption failed" (device key) or "signature validation failed" (server key)',
    ]
    if not view.whole("session-key"):
        settle.insert(0, "a capture with whole packets: parts of the 384 bytes are missing here")
    return Draft(
        Code.SESSION_KEY_UNUSABLE,
        Certainty.UNDETERMINED,
        "session-key",
        frames,
        "The cloud accepted the device and sent a session key; the device could not use it and stopped.",
        tuple(evidence),
        alternatives=causes,
        would_settle=tuple(settle),
    )


def _waits(view: View) -> list[Evidence]:
    """Keep-alives and the server's own timeouts while the device says nothing more."""
    found = []
    alive = [mark for mark in view.conversation.facts.keepalives if mark[2] is Direction.DOWN]
    if alive:
        after = (alive[0][1] - view.last_payload_ns) / 1e9
        found.append(
            Evidence(
                f"the device says nothing more; the cloud probes with a TCP keep-alive after {after:.0f} s",
                tuple(mark[0] for mark in alive)[:4],
            )
        )
    if view.closer is Direction.DOWN:
        known = {10: "Brewskey's handshake limit of 10 s", 30: "spark-protocol's 30 s limit for the device's Hello"}
        text = next((text for limit, text in known.items() if abs(view.watched_s - limit) < 1.5), None)
        if text and view.first_close is not None:
            found.append(
                Evidence(f"the cloud closes after {view.watched_s:.0f} s: {text}", view.first_close.mark.frames)
            )
    return found
