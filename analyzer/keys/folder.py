"""From paths to a KeyRing: walk the folders, read each file once, keep what is unusable with its reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from analyzer.errors import InputError
from analyzer.keys import findings as lint
from analyzer.keys.build import Claim, build
from analyzer.keys.contents import Contents, read_contents
from analyzer.keys.key import Key
from analyzer.keys.manifest import NAME as MANIFEST
from analyzer.keys.manifest import Manifest
from analyzer.keys.names import hint
from analyzer.keys.ring import KeyRing, Skipped
from analyzer.model import Role

#: Larger files are no keys and no dumps of any device here (external flash of a Core: 2 MiB; RAM: less).
MAX_FILE: Final = 32 * 1024 * 1024
_OTHERS_READ: Final = stat.S_IROTH | stat.S_IWOTH
_PRIVATE: Final = frozenset({Role.DEVICE_PRIVATE, Role.CLOUD_PRIVATE})


def load_keys(
    paths: Sequence[Path], *, passphrases: Sequence[bytes] = (), progress: Callable[[int, int], None] | None = None
) -> KeyRing:
    """Read every key under ``paths`` (folders recursively, or single files).

    ``progress`` is called with files done and files in all. Files that are no keys are in ``ring.skipped``; files that
    should be keys and cannot be used are keys with status "unusable".

    Raises:
        InputError: a path does not exist or cannot be opened at all.
    """
    files = [(path, name, manifest) for root in paths for path, name, manifest in _files(root)]
    keys: list[Key] = []
    skipped: list[Skipped] = []
    digest = sha256()
    for done, (path, name, manifest) in enumerate(files):
        if progress is not None and done % 64 == 0:
            progress(done, len(files))
        try:
            status = path.stat()
            if status.st_size > MAX_FILE:
                skipped.append(Skipped(name, f"{status.st_size} bytes: too large for a key or a dump"))
                continue
            data = path.read_bytes()
        except OSError as error:
            skipped.append(Skipped(name, f"cannot be read: {error.strerror or error}"))
            continue
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0" + sha256(data).digest())
        found = _read(name, data, manifest, passphrases)
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        keys.extend(_with_mode(key, status.st_mode) for key in found)
    if progress is not None:
        progress(len(files), len(files))
    return KeyRing(settle_roles(keys), skipped, digest.hexdigest())


def _files(root: Path) -> Iterator[tuple[Path, str, Manifest]]:
    """Every file under ``root`` with its name in the report, sorted, symbolic links to folders not followed."""
    if root.is_dir():
        for folder, folders, names in os.walk(root):
            folders.sort()
            here = Path(folder)
            manifest = Manifest.of(root, here)
            for name in sorted(names):
                path = here / name
                if name != MANIFEST and path.is_file():
                    yield path, path.relative_to(root).as_posix(), manifest
    elif root.exists():
        yield root, root.name, Manifest.of(root.parent, root.parent)
    else:
        raise InputError(str(root), "no such file or folder")


def _read(name: str, data: bytes, manifest: Manifest, passphrases: Sequence[bytes]) -> list[Key] | Skipped:
    named = hint(name)
    entry = manifest.entry(name)
    claim = Claim(name, named, entry.role, entry.device_id)
    contents: Contents = read_contents(data, claim)
    if contents.reason is not None:
        return Skipped(name, contents.reason)
    keys = [build(blob, claim, passphrases) for blob in contents.blobs]
    if contents.secrets is not None:
        keys.append(contents.secrets)
    return keys


def _with_mode(key: Key, mode: int) -> Key:
    """A private key that everybody on the machine may read is worth a word."""
    if os.name != "posix" or key.role not in _PRIVATE or not mode & _OTHERS_READ or not key.has_private:
        return key
    told = lint.world_readable(key.file)
    return replace(key, findings=(*key.findings, told))


def settle_roles(keys: list[Key]) -> list[Key]:
    """Give keys of unknown role the one their other half has: the pair of a device's key, or of the cloud's."""
    halves: dict[str, Key] = {}
    for key in keys:
        if key.fingerprint is not None and key.role in _PRIVATE:
            halves.setdefault(key.fingerprint, key)
    settled: list[Key] = []
    for key in keys:
        pair = halves.get(key.fingerprint or "")
        if key.role is Role.UNKNOWN and pair is not None:
            own = pair.role is Role.DEVICE_PRIVATE
            key = replace(
                key, role=Role.DEVICE_PUBLIC if own else Role.CLOUD_PUBLIC, device_id=pair.device_id if own else None
            )  # noqa: PLW2901
        settled.append(key)
    return settled
