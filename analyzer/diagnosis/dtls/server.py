"""Rules for the cloud's answer that the device does not take: the server key it has stored, or loss."""

from __future__ import annotations

from analyzer.decrypt.signers import signed_by
from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.dtls.delivery import ANSWER, device_refusal, dismissed
from analyzer.diagnosis.dtls.opening import MINUTE, cut_short, longest, lost_flight, too_short
from analyzer.diagnosis.dtls.transit import altered_answer
from analyzer.diagnosis.dtls.view import View
from analyzer.diagnosis.premise import Ground, Premise, stored_key, words
from analyzer.firmware.timers import timer
from analyzer.keys import Key
from analyzer.model import Cause, Certainty, Code, Evidence, Finding, Role
from dissectors.alerts import AlertCode
from dissectors.events import Direction

UP, DOWN = Direction.UP, Direction.DOWN
_STAGE = "server-key-exchange"
_SLOT_DUMP = "a dump of the device's server-key slot (dfu-util, offset 3298 of the DCT): does it verify this signature?"


def undelivered(view: View) -> Draft | None:
    """The device repeats its ClientHello although the cloud has answered: it does not get the answer, and judges no key."""
    frames = view.delivery.hello
    if not frames or view.alert(UP) is not None or view.alert(DOWN) is not None:
        return None
    size = longest(view, DOWN, *ANSWER)
    times = f"{len(frames)} time{'s' * (len(frames) > 1)}"
    return Draft(
        Code.HANDSHAKE_STALLED,
        Certainty.INFERRED,
        _STAGE,
        (*view.frames("server-hello", _STAGE), *frames[:12]),
        "The cloud's answer does not reach the device, or not all of it: the device goes on asking. No key has been judged yet.",
        (
            Evidence("the cloud's answer", view.frames("server-hello", _STAGE, "server-hello-done")),
            Evidence(
                f"the device repeats its ClientHello {times} behind it, as it does only while it waits for the answer",
                frames[:12],
            ),
            *_whose_if_known(view),
            view.ending(),
        ),
        would_settle=("a capture on the device's side of the network: does the cloud's answer arrive?",),
        findings=(lost_flight(view, "cloud's answer", size, frames),),
        causes=tuple(
            Cause(code, con=(Evidence("the device has not got what it would have to refuse", frames[:12]),))
            for code in (Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED)
        ),
    )


def altered(view: View) -> Draft | None:
    """The answer was changed on the way, or its signature fails under the very key that is stored and this cloud's."""
    if not view.answered or view.device_proceeds:
        return None
    alert = view.alert(UP)
    if alert is not None and alert[2] != AlertCode.DECRYPT_ERROR:
        return None
    seen = altered_answer(view) if _unsigned(view) else None
    accepted = view.stored_signs is True and alert is not None
    own = _folders_cloud_key(view)
    twice = view.decryption.recovered_server is not None
    same = own is not None and view.stored_signs is False and not twice and (alert is not None or too_short(view))
    if seen is None and not accepted and not same:
        return None
    frames = view.frames("server-hello", _STAGE)
    evidence = [*_whose_if_known(view)]
    findings: tuple[Finding, ...] = ()
    certainty = Certainty.UNDETERMINED
    alternatives: tuple[Code, ...] = (Code.NOT_THE_CLOUD,)
    stored = view.stored_server_key
    if seen is not None:
        evidence.append(seen)
        summary = (
            "The cloud's answer was changed on the way, so the device cannot accept it: no key is shown to be wrong."
        )
        certainty, alternatives = Certainty.INFERRED, ()
        findings = (Finding("corrupted-in-transit", Certainty.INFERRED, seen.text, seen.frames),)
    elif accepted:
        assert stored is not None
        text = f"{name(stored)} is stored in the device and signed the answer as captured: what the device got was changed behind this point, or it holds another key than that file says"
        evidence.append(Evidence(text, frames))
        summary = "The device refuses a signature that the key stored in it accepts as captured: changed on the way, or another key is stored now."
        alternatives = ()
    else:
        assert own is not None and stored is not None
        text = f"{stored.file} is stored in the device and is this cloud's own key ({own.file}): another server answers, or the answer was changed on the way"
        evidence.append(Evidence(text, frames))
        summary = "The cloud's signature fails under the key that is both stored in the device and, by the folder, this cloud's."
    code = Code.HANDSHAKE_REJECTED if alert is not None else Code.HANDSHAKE_STALLED
    return Draft(
        code,
        certainty,
        _STAGE,
        (*frames, *(alert[1] if alert is not None else ())),
        summary,
        (*evidence, _reaction(view)),
        alternatives,
        () if seen is not None else ("a second attempt: is it refused again?", _SLOT_DUMP),
        findings,
    )


def _unsigned(view: View) -> bool:
    """Whether something is odd about the signature: no key made it, or copies of it differ."""
    return view.signer_name is None or bool(view.step(_STAGE).fields.get("copies_differ"))


def wrong_server_key(view: View) -> Draft | None:
    """The signature in ServerKeyExchange fails under the server key the device has stored, and holds under another."""
    signer = view.signer_name
    if not _refuses_stored(view) or signer is None:
        return None
    stored = view.stored_server_key
    assert stored is not None
    frames = view.frames("server-hello", _STAGE)
    evidence = [
        _whose(view),
        Evidence(f"the cloud's answer is signed with {signer}", frames),
        Evidence(f"{name(stored)}, stored in the device, did not sign it", frames),
    ]
    if view.decryption.recovered_server is not None:
        text = "two attempts are signed with that same key, so none of them was damaged on the way"
        evidence.append(Evidence(text, frames))
    refused = device_refusal(view)
    claim = Claim(UP, _premises(view, stored), tuple(_against(view)))
    holds = refused is not None and not claim.against and not view.standing.against
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        _STAGE,
        frames,
        "The server key stored in the device is not this cloud's: the device cannot accept the cloud's signature.",
        (*evidence, *_changed(view), refused or _reaction(view)),
        () if holds else (Code.HANDSHAKE_STALLED,),
        () if refused is not None else ("a capture that goes on until the device tries again", _SLOT_DUMP),
        claim=claim,
    )


def _premises(view: View, stored: Key) -> tuple[Premise, ...]:
    only = view.case.id_source == "only-device-in-keys"
    whose = (Premise(Ground.DEVICE, stored.file, view.device_id or ""),) if only else ()
    return (*whose, stored_key(stored))


def _against(view: View) -> list[Evidence]:
    """What speaks against the file being what this device has stored.

    The folder's cloud keys are there and none of them signed; or nothing but its address names the device.
    """
    if view.case.id_source == "address":
        return [Evidence("only its address says which device this is", (view.case.first_frame,))]
    clouds = view.cloud_keys
    signer = view.signer_spki
    if not clouds or signer is None or any(key.spki == signer for key in clouds) or view.official:
        return []
    text = f"{clouds[0].file} did not sign it: the folder is another cloud's, or another server answers here"
    return [Evidence(text, view.frames(_STAGE))]


def _changed(view: View) -> list[Evidence]:
    """The last session of this device that the cloud signed with another key: its key was changed since."""
    signer = view.signer_spki
    if signer is None:
        return []
    others = [c for c in view.got_in if signed_by(c.conversation.attempt, signer) is False]
    before = [c for c in others if c.start_ns < view.case.start_ns]
    if not before:
        return []
    last = max(before, key=lambda case: case.start_ns)
    apart = (view.case.start_ns - last.start_ns) / 1e9
    text = (
        f"{apart:.0f} s before, the same device accepted an answer signed with another key: the cloud's key was changed"
    )
    return [Evidence(text, (last.first_frame,))]


def cloud_key_changed(view: View) -> Draft | None:
    """The device got in while the cloud signed with one key, and stops now that it signs with another."""
    changed = _changed(view)
    if not changed or not dismissed(view):
        return None
    frames = view.frames("server-hello", _STAGE)
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        _STAGE,
        frames,
        "The cloud's key was changed: the device got in while the old one signed, and does not accept the new one.",
        (*changed, Evidence(f"the cloud's answer is signed with {view.signer_name}", frames), _reaction(view)),
        (Code.HANDSHAKE_STALLED,),
        ("when was the cloud's key replaced, or its address given to another server?", _SLOT_DUMP),
    )


def another_server(view: View) -> Draft | None:
    """The signature fails under the stored server key, which by the folder is this cloud's own: the answer is odd."""
    own = _folders_cloud_key(view)
    if own is None:
        return None
    text = f"that is this cloud's own key ({own.file}): another server answers, or the answer was damaged"
    return _signed_by_nobody(view, Code.HANDSHAKE_STALLED, Certainty.UNDETERMINED, Evidence(text))


def unknown_signature(view: View) -> Draft | None:
    """The signature fails under the stored server key, and nothing in hand says whose it is."""
    return _signed_by_nobody(view, Code.SERVER_KEY_MISMATCH, Certainty.INFERRED)


def _signed_by_nobody(view: View, code: Code, certainty: Certainty, *more: Evidence) -> Draft | None:
    stored = view.stored_server_key
    if not _refuses_stored(view) or view.signer_name is not None or stored is None:
        return None
    frames = view.frames("server-hello", _STAGE)
    refused = Evidence(f"{name(stored)}, stored in the device, did not sign the cloud's answer", frames)
    either = {Code.HANDSHAKE_STALLED, Code.SERVER_KEY_MISMATCH} - {code}
    return Draft(
        code,
        certainty,
        _STAGE,
        frames,
        "The cloud's signature fails under the server key stored in the device, and no key in hand made it.",
        (_whose(view), refused, *more, _reaction(view)),
        (Code.NOT_THE_CLOUD, *either),
        ("the cloud's own public key, or a second attempt: either shows whether the signature arrived undamaged",),
        premises=tuple(map(words, _premises(view, stored))),
    )


def _folders_cloud_key(view: View) -> Key | None:
    """The file that says that what the device has stored is the key of its cloud."""
    stored = view.stored_server_key
    return None if stored is None else next((key for key in view.cloud_keys if key.spki == stored.spki), None)


def _refuses_stored(view: View) -> bool:
    """Whether the stored key refuses the answer, and the device behaves as one that refuses it, keys set aside.

    A device that got in while this very key signed does not refuse it: then the file is not what it holds.
    """
    if view.stored_signs is not False or not dismissed(view):
        return False
    return view.signer_spki is None or view.got_in_with_signer is None


def erased_server_key(view: View) -> Draft | None:
    """The slot is no key, and the device fell back to the key built into its firmware."""
    stored = view.stored_server_key
    if stored is None or stored.status == "ok" or view.official or not dismissed(view):
        return None
    if view.got_in_with_signer is not None:
        return None
    frames = view.frames("server-hello", _STAGE)
    return Draft(
        Code.SERVER_KEY_ERASED,
        Certainty.INFERRED,
        _STAGE,
        frames,
        f"The server-key slot of the device holds no key ({stored.problem}): firmware from v0.7.0 then uses Particle's own key, which is not this cloud's.",
        (
            Evidence(f"{stored.file}: {stored.problem}"),
            Evidence("the cloud's answer is not signed with Particle's published key", frames),
            _reaction(view),
        ),
        alternatives=(Code.SERVER_KEY_MISMATCH, Code.HANDSHAKE_STALLED),
        premises=tuple(map(words, _premises(view, stored))),
    )


def device_says_so(view: View) -> Draft | None:
    """Alert 51 right after the cloud's answer: the device's own verdict on the signature."""
    alert = view.alert(UP)
    if alert is None or view.device_proceeds or alert[2] != AlertCode.DECRYPT_ERROR or not view.attempt.flights:
        return None
    if view.signer_spki is not None and view.got_in_with_signer is not None:
        return None
    text, frames, _ = alert
    evidence = [
        Evidence(f"the device answers the cloud's ServerKeyExchange with {text}", (*view.frames(_STAGE), *frames)),
        Evidence("firmware sends this alert in one case: the signature fails under the server key it has stored"),
    ]
    if view.signer_name is not None:
        evidence.append(Evidence(f"the cloud's answer is signed with {view.signer_name}", view.frames(_STAGE)))
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        _STAGE,
        (*view.frames(_STAGE), *frames),
        "The device itself says that the cloud's signature is wrong: the server key it has stored is not this cloud's.",
        tuple(evidence),
        alternatives=(Code.NOT_THE_CLOUD, Code.HANDSHAKE_REJECTED),
        would_settle=(_SLOT_DUMP,),
    )


def one_of_these(view: View) -> Draft | None:
    """The device is not known, but the folder's server keys narrow it down."""
    if not dismissed(view) or view.device_id is not None or view.signer_name is None:
        return None
    if view.missing("server-hello", "server-hello-done") or view.alert(UP) is not None:
        return None
    wrong = [
        key
        for key in _server_keys_of_absent_devices(view)
        if key.spki is not None and key in view.decryption.server_refuted
    ]
    if not wrong:
        return None
    frames = view.frames("server-hello", _STAGE)
    owners = sorted({key.device_id for key in wrong if key.device_id})
    whose = f"device {owners[0]}" if len(owners) == 1 else "one of " + ", ".join(owners[:4])
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        Certainty.INFERRED,
        _STAGE,
        frames,
        f"The device takes the cloud's answer for a forgery, as {whose} would: the server key in that file is not this cloud's.",
        (
            Evidence(f"the cloud's answer is signed with {view.signer_name}", frames),
            *(Evidence(f"{name(key)} did not sign it", frames) for key in wrong[:4]),
            Evidence("no other device of the folder that this could be has a wrong server key", ()),
            _reaction(view),
        ),
        alternatives=(Code.HANDSHAKE_STALLED,),
        would_settle=("which device has this address: it shows no key of its own before it accepts the cloud's",),
        premises=tuple(words(stored_key(key)) for key in wrong[:4]),
    )


def _server_keys_of_absent_devices(view: View) -> list[Key]:
    """Stored server keys of the folder's devices that are not seen elsewhere in this capture."""
    elsewhere = {device_id for device_id, cases in view.context.by_device.items() if cases}
    return [key for key in view.ring.by_role(Role.DEVICE_SERVER_KEY, "ec") if key.device_id not in elsewhere]


def refused_by_device(view: View) -> Draft | None:
    """Another alert of the device about the cloud's answer."""
    alert = view.alert(UP)
    if alert is None or view.device_proceeds or not view.attempt.flights:
        return None
    text, frames, code = alert
    return Draft(
        Code.PROFILE_MISMATCH if code == AlertCode.UNEXPECTED_MESSAGE else Code.HANDSHAKE_REJECTED,
        Certainty.INFERRED,
        _STAGE,
        (*view.frames("server-hello", _STAGE), *frames),
        f"The device refuses the cloud's answer: {text}.",
        (
            Evidence("the cloud's answer", view.frames("server-hello", _STAGE, "server-hello-done")),
            Evidence(f"{text} by the device", frames),
            view.ending(),
        ),
        alternatives=(Code.PROFILE_MISMATCH, Code.SERVER_KEY_MISMATCH),
        would_settle=("the device's log: \"handshake failed -...\" gives mbedTLS's own reason",),
    )


def stalled(view: View) -> Draft | None:
    """The cloud's answer is there, and the device never takes it."""
    if view.device_proceeds or not view.seen("server-hello", _STAGE, "server-hello-done"):
        return None
    frames = view.frames("server-hello", _STAGE, "server-hello-done")
    if too_short(view, timer("dtls-retransmit-short").first):
        return cut_short(view, _STAGE, "the cloud's answer")
    refused = device_refusal(view)
    absent = view.missing("server-hello", _STAGE, "server-hello-done")
    evidence = [Evidence("the cloud's answer", frames), *_whose_if_known(view)]
    alternatives: tuple[Code, ...] = ()
    settle: tuple[str, ...] = (_SLOT_DUMP,)
    certainty = Certainty.UNDETERMINED
    if absent:
        evidence.append(Evidence(f"of it, {', '.join(absent)} did not come: lost before this point of the network"))
        summary = f"Part of the cloud's answer is missing ({', '.join(absent)}), and the device cannot go on."
        certainty, alternatives = Certainty.INFERRED, (Code.SERVER_KEY_MISMATCH,)
        settle = (MINUTE, "a capture on the cloud's side: is the whole answer sent?")
    elif view.stored_signs and (refused is not None or view.pattern):
        stored = view.stored_server_key
        assert stored is not None
        text = f"{name(stored)} is stored in the device and signed the answer as captured: what the device got was changed behind this point, or it holds another key than that file says"
        evidence.append(Evidence(text, frames))
        summary = "The device has the cloud's answer and does not take it, although the key in its file accepts it."
        alternatives = (Code.SERVER_KEY_MISMATCH,)
    elif view.stored_signs:
        stored = view.stored_server_key
        assert stored is not None
        evidence.append(
            Evidence(f"{name(stored)}, stored in the device, verifies the cloud's signature: no key problem", frames)
        )
        summary = "The cloud's answer is good, the device's server key accepts it, and yet the device does not go on: the answer did not reach it, or what it then sent is lost before this point."
        certainty = Certainty.INFERRED
        settle = ("a capture on the device's side of the network: does the cloud's answer arrive?",)
    else:
        summary = "The cloud answers, and the device falls silent before it shows its own key."
        alternatives = (Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED)
        evidence.append(_meaning_of_silence(view))
        if view.signer_name is not None:
            evidence.append(Evidence(f"the cloud's answer is signed with {view.signer_name}", frames))
        if view.signer_spki is not None and view.got_in_with_signer is not None:
            text = "the same device gets in while the cloud signs with this very key"
            evidence.append(Evidence(text, (view.got_in_with_signer.first_frame,)))
            alternatives, certainty = (), Certainty.INFERRED
            if not view.surrounded:
                alternatives, certainty = (Code.SERVER_KEY_MISMATCH,), Certainty.UNDETERMINED
    evidence.append(refused or _reaction(view))
    return Draft(Code.HANDSHAKE_STALLED, certainty, _STAGE, frames, summary, tuple(evidence), alternatives, settle)


def _meaning_of_silence(view: View) -> Evidence:
    made_by = view.attempt.generation
    frames = view.frames("client-hello")
    if made_by is None:
        return Evidence("which mbedTLS the device has is not known, so its silence has no single meaning", frames)
    if made_by.alerts:
        text = f"mbedTLS {made_by.mbedtls} would send alert 51 if the signature were wrong, so loss is more likely"
    else:
        text = f"mbedTLS {made_by.mbedtls} ({made_by.firmware}) stops without a word when the signature is wrong"
    return Evidence(text, frames)


def _whose(view: View) -> Evidence:
    how = {
        "only-device-in-keys": "the key folder holds one device, and the capture shows one",
        "address": "by its address: another session from there names it",
        "name": "by the name it looked up before",
    }.get(view.case.id_source or "", f"known by its {view.case.id_source}")
    return Evidence(f"the device is {view.device_id}: {how}", (view.case.first_frame,))


def _whose_if_known(view: View) -> tuple[Evidence, ...]:
    return (_whose(view),) if view.device_id is not None else ()


def _reaction(view: View) -> Evidence:
    alert = view.alert(UP)
    if alert is not None:
        return Evidence(f"the device answers with {alert[0]}", alert[1])
    repeats = view.repeats("server-hello", _STAGE, "server-hello-done")
    if view.restarted:
        text = f"the device never goes on and starts over {view.watched_s:.1f} s later, with a new ClientHello"
        return Evidence(text, view.next_frame)
    text = f"; the cloud repeats its answer ({repeats} messages)" if repeats else ""
    return Evidence(f"the device says nothing more in {view.waited_s:.1f} s{text}", (view.attempt.frames[1],))
