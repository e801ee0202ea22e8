"""The cloud's side of a device: is the stored server key this cloud's, and does the address lead to the same one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from analyzer import commands
from analyzer.keys import address as addresses
from analyzer.keys import findings as lint
from analyzer.keys.fixes import Fixes
from analyzer.keys.key import FileFinding, Key, ServerAddress
from analyzer.keys.published import FILE
from analyzer.keys.report import Pair
from analyzer.keys.ring import KeyRing
from analyzer.keys.rows import Row
from analyzer.model import Role

_DIFFERS: Final = "server-key-differs"
_APART: Final = "server-key-and-address-differ"
_ASK: Final = (
    "A capture of the device tells (`analyze CAPTURE --keys FOLDER`): whether the cloud that answers has this key. Write another "
    "key only if it has not: `particle keys server` for Particle's cloud; for another, its key and its address together."
)


@dataclass(frozen=True, slots=True)
class Clouds:
    """The clouds' public halves in hand: fingerprint to the name to call it by."""

    own: dict[str, str]
    published: dict[str, str]
    #: The public numbers with the names to call them by, own ones first.
    numbers: tuple[tuple[bytes, str], ...]

    @classmethod
    def of(cls, ring: KeyRing) -> Clouds:
        """The clouds whose keys are in ``ring``."""
        own: dict[str, str] = {}
        for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC):
            for key in ring.by_role(role):
                if key.fingerprint is not None:
                    own.setdefault(key.fingerprint, key.file)
        numbers = tuple(
            (number, key.file if key.file != FILE else key.part)
            for key in (*ring.by_role(Role.CLOUD_PRIVATE), *ring.by_role(Role.CLOUD_PUBLIC), *ring.published)
            if (number := key.public_number) is not None
        )
        return cls(own, {key.fingerprint: key.part for key in ring.published if key.fingerprint is not None}, numbers)

    def begins_like(self, key: Key) -> str | None:
        """The cloud whose modulus begins as the piece ``key`` does, "" for none; None when this cannot be asked."""
        piece = key.public_prefix
        if piece is None or not self.own:
            return None
        return next((name for number, name in self.numbers if number.startswith(piece[: len(number)])), "")

    def has(self, algorithm: str | None, ring: KeyRing) -> bool:
        """Whether a cloud key of this algorithm is in hand."""
        return any(
            key.algorithm == algorithm for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in ring.by_role(role)
        )


def server_key(row: Row, ring: KeyRing, cloud: Clouds, fixes: Fixes, found: list[FileFinding]) -> Iterator[Pair]:
    """Whose key the device stores."""
    for key in row.of(Role.DEVICE_SERVER_KEY):
        alike = cloud.begins_like(key)
        if alike is not None:
            text = f"begins like {alike}" if alike else "is not this cloud's"
            yield Pair("device-server-key", "cloud", bool(alike), f"the stored server key in the log {text}")
        elif not key.whole:
            yield Pair("device-server-key", "cloud", None, "only a piece of the stored server key is in hand")
        elif key.status == "unusable":
            text = f"the stored server key is unusable: {key.problem}"
            yield Pair("device-server-key", "cloud", False, text, error_of(key))
        elif key.fingerprint in cloud.own:
            yield Pair("device-server-key", "cloud", True, f"the stored server key is {cloud.own[key.fingerprint]}")
        elif key.fingerprint in cloud.published:
            fits = False if cloud.has(key.algorithm, ring) else None
            text = f"the stored server key is Particle's own ({cloud.published[key.fingerprint]})"
            if fits is False:
                text += ", not this cloud's"
                found.append(_wrong_server(row, key, fixes, text))
            yield Pair("device-server-key", "cloud", fits, text, _DIFFERS if fits is False else "")
        elif cloud.has(key.algorithm, ring):
            text = "the stored server key is not this cloud's"
            found.append(_wrong_server(row, key, fixes, text))
            yield Pair("device-server-key", "cloud", False, text, _DIFFERS)
        else:
            yield Pair(
                "device-server-key", "cloud", None, "no cloud key is in hand to compare with the stored server key"
            )


def error_of(key: Key) -> str:
    """The code of what makes a key unusable."""
    return next((finding.code for finding in key.findings if finding.severity == "error"), "")


def _wrong_server(row: Row, key: Key, fixes: Fixes, text: str) -> FileFinding:
    return FileFinding(key.file, fixes.of(key, lint.server_key_unusable(_DIFFERS, text)), row.id)


def address(
    row: Row, where: ServerAddress | None, ring: KeyRing, cloud: Clouds, fixes: Fixes, found: list[FileFinding]
) -> Iterator[Pair]:
    """A key and an address of two different clouds.

    A key that nobody here knows beside Particle's name is a question: only the cloud that answers there could tell. With
    no address at all it is an error: that is how a device of another cloud is left that lost its address, or never got one.
    """
    key = row.first(Role.DEVICE_SERVER_KEY)
    if where is None or key is None or key.fingerprint is None:
        return
    particle = key.fingerprint in cloud.published
    named = addresses.is_particle(where.host)
    if particle and not named and where.kind in ("ip", "domain"):
        text = f"the stored key is Particle's, the address ({where}) is another cloud's"
    elif not particle and (where.kind == "unset" or (named and key.fingerprint in cloud.own)):
        text = f"the stored key is not Particle's, but the device goes to Particle's cloud ({where.host or 'no address is stored'})"
    elif not particle and named and not cloud.has(key.algorithm, ring):
        text = (
            f"the stored key is none that Particle publishes, the address is Particle's ({where}): is it the cloud's?"
        )
        found.append(FileFinding(key.file, lint.warning(_APART, text, _ASK), row.id))
        yield Pair("device-server-key", "server-address", None, text, _APART)
        return
    else:
        return
    found.append(FileFinding(key.file, fixes.of(key, lint.server_key_unusable(_APART, text)), row.id))
    yield Pair("device-server-key", "server-address", False, text, _APART)


def cloud_halves(ring: KeyRing) -> Iterator[FileFinding]:
    """default_key.pub.pem beside default_key.pem must be its half."""
    private = {_stem(key.file): key for key in ring.by_role(Role.CLOUD_PRIVATE) if key.fingerprint is not None}
    for key in ring.by_role(Role.CLOUD_PUBLIC):
        half = private.get(_stem(key.file))
        if half is not None and key.fingerprint is not None and key.fingerprint != half.fingerprint:
            text = f"not the public half of {half.file}: devices given this key cannot reach that cloud"
            forms = (commands.form_of(half.file), commands.form_of(key.file))
            command = (
                f"openssl pkey -inform {forms[0]} -in {lint.quoted(half.file)} "
                f"-pubout -outform {forms[1]} -out {lint.quoted(key.file)}"
            )
            found = lint.error("cloud-halves-differ", text, "Derive it from the private key again.", (command,))
            yield FileFinding(key.file, found)


def _stem(file: str) -> str:
    path = PurePosixPath(file)
    name = path.name.lower()
    for ending in (".pem", ".der", ".key", ".pub", ".crt", ".cer", "_public", "_private", ".public", ".private"):
        name = name.removesuffix(ending)
    return str(path.with_name(name or "key"))
