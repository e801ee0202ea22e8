"""Which part a key plays: what manifest, container and name claim, as far as the content can be that.

The order is the contract's: `keys.toml`, then the name, then the content. A slot of a flash image is known by its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob
from analyzer.keys.key import KeyFinding
from analyzer.keys.names import NameHint
from analyzer.keys.reading import SERVER_DUMPS, role_by_size
from analyzer.keys.structure import Structure
from analyzer.model import Role

_PRIVATE = frozenset({Role.DEVICE_PRIVATE, Role.CLOUD_PRIVATE})
_PUBLIC = frozenset({Role.DEVICE_PUBLIC, Role.CLOUD_COPY, Role.CLOUD_PUBLIC, Role.DEVICE_SERVER_KEY})


@dataclass(frozen=True, slots=True)
class Claim:
    """What manifest and name say of a file, before anyone looked inside."""

    file: str
    hint: NameHint
    role: Role | None = None
    device_id: str | None = None


def decide(blob: Blob, claim: Claim, structure: Structure | None) -> tuple[Role, tuple[KeyFinding, ...]]:
    """The role of a key, and where manifest or name contradict what it is."""
    named = claim.hint
    if structure is None:
        return claim.role or blob.role or _role_without_content(blob, named), ()
    fitting = _PRIVATE if structure.private else _PUBLIC
    by_name = named.private if structure.private else named.public
    notes: list[KeyFinding] = []
    if claim.role is not None and claim.role not in fitting:
        notes.append(_contradiction("keys.toml", claim.role, structure))
    if blob.role is not None:
        pass  # a slot of an image is what it is, whatever the image is called
    elif structure.private and named.says_public:
        notes.append(_private_in_public_name())
    elif not structure.private and named.says_private and not blob.part:
        notes.append(_contradiction("the name", named.private or Role.DEVICE_PRIVATE, structure))
        by_name = None
    elif not structure.private and named.says_private:
        by_name = None  # the public block behind a private one in the same file
    if by_name is Role.CLOUD_PUBLIC and blob.raw and len(blob.data) in SERVER_DUMPS:
        by_name = Role.DEVICE_SERVER_KEY  # `keys server K --host H` leaves K-H-rsa.der: a slot's image, not a key file
    for role in (claim.role, blob.role, by_name):
        if role is not None and role in fitting:
            return role, tuple(notes)
    if blob.role is Role.DEVICE_SERVER_KEY or claim.role is Role.DEVICE_SERVER_KEY:
        return Role.DEVICE_SERVER_KEY, tuple(notes)
    return _role_by_content(blob, structure, named.device_id), tuple(notes)


def _role_without_content(blob: Blob, named: NameHint) -> Role:
    """The role of bytes that nobody can read: by name, unless their size says that they are a device's slot."""
    by_size = role_by_size(blob.data) if blob.raw else Role.UNKNOWN
    if named.role is Role.CLOUD_PRIVATE and by_size is Role.DEVICE_SERVER_KEY:
        return by_size
    return named.role or by_size


def _contradiction(who: str, role: Role, structure: Structure) -> KeyFinding:
    return lint.warning(
        "role-contradicted",
        f"{who} says {role.value}, but this is: {structure.kind}",
        "Rename the file or correct keys.toml.",
    )


def _private_in_public_name() -> KeyFinding:
    return lint.error(
        "private-key-named-public",
        "a private key in a file that is named as a public one: whoever was sent this file has the key",
        "Make the public half anew, and treat this key as given away if the file left your hands.",
        fix="public",
    )


def _role_by_content(blob: Blob, structure: Structure, device_id: str | None) -> Role:
    if structure.private:
        return Role.CLOUD_PRIVATE if (structure.bits or 0) >= 2048 and device_id is None else Role.DEVICE_PRIVATE
    if structure.rsa is not None and structure.rsa.bits >= 2048:
        stored = device_id is not None or len(blob.data) > structure.size
        return Role.DEVICE_SERVER_KEY if stored and blob.raw else Role.CLOUD_PUBLIC
    if structure.ec is not None and len(blob.data) > structure.size and blob.raw:
        return Role.DEVICE_SERVER_KEY
    if structure.rsa is not None or device_id is not None:
        return Role.DEVICE_PUBLIC
    return Role.UNKNOWN
