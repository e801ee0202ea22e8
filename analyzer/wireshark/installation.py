"""Puts our files where Wireshark looks for them, says what is there, and takes them away again.

What somebody else wrote, or changed, is never overwritten or removed without ``force``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from analyzer.errors import InputError
from analyzer.wireshark.folders import default_folder, places
from analyzer.wireshark.pieces import MENU, NAME, PROFILE, Piece, lua_path, lua_version, pieces, untouched

#: What Wireshark itself keeps in a profile: window sizes and the like.
_WIRESHARKS_OWN = "recent"
#: Columns wide enough for what is in them, until Wireshark writes the widths its user likes.
_WIDTHS = b"""# Recent settings file for Wireshark
column.width: %m, 52, %t, 100, %s, 130, %d, 130, %p, 80, "%Cus:particle.stage", 140, "%Cus:particle.device_id", 200, "%Cus:particle.verdict", 160, %i, 460, "%Cus:frame.comment", 500
"""


class State(StrEnum):
    """What stands where one of our files belongs."""

    ABSENT = "absent"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    CHANGED = "changed"
    FOREIGN = "another file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Standing:
    """One of our files: for which Wireshark, what it is, where, and what is there."""

    wireshark: str
    what: str
    path: Path
    state: State


def install(target: Path | None = None, force: bool = False) -> Path:
    """Copy the dissector and its menu into ``target`` (a folder; by default Wireshark's own) and return the dissector's path.

    An older copy is replaced, an equal one left alone. Without ``force`` a newer one, one that was changed by hand and a
    file that is not ours are refused. Raises :class:`InputError` for those and when the folder cannot be written.
    """
    folder = default_folder(sys.platform, os.environ, Path.home()) if target is None else target
    for name in (NAME, MENU):
        _put(Piece(name, folder / name, lua_path(name).read_bytes()), force)
    return folder / NAME


def install_all(force: bool = False) -> list[Standing]:
    """Put every file for every Wireshark of this user; what was there before, by file.

    CURRENT, ABSENT and OLDER are as they should be now; files in another state were left alone (with ``force`` replaced).
    Raises :class:`InputError` where :func:`install` does, for the Lua files, and for folders that cannot be written.
    """
    found = []
    for place in places(sys.platform, os.environ, Path.home()):
        for piece in pieces(place, sys.platform):
            state = _state(piece)
            found.append(Standing(place.name, piece.what, piece.path, state))
            if piece.path.suffix == ".lua" or force or state in (State.ABSENT, State.OLDER):
                _put(piece, force)
        widths = Piece("profile", place.config / "profiles" / PROFILE / _WIRESHARKS_OWN, _WIDTHS)
        if _state(widths) is State.ABSENT:
            _put(widths, force)
    return found


def present() -> list[Standing]:
    """What is there now of each of our files, for every Wireshark of this user."""
    return [
        Standing(place.name, piece.what, piece.path, _state(piece))
        for place in places(sys.platform, os.environ, Path.home())
        for piece in pieces(place, sys.platform)
    ]


def uninstall(force: bool = False) -> list[Standing]:
    """Remove our files that nobody changed (with ``force`` changed ones too); what was there before, by file."""
    found = present()
    gone = {State.CURRENT, State.OLDER, State.NEWER} | ({State.CHANGED} if force else set())
    for item in found:
        if item.state not in gone:
            continue
        try:
            item.path.unlink()
            if item.what == "profile":
                _drop_profile(item.path.parent)
        except OSError as error:
            raise InputError(
                str(item.path), f"cannot be removed: {error.strerror or error}", "check its rights"
            ) from error
    return found


def _drop_profile(folder: Path) -> None:
    """Remove the profile's folder when nothing of a user's is in it."""
    left = {path.name for path in folder.iterdir()}
    if left <= {_WIRESHARKS_OWN}:
        for name in left:
            (folder / name).unlink()
        folder.rmdir()


def _state(piece: Piece) -> State:
    try:
        content = piece.path.read_bytes()
    except FileNotFoundError:
        return State.ABSENT
    except OSError:
        return State.UNREADABLE
    if content == piece.content:
        return State.CURRENT
    if piece.path.suffix != ".lua":
        return State.OLDER if untouched(content) else State.CHANGED
    theirs = lua_version(content.decode("utf-8", errors="replace"), piece.path.name)
    ours = lua_version(piece.content.decode("utf-8"), piece.path.name)
    if theirs is None or ours is None:
        return State.FOREIGN
    if theirs == ours:
        return State.CHANGED
    return State.NEWER if theirs > ours else State.OLDER


def _put(piece: Piece, force: bool) -> None:
    """Write one file. Raises :class:`InputError` where something else is there and ``force`` is not given."""
    folder = piece.path.parent
    try:
        state = _state(piece)
        if state is State.CURRENT:
            return
        if not force:
            _refuse_to_replace(piece, state)
        folder.mkdir(parents=True, exist_ok=True)
        _write(piece)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(str(folder), "is a file, not a folder", "name a folder") from error
    except OSError as error:
        raise InputError(
            str(piece.path),
            f"cannot be written: {error.strerror or error}",
            "name another folder, or check its rights",
        ) from error


def _refuse_to_replace(piece: Piece, state: State) -> None:
    where = str(piece.path)
    if state is State.FOREIGN:
        raise InputError(where, "is another file of that name", "move it away, or use --force to replace it")
    if state is State.NEWER:
        theirs = lua_version(piece.path.read_text("utf-8", errors="replace"), piece.path.name)
        ours = lua_version(piece.content.decode("utf-8"), piece.path.name)
        have, offer = (".".join(map(str, version or ())) for version in (theirs, ours))
        raise InputError(where, f"is version {have}, newer than {offer}", "use --force to go back")
    if state is State.CHANGED:
        raise InputError(where, "was changed by hand", "use --force to replace it")


def _write(piece: Piece) -> None:
    """Write beside the destination, then rename: Wireshark never sees half a file."""
    handle, name = tempfile.mkstemp(prefix=".particle", suffix=".tmp", dir=piece.path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(piece.content)
        temporary.chmod(0o755 if piece.runs else 0o644)
        temporary.replace(piece.path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
