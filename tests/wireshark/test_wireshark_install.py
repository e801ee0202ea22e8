"""Where the dissector goes, and what is never overwritten."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.wireshark import (
    State,
    default_folder,
    install,
    install_all,
    installation,
    lua_path,
    lua_version,
    pieces,
    places,
    plugin_folders,
    present,
    uninstall,
)

HOME = Path("/home/me")
CAPTURE = Path(__file__).resolve().parents[2] / "captures" / "dtls-01-good" / "capture.pcap"
NEW = Path(".local/lib/wireshark/plugins")


def test_the_dissector_is_there_and_says_its_version() -> None:
    text = lua_path().read_text()
    version = lua_version(text)
    assert version is not None
    assert f'local VERSION = "{".".join(map(str, version))}"' in text


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14"])
def test_unix_folders(platform: str) -> None:
    assert plugin_folders(platform, {}, HOME) == (
        HOME / NEW,
        HOME / ".config/wireshark/plugins",
        HOME / ".wireshark/plugins",
    )
    assert plugin_folders(platform, {"XDG_CONFIG_HOME": "/x"}, HOME)[1] == Path("/x/wireshark/plugins")
    assert plugin_folders(platform, {"XDG_CONFIG_HOME": "relative"}, HOME)[1] == HOME / ".config/wireshark/plugins"
    assert plugin_folders(platform, {"WIRESHARK_CONFIG_DIR": "/w"}, HOME)[:2] == (HOME / NEW, Path("/w/plugins"))


def test_windows_folder() -> None:
    assert plugin_folders("win32", {"APPDATA": "/roaming"}, HOME) == (Path("/roaming/Wireshark/plugins"),)
    assert plugin_folders("win32", {}, HOME) == (HOME / "AppData/Roaming/Wireshark/plugins",)
    assert plugin_folders("win32", {"WIRESHARK_APPDATA": "/w", "APPDATA": "/r"}, HOME) == (
        Path("/w/Wireshark/plugins"),
    )


def test_an_old_folder_is_used_only_when_it_alone_holds_a_copy(tmp_path: Path) -> None:
    new, old = tmp_path / NEW, tmp_path / ".config/wireshark/plugins"
    assert default_folder("linux", {}, tmp_path) == new
    old.mkdir(parents=True)
    assert default_folder("linux", {}, tmp_path) == new
    (old / "particle.lua").write_text("x")
    assert default_folder("linux", {}, tmp_path) == old
    new.mkdir(parents=True)
    (new / "particle.lua").write_text("x")
    assert default_folder("linux", {}, tmp_path) == new


def test_install_makes_the_folder_and_copies(tmp_path: Path) -> None:
    copy = install(tmp_path / "a" / "b")
    assert copy == tmp_path / "a" / "b" / "particle.lua"
    assert copy.read_bytes() == lua_path().read_bytes()
    assert {path.name for path in copy.parent.iterdir()} == {"particle.lua", "particle_menu.lua"}
    assert install(copy.parent) == copy


def older(text: str) -> str:
    return text.replace("-- Version: ", "-- Version: 0.", 1).replace(".0\n", "\n", 1)


def test_an_older_copy_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "particle.lua").write_text(older(lua_path().read_text()))
    assert lua_version((tmp_path / "particle.lua").read_text()) < lua_version(lua_path().read_text())
    install(tmp_path)
    assert (tmp_path / "particle.lua").read_bytes() == lua_path().read_bytes()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("-- Version: 1", "-- Version: 99", 1), "is version 99"),
        (lambda text: text + "\n-- mine\n", "was changed by hand"),
        (lambda text: "local p = Proto('particle')", "is another file of that name"),
        (lambda text: text.replace("-- Version: ", "-- Vers: ", 1), "is another file of that name"),
    ],
    ids=["newer", "changed", "foreign", "no version"],
)
def test_what_is_not_replaced_without_force(tmp_path: Path, change, problem: str) -> None:
    present = change(lua_path().read_text())
    (tmp_path / "particle.lua").write_text(present)
    with pytest.raises(InputError, match=problem) as caught:
        install(tmp_path)
    assert caught.value.hint
    assert (tmp_path / "particle.lua").read_text() == present
    install(tmp_path, force=True)
    assert (tmp_path / "particle.lua").read_bytes() == lua_path().read_bytes()


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "plugins").write_text("")
    with pytest.raises(InputError):
        install(tmp_path / "plugins")
    with pytest.raises(InputError):
        install(tmp_path / "plugins" / "deeper")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        install(tmp_path)
    assert not list(tmp_path.iterdir())


def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose home is ``home``, on Linux."""
    monkeypatch.setattr(installation.os, "environ", {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")})
    monkeypatch.setattr(installation.sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: home))


def test_everything_goes_where_it_belongs_and_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_home(tmp_path, monkeypatch)
    (tmp_path / ".var/app/org.wireshark.Wireshark").mkdir(parents=True)
    (tmp_path / "snap/wireshark/current").mkdir(parents=True)
    assert {item.state for item in install_all()} == {State.ABSENT}
    there = {item.path.relative_to(tmp_path).as_posix() for item in present()}
    assert {
        ".local/lib/wireshark/plugins/particle.lua",
        ".local/lib/wireshark/plugins/particle_menu.lua",
        ".local/lib/wireshark/extcap/analyze-particle",
        "config/wireshark/extcap/analyze-particle",
        "config/wireshark/profiles/Particle/colorfilters",
        ".var/app/org.wireshark.Wireshark/config/wireshark/plugins/particle.lua",
        ".var/app/org.wireshark.Wireshark/config/wireshark/profiles/Particle/preferences",
        "snap/wireshark/current/.local/lib/wireshark/plugins/particle.lua",
        "snap/wireshark/current/.config/wireshark/profiles/Particle/dfilter_buttons",
    } <= there
    assert {item.state for item in present()} == {State.CURRENT}
    assert os.access(tmp_path / ".local/lib/wireshark/extcap/analyze-particle", os.X_OK)
    uninstall()
    assert {item.state for item in present()} == {State.ABSENT}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name == "Particle"]


def test_a_users_files_are_neither_overwritten_nor_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_home(tmp_path, monkeypatch)
    install_all()
    profile = tmp_path / "config/wireshark/profiles/Particle"
    (profile / "colorfilters").write_text("@mine@frame@[0,0,0][65535,65535,65535]\n")
    (profile / "hosts").write_text("10.0.0.1 mine\n")
    # What an older version of us wrote, and nobody touched, is replaced.
    older = b"# buttons\n"
    (profile / "dfilter_buttons").write_bytes(pieces.sealed(older))
    states = {item.path.name: item.state for item in install_all()}
    assert (states["colorfilters"], states["dfilter_buttons"]) == (State.CHANGED, State.OLDER)
    assert (profile / "colorfilters").read_text().startswith("@mine")
    assert b"What is wrong" in (profile / "dfilter_buttons").read_bytes()
    uninstall()
    assert {path.name for path in profile.iterdir()} == {"colorfilters", "hosts", "recent"}
    uninstall(force=True)
    assert {path.name for path in profile.iterdir()} == {"hosts", "recent"}


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_places_on_other_systems(platform: str) -> None:
    (only,) = places(platform, {"APPDATA": "/roaming"} if platform == "win32" else {}, HOME)
    base = Path("/roaming/Wireshark") if platform == "win32" else HOME / ".config/wireshark"
    assert only.config == base
    assert base / "extcap" in only.sources
    script = pieces.launcher(platform)
    assert pieces.untouched(script)
    assert script.startswith(b"@echo off\r\n" if platform == "win32" else b"#!/bin/sh\n")
    assert not pieces.untouched(script + b"more\n")


@pytest.mark.tshark
def test_wireshark_finds_what_was_installed(tshark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    at_home(tmp_path, monkeypatch)
    copy = install()
    done = subprocess.run([tshark, "-G", "plugins"], capture_output=True, text=True, env=environment, check=True)
    line = next(line for line in done.stdout.splitlines() if "particle.lua" in line)
    assert str(copy) in line
    assert "1.1.0" in line
    # Named on the command line as well, it is loaded once.
    again = [tshark, "-X", f"lua_script:{lua_path()}", "-r", str(CAPTURE), "-Y", "particle.stage"]
    done = subprocess.run(again, capture_output=True, text=True, env=environment, check=True)
    assert ".lua:" not in done.stderr
    assert "Client Hello" in done.stdout
