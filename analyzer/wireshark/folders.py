"""Where Wireshark looks for what a user adds to it, on each system and however it was installed.

The personal Lua plugin folder is `%APPDATA%\\Wireshark\\plugins` on Windows and `~/.local/lib/wireshark/plugins`
elsewhere, macOS included (Wireshark User's Guide, "Plugin folders"; wireshark:wsutil/filesystem.c
init_plugin_pers_dir()). Up to 2.4 it was `plugins` in the personal configuration folder, which current versions still
read; when a file of the same name is in both, the new folder wins. Profiles are below the configuration folder. The
personal extcap folder is there too up to 4.0, and `~/.local/lib/wireshark/extcap` from 4.2 on (both seen: `tshark -D` of
4.0.17, `tshark -G folders` of 4.4.19). Flatpak and Snap give Wireshark a configuration, Snap also a home, of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The file that tells an older plugin folder in use.
_LUA = "particle.lua"


@dataclass(frozen=True, slots=True)
class Place:
    """One Wireshark's folders: for Lua, its configuration, and those for sources of packets (by version)."""

    name: str
    lua: Path
    config: Path
    sources: tuple[Path, ...]


def config_folder(platform: str, environ: Mapping[str, str], home: Path) -> Path:
    """Wireshark's personal configuration folder. ``platform`` as in ``sys.platform``."""
    own = environ.get("WIRESHARK_CONFIG_DIR")
    if own:
        return Path(own)
    if platform == "win32":
        config = environ.get("WIRESHARK_APPDATA") or environ.get("APPDATA")
        return (Path(config) if config else home / "AppData" / "Roaming") / "Wireshark"
    xdg = environ.get("XDG_CONFIG_HOME")
    return (Path(xdg) if xdg and Path(xdg).is_absolute() else home / ".config") / "wireshark"


def plugin_folders(platform: str, environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Wireshark's personal Lua plugin folders, the one to use first.

    ``platform`` as in ``sys.platform``. Folders after the first are those of older versions that are still read.
    """
    config = config_folder(platform, environ, home)
    if platform == "win32":
        return (config / "plugins",)
    unset = {key: value for key, value in environ.items() if key != "WIRESHARK_CONFIG_DIR"}
    usual = config_folder(platform, unset, home)
    older = [*([config / "plugins"] if config != usual else []), usual / "plugins", home / ".wireshark" / "plugins"]
    return (home / ".local" / "lib" / "wireshark" / "plugins", *older)


def default_folder(platform: str, environ: Mapping[str, str], home: Path) -> Path:
    """The folder to install into: the first of :func:`plugin_folders`, or an older one that alone holds a copy."""
    folders = plugin_folders(platform, environ, home)
    return next((folder for folder in folders if (folder / _LUA).exists()), folders[0])


def places(platform: str, environ: Mapping[str, str], home: Path) -> tuple[Place, ...]:
    """Every Wireshark of this user that may be there: the usual one always, Flatpak's and Snap's where they have run."""
    config = config_folder(platform, environ, home)
    lua = default_folder(platform, environ, home)
    if platform == "win32":
        return (Place("Wireshark", lua, config, (config / "extcap",)),)
    local = home / ".local" / "lib" / "wireshark" / "extcap"
    found = [Place("Wireshark", lua, config, (local, config / "extcap"))]
    flatpak = home / ".var" / "app" / "org.wireshark.Wireshark"
    if flatpak.is_dir():
        inside = flatpak / "config" / "wireshark"
        # No source: what is inside cannot start a program that is outside.
        found.append(Place("Wireshark (Flatpak)", inside / "plugins", inside, ()))
    snap = home / "snap" / "wireshark" / "current"
    if snap.is_dir():
        inside = snap / ".config" / "wireshark"
        found.append(Place("Wireshark (Snap)", snap / ".local" / "lib" / "wireshark" / "plugins", inside, ()))
    return tuple(found)
