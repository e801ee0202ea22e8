"""From paths to a KeyRing: walk the folders, read each file once, keep what is unusable with its reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from analyzer.errors import InputError
from analyzer.keys import findings as lint
from analyzer.keys.build import build
from analyzer.keys.contents import Contents, read_contents
from analyzer.keys.key import FileFinding, Key
from analyzer.keys.manifest import NAME as MANIFEST
from analyzer.keys.manifest import Manifest, ManifestError
from analyzer.keys.names import hint
from analyzer.keys.records import settle_records
from analyzer.keys.ring import KeyRing, Skipped
from analyzer.keys.roles import Claim
from analyzer.model import Role

#: Larger files are no keys and no dumps of any device here (external flash of a Core: 2 MiB; RAM: less).
MAX_FILE: Final = 32 * 1024 * 1024
_PROGRESS_STEP: Final = 64
_OTHERS_READ: Final = stat.S_IROTH | stat.S_IWOTH
_PRIVATE: Final = frozenset({Role.DEVICE_PRIVATE, Role.CLOUD_PRIVATE})


def load_keys(
    paths: Sequence[Path], *, passphrases: Sequence[bytes] = (), progress: Callable[[int, int], None] | None = None
) -> KeyRing:
    """Read every key under ``paths`` (folders recursively, or single files).

    ``progress`` is called with files done and files in all. Files that are no keys are in ``ring.skipped``; files that
    should be keys and cannot be used are keys with status "unusable". Where two folders hold files of one name, the
    later ones are told apart by their folder's name.

    Raises:
        InputError: a path does not exist.
    """
    listing = _Listing()
    for root in paths:
        listing.add(root)
    keys: list[Key] = []
    skipped: list[Skipped] = []
    digest = sha256()
    for done, file in enumerate(listing.files):
        if progress is not None and done % _PROGRESS_STEP == 0:
            progress(done, len(listing.files))
        try:
            status = file.path.stat()
            data = b"" if status.st_size > MAX_FILE else file.path.read_bytes()
        except OSError as error:
            skipped.append(Skipped(file.name, f"cannot be read: {error.strerror or 'input error'}"))
            continue
        if status.st_size > MAX_FILE:
            skipped.append(Skipped(file.name, f"{status.st_size} bytes: too large for a key or a dump"))
            continue
        digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0" + sha256(data).digest())
        found = _read(file, data, passphrases)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            keys.extend(_with_mode(key, status.st_mode) for key in found)
    if progress is not None:
        progress(len(listing.files), len(listing.files))
    return KeyRing(settle_records(settle_roles(keys)), skipped, digest.hexdigest(), listing.findings)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that may hold keys, wherever its bytes are: ``inside`` is its path in the ticket and its name in reports,
    ``path`` where a person finds it, ``mode`` its rights (0: unknown)."""

    inside: str
    path: str
    read: Callable[[], bytes]
    mode: int = 0


def load_files(files: Sequence[KeyFile], *, passphrases: Sequence[bytes] = ()) -> KeyRing:
    """The keys of these files, as `load_keys` reads a folder of them."""
    keys: list[Key] = []
    skipped: list[Skipped] = []
    findings: list[FileFinding] = []
    digest = sha256()
    contents: list[tuple[KeyFile, bytes]] = []
    for file in files:
        try:
            contents.append((file, file.read()))
        except OSError as error:
            skipped.append(Skipped(file.inside, f"cannot be read: {error.strerror or 'input error'}"))
    texts = [(file.inside, data) for file, data in contents if PurePosixPath(file.inside).name == MANIFEST]
    try:
        manifest = Manifest.of_texts(texts)
    except ManifestError as error:
        manifest = Manifest()
        told = lint.error("manifest-unreadable", f"{error}: nothing in it was used", "Correct it.")
        findings.append(FileFinding(texts[0][0], told))
    for file, data in contents:
        digest.update(file.inside.encode("utf-8", "surrogateescape") + b"\0" + sha256(data).digest())
        if PurePosixPath(file.inside).name == MANIFEST:
            continue
        found = _read(_File(Path(file.path), file.inside, file.inside, manifest), data, passphrases)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            keys.extend(_with_mode(key, file.mode) for key in found)
    return KeyRing(settle_records(settle_roles(keys)), skipped, digest.hexdigest(), findings)


def merged(common: KeyRing, own: KeyRing, folder: str) -> KeyRing:
    """Both rings as one. A file of ``own`` whose name ``common`` has too is told apart by ``folder``, the one it is in."""
    taken = {key.file for key in common.keys}
    renamed = (replace(key, file=f"{folder}/{key.file}") if key.file in taken else key for key in own.keys)
    both = f"{common.fingerprint_of_folder}/{own.fingerprint_of_folder}"
    return KeyRing(
        settle_records(settle_roles([*renamed, *common.keys])),
        (*own.skipped, *common.skipped),
        sha256(both.encode()).hexdigest(),
        (*own.findings, *common.findings),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A file to read: ``inside`` is its path in the key folder, ``name`` what the report calls it."""

    path: Path
    inside: str
    name: str
    manifest: Manifest


class _Listing:
    """Every file of every path, sorted, each once."""

    def __init__(self) -> None:
        self.files: list[_File] = []
        self.findings: list[FileFinding] = []
        self._names: set[str] = set()
        self._paths: set[Path] = set()

    def add(self, root: Path) -> None:
        """A folder (recursively; links to folders are not followed) or a file. Raises InputError when it does not exist."""
        if root.is_dir():
            for folder, folders, names in os.walk(root):
                folders.sort()
                here = Path(folder)
                manifest = self._manifest(root, here)
                for name in sorted(names):
                    path = here / name
                    if name != MANIFEST and path.is_file():
                        self._add(path, path.relative_to(root).as_posix(), root, manifest)
        elif root.is_file():
            self._add(root, root.name, root.parent, self._manifest(root.parent, root.parent))
        elif root.exists():
            raise InputError(str(root), "neither a file nor a folder")
        else:
            raise InputError(str(root), "no such file or folder")

    def _add(self, path: Path, inside: str, root: Path, manifest: Manifest) -> None:
        real = path.absolute()
        if real in self._paths:
            return
        name = inside
        if name in self._names:
            name = f"{root.resolve().name}/{inside}"
        number = 2
        while name in self._names:
            name, number = f"{root.resolve().name}~{number}/{inside}", number + 1
        self._paths.add(real)
        self._names.add(name)
        self.files.append(_File(path, inside, name, manifest))

    def _manifest(self, root: Path, folder: Path) -> Manifest:
        try:
            return Manifest.of(root, folder)
        except ManifestError as error:
            where = (folder / MANIFEST).relative_to(root).as_posix()
            told = lint.error("manifest-unreadable", f"{error}: nothing in it was used", "Correct it.")
            if where not in self._names:
                self._names.add(where)
                self.findings.append(FileFinding(where, told))
            return Manifest()


def _read(file: _File, data: bytes, passphrases: Sequence[bytes]) -> list[Key] | Skipped:
    entry = file.manifest.entry(file.inside)
    claim = Claim(file.name, hint(file.inside), entry.role, entry.device_id)
    contents: Contents = read_contents(data, claim)
    if contents.reason is not None:
        return Skipped(file.name, contents.reason)
    keys = [build(blob, claim, passphrases) for blob in contents.blobs]
    if contents.secrets is not None:
        keys.append(contents.secrets)
    path, here = file.path.absolute(), Path.cwd()
    typed = path.relative_to(here).as_posix() if path.is_relative_to(here) else os.fspath(file.path)
    return [replace(key, path=os.fspath(path), typed=typed) for key in keys]


def _with_mode(key: Key, mode: int) -> Key:
    """A private key that everybody on the machine may read is worth a word."""
    if os.name != "posix" or key.role not in _PRIVATE or not mode & _OTHERS_READ or not key.has_private:
        return key
    told = lint.world_readable()
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
