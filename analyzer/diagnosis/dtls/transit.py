"""Could a byte that changed on the way explain a signature that fails, or a key that nobody has? Asked before a key is blamed.

How it works. A changed bit looks like a wrong key. Two things tell them apart without a second capture: a copy of the same
message that differs (DTLS repeats what is not answered, and the copies are of the same bytes); and the bit itself, put back:
the signature covers both randoms and the parameters, so a change in a hello shows as one in them. What it costs: each bit
of what is signed and of the signature, 2,216 of them, is one ECDSA verification, 0.3 s in all, asked only of an answer
that a device refused and no key in hand made. More changed bytes than one are not found: then the keys alone must speak.
"""

from __future__ import annotations

from analyzer.decrypt.signers import exchanges
from analyzer.diagnosis.dtls.view import View
from analyzer.keys import Key
from analyzer.model import Evidence, Role
from dissectors.dtls.crypto import is_on_curve, verifies
from dissectors.dtls.messages import Signed
from dissectors.lightssl.crypto import search_flip

#: Keys whose signature is looked for in an altered answer.
_KEYS = 2
#: All single bits of both randoms (64 bytes), the parameters (69) and the longest signature (72).
_BUDGET = 8 * 205
#: So many bytes of a public key changed on the way; two keys differ in nearly all of 64.
_CHANGED = 8


def altered_answer(view: View) -> Evidence | None:
    """That the cloud's answer was changed on the way, and how that is known; None when nothing shows it."""
    frames = view.frames("server-key-exchange")
    if view.step("server-key-exchange").fields.get("copies_differ"):
        return Evidence(
            "two copies of the cloud's ServerKeyExchange differ: one of them was changed on the way", frames
        )
    if view.decryption.signer is not None or view.decryption.recovered_server is not None:
        return None
    for key in _likely(view):
        where = _flip(view, key)
        if where is not None:
            text = f"one bit put back in the cloud's answer ({where}) makes its signature that of {key.file}: it was changed on the way"
            return Evidence(text, frames)
    return None


def _likely(view: View) -> list[Key]:
    """The keys that may have signed it: the cloud's own first, then what the device has stored; each once."""
    stored = view.stored_server_key
    keys = [*view.cloud_keys, *([stored] if stored is not None and stored.spki is not None else [])]
    return list({key.spki: key for key in keys}.values())[:_KEYS]


def _flip(view: View, key: Key) -> str | None:
    for signed, message, _ in exchanges(view.attempt):

        def holds(candidate: bytes, signed: Signed = signed, length: int = len(message)) -> bool:
            put_back = Signed(signed.algorithm, candidate[length:])
            return key.spki is not None and verifies(key.spki, put_back, candidate[:length]) is True

        flip = search_flip(message + signed.signature, holds, _BUDGET)
        if flip is not None:
            part = "a signature byte" if flip.offset >= len(message) else "a hello's random" if flip.offset < 64 else "a parameter"  # fmt: skip
            return f"{part} reads {flip.captured:02x} and was {flip.sent:02x}"
    return None


def altered_certificate(view: View) -> Evidence | None:
    """That the device's Certificate was changed on the way, and how that is known; None when nothing shows it."""
    step, shown = view.step("device-certificate"), view.decryption.shown_key
    if step.fields.get("copies_differ"):
        return Evidence(
            "two copies of the device's Certificate differ: one of them was changed on the way", step.frames
        )
    if shown is None or view.decryption.possession:
        return None
    roles = (Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY)
    known = [key for role in roles for key in view.ring.by_role(role, "ec") if key.spki is not None]
    for key in known:
        near = key.spki is not None and len(key.spki) == len(shown) and key.spki != shown
        if near and sum(a != b for a, b in zip(key.spki or b"", shown, strict=True)) <= _CHANGED:
            text = f"the key the device shows is that of {key.file} but for a few bytes: it was changed on the way"
            return Evidence(text, step.frames)
    if len(shown) == 91 and not is_on_curve(shown):
        text = "the key the device shows is no point of the curve, which its firmware cannot send: it was changed on the way"
        return Evidence(text, step.frames)
    return None
