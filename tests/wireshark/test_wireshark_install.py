"""Where the dissector goes, and what is never overwritten."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from analyzer import wireshark
from analyzer.errors import InputError
from analyzer.wireshark import default_folder, install, lua_path, lua_version, plugin_folders

HOME = Path("/home/me")
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
    assert [path.name for path in copy.parent.iterdir()] == ["particle.lua"]
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


@pytest.mark.tshark
def test_wireshark_finds_what_was_installed(tshark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    monkeypatch.setattr(wireshark.os, "environ", environment)
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: tmp_path))
    copy = install()
    done = subprocess.run([tshark, "-G", "plugins"], capture_output=True, text=True, env=environment, check=True)
    line = next(line for line in done.stdout.splitlines() if "particle.lua" in line)
    assert str(copy) in line
    assert "1.1.0" in line
