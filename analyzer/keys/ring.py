"""All keys of a run, found by what a session shows: a role, a device id, a public key, a client random."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from analyzer.keys.key import FileFinding, Key, ServerAddress, SessionSecret, Transport
from analyzer.keys.key import fingerprint as fingerprint_of
from analyzer.keys.published import published_keys
from analyzer.keys.records import Records
from analyzer.keys.sessions import read_key_log
from analyzer.model import KeyRow, Role

#: Whose word counts most about who owns a public key.
_OWNER_ROLES = (Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file in the folder that holds no key, and why it was passed over."""

    file: str
    reason: str


class KeyRing:
    """The keys in hand. Look-ups cost the same for ten keys and for ten thousand; a ring is never changed."""

    def __init__(
        self,
        keys: Iterable[Key] = (),
        skipped: Iterable[Skipped] = (),
        folder_hash: str = "",
        findings: Iterable[FileFinding] = (),
    ) -> None:
        self.keys: tuple[Key, ...] = tuple(keys)
        self.skipped: tuple[Skipped, ...] = tuple(skipped)
        #: What is wrong with files that are no keys (a manifest).
        self.findings: tuple[FileFinding, ...] = tuple(findings)
        #: SHA-256 over names and contents of everything that was read: the same folder gives the same text.
        self.fingerprint_of_folder: str = folder_hash or sha256(b"").hexdigest()
        self._roles: dict[tuple[Role, str | None], list[Key]] = {}
        self._devices: dict[str, list[Key]] = {}
        self._prints: dict[str, list[Key]] = {}
        # Backups last, the rest in file order.
        for key in sorted(self.keys, key=lambda key: key.superseded):
            self._roles.setdefault((key.role, None), []).append(key)
            if key.algorithm is not None:
                self._roles.setdefault((key.role, key.algorithm), []).append(key)
            if key.device_id is not None:
                self._devices.setdefault(key.device_id, []).append(key)
            if key.fingerprint is not None:
                self._prints.setdefault(key.fingerprint, []).append(key)
        self._trials: dict[tuple[Role, str | None], tuple[Key, ...]] = {}
        self._owners: dict[tuple[Role, str | None], bool] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"KeyRing({len(self.keys)} keys, {len(self.skipped)} skipped)"

    def rows(self) -> tuple[KeyRow, ...]:
        """The keys as the report lists them, in file order."""
        return tuple(key.row() for key in self.keys)

    @property
    def published(self) -> tuple[Key, ...]:
        """The public keys Particle ships: what an untouched device trusts (file "(published by Particle)")."""
        return published_keys()

    def by_role(self, role: Role, algorithm: str | None = None) -> list[Key]:
        """Keys of a role, backups last; ``algorithm`` "rsa", "ec" or "session" narrows it."""
        return list(self._roles.get((role, algorithm), ()))

    def of_only_owner(self, role: Role, algorithm: str | None = None) -> list[Key]:
        """`by_role` when all of them belong to one device, else none."""
        found = self.by_role(role, algorithm)
        alone = self._owners.get((role, algorithm))
        if alone is None:
            alone = self._owners[role, algorithm] = len({key.device_id for key in found}) == 1
        return found if alone else []

    def for_device(self, device_id: str | None, role: Role | None = None, algorithm: str | None = None) -> list[Key]:
        """Keys that belong to one device, backups last; empty for an id nobody has a key of."""
        found = self._devices.get(device_id.lower(), ()) if device_id else ()
        return [key for key in found if role in (None, key.role) and algorithm in (None, key.algorithm)]

    def by_fingerprint(self, fingerprint: str) -> list[Key]:
        """Keys with this public half (64 hex digits, SHA-256 of the SPKI), published ones among them."""
        known = [key for key in self.published if key.fingerprint == fingerprint]
        return [*self._prints.get(fingerprint, ()), *known]

    def by_spki(self, spki: bytes) -> list[Key]:
        """Keys with this public half, given as SubjectPublicKeyInfo DER."""
        return self.by_fingerprint(fingerprint_of(spki))

    def owner_of(self, public: bytes | str) -> str | None:
        """The device id a public key (SPKI DER or its fingerprint) belongs to; the device's own key decides before the cloud's copy."""
        found = self.by_fingerprint(public) if isinstance(public, str) else self.by_spki(public)
        for role in _OWNER_ROLES:
            for key in found:
                if key.role is role and key.device_id is not None:
                    return key.device_id
        return None

    def server_address_for(self, device_id: str, transport: Transport | None = None) -> ServerAddress | None:
        """Where this device is told to go, from the dump of its server-key slot; None without one."""
        for key in self.for_device(device_id, Role.DEVICE_SERVER_KEY):
            if key.server_address is not None and transport in (None, key.server_address.transport):
                return key.server_address
        return None

    @cached_property
    def session_secrets(self) -> dict[bytes, SessionSecret]:
        """Master secrets by client random (32 bytes)."""
        return {secret.client_random: secret for key in reversed(self.keys) for secret in key.secrets}

    @cached_property
    def records(self) -> Records:
        """Which copies are a cloud's records, of which cloud, and whether the folder is a server's own."""
        return Records(self.keys)

    def with_secrets(self, blocks: Sequence[bytes], file: str = "capture (secrets block)") -> KeyRing:
        """A ring that also has the secrets of these TLS key logs (the secrets blocks of a pcapng); ``self`` when there are none."""
        found = tuple(secret for block in blocks for secret in read_key_log(block.decode("ascii", "replace")))
        new = tuple(secret for secret in found if secret.client_random not in self.session_secrets)
        if not new:
            return self
        key = Key(file, Role.SESSION_SECRETS, None, "TLS key log", "session", None, None, "ok", secrets=new)
        return KeyRing((*self.keys, key), self.skipped, self.fingerprint_of_folder, self.findings)

    def trial_order(self, role: Role, algorithm: str | None = None, *, likely: Iterable[str] = ()) -> list[Key]:
        """Keys of a role in the order worth trying on a session that names no device.

        ``likely`` are device ids or fingerprints, best first (those seen at the same address before); then every sound
        key, then damaged ones, backups behind their successors. Keys with the same public half come once.
        """
        everyone = self._trials.get((role, algorithm))
        if everyone is None:
            everyone = self._trials[role, algorithm] = tuple(_sound_first(self.by_role(role, algorithm)))
        first: dict[int, Key] = {}
        for name in likely:
            for key in (*self._devices.get(name, ()), *self._prints.get(name, ())):
                if key.role is role and algorithm in (None, key.algorithm):
                    first.setdefault(id(key), key)
        return [*first.values(), *(key for key in everyone if id(key) not in first)]


def _sound_first(keys: Iterable[Key]) -> Iterator[Key]:
    """Sound keys before damaged ones; of several with the same public half only the first."""
    seen: set[str | None] = set()
    for key in sorted(keys, key=lambda key: key.status != "ok"):
        if key.fingerprint is None or key.fingerprint not in seen:
            seen.add(key.fingerprint)
            yield key
