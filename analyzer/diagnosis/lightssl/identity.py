"""Rules for the device's 256 bytes that a key in hand opens, and the cloud gives no session key in return.

What is inside tells the faults apart that look alike as long as nothing opens it (`unopened`).
"""

from __future__ import annotations

from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl.view import View
from analyzer.keys.published import PARTICLE_RSA_SPKI
from analyzer.model import Certainty, Code, Evidence
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
    certainty = Certainty.PROVEN if opening.nonce_echoed else Certainty.INFERRED
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
        certainty,
        "identity",
        frames,
        "The slot for the cloud's public key is blank flash on this device: it encrypts with a key that is no key, and no cloud can read it.",
        tuple(evidence),
    )


def wrong_nonce(view: View) -> Draft | None:
    """The identity opens and echoes another nonce."""
    opening = view.decryption.identity
    if opening is None or opening.key is None or opening.nonce_echoed or not view.whole("nonce"):
        return None
    return Draft(
        Code.NONCE_MISMATCH,
        Certainty.PROVEN,
        "identity",
        view.frames("nonce", "identity"),
        "The device echoes another nonce than the one that was sent: its answer belongs to another connection, or the nonce was changed on the way.",
        (
            Evidence(f"the 256 bytes open with {name(opening.key)}", view.frames("identity")),
            Evidence("the 40 bytes inside are not those of the nonce", view.frames("nonce")),
            view.close_evidence(),
        ),
    )


def right_server_key(view: View) -> list[Evidence] | None:
    """What every rule below rests on: the cloud's key opens the identity. None when it does not."""
    opening = view.decryption.identity
    if opening is None or opening.key is None:
        return None
    text = f"the identity opens with {name(opening.key)} and echoes the nonce: the server key on the device is right"
    return [Evidence(text, view.frames("nonce", "identity"))]


def key_of_another_cloud(view: View) -> Draft | None:
    """A key opens the identity that is not the one this cloud was seen using."""
    opening, here = view.decryption.identity, view.cloud_key
    if opening is None or opening.key is None or here is None or here.why != "session":
        return None
    if here.key.fingerprint == opening.key.fingerprint:
        return None
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.PROVEN,
        "identity",
        view.frames("nonce", "identity"),
        "The device encrypts for another cloud than the one it talks to.",
        (
            Evidence(f"the 256 bytes open with {name(opening.key)} and echo the nonce", view.frames("identity")),
            Evidence(f"the cloud at {view.case.cloud} holds {name(here.key)}: it used it in this capture", here.frames),
            view.close_evidence(),
        ),
    )


def address_of_another_cloud(view: View) -> Draft | None:
    """The device holds one cloud's key and went to another: by name Particle's, or not the address it has stored."""
    opening, here = view.decryption.identity, view.cloud_key
    if opening is None or opening.key is None or view.closer is not Direction.DOWN:
        return None
    key = opening.key
    if key.spki == PARTICLE_RSA_SPKI or (here is not None and here.why == "session"):
        return None
    frames = view.frames("nonce", "identity")
    evidence = [
        Evidence(
            f"the 256 bytes open with {name(key)} and echo the nonce: that is the cloud this device is set up for",
            view.frames("identity"),
        )
    ]
    lookup = next((step for step in view.case.prelude if step.stage == "name-resolution"), None)
    stored = view.stored_server_key
    address = stored.server_address if stored is not None else None
    if view.case.host is not None and particle_name(view.case.host) is not None:
        summary = (
            "The device talks to Particle's cloud with the key of another cloud: it lost the address of its own server."
        )
        evidence.append(
            Evidence(
                f"it looked up {view.case.host}, Particle's own cloud, and went there", lookup.frames if lookup else ()
            )
        )
    elif (
        address is not None
        and address.kind == "ip"
        and address.host not in (view.case.cloud.address, view.case.reached)
    ):
        summary = f"The device holds the key of the cloud at {address} and talks to {view.case.cloud}, which is not that cloud."
        evidence.append(Evidence(f"its stored server ({stored.file if stored else ''}) is {address}"))
    else:
        return None
    evidence.append(view.close_evidence())
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        "identity",
        frames,
        summary,
        tuple(evidence),
        alternatives=(Code.SERVER_FAULT,),
        would_settle=("which server really listens at that address: its key file, or its log at that moment",),
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
        Certainty.PROVEN,
        "identity",
        frames,
        f"The device's private-key slot holds no usable key: {text}.",
        (*evidence, Evidence(shown, frames), view.close_evidence()),
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
        Certainty.PROVEN,
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
    )


def other_key_on_file(view: View) -> Draft | None:
    """The key the cloud has on file for this device is not the device's."""
    evidence, copy, private = right_server_key(view), view.cloud_copy, view.device_private
    mine = view.tail_fingerprint or (private.fingerprint if private is not None else None)
    if evidence is None or copy is None or mine is None or copy.fingerprint == mine:
        return None
    frames = view.frames("identity")
    tail = view.tail_fingerprint is not None
    shown = "the public key the device sends in it" if tail else "the public half of the device's key file"
    if tail and private is not None and private.fingerprint == mine:
        shown += f" (SHA256:{mine[:16]}) is the pair of {private.file}: the device's own key is intact"
    else:
        shown += f" is SHA256:{mine[:16]}"
    said = Evidence(f"the cloud's {copy.file} is another key (SHA256:{(copy.fingerprint or '')[:16]})")
    certainty = Certainty.PROVEN if tail or (private is not None and private.status == "ok") else Certainty.INFERRED
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        certainty,
        "identity",
        frames,
        "The cloud has another public key on file for this device, and gave up when it saw the difference.",
        (*evidence, Evidence(shown, frames if tail else ()), said, view.close_evidence()),
    )


def unknown_device(view: View) -> Draft | None:
    """The server's own folder holds no copy of this device's key. What is missing from any other folder says nothing."""
    evidence, opening, server = right_server_key(view), view.decryption.identity, view.server_folder
    if evidence is None or opening is None or view.cloud_copy is not None or view.own_half is not None:
        return None
    if server is None or view.closer is not Direction.DOWN:
        return None
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
    if evidence is None or copy is None or view.closer is not Direction.DOWN:
        return None
    frames = view.frames("identity")
    mine = view.tail_fingerprint
    if mine is not None:
        evidence.append(Evidence(f"the public key inside is the one the cloud has on file, {name(copy)}", frames))
    why, summary = (
        "",
        "Every key in hand fits and what the device sent is right, yet the cloud ends the connection: the fault is in the server.",
    )
    opening = view.decryption.identity
    pieces = view.identity_segments
    if len(pieces) > 1:
        evidence.append(one_read(view))
        summary = "Every key fits, but the 256 bytes arrive in more than one segment, and this server reads only once: it cannot open half a message."
    elif opening is not None and opening.plaintext.tail is None:
        why = "newer Brewskey servers refuse the 52-byte identity of Spark Core firmware"
        evidence.append(Evidence(f"the identity carries no public key (Spark Core era); {why}", frames))
    evidence.append(view.close_evidence())
    return Draft(
        Code.SERVER_FAULT,
        Certainty.INFERRED,
        "identity",
        frames,
        summary,
        tuple(evidence),
        alternatives=(Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_MISMATCH, Code.NONCE_MISMATCH),
        would_settle=(
            "the server's log line at that moment",
            "the key file the running server really reads (a restart makes it read it again)",
        ),
    )
