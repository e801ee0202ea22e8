"""Rules for the cloud's 384 bytes: not all of them, or all of them and the device gives up."""

from __future__ import annotations

from dataclasses import replace

from analyzer.case import FIRM_SOURCES
from analyzer.decrypt.lightssl import SessionOpening
from analyzer.diagnosis import premise
from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.lightssl import causes, transit
from analyzer.diagnosis.lightssl.identity import empty_slot
from analyzer.diagnosis.lightssl.incomplete import too_short
from analyzer.diagnosis.lightssl.unopened import lost_on_the_way
from analyzer.diagnosis.lightssl.view import Delivery, View
from analyzer.diagnosis.patience import ANSWER_WATCH, NEAR_TIMER
from analyzer.diagnosis.premise import Ground, Premise
from analyzer.firmware.timers import timer
from analyzer.keys import Key, repair
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.events import Direction
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import TailKind


def truncated(view: View) -> Draft | None:
    """Fewer than 384 bytes came."""
    step = view.step("session-key")
    have = len(step.data) + step.missing
    if not have or have >= 384:
        return None
    frames = view.frames("session-key")
    if view.first_close is None and view.watched_s < ANSWER_WATCH:
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
        Certainty.INFERRED,
        "session-key",
        view.frames("session-key"),
        f"The private key in the device is damaged ({key.problem}): it cannot open what the cloud rightly encrypts for it.",
        tuple(evidence),
        claim=Claim(Direction.UP, () if view.tail_is_slot(key) else (premise.device_key(key),))
        if session.hmac is not False
        else None,
    )


def no_key(view: View) -> Draft | None:
    """The identity shows that there is no key in the device's slot, so it can open nothing."""
    if view.decryption.session is not None and not view.decryption.session.repaired:
        return None
    return empty_slot(view, [Evidence("the cloud's 384 bytes", view.frames("session-key"))])


def undelivered(view: View) -> Draft | None:
    """The cloud's 384 bytes never reached the device: it cannot have refused them."""
    if view.delivery("session-key") is not Delivery.LOST:
        return None
    frames, down = view.frames("session-key"), view.conversation.facts.down
    return Draft(
        Code.NO_SESSION_KEY,
        Certainty.INFERRED,
        "session-key",
        frames or view.frames("identity"),
        f"The cloud answers, and its 384 bytes never reach the device: of what the cloud sent it acknowledges {min(down.acked, 424)} of 424 bytes. The network loses them; no key can be blamed.",
        (*view.not_acknowledged("session-key"), view.close_evidence()),
        alternatives=(Code.SESSION_DROPPED,),
        would_settle=("a capture on the device's side: do these segments arrive there?",),
        findings=(lost_on_the_way(view, "session-key"),),
    )


def ends_early(view: View) -> Draft | None:
    """The capture ends before the device can have refused anything: no key can be blamed."""
    return too_short(view, "device-hello", "the session key") if view.open_end else None


def stale_copy(view: View) -> Draft | None:
    """The cloud's copy is not the public key that the device itself sends, and the device refused what came."""
    mine, copy, private = view.tail_fingerprint, view.cloud_copy, view.device_private
    if view.decryption.session is not None or mine is None or copy is None or view.same_pair(copy, mine):
        return None
    if any(view.through) or view.refused_by is not Direction.UP:
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
    return _mismatch(view, evidence, Claim(Direction.UP, view.on_file(copy)))


#: Bytes of the 384 that are encrypted for the device (tcp.md 1.4).
_ENCRYPTED = 128


def unusable_device_key(view: View) -> Draft | None:
    """The file that is in the device's slot is no key the firmware can use, and it opens nothing."""
    private = view.device_private
    if view.decryption.session is not None or private is None or private.status == "ok":
        return None
    if not view.captured("session-key", _ENCRYPTED):
        return None  # nothing to open is in the capture
    if any(view.through):
        return None  # the device gets in with the key it has: the file is not that key
    if _mendable(private):
        return None  # mended it opens nothing either: the damage is not what fails here
    if view.foreign_cloud_key is not None and view.case.id_source not in FIRM_SOURCES:
        return None  # a folder of another cloud, and nothing says that it is this device's
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
    if view.whole("session-key"):
        evidence.append(Evidence("it does not open the session key", frames))
    evidence += view.aftermath()
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        Certainty.INFERRED,
        "session-key",
        frames,
        f"The private key in the device is damaged or of the wrong kind: {private.problem}.",
        tuple(evidence),
        alternatives=() if shown or no_key else (Code.DEVICE_KEY_MISMATCH,),
        would_settle=()
        if shown or no_key
        else ("the cloud's private key: the identity then shows which key the device really holds",),
        claim=Claim() if no_key else Claim(Direction.UP) if shown else None,
        premises=() if shown or no_key else (premise.words(premise.device_key(private)),),
    )


def _mendable(private: Key) -> bool:
    """Whether the whole key follows from its intact parts: if that does not open the message either, the damage is not why."""
    return private.slot is not None and repair(private.slot) is not None


def _opened(view: View) -> SessionOpening | None:
    """The session key, when the device's key as the firmware uses it opens it."""
    session = view.decryption.session
    return None if session is None or session.repaired else session


def _right_device_key(view: View, session: SessionOpening) -> list[Evidence]:
    text = f"the session key opens with {name(session.key)}: the device's own key is right"
    return [Evidence(text, view.frames("session-key"))]


def _refuses_stored(view: View) -> Key | None:
    """The server key the device stores, when the signature is not by it.

    What the device encrypted with is what it stores: where the identity opens with another key, the file is not that.
    """
    stored, opening = view.stored_server_key, view.decryption.identity
    refuted = view.decryption.signature_refuted
    if stored is None or not any(key.fingerprint == stored.fingerprint for key in refuted):
        return None
    if opening is not None and opening.key is not None and not view.same_modulus(opening.key, stored):
        return None
    return stored


def _by_stored(stored: Key) -> str:
    return f"its signature is not by {name(stored)}, the server key the device stores"


def changed_signature(view: View) -> Draft | None:
    """The signature is not by the stored server key, and with one bit put back it is."""
    session, stored = _opened(view), _refuses_stored(view)
    if session is None or stored is None or view.decryption.signer is not None or session.hmac is True:
        return None
    flip = transit.signature_flip(view, stored)
    if flip is None:
        return None
    said = Evidence(_by_stored(stored), view.frames("session-key"))
    return _flipped(view, flip, [*_right_device_key(view, session), said])


def signed_in_another_form(view: View) -> Draft | None:
    """A key in hand signed, but not the bare HMAC that devices want (tcp.md 1.4): the server's software is at fault."""
    session, found = _opened(view), view.decryption.signed_otherwise
    if session is None or found is None or any(view.through):
        return None
    key, size = found
    frames = view.frames("session-key")
    text = f"it is signed with {name(key)}, but over {size} bytes (a DigestInfo, as common libraries write it) where firmware wants the {crypto.HMAC_SIZE} of the HMAC alone"
    finding = Finding("signature-form", Certainty.PROVEN, f"the signature of {key.file} is over {size} bytes", frames)
    return Draft(
        Code.SERVER_SIGNATURE_MISMATCH,
        Certainty.INFERRED,
        "session-key",
        frames,
        "The cloud signs with its key in a form that no device accepts: the server's software is at fault, no key is wrong.",
        (*_right_device_key(view, session), Evidence(text, frames), *view.aftermath()),
        alternatives=(Code.SERVER_FAULT,),
        findings=(finding,),
    )


def signed_by_another(view: View) -> Draft | None:
    """The device's key opens the session key; the signature over it is not by the server key the device stores."""
    session, signer = _opened(view), view.decryption.signer
    if session is None or any(view.through):
        return None
    opening = view.decryption.identity
    used = opening.key if opening is not None and opening.nonce_echoed else None
    stored = used if used is not None else _refuses_stored(view)
    if stored is None or (signer is not None and view.same_modulus(stored, signer)):
        return None
    frames = view.frames("session-key")
    if used is not None:
        if signer is None and used.fingerprint not in {key.fingerprint for key in view.decryption.signature_refuted}:
            return None
        text = (
            f"the device encrypts with {name(used)}: that is the server key it stores, and the signature is not by it"
        )
        said = Evidence(text, view.frames("identity", "session-key"))
    else:
        said = Evidence(_by_stored(stored), frames)
    evidence = [*_right_device_key(view, session), said]
    if signer is not None:
        evidence.append(Evidence(f"it is by {name(signer)}", frames))
    # The signature block has its shape under some key: then not a byte of it changed on the way.
    intact = session.hmac is True or signer is not None
    alike = _again(view, stored)
    premises: tuple[Premise, ...] = () if used is not None else (premise.stored_key(stored),)
    if not intact and alike:
        evidence.append(Evidence("the same in other sessions of this device", frames))
        premises = (*premises, Premise(Ground.UNCHANGED, "", "the signature"))
    return Draft(
        Code.SERVER_SIGNATURE_MISMATCH,
        Certainty.INFERRED,
        "session-key",
        frames,
        "The cloud signs the session key with another key than the one the device trusts.",
        (*evidence, *view.aftermath()),
        alternatives=() if intact else (Code.SESSION_KEY_UNUSABLE, Code.SESSION_DROPPED),
        claim=Claim(Direction.UP, premises) if intact or alike else None,
    )


def signature_of_another_message(view: View) -> Draft | None:
    """A key in hand made the signature, and what it is over is not this session key."""
    session, signer = _opened(view), view.decryption.signer
    if session is None or session.hmac is not False or signer is None:
        return None
    frames = view.frames("session-key")
    said = Evidence(f"it is signed with {name(signer)}, but what is signed is not this session key", frames)
    return Draft(
        Code.SERVER_SIGNATURE_MISMATCH,
        Certainty.INFERRED,
        "session-key",
        frames,
        "The signature does not belong to the session key it comes with.",
        (*_right_device_key(view, session), said, *view.aftermath()),
        alternatives=(Code.SERVER_FAULT,),
    )


def signed_by_nobody_known(view: View) -> Draft | None:
    """No dump of the server-key slot, and no server key in hand made the signature."""
    session = _opened(view)
    if session is None or view.stored_server_key is not None or view.decryption.signer is not None:
        return None
    if not view.decryption.signature_refuted:
        return None
    frames = view.frames("session-key")
    said = Evidence("its signature is by none of the server keys in the folder", frames)
    return Draft(
        Code.SERVER_SIGNATURE_MISMATCH,
        Certainty.INFERRED,
        "session-key",
        frames,
        "The device's key opens the session key, so what is left is the signature: it is by no server key in hand.",
        (*_right_device_key(view, session), said, *view.aftermath()),
        would_settle=("a dump of the server-key slot of the device",),
    )


def _again(view: View, stored: Key) -> bool:
    """Whether other sessions of this device fail the same way: damage on the way does not repeat itself."""
    return any(
        any(key.fingerprint == stored.fingerprint for key in other.decryption.signature_refuted)
        for other in view.context.same_device(view.case)
    )


def copy_is_another(view: View) -> Draft | None:
    """The cloud's copy is neither the key that the device sends nor, where it sends none, that of its file."""
    private, copy = view.device_private, view.cloud_copy
    usable = private.fingerprint if private is not None and private.status == "ok" else None
    mine = view.tail_fingerprint or usable
    if view.decryption.session is not None or copy is None or mine is None or view.same_pair(copy, mine):
        return None
    if any(view.through) or view.refused_by is not Direction.UP:
        return None
    if view.foreign_cloud_key is not None:
        return None  # a copy that lies beside another cloud's key is that cloud's
    text = f"the cloud's {copy.file} is another key (SHA256:{(copy.fingerprint or '')[:16]}), and it encrypts with that"
    evidence = [*_devices_key(view), Evidence(text), *view.aftermath()]
    premises = view.on_file(copy)
    if view.tail_fingerprint is None and private is not None:
        premises = (*premises, premise.device_key(private))
    sure = view.refuted_device_key is not None or view.tail_fingerprint is not None
    return _mismatch(view, evidence, Claim(Direction.UP, premises) if sure and _tied(view) else None)


def _tied(view: View) -> bool:
    """Whether the session says itself whose it is: the folder's only device is a guess."""
    return view.case.id_source in FIRM_SOURCES


def right_copy(view: View) -> Draft | None:
    """The device's key does not open the session key, and the cloud has the right copy of it."""
    private = view.refuted_device_key
    if view.decryption.session is not None or private is None or view.cloud_copy is None:
        return None
    if view.refused_by is not Direction.UP or private.fingerprint != view.cloud_copy.fingerprint:
        return None
    evidence = _devices_key(view)
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
        alternatives=(Code.DEVICE_KEY_MISMATCH, Code.SERVER_FAULT, Code.SESSION_DROPPED),
        would_settle=("further attempts of the same device: a wrong key fails every time, damage on the way does not",),
    )


def changed_session_key(view: View) -> Draft | None:
    """The device's key does not open the session key, and with one bit put back it does."""
    private = _only_the_device(view)
    if private is None or view.fails_again:
        return None
    flip = transit.session_key_flip(view, private)
    return None if flip is None else _flipped(view, flip, _devices_key(view))


def not_for_the_device(view: View) -> Draft | None:
    """The device's key does not open the session key. Asked behind `changed_session_key`: one bit does not explain it.

    More than a bit may have changed on the way, so without the cloud's record in hand it is no proof.
    """
    private = _only_the_device(view)
    if private is None or any(view.through) or view.refused_by is not Direction.UP:
        return None
    evidence = _devices_key(view)
    if view.fails_again:
        evidence.append(Evidence("the same in other sessions of this device"))
    if view.decryption.signer is not None:
        text = f"the signature behind it is whole and by {name(view.decryption.signer)}: these 256 bytes did not change"
        evidence.append(Evidence(text, view.frames("session-key")))
    rewritten = Evidence("bytes changed on the way, under a checksum made anew, would look the same")
    return replace(
        _mismatch(view, [*evidence, *_waits(view), *view.aftermath()], None),
        alternatives=(Code.SESSION_KEY_UNUSABLE, Code.SESSION_DROPPED),
        against=(rewritten,),
        premises=() if view.tail_fingerprint == private.fingerprint else (premise.words(premise.device_key(private)),),
        would_settle=("the cloud's record of the device's key: is it the pair of the device's?",),
    )


def _only_the_device(view: View) -> Key | None:
    """The device's private key that opens nothing, when the cloud's copy is not in hand and all else is sound."""
    private, told = view.refuted_device_key, view.tail_fingerprint
    if view.decryption.session is not None or private is None or view.cloud_copy is not None:
        return None
    if told is not None and told != private.fingerprint:
        return None  # the file is another device's: says nothing about this one
    damaged = set(view.conversation.facts.checksum_bad) & set(view.frames("session-key"))
    return None if damaged and not view.fails_again else private


def _devices_key(view: View) -> list[Evidence]:
    """The key the device sends, and that its file opens nothing."""
    told, private, found = view.tail_fingerprint, view.refuted_device_key, []
    if told is not None:
        text = f"the device sends its public key in the identity: SHA256:{told[:16]}"
        found.append(Evidence(text, view.frames("identity")))
    if private is not None:
        text = f"the device's private key {name(private)} does not open the session key"
        found.append(Evidence(text, view.frames("session-key")))
    return found


def _mismatch(view: View, evidence: list[Evidence], claim: Claim | None) -> Draft:
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        Certainty.INFERRED,
        "session-key",
        view.frames("session-key"),
        "The cloud encrypts the session key for another public key than the device's: the copy it has on file is not this device's key.",
        tuple(evidence),
        claim=claim,
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


def starts_late(view: View) -> Draft | None:
    """The capture begins with the session key: what led to it is not there, and no key in hand tells more."""
    if not view.conversation.facts.mid_stream or view.seen("identity") or view.decryption.session is not None:
        return None
    frames = view.frames("session-key")
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        "session-key",
        frames,
        "The capture starts in the middle of the handshake, with the cloud's session key: what led to it is not there.",
        (Evidence("no connect, nonce or identity before it", frames), view.close_evidence()),
        alternatives=(Code.SESSION_KEY_UNUSABLE,),
        would_settle=("a capture that starts before the device connects (reset the device after starting it)",),
    )


def gave_up(view: View) -> Draft:
    """The 384 bytes came, the device did not go on, and nothing in hand says why."""
    frames = view.frames("session-key")
    evidence = [Evidence("the cloud's 384 bytes", frames)]
    session = view.decryption.session
    if session is not None:
        said = ", and the signature is over them: both keys are right" if session.hmac else ""
        evidence.append(Evidence(f"they open with {name(session.key)}{said}", frames))
    if view.decryption.signer is not None:
        evidence.append(Evidence(f"signed with {name(view.decryption.signer)}: that cloud answered", frames))
    evidence += [*_waits(view), *view.aftermath()]
    settle = [
        "the device's private key (DFU dump of its slot): it opens the first 128 bytes or proves that they are for another key",
        'the device\'s log: "decryption failed" (device key) or "signature validation failed" (server key)',
    ]
    if not view.whole("session-key"):
        settle.insert(0, "a capture with whole packets: parts of the 384 bytes are missing here")
    weighed = causes.of_unused_session_key(view)
    refused = view.refused_by is Direction.UP
    return Draft(
        Code.SESSION_KEY_UNUSABLE,
        Certainty.UNDETERMINED,
        "session-key",
        frames,
        "The cloud accepted the device and sent a session key; the device could not use it and stopped."
        if refused
        else "The cloud accepted the device and sent a session key; the device does not go on from there.",
        tuple(evidence),
        alternatives=tuple(cause.code for cause in weighed),
        would_settle=tuple(settle),
        causes=weighed,
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
        brewskey, spark = timer("brewskey-handshake").first, timer("spark-server-hello").first
        known = {
            brewskey: f"Brewskey's handshake limit of {brewskey:g} s",
            spark: f"spark-protocol's {spark:g} s limit for the device's Hello",
        }
        text = next((text for limit, text in known.items() if abs(view.watched_s - limit) < NEAR_TIMER), None)
        if text and view.first_close is not None:
            found.append(
                Evidence(f"the cloud closes after {view.watched_s:.0f} s: {text}", view.first_close.mark.frames)
            )
    return found
