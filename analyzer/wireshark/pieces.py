"""The files Wireshark gets: what is in each, and how a copy tells whether somebody changed it.

How it works. Lua files carry a version. Every other file has a line with a digest of the rest, so that an older copy which
nobody touched can be replaced or removed, and one that Wireshark or its user rewrote is left alone.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from pathlib import Path

from analyzer.errors import InputError
from analyzer.wireshark.folders import Place

NAME, MENU = "particle.lua", "particle_menu.lua"
PROFILE = "Particle"
_PROFILE_FILES = ("preferences", "colorfilters", "dfilter_buttons")
_VERSION = re.compile(r"^-- Version: (\d+)\.(\d+)\.(\d+)\s*$", re.MULTILINE)
_OURS = {NAME: 'Proto("particle", "Particle Cloud Handshake")', MENU: 'Proto("particle_here",'}
_SEAL = re.compile(rb"^(?:#|rem) Written by `analyze wireshark install`; unchanged: ([0-9a-f]{16})\r?\n", re.MULTILINE)

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file for Wireshark: what it is to a person, where it goes, what is in it."""

    what: str
    path: Path
    content: bytes = field(repr=False)
    runs: bool = False


def lua_path(name: str = NAME) -> Path:
    """The dissector (or another file for Wireshark) of this installation.

    Raises :class:`InputError` when the package is not unpacked on disk (a zip import).
    """
    resource = resources.files("dissectors").joinpath("wireshark", name)
    if not isinstance(resource, Path) or not resource.is_file():
        raise InputError(name, "not found as a file of this installation", "install the package unpacked")
    return resource


def lua_version(text: str, name: str = NAME) -> Version | None:
    """The version a copy of a Lua file of ours says it has; None when it is none of ours."""
    found = _VERSION.search(text)
    if found is None or _OURS[name] not in text:
        return None
    major, minor, patch = found.groups()
    return int(major), int(minor), int(patch)


def pieces(place: Place, platform: str) -> list[Piece]:
    """All files for one Wireshark. Raises :class:`InputError` when the package is not unpacked on disk."""
    found = [
        Piece("dissector", place.lua / NAME, lua_path().read_bytes()),
        Piece("menu", place.lua / MENU, lua_path(MENU).read_bytes()),
    ]
    found += [
        Piece("profile", place.config / "profiles" / PROFILE / name, sealed(lua_path(f"profile/{name}").read_bytes()))
        for name in _PROFILE_FILES
    ]
    script = "analyze-particle.bat" if platform == "win32" else "analyze-particle"
    found += [Piece("source", folder / script, launcher(platform), runs=True) for folder in place.sources]
    return found


def launcher(platform: str) -> bytes:
    """The script by which Wireshark, which knows no PATH on some systems, starts this installation."""
    python = sys.executable
    if platform == "win32":
        body = f'@echo off\r\nrem The source of packets "Particle handshake".\r\n"{python}" -P -m analyzer wireshark source %*\r\n'
        return sealed(body.encode("utf-8"), "rem", "\r\n")
    body = f'#!/bin/sh\n# The source of packets "Particle handshake".\nexec {shlex.quote(python)} -P -m analyzer wireshark source "$@"\n'
    return sealed(body.encode("utf-8"))


def sealed(content: bytes, comment: str = "#", end: str = "\n") -> bytes:
    """The file with the line that tells whether it was changed, behind its first line."""
    first, _, rest = content.partition(end.encode())
    line = f"{comment} Written by `analyze wireshark install`; unchanged: {_digest(content)}{end}"
    return first + end.encode() + line.encode() + rest


def untouched(content: bytes) -> bool:
    """Whether these bytes are a file of ours, of any version, that nobody changed."""
    found = _SEAL.search(content)
    return found is not None and _digest(content[: found.start()] + content[found.end() :]) == found[1].decode()


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]
