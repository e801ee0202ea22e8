"""The source of packets in Wireshark's interface list, asked as Wireshark asks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from analyzer.cli.source import answer
from analyzer.errors import InputError
from analyzer.wireshark import lua_path

CASE = Path(__file__).resolve().parents[2] / "captures" / "dtls-01-good"
IT = ["--extcap-interface", "particle-handshake"]


def test_wireshark_is_told_of_one_interface_and_its_dialog(capsys: pytest.CaptureFixture[str]) -> None:
    answer(["--extcap-interfaces", "--extcap-version=4.4"])
    assert "interface {value=particle-handshake}{display=Particle handshake}" in capsys.readouterr().out
    answer([*IT, "--extcap-dlts"])
    assert capsys.readouterr().out.startswith("dlt {number=1}")
    answer([*IT, "--extcap-config"])
    lines = capsys.readouterr().out.splitlines()
    calls = [line.split("{call=")[1].split("}")[0] for line in lines if line.startswith("arg ")]
    assert calls == ["--particle-capture", "--particle-interface", "--particle-keys", "--particle-decrypted"]
    assert "value {arg=1}{value=}{display=none}{default=true}" in lines


def streamed(folder: Path, *options: str) -> Path:
    """What comes out of the pipe, as a file."""
    fifo, out = folder / "fifo", folder / "out.pcapng"
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: out.write_bytes(fifo.read_bytes()))
    reader.start()
    answer(["--capture", *IT, "--fifo", str(fifo), *options])
    reader.join(10)
    return out


@pytest.mark.tshark
def test_a_capture_streams_with_comments_and_decrypted_messages(tshark: str, tmp_path: Path) -> None:
    options = ("--particle-capture", str(CASE / "capture.pcap"), "--particle-keys", str(CASE / "keys"))
    out = streamed(tmp_path, *options, "--particle-interface", "", "--particle-decrypted")
    done = subprocess.run(
        [tshark, "-X", f"lua_script:{lua_path()}", "-r", str(out), "-Y", "frame.comment contains verdict or coap", "-T", "fields", "-e", "frame.protocols"],
        capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
    )  # fmt: skip
    assert "particle" in done.stdout
    assert done.stdout.count("coap") >= 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--capture", *IT], "--fifo: missing"),
        (["--capture", *IT, "--fifo", "f"], "no capture and no interface chosen"),
        (["--capture", *IT, "--fifo", "f", "--particle-capture", "/none/here.pcap"], "here.pcap: "),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words: list[str], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        answer(words)


def test_the_menu_reaches_every_command_through_the_same_script() -> None:
    told = subprocess.run(
        [sys.executable, "-P", "-m", "analyzer", "wireshark", "source", "wireshark", "tell", str(CASE / "capture.pcap")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("session\ts1\t")
    assert "\nreport\n" in told.stdout
