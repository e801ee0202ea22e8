"""What exactly is damaged in a device's private key, and which key it was: the proof that a slot has lost bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analyzer.keys import ec, rsa
from analyzer.keys import findings as lint
from analyzer.keys.key import Key, KeyFinding, fingerprint
from analyzer.keys.repair import damaged_parts, repair

_POINT = ec.POINT_SIZE


@dataclass(frozen=True, slots=True)
class Explained:
    """``meant`` is the fingerprint of the key that was there, ``text`` says what is left of it."""

    meant: str | None
    text: str
    finding: KeyFinding | None


def explain(keys: Iterable[Key], limit: int) -> dict[int, tuple[Key, Explained]]:
    """What can be told of each unusable private slot (by ``id`` of the key), the first ``limit`` of them."""
    found: dict[int, tuple[Key, Explained]] = {}
    for key in keys:
        if len(found) == limit:
            break
        if key.slot is not None and key.fingerprint is None:
            explained = _rsa(key.slot) if key.algorithm == "rsa" else _ec(key.slot)
            if explained is not None:
                found[id(key)] = (key, explained)
    return found


def _rsa(slot: bytes) -> Explained | None:
    whole = repair(slot)
    if whole is None:
        return None
    meant = fingerprint(whole.spki)
    parts = ", ".join(damaged_parts(slot, whole)) or "nothing the device reads"
    tail = slot[rsa.TAIL]
    shows = (
        "still presents the right public key" if tail == whole.n.to_bytes(128, "big") else "presents a wrong public key"
    )
    text = f"damaged: {parts}; the device {shows}"
    told = lint.note("rebuilt", f"its intact parts prove that it was SHA256:{meant[:16]}; {text}")
    return Explained(meant, text, told)


def _ec(slot: bytes) -> Explained | None:
    """The embedded point, or the second copy of it that key generation leaves at the end of a 192-byte slot."""
    places = [slot.find(b"\x03\x42\x00\x04") + 3] if b"\x03\x42\x00\x04" in slot else []
    places.append(len(slot) - _POINT)
    for start in places:
        point = slot[start : start + _POINT] if start >= 0 else b""
        if len(point) == _POINT and point[0] == 4 and ec.on_curve(point):
            meant = fingerprint(ec.spki_of_point(point))
            text = "the public point in it is intact"
            return Explained(meant, text, lint.note("point-intact", f"{text}: it was SHA256:{meant[:16]}"))
    return None
