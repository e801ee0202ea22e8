"""Key folders changed on purpose: a file of the same form with another key in it, files of other cases, other layouts.

A folder is a mapping from path to bytes. Fresh keys come from `captures.synth.keys` (their own arithmetic) by a seed, so the
same cell is always the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from captures.synth.keys import EcKey, RsaKey, pem, slot

Folder = Mapping[str, bytes]
#: What a file of a laboratory folder is, by the end of its name; the first that fits.
ROLES: Final = (
    ("slot", re.compile(r"\.(server_key|server\.pub)\.der$")),
    ("device-public", re.compile(r"\.device\.pub\.der$")),
    ("copy", re.compile(r"[0-9a-f]{24}(\.cloud)?\.pub\.(pem|der)$")),
    ("device", re.compile(r"[0-9a-f]{24}(\.device)?\.(der|pem)$")),
    ("cloud", re.compile(r"default_key\.pem$|(^|/)server\.der$")),
    ("cloud-public", re.compile(r"default_key\.pub\.pem$|(^|/)server\.pub\.der$")),
    ("session", re.compile(r"session(_after)?\.bin$")),
)


def role_of(name: str) -> str | None:
    """What the file is for; None when it is none of ours."""
    return next((role for role, form in ROLES if form.search(name)), None)


@cache
def _rsa(seed: str, bits: int) -> RsaKey:
    rng = Random(seed)
    while not (key := RsaKey.generate(rng, bits)).regular:
        pass
    return key


def stale(name: str, data: bytes, seed: str, udp: bool) -> bytes:
    """The same file as it would be with a key of the past: same form, same kind, fresh key.

    One seed gives both halves of one pair. What is no key (a blank slot) becomes one.
    """
    role = role_of(name)
    whose = "cloud" if role in ("cloud", "cloud-public", "slot") else "device"
    private = role in ("device", "cloud")
    text = data.startswith(b"-----")
    if udp:
        point = EcKey.generate(Random(f"{seed}/{whose}/ec"))
        found, label = (point.sec1, "EC PRIVATE KEY") if private else (point.spki, "PUBLIC KEY")
    else:
        key = _rsa(f"{seed}/{whose}/rsa", 2048 if whose == "cloud" else 1024)
        found, label = (key.pkcs1, "RSA PRIVATE KEY") if private else (key.spki, "PUBLIC KEY")
    if text:
        return pem(label, found)
    if role == "slot" and len(data) > len(found):
        return found + data[len(found) :]
    return slot(found, len(data)) if len(data) > len(found) else found


def foreign(name: str, own: bytes, others: list[tuple[str, Folder]], start: int) -> tuple[str, bytes] | None:
    """A file of the same role and with other bytes in another case's folder: its case, and the bytes; the search begins at
    ``start``."""
    role = role_of(name)
    for number in range(len(others)):
        case, folder = others[(start + number) % len(others)]
        for other, data in sorted(folder.items()):
            if role_of(other) == role and other.endswith(name[-4:]) and data != own:
                return case, data
    return None


def public_half(data: bytes) -> bytes | None:
    """The PEM that `particle keys save` writes beside a device's private key; None when the key cannot be read."""
    key = private_key(data)
    if key is None:
        return None
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_key(data: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None:
    """The private key of a PEM, of DER, or of a slot dump with its tail of 0xFF; None when there is none."""
    try:
        if data.startswith(b"-----"):
            found = serialization.load_pem_private_key(data, None)
        else:
            size = 0
            if data[:1] == b"\x30":
                size = data[1] + 2 if data[1] < 0x80 else int.from_bytes(data[2 : 2 + (data[1] & 15)], "big")
                size += 0 if data[1] < 0x80 else 2 + (data[1] & 15)
            found = serialization.load_der_private_key(data[:size], None)
    except (ValueError, TypeError):
        return None
    return found if isinstance(found, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None
