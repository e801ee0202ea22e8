"""What a folder knows of the cloud's records: which public keys a server has on file, whose they are, and when none is one.

How it works. `ID.pub.pem` is the name of a server's record and of what `particle keys save ID.der` writes beside the key
it saves. Exactly the public half of the private key beside it is the second, unless something else says that a server
keeps it. A record that lies beside a cloud's own key is that cloud's. And that a file is *not* there means something only
in the folder of a server: everywhere else nobody ever put it there.

Sources: particle-iot/particle-cli src/cmd/keys.js (`keys save F` leaves F.der and F.pub.pem); data folders of
particle-iot/spark-server (`core_keys/`), Brewskey/spark-server (`data/deviceKeys/`) and particle-iot/spark-protocol
(`default_key.pem`, `default_key.pub.pem` and `ID.pub.pem` in one folder).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from analyzer.keys.key import Algorithm, Key
from analyzer.keys.names import SERVER_FOLDERS
from analyzer.model import Role

_CLOUD: Final = (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)

#: What shows that a folder is a server's own: the records it keeps of other devices (or its folder for them), or no more
#: than its pair of keys as a server's first start leaves it, which a person may have copied out of there.
Sign = Literal["records", "pair"]


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """A folder in which a server keeps its key and its records: only here a missing record says something."""

    key: Key
    sign: Sign
    #: The devices of which it holds a record, sorted.
    devices: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether a device that has no record here is, as far as the folder goes, unknown to the server."""
        return self.sign == "records"


def settle_records(keys: Sequence[Key]) -> list[Key]:
    """The keys with those marked "own-half" that only the name calls the cloud's copy."""
    halves: dict[tuple[str | None, str, str | None], Key] = {}
    for key in keys:
        if key.role is Role.DEVICE_PRIVATE and key.fingerprint is not None:
            halves.setdefault((key.device_id, key.folder, key.fingerprint), key)
    own = {
        id(key)
        for key in keys
        if key.record == "named" and key.path and (key.device_id, key.folder, key.fingerprint) in halves
    }
    # A folder with a cloud's own key and records of other devices is kept by a server, or copied from one.
    served = {key.folder for key in keys if key.role is Role.CLOUD_PRIVATE} & {
        key.folder for key in keys if key.record == "named" and id(key) not in own
    }
    return [replace(key, record="own-half") if id(key) in own and key.folder not in served else key for key in keys]


class Records:
    """The copies of a ring as a server's records; asked by what a session shows of its cloud."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._copies: list[Key] = []
        self._cloud: dict[str, list[Key]] = {}
        for key in keys:
            if key.role is Role.CLOUD_COPY and key.record != "own-half":
                self._copies.append(key)
            elif key.role in _CLOUD and key.fingerprint is not None and key.path:
                self._cloud.setdefault(key.folder, []).append(key)

    def holds(self, copy: Key, cloud: str | None) -> bool:
        """Whether ``copy`` may be the record of the cloud with this public key (fingerprint; None: not known).

        False for a device's own half, and for one that lies beside another cloud's key.
        """
        if copy.record == "own-half":
            return False
        beside = [key for key in self._beside(copy) if key.algorithm == copy.algorithm]
        return cloud is None or not beside or any(key.fingerprint == cloud for key in beside)

    def server_folder(self, cloud: str, algorithm: Algorithm | None = None) -> ServerFolder | None:
        """The data folder of the server with this public key (fingerprint), when the ring holds one."""
        own = [key for keys in self._cloud.values() for key in keys if key.fingerprint == cloud]
        private = [key for key in own if key.role is Role.CLOUD_PRIVATE]
        for key in private:
            kept = {
                copy.device_id
                for copy in self._copies
                if copy.device_id is not None
                and copy.algorithm in (None, algorithm or copy.algorithm)
                and key.folder in self._homes(copy)
            }
            if kept:
                return ServerFolder(key, "records", tuple(sorted(kept)))
        for key in private:
            if any(half.role is Role.CLOUD_PUBLIC and half.folder == key.folder for half in own):
                return ServerFolder(key, "pair", ())
        return None

    def _beside(self, copy: Key) -> list[Key]:
        return [key for home in self._homes(copy) for key in self._cloud.get(home, ())]

    @staticmethod
    def _homes(copy: Key) -> tuple[str, ...]:
        """The folders in which the key of the server that keeps this copy would lie: its own, and above `deviceKeys/`."""
        if not copy.path:
            return ()
        folder = copy.folder
        above, name = os.path.split(folder)
        return (folder, above) if name.lower() in SERVER_FOLDERS else (folder,)
