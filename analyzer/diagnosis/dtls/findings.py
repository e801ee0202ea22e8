"""What is worth knowing of a DTLS attempt beside its verdict. Each function answers one finding code or none."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.decrypt.dtls import NO_SECRET
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls.firmware import firmware
from analyzer.diagnosis.dtls.view import View, established
from analyzer.keys import Key
from analyzer.model import Certainty, Code, Finding, Role
from dissectors.dtls.persist import keys_checksum
from dissectors.events import Direction

#: Messages sent again before it is called loss: one repetition may be a slow answer.
_LOSSY = 3


def findings(view: View, draft: Draft) -> tuple[Finding, ...]:
    """All findings of one attempt."""
    found = (rule(view, draft) for rule in RULES)
    return tuple(finding for finding in found if finding is not None)


def no_decryption(view: View, draft: Draft) -> Finding | None:
    """Protected records and no secret: say that no long-term key can help."""
    records = view.attempt.transcript.records
    if not records or view.decryption.held is not None:
        return None
    return Finding(
        "decryption-impossible",
        Certainty.PROVEN,
        f"{NO_SECRET}; an NSS key log of this session or a dump of the device's saved session would",
        records[0].frames,
    )


def retransmissions(view: View, draft: Draft) -> Finding | None:
    """Flights that had to be sent again."""
    repeats = view.attempt.repeats
    if len(repeats) < _LOSSY or draft.code is not Code.HEALTHY:
        return None
    up = sum(repeat.direction is Direction.UP for repeat in repeats)
    frames = tuple(dict.fromkeys(frame for repeat in repeats for frame in repeat.mark.frames))[:12]
    text = f"handshake messages were sent again: {up} by the device, {len(repeats) - up} by the cloud"
    return Finding("packet-loss", Certainty.INFERRED, text, frames)


def one_direction(view: View, draft: Draft) -> Finding | None:
    """Only one side was captured."""
    if view.one_direction is None:
        return None
    return Finding(
        "one-direction-only",
        Certainty.INFERRED,
        "only one side's datagrams are in the capture",
        (view.case.first_frame,),
    )


def official(view: View, draft: Draft) -> Finding | None:
    """The cloud holds Particle's own key."""
    if not view.official:
        return None
    frames = view.frames("server-key-exchange")
    return Finding(
        "official-particle-cloud",
        Certainty.PROVEN,
        "the cloud signs with Particle's published key: it is Particle's own cloud",
        frames,
    )


def other_cloud(view: View, draft: Draft) -> Finding | None:
    """The answer is signed, and by none of the cloud keys in the folder."""
    keys = [
        key for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in view.ring.by_role(role, "ec") if key.spki
    ]
    if not keys or view.decryption.signer in keys or not any(key in view.decryption.server_refuted for key in keys):
        return None
    if view.signer_name is None:
        return None
    frames = view.frames("server-key-exchange")
    return Finding(
        "wrong-cloud",
        Certainty.PROVEN,
        f"the server that answers is not the one of {keys[0].file}: it signs with {view.signer_name}",
        frames,
    )


def stale_server_file(view: View, draft: Draft) -> Finding | None:
    """The device accepts what its stored server key, as filed, refuses: the file is not what it holds."""
    if (
        not view.device_proceeds
        or view.stored_signs is not False
        or view.stored_server_key is None
        or view.signer_name is None
    ):
        return None
    text = f"the device accepts a cloud whose key is not the one in {view.stored_server_key.file}: that file is not what it holds now"
    return Finding("stale-key-file", Certainty.PROVEN, text, view.frames("server-key-exchange", "device-certificate"))


def stale_copy(view: View, draft: Draft) -> Finding | None:
    """The cloud accepts a key that is not the one filed as its copy."""
    shown = view.decryption.shown_key
    if shown is None or not established(view.case) or not view.cloud_copies or draft.code is not Code.HEALTHY:
        return None
    if any(key.spki == shown for key in view.cloud_copies):
        return None
    text = f"the cloud accepts a key that is not the one in {view.cloud_copies[0].file}: that file is not what it has on file now"
    return Finding("stale-key-file", Certainty.PROVEN, text, view.frames("device-certificate", "hello-ack"))


#: Verdicts below the device's own key: the device never came to show it.
_BEFORE_ITS_KEY = frozenset(
    {
        *(Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED, Code.CONNECT_UNANSWERED, Code.CONNECT_REFUSED),
        *(Code.HANDSHAKE_STALLED, Code.CAPTURE_INCOMPLETE),
    }
)


def next_fault(view: View, draft: Draft) -> Finding | None:
    """What will fail next when this is mended, where the folder shows it: the device's own key was never reached."""
    private = next((key for key in view.own(Role.DEVICE_PRIVATE) if key.algorithm == "ec" or key.status != "ok"), None)
    if draft.code not in _BEFORE_ITS_KEY or view.device_proceeds or private is None:
        return None
    if private.status != "ok":
        text = f"when this is mended, the next thing to fail is the device's own key: {private.file}: {private.problem}"
        return Finding("next-fault", Certainty.INFERRED, text)
    copies = view.cloud_copies
    if not copies or any(key.fingerprint == private.fingerprint for key in copies):
        return None
    text = f"when this is mended, the next thing to fail is the device's key: the cloud's {copies[0].file} is another key than {private.file}"
    return Finding("next-fault", Certainty.INFERRED, text)


def stored_differs(view: View, draft: Draft) -> Finding | None:
    """The server key that the device has stored, as filed, did not sign the answer, and nothing shows that the device refused."""
    stored = view.stored_server_key
    if stored is None or view.stored_signs is not False or view.signer_spki is None or view.device_proceeds:
        return None
    if draft.code in (Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED):
        return None
    text = f"{stored.file}, by its name what the device has stored, is not the key that signs the cloud's answer: a device that holds it will refuse"
    return Finding("key-file-differs", Certainty.INFERRED, text, view.frames("server-key-exchange"))


def copy_differs(view: View, draft: Draft) -> Finding | None:
    """The cloud's copy, as filed, is not the key the device shows, and nothing shows that the cloud refused."""
    copy = view.copy_differs
    if copy is None or established(view.case) or draft.code is Code.DEVICE_KEY_MISMATCH:
        return None
    text = f"{copy.file}, by its name what the cloud has on file, is not the key that the device shows: a cloud that has it will refuse"
    return Finding("key-file-differs", Certainty.INFERRED, text, view.frames("device-certificate"))


def foreign_key(view: View, draft: Draft) -> Finding | None:
    """The folder has device keys, and the one shown is none of them."""
    found = view.decryption
    if found.shown_key is None or found.shown_as:
        return None
    known = [
        key
        for role in (Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY)
        for key in view.ring.by_role(role, "ec")
    ]
    if not known or draft.code is Code.DEVICE_KEY_MISMATCH:
        return None
    text = f"the device shows a public key (SHA256:{(found.shown_fingerprint or '')[:16]}) that no file of the folder holds"
    return Finding("keys-for-another-device", Certainty.PROVEN, text, view.frames("device-certificate"))


def two_names(view: View, draft: Draft) -> Finding | None:
    """The Hello names another device than the one whose key is shown."""
    owners = {key.device_id for key in view.decryption.shown_as if key.role is not Role.CLOUD_COPY and key.device_id}
    told = view.decryption.device_id
    if told is None or not owners or told in owners:
        return None
    text = f"the Hello says {told}; the key shown is that of {', '.join(sorted(owners))}"
    return Finding("split-identity", Certainty.PROVEN, text, view.frames("device-certificate", "device-hello"))


def keys_of_the_session(view: View, draft: Draft) -> Finding | None:
    """Whether the saved session was made with the keys in the folder (its checksum over both of them tells)."""
    held = view.decryption.held
    if held is None or held.persisted is None:
        return None
    servers = _slots(view, Role.DEVICE_SERVER_KEY)
    privates = _slots(view, Role.DEVICE_PRIVATE)
    if not servers or not privates:
        return None
    for server, first in servers:
        for private, second in privates:
            if keys_checksum(first, second) == held.persisted.keys_checksum:
                text = (
                    f"the saved session was made with {private.file} and {server.file}: the device held exactly these"
                )
                return Finding("session-keys-known", Certainty.PROVEN, text)
    text = f"the saved session in {held.source.file} was not made with the key files at hand: the device held others then, and discards the session once its keys change"
    return Finding("session-keys-changed", Certainty.PROVEN, text)


def _slots(view: View, role: Role) -> list[tuple[Key, bytes]]:
    """This device's keys of that role with their DER, as long as the structure says."""
    found = []
    for key in view.own(role):
        if key.algorithm != "ec":
            continue
        der = key.spki if role is Role.DEVICE_SERVER_KEY else key.slot
        if der is not None and len(der) > 1:
            found.append((key, der[: 2 + der[1]] if der[1] < 0x80 else der))
    return found


def late_records(view: View, draft: Draft) -> Finding | None:
    """Records of an earlier session of this device came late."""
    late = view.decryption.late_records
    if not late:
        return None
    frames = tuple(frame for item in late for frame in item.record.frames)[:12]
    return Finding(
        "late-records", Certainty.PROVEN, f"{len(late)} records belong to an earlier session and came late", frames
    )


def replayed(view: View, draft: Draft) -> Finding | None:
    """Records that came more than once."""
    note = next((note for note in view.attempt.transcript.notes if "more than once" in note), None)
    return None if note is None else Finding("replayed-records", Certainty.PROVEN, note, (view.case.first_frame,))


def firmware_family(view: View, draft: Draft) -> Finding | None:
    """Which firmware this is."""
    return firmware(view)


RULES: tuple[Callable[[View, Draft], Finding | None], ...] = (
    firmware_family,
    no_decryption,
    retransmissions,
    one_direction,
    official,
    other_cloud,
    stale_server_file,
    stale_copy,
    next_fault,
    stored_differs,
    copy_differs,
    foreign_key,
    two_names,
    keys_of_the_session,
    late_records,
    replayed,
)
