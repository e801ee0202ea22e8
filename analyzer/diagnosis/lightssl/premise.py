"""What a verdict takes from the key folder and the capture does not show: that its keys are this device's and this cloud's.

Somebody who gives another ticket's folder gets a picture without a contradiction in the bytes themselves: no key fits. So
what is assumed is said, and where anything in the capture or the folder speaks against it, nothing is proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl.view import View
from analyzer.model import Certainty, Code, Evidence, Finding, Role
from analyzer.names import particle_name

_OF_THE_FOLDER = "only-device-in-keys"
_SETTLES = "keys that are known to be of this device and of this cloud: `analyze keys` says whose the given ones are"


def weighed(view: View, draft: Draft) -> Draft:
    """A proof that rests on the folder being the right one says so; what contradicts that weakens it."""
    if draft.certainty is not Certainty.PROVEN:
        return draft
    here = view.refuted_cloud_key
    of_cloud = draft.code is Code.SERVER_KEY_MISMATCH and here is not None and here.why == "folder"
    of_device = draft.stage == "session-key" and view.case.id_source == _OF_THE_FOLDER
    if not of_cloud and not of_device:
        return draft
    official = view.case.host is not None and particle_name(view.case.host) is not None
    if of_cloud and here is not None and official:
        text = f"the device asked for {view.case.host}, Particle's own cloud: {here.key.file} is the key of what answered only if that name was led to a server of your own"
        return draft.weakened(Certainty.INFERRED, Evidence(text, (view.case.first_frame,)))
    doubts = tuple(_doubts(view))
    if doubts:
        finding = Finding("keys-for-another-device", Certainty.INFERRED, doubts[0].text, doubts[0].frames)
        weaker = draft.weakened(Certainty.INFERRED, doubts[0])
        return replace(
            weaker,
            evidence=(*weaker.evidence, *doubts[1:]),
            findings=(*weaker.findings, finding),
            would_settle=(*weaker.would_settle, _SETTLES),
        )
    text = (
        f"taken from the key folder, and not shown by this capture: that {here.key.file} is the key of the cloud at {view.case.cloud}"
        if of_cloud and here is not None
        else f"taken from the key folder, and not shown by this capture: that this is device {view.case.device_id}"
    )
    return replace(draft, evidence=(*draft.evidence, Evidence(text)))


def _doubts(view: View) -> Iterator[Evidence]:
    """What speaks against the folder being that of this device and this cloud."""
    here, case = view.refuted_cloud_key, view.case
    if here is not None and here.why == "folder" and view.seen("session-key"):
        text = f"the cloud answers an identity that {here.key.file} does not open: that file is not this cloud's key, and the folder may be another ticket's"
        yield Evidence(text, view.frames("identity", "session-key"))
    stored = view.stored_server_key
    address = stored.server_address if stored is not None else None
    if stored is not None and address is not None and address.host is not None and "$id" not in address.host:
        went = case.reached if address.kind == "ip" else case.host
        if went is not None and went.lower() != address.host.lower():
            text = f"{stored.file} says that its device goes to {address}, and this one goes to {case.cloud}: the folder may be another ticket's"
            yield Evidence(text, (case.first_frame,))
    if here is not None and here.why == "folder" and stored is None:
        slots = [key for key in view.ring.by_role(Role.DEVICE_SERVER_KEY) if key.algorithm in ("rsa", None)]
        if slots and all(key.fingerprint == here.key.fingerprint for key in slots):
            text = f"every device of the folder has {here.key.file} stored, so none of them sent this: the folder may be another ticket's"
            yield Evidence(text, view.frames("identity"))
