"""Rules for the device's own key: is the one it shows the one on file, can it prove that it holds it, what does the cloud say."""

from __future__ import annotations

from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.dtls.delivery import FLIGHT, cloud_refusal, passed_over
from analyzer.diagnosis.dtls.opening import cut_short, longest, lost_flight, too_short
from analyzer.diagnosis.dtls.transit import altered_certificate
from analyzer.diagnosis.dtls.view import View, short
from analyzer.diagnosis.premise import cloud_copy
from analyzer.firmware.timers import timer
from analyzer.keys import Key
from analyzer.model import Cause, Certainty, Code, Evidence, Finding, Role
from dissectors.events import Direction

UP, DOWN = Direction.UP, Direction.DOWN
_STAGE = "device-certificate"
CLOUD_RECORD = "the public key the cloud has on file for this device: is it the one shown in the capture?"
SERVER_LOG = "the cloud's log or record of this device at that moment: is it known, claimed, allowed?"


def damaged_key(view: View) -> Draft | None:
    """CertificateVerify does not hold under the key the device shows: scalar and public point do not belong together."""
    found = view.decryption
    if found.possession is not False or view.seen("cloud-finished"):
        return None
    frames = view.frames(_STAGE, "certificate-verify")
    shown = f"SHA256:{found.shown_fingerprint[:16]}" if found.shown_fingerprint else "the key"
    evidence = [Evidence(f"the device shows the public key {shown}", view.frames(_STAGE))]
    evidence += [Evidence(f"that is the key in {key.file}", view.frames(_STAGE)) for key in found.shown_as[:2]]
    evidence.append(
        Evidence("its signature in CertificateVerify does not verify with that key", view.frames("certificate-verify"))
    )
    claim: Claim | None = Claim()  # the bytes alone show it
    settle: tuple[str, ...] = ()
    alternatives: tuple[Code, ...] = ()
    if found.scalar is not None:
        evidence.append(
            Evidence(
                f"the private scalar in {found.scalar.file} made the signature, and does not belong to the public key beside it",
                frames,
            )
        )
    elif found.recovered_device is not None:
        evidence.append(
            Evidence(
                f"two attempts are signed with one and the same other key (SHA256:{short(found.recovered_device)}): nothing was damaged on the way",
                frames,
            )
        )
    else:
        claim = None
        alternatives = (Code.HANDSHAKE_STALLED, Code.HANDSHAKE_REJECTED)
        settle = (
            "a second attempt of this device: a signature by the same wrong key again excludes damage on the way",
            "a dump of the device's private-key slot: does its scalar belong to its public point?",
        )
    return Draft(
        Code.DEVICE_KEY_CORRUPT,
        Certainty.INFERRED,
        "certificate-verify",
        frames,
        "The device's private key is damaged: it shows the right public key and signs with another private one.",
        (*evidence, outcome(view)),
        alternatives,
        settle,
        claim=claim,
    )


def altered(view: View) -> Draft | None:
    """The device's Certificate was changed on the way: the key it shows is nobody's."""
    if view.seen("cloud-finished") or (view.alert(DOWN) is None and too_short(view)):
        return None
    seen = altered_certificate(view)
    if seen is None:
        return None
    refused = view.alert(DOWN) is not None
    return Draft(
        Code.HANDSHAKE_REJECTED if refused else Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        _STAGE,
        view.frames(_STAGE),
        "The key that the device shows was changed on the way, so the cloud cannot take it: no key is shown to be wrong.",
        (seen, outcome(view)),
        findings=(Finding("corrupted-in-transit", Certainty.INFERRED, seen.text, seen.frames),),
    )


def undelivered(view: View) -> Draft | None:
    """The cloud repeats its answer although the device has gone on: it does not get the device's flight, and judges no key."""
    frames = view.delivery.answer
    if not frames or view.alert(DOWN) is not None:
        return None
    reason = Evidence("the cloud has not got what it would have to refuse", frames[:12])
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        "cloud-finished",
        (*view.frames(*FLIGHT), *frames[:12]),
        "The device's flight does not reach the cloud, or not all of it: the cloud repeats its own and goes on waiting. No key of the device has been judged.",
        (
            *what_fits(view),
            outcome(view),
            Evidence(
                f"the cloud repeats its answer {len(frames)} time{'s' * (len(frames) > 1)} behind the device's flight, as it does only while it waits for that",
                frames[:12],
            ),
        ),
        would_settle=("a capture on the cloud's side of the network: does the device's flight arrive?",),
        findings=(lost_flight(view, "device's flight", longest(view, UP, *FLIGHT), frames),),
        causes=tuple(
            Cause(code, con=(reason,)) for code in (Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN, Code.SERVER_FAULT)
        ),
    )


def other_key_on_file(view: View) -> Draft | None:
    """The public key the cloud has on file for this device is not the one it holds, and the cloud refuses it."""
    found, copy = view.decryption, view.copy_differs
    refused = cloud_refusal(view)
    if copy is None or view.got_in_with_key is not None or (refused is None and not passed_over(view)):
        return None
    frames = view.frames(_STAGE, "certificate-verify")
    own = [key for key in view.device_files if key.spki == found.shown_key]
    evidence = [*_identity(view, own), Evidence(f"the cloud's copy is another key: {name(copy)}")]
    evidence += _owners_elsewhere(view)
    if found.possession:
        evidence.append(
            Evidence(
                "CertificateVerify holds: the device has the private half of the key it shows",
                view.frames("certificate-verify"),
            )
        )
    sure = bool(own) or (view.knows_device and found.possession is True)
    twin = _twin(view)
    unsure = () if sure else (Evidence("what names this device is not its own word", (view.case.first_frame,)),)
    claim = Claim(DOWN, (cloud_copy(copy, view.device_id),), (*twin, *unsure))
    if refused is None:
        text = (
            "the cloud passes over the device's flight in two attempts and answers its ClientHello in both: it is there"
        )
        evidence.append(Evidence(text, view.frames(_STAGE)))
    summary = "The cloud has another public key on file for this device than the one it holds"
    if not own and view.device_files:
        summary += ", and the key file at hand is not the device's either: it has made or been given a new key"
        evidence.append(Evidence(f"{name(view.device_files[0])} is not the key the device shows", frames))
    alternatives: list[Code] = [Code.SESSION_DISPLACED] if twin else []
    if refused is None or claim.against or view.standing.against:
        alternatives += [Code.HANDSHAKE_REJECTED, Code.HANDSHAKE_STALLED]
    return Draft(
        Code.DEVICE_KEY_MISMATCH,
        Certainty.INFERRED,
        _STAGE,
        frames,
        summary + ".",
        (*evidence, *twin, outcome(view)),
        tuple(alternatives),
        () if sure else ("which device this is: what names it here is not its own word",),
        claim=claim,
    )


def _twin(view: View) -> tuple[Evidence, ...]:
    """That another device bears this id: one gets in with another key than the one shown here."""
    shown = view.decryption.shown_key
    others = [case for case in view.got_in if case.decryption.shown_key not in (None, shown)]
    if shown is None or not others:
        return ()
    text = f"a device of this id gets in with another key, from {others[0].device}: two devices bear it, or its key was changed; putting this key on file would lock the other out"
    return (Evidence(text, (others[0].first_frame,)),)


def _identity(view: View, own: list[Key]) -> list[Evidence]:
    frames = view.frames(_STAGE)
    if own:
        return [Evidence(f"the device shows the public key of {name(own[0])}", frames)]
    shown = view.decryption.shown_fingerprint or ""
    source = {
        "hello": "its Hello names it",
        "moved-record": "its moved record names it",
        "session-dump": "the dump of its session opens this one",
        "name": "by the name it looked up before",
        "address": "by its address only",
        "only-device-in-keys": "the only device of the key folder",
    }.get(view.case.id_source or "", f"by its {view.case.id_source}")
    return [Evidence(f"device {view.device_id} ({source}) shows the public key SHA256:{shown[:16]}", frames)]


def _owners_elsewhere(view: View) -> list[Evidence]:
    """That the key shown is on file under another device's id."""
    others = sorted(
        {
            k.device_id
            for k in view.decryption.shown_as
            if k.role is Role.CLOUD_COPY and k.device_id not in (None, view.device_id)
        }
    )
    if not others:
        return []
    return [Evidence(f"the key it shows is the one on file for {', '.join(others[:3])}")]


def unknown_device(view: View) -> Draft | None:
    """The cloud refuses the device, and its own data folder holds others' keys and none of this id."""
    server = view.server_folder
    if (
        not view.knows_device
        or view.decryption.shown_key is None
        or view.ring.for_device(view.device_id, Role.CLOUD_COPY)
        or view.standing.refused_by is not DOWN
        or view.got_in
        or server is None
        or not server.complete
        or any(key.folder == server.key.folder for key in view.ring.by_role(Role.DEVICE_PRIVATE))
    ):
        return None
    others = len(server.devices)
    text = f"{server.key.file} lies in a server's data folder, with its records of {others} other device{'s' * (others > 1)} and none of this one"
    return Draft(
        Code.DEVICE_UNKNOWN,
        Certainty.INFERRED,
        _STAGE,
        view.frames(_STAGE),
        f"The cloud has no key on file for device {view.device_id}.",
        (
            *_identity(view, [key for key in view.device_files if key.spki == view.decryption.shown_key]),
            Evidence(text),
            outcome(view),
        ),
        (Code.HANDSHAKE_REJECTED, Code.DEVICE_KEY_MISMATCH),
        (CLOUD_RECORD,),
        premises=(f"the folder of {server.key.file} is all that this cloud has on file",),
    )


def rejected(view: View) -> Draft | None:
    """A fatal alert of the cloud behind its own answer."""
    alert = view.alert(DOWN)
    if alert is None or not view.attempt.flights or view.seen("cloud-finished"):
        return None
    text, frames, _ = alert
    evidence = [Evidence(f"the cloud ends the handshake with {text}", frames), *what_fits(view)]
    certainty, alternatives, settle = doubts(view)
    return Draft(
        Code.HANDSHAKE_REJECTED,
        certainty,
        _STAGE if view.device_proceeds else "server-hello-done",
        (*view.frames(*FLIGHT), *frames),
        f"The cloud refuses the device after it showed its key: {text}."
        if view.device_proceeds
        else f"The cloud ends the handshake by itself: {text}.",
        (*evidence, view.ending()),
        alternatives,
        settle,
    )


def stalled(view: View) -> Draft | None:
    """The device's flight is there, and the cloud never completes the handshake."""
    if not view.device_proceeds or view.seen("cloud-finished"):
        return None
    frames = view.frames(*FLIGHT)
    if too_short(view, timer("dtls-retransmit-short").first):
        return cut_short(view, "cloud-finished", "the device's flight")
    certainty, alternatives, settle = doubts(view)
    absent = view.missing(*FLIGHT)
    if absent:
        text = f"The device's flight is not whole ({', '.join(absent)} did not come), and the cloud does not complete the handshake."
    elif certainty is Certainty.INFERRED:
        text = "Every key in hand fits, and the cloud does not answer the device's flight: it did not arrive, or the cloud rejects it silently."
    else:
        text = "The device shows its key, and the cloud falls silent: lost on the way, or the cloud rejects the device without a word."
    return Draft(
        Code.HANDSHAKE_STALLED,
        certainty,
        "cloud-finished",
        frames,
        text,
        (*what_fits(view), outcome(view)),
        alternatives,
        settle,
    )


# -- shared with the rules of the session -------------------------------------------------------------------------------


def what_fits(view: View) -> list[Evidence]:
    """What the keys in hand prove to be right."""
    found = view.decryption
    fits: list[Evidence] = []
    if found.signer is not None:
        fits.append(
            Evidence(f"the cloud's answer is signed with {name(found.signer)}", view.frames("server-key-exchange"))
        )
    if found.possession:
        fits.append(
            Evidence(
                "CertificateVerify holds: the device has the private half of the key it shows",
                view.frames("certificate-verify"),
            )
        )
    on_file = next((key for key in view.cloud_copies if key.spki == found.shown_key), None)
    if on_file is not None:
        fits.append(Evidence(f"the cloud's copy is the key the device shows: {name(on_file)}", view.frames(_STAGE)))
    elif (copy := view.copy_differs) is not None:
        text = f"{name(copy)}, by its name the cloud's copy, is another key than the device shows: stale, or the cause"
        fits.append(Evidence(text, view.frames(_STAGE)))
    elif found.shown_as:
        fits.append(Evidence(f"the device shows the public key of {name(found.shown_as[0])}", view.frames(_STAGE)))
    return fits


def doubts(view: View) -> tuple[Certainty, tuple[Code, ...], tuple[str, ...]]:
    """How sure one can be that no key explains a refusal: certainty, what else it can be, what would settle it."""
    found = view.decryption
    on_file = any(key.spki == found.shown_key for key in view.cloud_copies) if found.shown_key is not None else False
    if not view.device_proceeds:
        return Certainty.INFERRED, (Code.SERVER_FAULT, Code.PROFILE_MISMATCH), (SERVER_LOG,)
    if found.shown_key is not None and view.got_in_with_key is not None:
        causes = (Code.SERVER_FAULT, Code.SESSION_DROPPED)
        if view.surrounded:
            return Certainty.INFERRED, causes, (SERVER_LOG,)
        # One success says when something changed: the cloud's record of the device may be what did.
        changed = (*causes, Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN)
        return Certainty.UNDETERMINED, changed, (SERVER_LOG, CLOUD_RECORD)
    if on_file and found.possession:
        # That the file is what the cloud has on file is the folder's word; where only that file says whose key this is,
        # it may be filed under another device's name.
        codes = [Code.DEVICE_UNKNOWN, Code.SERVER_FAULT]
        codes.insert(1 if view.case.id_source == "cloud-copy" else 2, Code.DEVICE_KEY_MISMATCH)
        return Certainty.INFERRED, tuple(codes), (SERVER_LOG,)
    codes = [Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN, Code.SERVER_FAULT]
    if found.possession is None:
        codes.insert(1, Code.DEVICE_KEY_CORRUPT)
    return Certainty.UNDETERMINED, tuple(codes), (CLOUD_RECORD, SERVER_LOG)


def outcome(view: View) -> Evidence:
    """What the cloud did, and how it ended."""
    alert = view.alert(DOWN)
    if alert is not None:
        return Evidence(f"the cloud answers with {alert[0]}", alert[1])
    repeats = sorted(
        {repeat.mark.frames[0] for repeat in view.attempt.repeats if repeat.stage in FLIGHT and repeat.mark.frames}
    )
    if repeats and not view.seen("cloud-finished"):
        when = view.schedule("client-key-exchange") or "again"
        answers = "the cloud does not finish" if view.delivery.answer else "the cloud says nothing"
        text = f"the device sends its flight {when}; {answers} in {view.waited_s:.1f} s"
        return Evidence(text, tuple(repeats[:12]))
    if view.seen("cloud-finished"):
        copies = view.attempt.hello_frames
        return Evidence(
            f"the handshake completes, and the cloud ignores the device's Hello ({len(copies)} times sent)", copies
        )
    return view.ending()
