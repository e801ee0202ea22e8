"""Puts the Lua dissector where Wireshark looks for it.

Where that is: the personal Lua plugin folder is `%APPDATA%\\Wireshark\\plugins` on Windows and
`~/.local/lib/wireshark/plugins` elsewhere, macOS included (Wireshark User's Guide, "Plugin folders";
wireshark:wsutil/filesystem.c init_plugin_pers_dir()). Up to 2.4 it was `plugins` in the personal configuration folder,
which current versions still read; when a file of the same name is in both, the new folder wins. So a copy that is
already in an old folder, and only there, is replaced where it is.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from analyzer.errors import InputError

NAME = "particle.lua"
_VERSION = re.compile(r"^-- Version: (\d+)\.(\d+)\.(\d+)\s*$", re.MULTILINE)
_OURS = 'Proto("particle", "Particle Cloud Handshake")'

Version = tuple[int, int, int]


def lua_path() -> Path:
    """The ``particle.lua`` of this installation.

    Raises :class:`InputError` when the package is not unpacked on disk (a zip import).
    """
    resource = resources.files("dissectors").joinpath("wireshark", NAME)
    if not isinstance(resource, Path) or not resource.is_file():
        raise InputError(NAME, "not found as a file of this installation", "install the package unpacked")
    return resource


def lua_version(text: str) -> Version | None:
    """The version a copy of the dissector says it has; None when it is not our dissector."""
    found = _VERSION.search(text)
    if found is None or _OURS not in text:
        return None
    major, minor, patch = found.groups()
    return int(major), int(minor), int(patch)


def plugin_folders(platform: str, environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Wireshark's personal Lua plugin folders, the one to use first.

    ``platform`` as in ``sys.platform``. Folders after the first are those of older versions that are still read.
    """
    own_config = environ.get("WIRESHARK_CONFIG_DIR")
    if platform == "win32":
        config = environ.get("WIRESHARK_APPDATA") or environ.get("APPDATA")
        base = (
            Path(own_config) if own_config else (Path(config) if config else home / "AppData" / "Roaming") / "Wireshark"
        )
        return (base / "plugins",)
    xdg = environ.get("XDG_CONFIG_HOME")
    config_home = Path(xdg) if xdg and Path(xdg).is_absolute() else home / ".config"
    older = [config_home / "wireshark" / "plugins", home / ".wireshark" / "plugins"]
    if own_config:
        older.insert(0, Path(own_config) / "plugins")
    return (home / ".local" / "lib" / "wireshark" / "plugins", *older)


def default_folder(platform: str, environ: Mapping[str, str], home: Path) -> Path:
    """The folder to install into: the first of :func:`plugin_folders`, or an older one that alone holds a copy."""
    folders = plugin_folders(platform, environ, home)
    return next((folder for folder in folders if (folder / NAME).exists()), folders[0])


def install(target: Path | None = None, force: bool = False) -> Path:
    """Copy the dissector into ``target`` (a folder; by default Wireshark's own) and return the path of the copy.

    An older copy is replaced, an equal one left alone. Without ``force`` a newer one, one that was changed by hand and a
    file that is not our dissector are refused. Raises :class:`InputError` for those and when the folder cannot be
    written.
    """
    source = lua_path()
    folder = default_folder(sys.platform, os.environ, Path.home()) if target is None else target
    destination = folder / NAME
    try:
        content = source.read_bytes()
        if not force and destination.exists():
            present = destination.read_bytes()
            if present == content:
                return destination
            _refuse_to_replace(destination, present, content)
        folder.mkdir(parents=True, exist_ok=True)
        _write(destination, content)
    except FileExistsError as error:
        raise InputError(str(folder), "is a file, not a folder", "name a folder") from error
    except OSError as error:
        raise InputError(
            str(destination),
            f"cannot be written: {error.strerror or error}",
            "name another folder, or check its rights",
        ) from error
    return destination


def _refuse_to_replace(destination: Path, present: bytes, content: bytes) -> None:
    ours = lua_version(content.decode("utf-8"))
    theirs = lua_version(present.decode("utf-8", errors="replace"))
    if theirs is None:
        raise InputError(str(destination), "is another file of that name", "move it away, or use --force to replace it")
    if ours is not None and theirs > ours:
        have, offer = (".".join(map(str, version)) for version in (theirs, ours))
        raise InputError(str(destination), f"is version {have}, newer than {offer}", "use --force to go back")
    if theirs == ours:
        raise InputError(str(destination), "was changed by hand", "use --force to replace it")


def _write(destination: Path, content: bytes) -> None:
    """Write beside the destination, then rename: Wireshark never sees half a file."""
    handle, name = tempfile.mkstemp(prefix=".particle", suffix=".tmp", dir=destination.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o644)
        temporary.replace(destination)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
