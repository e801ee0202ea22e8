"""The menu in Wireshark, with its windows stood in for (`menu_driver.lua`); the screens themselves are looked at by hand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.wireshark import MENU, lua_path

pytestmark = pytest.mark.tshark
CASE = Path(__file__).resolve().parents[2] / "captures" / "dtls-03-wrong-server-key-on-device"


def used(tshark: str, home: Path, program: str, keys: str = str(CASE / "keys")) -> dict[str, str]:
    """What each action of the menu showed."""
    driver = Path(__file__).with_name("menu_driver.lua")
    environment = {
        **os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "PARTICLE_CAPTURE": str(CASE / "capture.pcap"), "PARTICLE_KEYS": keys,
        "PARTICLE_PROGRAM": program, "PARTICLE_FRAME": "12", "PARTICLE_MENU": str(lua_path(MENU)), "TMPDIR": str(home),
    }  # fmt: skip
    done = subprocess.run(
        [tshark, "-X", f"lua_script:{driver}", "-r", str(CASE / "capture.pcap"), "-Y", "frame.number < 1"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ".lua:" not in done.stderr + done.stdout, done.stderr + done.stdout
    return {part.split("\n", 1)[0]: part for part in done.stdout.split("action: ")[1:]}


@pytest.fixture
def program(tmp_path: Path) -> str:
    """`analyze` under a name that a shell would take apart."""
    path = tmp_path / "it's analyze"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m analyzer "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_from_the_menu_to_the_verdict_and_the_packet(tshark: str, tmp_path: Path, program: str) -> None:
    shown = used(tshark, tmp_path, program)
    why = shown["Why can't it connect?"]
    assert "server-key-mismatch (proven)" in why
    assert "button: Go to frame 5\n" in why
    assert "button: Go to frame ...\n" in why
    explained = shown["Explain this packet"]
    assert "s2 verdict: server-key-mismatch (proven)" in explained
    assert "Session s2, frames 8 to 14: server-key-mismatch" in explained
    followed = shown["Follow device"]
    assert followed.count("udp.stream eq 0") == 8
    assert "opened: " in shown["Open annotated copy"]
    assert "Edit > Preferences > Protocols > PARTICLE" in shown["Help"]
    # "Go to frame 5": one packet passes, then what was there before.
    last = shown["Help"]
    assert "filter: frame.number == 5\nfilter: (" in last
    assert last.count("left: ") == 1, "the annotated copy alone is kept, while it is open"
    assert last.count("gone: ") == 4


def test_where_analyze_is_not_found_one_sentence_says_what_to_do(tshark: str, tmp_path: Path) -> None:
    shown = used(tshark, tmp_path, str(tmp_path / "no-such-program"))
    for action in ("Why can't it connect?", "Explain this packet", "Follow device", "Open annotated copy"):
        assert "`analyze` was not found: install it, run `analyze wireshark install` once" in shown[action]


def test_what_analyze_says_of_a_wrong_key_folder_is_shown(tshark: str, tmp_path: Path, program: str) -> None:
    shown = used(tshark, tmp_path, program, keys=str(tmp_path / "nowhere"))
    assert "nowhere: no such key file or folder" in shown["Why can't it connect?"]
