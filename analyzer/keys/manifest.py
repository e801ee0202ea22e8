"""`keys.toml`: what a person says the files of a key folder are.

Accepted forms, all of them at once if need be; names are relative to the folder of the manifest and may be globs:

    [files]
    "photon7.der" = "device-private"
    "flash/*.bin" = { role = "device-server-key", device = "300047001147343332373737" }

    [[key]]
    file = "photon7.pub.pem"
    role = "cloud-copy"
    device = "300047001147343332373737"

    [roles]
    cloud-private = ["mycloud.pem"]
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from analyzer.model import Role

NAME: Final = "keys.toml"
_ID: Final = re.compile(r"[0-9a-f]{24}")
_MAX_SIZE: Final = 4 * 1024 * 1024
_ROLES: Final = {role.value: role for role in Role if role is not Role.UNKNOWN}
_SECTIONS: Final = ("files", "keys", "key", "roles")


class ManifestError(ValueError):
    """A manifest that cannot be understood; the text says why and shows nothing secret."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a manifest says of one file; None where it says nothing."""

    role: Role | None = None
    device_id: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifests that hold for a folder: its own and those above it, the nearest last."""

    entries: tuple[tuple[str, Entry], ...] = ()

    @classmethod
    def of(cls, root: Path, folder: Path) -> Manifest:
        """The manifest of ``folder`` inside the key folder ``root``. Raises ManifestError for one that cannot be understood."""
        above = () if folder == root or root not in folder.parents else cls.of(root, folder.parent).entries
        return cls(above + _load(root, folder / NAME))

    @classmethod
    def of_texts(cls, texts: Iterable[tuple[str, bytes]]) -> Manifest:
        """The manifests of a ticket that is in memory: path inside it, and content. Raises ManifestError."""
        entries: list[tuple[str, Entry]] = []
        for path, data in sorted(texts, key=lambda item: item[0].count("/")):
            prefix = path[: path.rfind("/") + 1]
            entries += ((prefix + name, entry) for name, entry in _entries(_parsed(data)))
        return cls(tuple(entries))

    def entry(self, name: str) -> Entry:
        """What is said of the file ``name`` (relative to the key folder); the last word counts."""
        role: Role | None = None
        device_id: str | None = None
        for pattern, entry in self.entries:
            if name == pattern or fnmatchcase(name, pattern):
                role, device_id = entry.role or role, entry.device_id or device_id
        return Entry(role, device_id)


@lru_cache(maxsize=4096)
def _load_text(path: Path, modified_ns: int, size: int) -> Mapping[str, Any]:
    if size > _MAX_SIZE:
        raise ManifestError("too large for a manifest")
    try:
        return _parsed(path.read_bytes())
    except OSError as error:
        raise ManifestError(f"not readable as TOML: {error}") from None


def _parsed(data: bytes) -> Mapping[str, Any]:
    if len(data) > _MAX_SIZE:
        raise ManifestError("too large for a manifest")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (
        RecursionError,
        ValueError,
    ) as error:  # a number of 5,000 digits is a ValueError, not tomllib's own
        raise ManifestError(f"not readable as TOML: {error}") from None


def _load(root: Path, path: Path) -> tuple[tuple[str, Entry], ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    document = _load_text(path, status.st_mtime_ns, status.st_size)
    prefix = path.parent.relative_to(root).as_posix()
    prefix = "" if prefix == "." else prefix + "/"
    return tuple((prefix + name, entry) for name, entry in _entries(document))


def _entries(document: Mapping[str, Any], *, top: bool = True) -> Iterator[tuple[str, Entry]]:
    for name, value in document.items():
        if top and name in _SECTIONS and isinstance(value, Mapping):
            yield from _entries(value, top=False)
        elif name in _SECTIONS and isinstance(value, list):
            for item in value:
                if not isinstance(item, Mapping) or not isinstance(item.get("file"), str):
                    raise ManifestError(f'an entry of [[{name}]] names no file: write file = "NAME"')
                yield item["file"], _entry(item)
        elif name in _ROLES:
            for file in [value] if isinstance(value, str) else value if isinstance(value, list) else ():
                yield str(file), Entry(_ROLES[name])
        elif isinstance(value, str):
            yield name, Entry(_role(value))
        elif isinstance(value, Mapping):
            yield name, _entry(value)


def _entry(item: Mapping[str, Any]) -> Entry:
    said = item.get("role")
    device = next((item[key] for key in ("device", "device_id", "id") if key in item), None)
    if device is not None and not (isinstance(device, str) and _ID.fullmatch(device.lower())):
        raise ManifestError("a device id in it is not 24 hex digits")
    return Entry(None if said is None else _role(said), device.lower() if device else None)


def _role(said: object) -> Role:
    if not isinstance(said, str) or said not in _ROLES:
        raise ManifestError(f"a role in it is none of these: {', '.join(_ROLES)}")
    return _ROLES[said]
