"""Rules for the cloud's answer that the device does not take: the server key it has stored, or loss."""

from __future__ import annotations

from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls.opening import MINUTE, cut_short, too_short
from analyzer.diagnosis.dtls.view import View
from analyzer.keys import Key
from analyzer.model import Certainty, Code, Evidence, Role
from dissectors.alerts import AlertCode
from dissectors.events import Direction

UP, DOWN = Direction.UP, Direction.DOWN
_STAGE = "server-key-exchange"
_SLOT_DUMP = "a dump of the device's server-key slot (dfu-util, offset 3298 of the DCT): does it verify this signature?"


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
    certainty = Certainty.INFERRED if view.case.id_source == "address" else Certainty.PROVEN
    if view.cleared:
        certainty = Certainty.INFERRED
        text = "the same device is connected in another session of this capture: its key was changed meanwhile"
        evidence.append(Evidence(text, (view.cleared[0].first_frame,)))
    return Draft(
        Code.SERVER_KEY_MISMATCH,
        certainty,
        _STAGE,
        frames,
        "The server key stored in the device is not this cloud's: the device cannot accept the cloud's signature.",
        (*evidence, _reaction(view)),
        () if certainty is Certainty.PROVEN else (Code.HANDSHAKE_STALLED,),
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
    )


def _folders_cloud_key(view: View) -> Key | None:
    """The file that says that what the device has stored is the key of its cloud."""
    stored = view.stored_server_key
    clouds = (key for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in view.ring.by_role(role, "ec"))
    return None if stored is None else next((key for key in clouds if key.spki == stored.spki), None)


def _refuses_stored(view: View) -> bool:
    return view.answered and not view.device_proceeds and view.stored_signs is False


def erased_server_key(view: View) -> Draft | None:
    """The slot is no key, and the device fell back to the key built into its firmware."""
    stored = view.stored_server_key
    if not view.answered or view.device_proceeds or stored is None or stored.status == "ok" or view.official:
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
    )


def device_says_so(view: View) -> Draft | None:
    """Alert 51 right after the cloud's answer: the device's own verdict on the signature."""
    alert = view.alert(UP)
    if alert is None or view.device_proceeds or alert[2] != AlertCode.DECRYPT_ERROR or not view.attempt.flights:
        return None
    text, frames, _ = alert
    evidence = [
        Evidence(f"the device answers the cloud's ServerKeyExchange with {text}", (*view.frames(_STAGE), *frames)),
        Evidence("firmware sends this alert in one case: the signature fails under the server key it has stored"),
    ]
    if view.signer_name is not None:
        evidence.append(Evidence(f"the cloud's answer is signed with {view.signer_name}", view.frames(_STAGE)))
    if view.stored_signs and view.stored_server_key is not None:
        evidence.append(
            Evidence(
                f"{view.stored_server_key.file} would accept it: what the device holds now is not what that file says"
            )
        )
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
    if not view.answered or view.device_proceeds or view.device_id is not None or view.signer_name is None:
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
    if too_short(view):
        return cut_short(view, _STAGE, "the cloud's answer")
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
    elif view.stored_signs:
        stored = view.stored_server_key
        assert stored is not None
        evidence.append(
            Evidence(f"{name(stored)}, stored in the device, verifies the cloud's signature: no key problem", frames)
        )
        summary = "The cloud's answer is good, the device's server key accepts it, and yet the device does not go on: it did not receive it."
        certainty = Certainty.INFERRED
        settle = ("a capture on the device's side of the network: does the cloud's answer arrive?",)
    else:
        summary = "The cloud answers, and the device falls silent before it shows its own key."
        alternatives = (Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED)
        evidence.append(_meaning_of_silence(view))
        if view.signer_name is not None:
            evidence.append(Evidence(f"the cloud's answer is signed with {view.signer_name}", frames))
    evidence.append(_reaction(view))
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
