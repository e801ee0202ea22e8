"""Rules for the device's 256 bytes that a key in hand opens, and the cloud gives no session key in return.

What is inside tells the faults apart that look alike as long as nothing opens it (`unopened`).
"""

from __future__ import annotations

from analyzer.diagnosis import premise
from analyzer.diagnosis.context import name, shown_by
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.lightssl.view import Delivery, View
from analyzer.diagnosis.premise import Premise
from analyzer.keys.published import PARTICLE_RSA_SPKI
from analyzer.model import Certainty, Code, Evidence, Finding, Role
from analyzer.names import particle_name
from dissectors.events import Direction
from dissectors.lightssl.messages import TailKind

#: What the 128 bytes at slot offset 11 tell about the slot (tcp.md 1.3).
_SLOT = {
    TailKind.ERASED: "blank flash (all 0xFF)",
    TailKind.ZEROED: "all zero",
    TailKind.PKCS8: "a PKCS#8 structure (what OpenSSL 3 writes), where the firmware reads PKCS#1 by position",
    TailKind.EC: "an EC key (the UDP kind), where this transport needs RSA",
    TailKind.DAMAGED: "damaged, what stands in the modulus' place is no RSA modulus",
    TailKind.NOT_FRAMED: "the public key around it is not framed as firmware frames it",
}


def erased_server_key(view: View) -> Draft | None:
    """The identity opens with the factors of 2^2048-1: the server-key slot of the device is blank."""
    opening = view.decryption.identity
    if opening is None or opening.key is not None:
        return None
    frames = view.frames("nonce", "identity")
    evidence = [
        Evidence(
            "the 256 bytes open with the modulus 2^2048-1, which is what a blank (all 0xFF) slot reads as; its factors are public",
            view.frames("identity"),
        ),
        Evidence(
            "what is inside echoes the nonce"
            if opening.nonce_echoed
            else "the nonce it should echo is not complete in the capture",
            view.frames("nonce"),
        ),
        Evidence(f"it names device {opening.plaintext.device_id}", view.frames("identity")),
    ]
    stored = view.stored_server_key
    if stored is not None and stored.status != "ok":
        evidence.append(Evidence(f"the slot dump {stored.file} says the same: {stored.problem}"))
    return Draft(
        Code.SERVER_KEY_ERASED,
        Certainty.INFERRED,
        "identity",
        frames,
        "The slot for the cloud's public key is blank flash on this device: it encrypts with a key that is no key, and no cloud can read it.",
        tuple(evidence),
        claim=Claim() if opening.nonce_echoed else None,
    )


def wrong_nonce(view: View) -> Draft | None:
    """The identity opens and echoes another nonce."""
    opening = view.decryption.identity
    if opening is None or opening.key is None or opening.nonce_echoed or not view.whole("nonce"):
        return None
    return Draft(
        Code.NONCE_MISMATCH,
        Certainty.INFERRED,
        "identity",
        view.frames("nonce", "identity"),
        "The device echoes another nonce than the one that was sent: its answer belongs to another connection, or the nonce was changed on the way.",
        (
            Evidence(f"the 256 bytes open with {name(opening.key)}", view.frames("identity")),
            Evidence("the 40 bytes inside are not those of the nonce", view.frames("nonce")),
            view.close_evidence(),
        ),
        claim=Claim(Direction.DOWN),
    )


def right_server_key(view: View) -> list[Evidence] | None:
    """What every rule below rests on: the cloud's key opens the identity. None when it does not."""
    opening = view.decryption.identity
    if opening is None or opening.key is None:
        return None
    text = f"the identity opens with {name(opening.key)} and echoes the nonce: the server key on the device is right"
    return [Evidence(text, view.frames("nonce", "identity"))]


def key_of_another_cloud(view: View) -> Draft | None:
    """A key opens the identity that is not the one this cloud was seen using at that time."""
    opening, here = view.decryption.identity, view.cloud_key
    if opening is None or opening.key is None or here is None or here.why != "session":
        return None
    if here.key.fingerprint == opening.key.fingerprint:
        return None
    frames = view.frames("identity")
    evidence = [
        Evidence(f"the 256 bytes open with {name(opening.key)} and echo the nonce", frames),
        Evidence(f"the cloud at {view.case.cloud} holds {name(here.key)}: it used it in this capture", here.frames),
    ]
    uses = view.context.shown.get(view.case.server, ())
    used = [use for use in uses if use.key.fingerprint == opening.key.fingerprint]
    if used:
        text = f"it used {name(opening.key)} as well: its key changed in this capture, or two servers answer at this address"
        evidence.append(Evidence(text, used[-1].frames))
    start = view.case.start_ns
    # Used before and after this session, and no other between: it held that key when it refused.
    held = any(use.time_ns <= start for use in uses) and any(use.time_ns > start for use in uses)
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED if held or used else Certainty.UNDETERMINED,
        "identity",
        view.frames("nonce", "identity"),
        "The cloud's key changed, and the device still encrypts for the one before."
        if used
        else "The device encrypts for another cloud than the one it talks to.",
        (*evidence, view.close_evidence()),
        alternatives=() if held else (Code.SERVER_FAULT, Code.DEVICE_KEY_MISMATCH),
        claim=Claim(Direction.DOWN) if held else None,
    )


def older_key_of_the_cloud(view: View) -> Draft | None:
    """A key opens the identity that this cloud no longer uses, or another cloud does; the folder holds one more.

    That a key of the folder opens the message shows what the device holds, not that the server still holds it.
    """
    opening = view.decryption.identity
    if opening is None or opening.key is None or view.refused_by is not Direction.DOWN:
        return None
    key, here = opening.key, view.cloud_key
    others = [
        other
        for other in view.ring.by_role(Role.CLOUD_PRIVATE, "rsa")
        if other.bits == 2048 and other.fingerprint != key.fingerprint and other.fingerprint not in view.context.users
    ]
    mine = view.tail_fingerprint
    if not others or (view.cloud_copy is not None and mine is not None and view.cloud_copy.fingerprint != mine):
        return None
    elsewhere = view.context.users.get(key.fingerprint) if here is None else None
    if view.through[0] is None and elsewhere is None:
        return None
    frames = view.frames("identity")
    evidence = [Evidence(f"the 256 bytes open with {name(key)} and echo the nonce: the device holds that key", frames)]
    if view.through[0] is not None:
        text = "the same device with the same key got through with this cloud before: since then nothing of the device changed"
        evidence.append(Evidence(text, (view.through[0].first_frame,)))
        summary = "The cloud's key changed: the device encrypts for the one that the cloud used before."
    elif elsewhere is not None:
        text = f"that key is the one of {elsewhere[0]}, which used it in this capture; this session went to {view.case.cloud}"
        evidence.append(Evidence(text, elsewhere[1]))
        summary = "The device encrypts for another cloud than the one it talks to: that cloud has another key by now."
    else:
        return None
    evidence.append(Evidence(f"the key folder holds one more cloud key: {name(others[0])}"))
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        view.frames("nonce", "identity"),
        summary,
        (*evidence, view.close_evidence()),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=(f"which key file the server at {view.case.cloud} really runs on, and since when",),
        premises=(premise.words(premise.cloud_key(others[0], view.case.cloud)),),
        findings=(
            Finding(
                "cloud-key-changed",
                Certainty.INFERRED,
                f"{summary} {_since(view)}".rstrip(),
                view.close_evidence().frames,
            ),
        ),
    )


def _since(view: View) -> str:
    before = view.through[0]
    if before is None:
        return ""
    return f"It did so between frame {before.first_frame} and frame {view.case.first_frame}."


def lost_address(view: View) -> Draft | None:
    """The device holds one cloud's key and asked for Particle's name: it lost the address of its own server."""
    opening, here = view.decryption.identity, view.cloud_key
    host = view.case.host
    if opening is None or opening.key is None or view.closer is not Direction.DOWN or host is None:
        return None
    key = opening.key
    if key.spki == PARTICLE_RSA_SPKI or (here is not None and here.why == "session") or particle_name(host) is None:
        return None
    lookup = next((step for step in view.case.prelude if step.stage == "name-resolution"), None)
    said = "and echo the nonce: that is the cloud this device is set up for"
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        view.frames("nonce", "identity"),
        "The device lost the address of its own server: it goes to Particle's cloud with the key of another.",
        (
            Evidence(f"the 256 bytes open with {name(key)} {said}", view.frames("identity")),
            Evidence(f"it looked up {host}, Particle's own cloud, and went there", lookup.frames if lookup else ()),
            view.close_evidence(),
        ),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=("which server really listens at that address: its key file, or its log at that moment",),
    )


def other_exponent(view: View) -> Draft | None:
    """The cloud's key has another exponent than 65537, which every firmware uses: it opens with the one made for that."""
    opening = view.decryption.identity
    key = opening.key if opening is not None and opening.forced_exponent else None
    if key is None or key.rsa is None:
        return None
    frames, e = view.frames("nonce", "identity"), key.rsa.e
    evidence = (
        Evidence(
            f"the public exponent of {name(key)} is {e}; firmware always encrypts with 65537, whatever the key says"
        ),
        Evidence(
            "with the private exponent that belongs to 65537 the 256 bytes open and echo the nonce: the modulus in the device is this cloud's",
            frames,
        ),
        view.close_evidence(),
    )
    return Draft(
        Code.SERVER_FAULT,
        Certainty.INFERRED,
        "identity",
        frames,
        f"The device holds this cloud's key, but no device can use it: its public exponent is {e}, and firmware encrypts with 65537. The cloud needs a new key.",
        evidence,
        findings=(
            Finding(
                "cloud-key-exponent",
                Certainty.PROVEN,
                f"{key.file} has the public exponent {e}; devices need 65537",
                (),
            ),
        ),
        claim=Claim(Direction.DOWN, view.of_this_cloud(key)),
    )


def no_key_in_slot(view: View) -> Draft | None:
    """What the device sends as its public key shows that its private-key slot holds no key it can use."""
    evidence = right_server_key(view)
    return None if evidence is None else empty_slot(view, evidence)


def empty_slot(view: View, evidence: list[Evidence]) -> Draft | None:
    """The same behind other evidence, for whatever stage asks."""
    opening = view.decryption.identity
    if opening is None or opening.plaintext.tail is None or opening.plaintext.tail.kind is TailKind.MODULUS:
        return None
    text = _SLOT[opening.plaintext.tail.kind]
    frames = view.frames("identity")
    shown = f"the public key that the device reads out of its slot and sends shows it: {text}"
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        Certainty.INFERRED,
        "identity",
        frames,
        f"The device's private-key slot holds no usable key: {text}.",
        (*evidence, Evidence(shown, frames), view.close_evidence()),
        claim=Claim(),
    )


def damaged_modulus(view: View) -> Draft | None:
    """The modulus the device sends is not the product of its primes."""
    evidence, private = right_server_key(view), view.device_private
    if evidence is None or private is None or private.status == "ok":
        return None
    if not view.tail_is_slot(private) or not view.modulus_damaged(private):
        return None
    frames = view.frames("identity")
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        Certainty.INFERRED,
        "identity",
        frames,
        f"The private key in the device is damaged: {private.problem}.",
        (
            *evidence,
            Evidence(
                f"the public key in it is what {private.file} yields, so that file is what the device holds", frames
            ),
            Evidence(f"{private.file}: {private.problem}"),
            view.close_evidence(),
        ),
        claim=Claim(),
    )


def other_key_accepted(view: View) -> Draft | None:
    """The cloud takes another key for this id, in this capture, and refuses this one."""
    evidence, other, twin = right_server_key(view), view.accepted, view.twin
    if evidence is None or other is None or view.refused_by is not Direction.DOWN:
        return None
    frames, mine = view.frames("identity"), view.tail_fingerprint or ""
    shown = Evidence(f"the public key the device sends in it is SHA256:{mine[:16]}", frames)
    before = f"the same id got through with another key (SHA256:{(shown_by(other) or '')[:16]}) before: that is what the cloud has on file"
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        frames,
        f"A second device says that it is {view.device_id}: the cloud refuses it, and the one whose key it has on file gets through."
        if twin is not None
        else "The device has another key than before: the cloud still has the former one on file, and refuses this.",
        (*evidence, shown, twin or Evidence(before, (other.first_frame,)), view.close_evidence()),
        alternatives=(Code.SESSION_DISPLACED,) if twin is not None else (),
        findings=(Finding("two-devices-one-id", Certainty.PROVEN, twin.text, twin.frames),) if twin is not None else (),
        claim=Claim(Direction.DOWN),
    )


def other_key_on_file(view: View) -> Draft | None:
    """The key the cloud has on file for this device is not the device's, and the cloud refused it."""
    evidence, copy, private = right_server_key(view), view.cloud_copy or view.wrong_kind_of_copy, view.device_private
    mine = view.tail_fingerprint or (private.fingerprint if private is not None else None)
    if evidence is None or copy is None or mine is None or view.same_pair(copy, mine):
        return None
    if any(view.through) or view.refused_by is not Direction.DOWN:
        return None  # the cloud takes the key that the device shows, or did not refuse it: the copy is not what it has
    frames = view.frames("identity")
    tail = view.tail_fingerprint is not None
    shown = "the public key the device sends in it" if tail else "the public half of the device's key file"
    if tail and private is not None and private.fingerprint == mine:
        shown += f" (SHA256:{mine[:16]}) is the pair of {private.file}: the device's own key is intact"
    else:
        shown += f" is SHA256:{mine[:16]}"
    kind = "is an EC key, the kind of UDP devices" if copy.algorithm == "ec" else "is another key"
    said = Evidence(f"the cloud's {copy.file} {kind} (SHA256:{(copy.fingerprint or '')[:16]})")
    premises = (*_opened_with(view), *view.on_file(copy))
    if not tail and private is not None:
        premises = (*premises, premise.device_key(private))
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        frames,
        "The cloud has another public key on file for this device, and gave up when it saw the difference.",
        (*evidence, Evidence(shown, frames if tail else ()), said, view.close_evidence()),
        claim=Claim(Direction.DOWN, premises) if tail or (private is not None and private.status == "ok") else None,
    )


def _opened_with(view: View) -> tuple[Premise, ...]:
    opening = view.decryption.identity
    return view.of_this_cloud(opening.key) if opening is not None and opening.key is not None else ()


def unknown_device(view: View) -> Draft | None:
    """The server's own folder holds no copy of this device's key. What is missing from any other folder says nothing."""
    evidence, opening, server = right_server_key(view), view.decryption.identity, view.server_folder
    if evidence is None or opening is None or view.cloud_copy is not None or view.own_half is not None:
        return None
    if server is None or view.wrong_kind_of_copy is not None:
        return None
    if any(view.through) or view.refused_by is not Direction.DOWN:
        return None  # it got in, so it is known; or nobody refused it
    frames, device_id = view.frames("identity"), opening.plaintext.device_id
    if server.complete:
        others = len(server.devices)
        text = f"{server.key.file} lies in a server's data folder, with its records of {others} other {'device' if others == 1 else 'devices'} and none of this one ({device_id}.pub.pem)"
    else:
        text = f"the folder holds the server's pair ({server.key.file} and its public half) and no record of this device ({device_id}.pub.pem): so it is unknown, if that is all the server has"
    return Draft(
        Code.DEVICE_UNKNOWN,
        Certainty.INFERRED if server.complete else Certainty.UNDETERMINED,
        "identity",
        frames,
        f"The cloud has no public key on file for device {device_id}."
        if server.complete
        else f"The cloud refuses device {device_id}, and there is no record of it beside the server's key pair.",
        (*evidence, Evidence(f"it names device {device_id}", frames), Evidence(text), view.close_evidence()),
        alternatives=(Code.DEVICE_KEY_MISMATCH, Code.SERVER_FAULT),
        would_settle=(
            f"the server's own key folder: is there a {device_id}.pub.pem?",
            "the server's log line at that moment",
        ),
    )


def one_read(view: View) -> Evidence:
    """The 256 bytes came in several segments, which the known servers do not take."""
    pieces = view.identity_segments
    why = "a server that takes one read for the whole message (spark-protocol and Brewskey both do) sees only the first part"
    return Evidence(f"the 256 bytes arrive in {len(pieces)} segments; {why}", pieces)


def server_fault(view: View) -> Draft | None:
    """Every key fits, and the cloud ends the connection all the same."""
    evidence, copy = right_server_key(view), view.cloud_copy
    if evidence is None or copy is None or view.closer is not Direction.DOWN or view.nearer is not None:
        return None
    frames = view.frames("identity")
    mine = view.tail_fingerprint
    if mine is not None and not view.same_pair(copy, mine):
        return None  # the copy in the folder is another: it cannot clear the cloud's record
    if mine is not None:
        evidence.append(Evidence(f"the public key inside is the one the cloud has on file, {name(copy)}", frames))
    why, summary = (
        "",
        "Every key in hand fits and what the device sent is right, yet the cloud ends the connection: the fault is in the server.",
    )
    opening = view.decryption.identity
    pieces = view.identity_segments
    findings: tuple[Finding, ...] = ()
    if view.delivery("identity") is Delivery.PARTLY:
        acked = view.conversation.facts.up.acked
        why = f"the server had received {acked} of the 256 bytes when it closed: it takes one read for the whole message (spark-protocol and Brewskey both do)"
        evidence.append(Evidence(why, view.close_evidence().frames))
        summary = f"Every key fits, but the 256 bytes reach the server in pieces: it had {acked} of them, reads only once and cannot open half a message."
    elif len(pieces) > 1:
        evidence.append(one_read(view))
        summary = "Every key fits, but the 256 bytes arrive in more than one segment, and this server reads only once: it cannot open half a message."
    elif opening is not None and opening.plaintext.tail is None:
        why = (
            "Brewskey's server wants the key in it and refuses every such device (Brewskey/spark-protocol Handshake.js)"
        )
        evidence.append(
            Evidence(
                f"the identity has 52 bytes and carries no public key (Spark Core firmware before 0.4.0); {why}", frames
            )
        )
        summary = "Every key fits, but this firmware sends no public key with its identity (52 bytes, Spark Core before 0.4.0), and Brewskey's server refuses every device that does not."
        findings = (
            Finding(
                "short-identity",
                Certainty.PROVEN,
                "the identity has 52 bytes: Spark Core firmware before 0.4.0",
                frames,
            ),
        )
    evidence.append(view.close_evidence())
    return Draft(
        Code.SERVER_FAULT,
        Certainty.INFERRED,
        "identity",
        frames,
        summary,
        tuple(evidence),
        alternatives=(Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_MISMATCH, Code.SERVER_KEY_MISMATCH, Code.SESSION_DROPPED),
        would_settle=(
            "the server's log line at that moment",
            "the key file the running server really reads (a restart makes it read it again)",
        ),
        findings=findings,
    )
