"""The case for and the case against each cause that a verdict on a DTLS attempt leaves open.

Only what the capture shows, or a file of the folder named as such: a cause of which neither tells anything has no entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from analyzer.diagnosis.context import name
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls.view import View
from analyzer.model import Cause, Code, Evidence, Role


def weighed(view: View, draft: Draft) -> Draft:
    """The verdict with the cases for and against its alternatives, and against itself where something speaks so."""
    known = {cause.code for cause in draft.causes}
    found = tuple(
        cause
        for code in draft.alternatives
        if code in _WEIGHTS and code not in known
        for cause in (_cause(view, code),)
        if cause.pro or cause.con
    )
    return replace(draft, causes=(*draft.causes, *found)) if found else draft


def _cause(view: View, code: Code) -> Cause:
    pro, con = _WEIGHTS[code]
    return Cause(
        code, tuple(item for weigh in pro for item in weigh(view)), tuple(item for weigh in con for item in weigh(view))
    )


def _took_the_answer(view: View) -> Iterator[Evidence]:
    if view.device_proceeds:
        text = "the device went on behind the cloud's answer: it accepts the signature"
        yield Evidence(text, view.frames("server-key-exchange", "device-certificate"))


def _stored_signed(view: View) -> Iterator[Evidence]:
    if view.stored_server_key is not None and view.stored_signs:
        text = f"{name(view.stored_server_key)}, by its name what the device has stored, signed the cloud's answer"
        yield Evidence(text, view.frames("server-key-exchange"))


def _stored_did_not_sign(view: View) -> Iterator[Evidence]:
    if view.stored_server_key is not None and view.stored_signs is False and not view.device_proceeds:
        text = (
            f"{name(view.stored_server_key)}, by its name what the device has stored, did not sign the cloud's answer"
        )
        yield Evidence(text, view.frames("server-key-exchange"))


def _copy_is_it(view: View) -> Iterator[Evidence]:
    copy = next((key for key in view.cloud_copies if key.spki == view.decryption.shown_key), None)
    if copy is not None:
        text = f"{copy.file}, by its name what the cloud has on file, is the key that the device shows"
        yield Evidence(text, view.frames("device-certificate"))


def _copy_is_another(view: View) -> Iterator[Evidence]:
    if view.copy_differs is not None:
        text = f"{view.copy_differs.file}, by its name what the cloud has on file, is another key than the device shows"
        yield Evidence(text, view.frames("device-certificate"))


def _got_in(view: View) -> Iterator[Evidence]:
    other = view.got_in_with_key
    if other is not None and view.decryption.shown_key is not None:
        when = "before" if other.start_ns < view.case.start_ns else "later"
        yield Evidence(f"with the same key the device got in {when}", (other.first_frame,))


def _holds_its_key(view: View) -> Iterator[Evidence]:
    if view.decryption.possession:
        text = "CertificateVerify holds under the key that the device shows: its key pair is sound"
        yield Evidence(text, view.frames("certificate-verify"))


def _unusable_file(view: View) -> Iterator[Evidence]:
    bad = next((key for key in view.own(Role.DEVICE_PRIVATE) if key.status != "ok"), None)
    if bad is not None:
        yield Evidence(f"the device's key file {bad.file} is not usable: {bad.problem}")


_Weigh = Callable[[View], Iterator[Evidence]]
#: What can speak for a cause, and what against it.
_WEIGHTS: Final[dict[Code, tuple[tuple[_Weigh, ...], tuple[_Weigh, ...]]]] = {
    Code.SERVER_KEY_MISMATCH: ((_stored_did_not_sign,), (_took_the_answer, _stored_signed)),
    Code.SERVER_KEY_ERASED: ((), (_took_the_answer, _stored_signed)),
    Code.DEVICE_KEY_MISMATCH: ((_copy_is_another,), (_copy_is_it, _got_in)),
    Code.DEVICE_UNKNOWN: ((), (_got_in,)),
    Code.DEVICE_KEY_CORRUPT: ((_unusable_file,), (_holds_its_key,)),
    Code.SERVER_FAULT: ((_got_in,), ()),
    Code.SESSION_DROPPED: ((_got_in,), ()),
}
