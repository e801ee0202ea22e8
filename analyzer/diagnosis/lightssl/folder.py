"""The key folder against the capture: whether it may be another ticket's, and what it shows beside the verdict.

Somebody who gives another ticket's folder gets a picture without a contradiction in the bytes themselves: no key fits. So
where anything in the capture or the folder speaks against its being the right one, nothing is proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyzer.diagnosis.address import inner
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl.view import View
from analyzer.model import Certainty, Code, Evidence, Finding, Role
from analyzer.names import particle_name

_SETTLES = "keys that are known to be of this device and of this cloud: `analyze keys` says whose the given ones are"


def weighed(view: View, draft: Draft) -> Draft:
    """Whether the folder is that of this device and this cloud: what contradicts that is named, and nothing is proven then."""
    here = view.refuted_cloud_key
    of_cloud = draft.code is Code.SERVER_KEY_MISMATCH and here is not None and here.why == "folder"
    host = view.case.host
    if of_cloud and here is not None and host is not None and particle_name(host) is not None:
        text = f"the device asked for {host}, Particle's own cloud: {here.key.file} is the key of what answered only if that name was led to a server of your own"
        led = Finding("name-led-elsewhere", Certainty.INFERRED, text, (view.case.first_frame,))
        weaker = draft.weakened(Certainty.INFERRED, Evidence(text, (view.case.first_frame,)))
        return replace(weaker, findings=(*weaker.findings, led))
    if _tied(view) or draft.code is Code.HEALTHY:
        return draft
    doubts = tuple(_doubts(view))
    if not doubts:
        return draft
    finding = Finding("keys-for-another-device", Certainty.INFERRED, doubts[0].text, doubts[0].frames)
    weaker = draft.weakened(Certainty.INFERRED, doubts[0])
    said = {item.text for item in weaker.evidence}
    return replace(
        weaker,
        evidence=(*weaker.evidence, *(item for item in doubts if item.text not in said)),
        findings=(*weaker.findings, finding),
        would_settle=(*weaker.would_settle, _SETTLES),
    )


def _tied(view: View) -> bool:
    """Whether a key of the folder is proven to belong to this session: it opens or signs something in it."""
    opening, found = view.decryption.identity, view.decryption
    published = {key.fingerprint for key in view.ring.published}
    signed = found.signer is not None and found.signer.fingerprint not in published
    return found.session is not None or signed or (opening is not None and opening.key is not None)


#: Verdicts about one key or about something below all keys: the other key may be wrong as well.
_ONE_FAULT = frozenset(
    {
        *(Code.SERVER_KEY_MISMATCH, Code.SERVER_KEY_ERASED, Code.SERVER_SIGNATURE_MISMATCH, Code.NO_IDENTITY),
        *(Code.NO_SESSION_KEY, Code.CAPTURE_INCOMPLETE, Code.NO_NONCE, Code.CONNECT_UNANSWERED, Code.CONNECT_REFUSED),
    }
)


def next_fault(view: View, draft: Draft) -> Draft:
    """What will fail next when this is mended, and the file that is not what is in use, where folder or wire show it."""
    found = tuple(_beside(view, draft))
    known = {finding.code for finding in draft.findings}
    return (
        replace(draft, findings=(*draft.findings, *(item for item in found if item.code not in known)))
        if found
        else draft
    )


def _beside(view: View, draft: Draft) -> Iterator[Finding]:
    private, copy, mine = view.device_private, view.cloud_copy, view.tail_fingerprint
    blank = view.decryption.identity is not None and view.decryption.identity.key is None
    if blank and draft.code is not Code.SERVER_KEY_ERASED:
        text = "when this is mended, the next thing to fail is the server key: the device's slot for it is blank flash, the public factors of that open what it sends"
        yield Finding("next-fault", Certainty.PROVEN, text, view.frames("identity"))
    known = mine or (private.fingerprint if private is not None and private.status == "ok" else None)
    whose = f"{private.file}" if mine is None and private is not None else "the key that the device sends"
    other_copy = copy is not None and known is not None and not view.same_pair(copy, known)
    frames = view.frames("identity") if mine is not None else ()
    if other_copy and copy is not None and (draft.code is Code.HEALTHY or any(view.through)):
        text = (
            f"{copy.file} is another key than {whose}, which this cloud accepts: that file is not what it has on file"
        )
        yield Finding("stale-key-file", Certainty.INFERRED, text, frames)
    elif draft.code in _ONE_FAULT and other_copy and copy is not None:
        text = f"when this is mended, the next thing to fail is the device's key: the cloud's {copy.file} is another key than {whose}"
        yield Finding("next-fault", Certainty.INFERRED, text, frames)
    elif draft.code in _ONE_FAULT and private is not None and private.status != "ok":
        text = f"when this is mended, the next thing to fail is the device's own key: {private.file}: {private.problem}"
        yield Finding("next-fault", Certainty.INFERRED, text, ())
    stored, opening = view.stored_server_key, view.decryption.identity
    if stored is None or stored.rsa is None or opening is None or opening.key is None or not opening.nonce_echoed:
        return
    if not view.same_modulus(stored, opening.key):
        text = f"{stored.file} is not the server key that the device holds now: it encrypts for {opening.key.file}"
        yield Finding("stale-key-file", Certainty.PROVEN, text, view.frames("identity"))


def _doubts(view: View) -> Iterator[Evidence]:
    """What speaks against the folder being that of this device and this cloud."""
    here, case = view.refuted_cloud_key, view.case
    foreign = view.foreign_cloud_key
    if foreign is not None and view.seen("session-key"):
        text = f"the cloud answers an identity that {foreign.file} does not open: that file is not this cloud's key, and the folder may be another ticket's"
        yield Evidence(text, view.frames("identity", "session-key"))
    elif foreign is not None:
        frames = view.context.refuted[case.server].get(foreign.fingerprint, ())
        text = f"another session with this cloud is not signed by {foreign.file}: that file is not this cloud's key, and the folder may be another ticket's"
        yield Evidence(text, frames)
    stored = view.stored_server_key
    address = stored.server_address if stored is not None else None
    if stored is not None and address is not None and address.host is not None and "$id" not in address.host:
        went = case.reached if address.kind == "ip" else case.host
        translated = address.kind == "ip" and inner(case.reached) and not inner(address.host)
        if went is not None and went.lower() != address.host.lower() and not translated:
            text = f"{stored.file} says that its device goes to {address}, and this one goes to {case.cloud}: the folder may be another ticket's"
            yield Evidence(text, (case.first_frame,))
    if here is not None and here.why == "folder" and stored is None:
        slots = [key for key in view.ring.by_role(Role.DEVICE_SERVER_KEY) if key.algorithm in ("rsa", None)]
        if slots and all(key.fingerprint == here.key.fingerprint for key in slots):
            text = f"every device of the folder has {here.key.file} stored, so none of them sent this: the folder may be another ticket's"
            yield Evidence(text, view.frames("identity"))
