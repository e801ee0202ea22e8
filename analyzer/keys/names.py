"""What a file's name says: role and device id, after the names that tools and people give key files.

How it works. Rules are a table, first match wins; a rule says what the name claims, for a private and for a public key.
Whether the content agrees is for the caller: a name is never believed against it.

Sources of names: particle-iot/particle-cli src/cmd/keys.js (v1.0 to HEAD: `pre_ID`, `backup_rsa_ID_rsa_new`, `ID_new`,
`ID_rsa_new`), particle-iot/spark-server `core_keys/`, Brewskey/spark-server `data/deviceKeys/`, spark-protocol
`ID_handshake.pub.pem`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from analyzer.model import Role

_ID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])")
#: Folders in which a server keeps its copies of device keys.
SERVER_FOLDERS: Final = frozenset({"core_keys", "devicekeys", "device_keys", "corekeys"})


@dataclass(frozen=True, slots=True)
class NameHint:
    """What a name claims. ``private`` and ``public`` are the roles it gives to a key of either kind (None: no claim).

    ``says_public`` and ``says_private`` are True when the name itself says which half it is.
    """

    device_id: str | None
    private: Role | None = None
    public: Role | None = None
    says_public: bool = False
    says_private: bool = False
    secrets: bool = False
    superseded: bool = False
    #: Whether folder or name say that a server keeps this copy; `ID.pub.pem` alone does not: particle-cli writes it too.
    kept: bool = False

    @property
    def role(self) -> Role | None:
        """The role when nothing is known of the content."""
        if self.secrets:
            return Role.SESSION_SECRETS
        if self.says_public:
            return self.public
        return self.private or self.public


_SECRETS: Final = re.compile(r"\.keylog$|^sslkeys?(log)?.*\.(log|txt)$|(^|[._-])session[^/]*\.bin$")
_BACKUP: Final = re.compile(r"^(pre|backup)[_-]")
_PUBLIC: Final = re.compile(r"(^|[^a-z])pub(lic)?([^a-z]|$)|\.pub$|_public|public_")
_SERVER: Final = re.compile(r"server|default_key|cloud")
_STORED_SERVER: Final = re.compile(r"(server|stored)[._-]?(pub|key)|server\.(der|pem|bin)$")
_CLOUD_COPY: Final = re.compile(r"[._-]cloud[._-]?")
_OWN_PUBLIC: Final = re.compile(r"[._-]device[._-]|_handshake\.|_new[0-9]*\.")
_DEVICE: Final = re.compile(
    r"device|core|photon|electron|argon|boron|xenon|tracker|private|(^|[^a-z])p[12]([^0-9a-z]|$)"
)


@lru_cache(maxsize=65536)
def hint(path: str) -> NameHint:
    """The claims of a path relative to the key folder; separators are slashes."""
    parts = PurePosixPath(path.lower()).parts
    name = parts[-1] if parts else ""
    found = _ID.search(name)
    device_id = found.group() if found else _folder_id(parts[:-1])
    if _SECRETS.search(name):
        return NameHint(device_id, secrets=True)
    rest = name.replace(device_id, "", 1) if device_id else name
    public = bool(_PUBLIC.search(rest)) or name.endswith((".cer", ".crt", ".pub"))
    superseded = bool(_BACKUP.search(name))
    if device_id is not None:
        return _of_device(rest, device_id, public, superseded, in_server_folder=_in_server_folder(parts))
    if _SERVER.search(rest):
        stored = "slot" in rest or "dump" in rest
        seen = Role.DEVICE_SERVER_KEY if stored else Role.CLOUD_PUBLIC
        return NameHint(None, Role.CLOUD_PRIVATE, seen, says_public=public or stored)
    if _DEVICE.search(rest):
        return NameHint(
            None,
            Role.DEVICE_PRIVATE,
            Role.DEVICE_PUBLIC,
            public,
            not public and "private" in rest,
            superseded=superseded,
        )
    return NameHint(None, says_public=public, superseded=superseded)


def _of_device(rest: str, device_id: str, public: bool, superseded: bool, *, in_server_folder: bool) -> NameHint:
    if _STORED_SERVER.search(rest):
        # What the device holds of the cloud is public by nature; a private key here is somebody's mistake.
        return NameHint(device_id, Role.CLOUD_PRIVATE, Role.DEVICE_SERVER_KEY, says_public=True)
    if in_server_folder and not _OWN_PUBLIC.search(rest):
        return NameHint(device_id, Role.DEVICE_PRIVATE, Role.CLOUD_COPY, public, kept=True)
    if _CLOUD_COPY.search(rest):
        return NameHint(device_id, Role.DEVICE_PRIVATE, Role.CLOUD_COPY, public, kept=True)
    own = bool(_OWN_PUBLIC.search(rest)) or superseded
    said_private = not public and rest.endswith((".der", ".pem", ".bin"))
    return NameHint(
        device_id,
        Role.DEVICE_PRIVATE,
        Role.DEVICE_PUBLIC if own else Role.CLOUD_COPY,
        public,
        said_private,
        superseded=superseded,
    )


def _folder_id(parents: tuple[str, ...]) -> str | None:
    for part in reversed(parents):
        found = _ID.search(part)
        if found:
            return found.group()
    return None


def _in_server_folder(parts: tuple[str, ...]) -> bool:
    return any(part in SERVER_FOLDERS for part in parts[:-1])
