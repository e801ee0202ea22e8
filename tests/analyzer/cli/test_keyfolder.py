"""Keys as a person at a terminal gives them: asked for passphrases, told how far the reading is."""

from __future__ import annotations

import getpass
import sys
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization as ser

from analyzer.cli import keyfolder
from analyzer.cli.keyfolder import load, passphrases
from analyzer.errors import InputError
from captures.synth.keys import RsaKey

KEY = RsaKey.generate(Random("keyfolder"), 1024)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder with two keys, locked with "one" and "two"."""
    private = ser.load_pem_private_key(KEY.private_pem, None)
    for word in ("one", "two"):
        data = private.private_bytes(
            ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(word.encode())
        )
        (tmp_path / f"{word}.pem").write_bytes(data)
    return tmp_path


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What is written to it. Not a fixture: pytest sets the streams again between that and the test."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setattr(sys, "stdin", Terminal())
    return made


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str | type[BaseException]) -> list[str]:
    """A person at a terminal who gives these answers; the questions."""
    at_terminal(monkeypatch)
    asked: list[str] = []
    left = list(answers)

    def ask(question: str) -> str:
        asked.append(question)
        answer = left.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr(getpass, "getpass", ask)
    return asked


def opened(folder: Path) -> list[bool]:
    return [key.status == "ok" for key in load((folder,), None).keys]


def test_a_person_is_asked_until_every_key_is_open(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "two", "wrong", "one")
    assert opened(locked) == [True, True]
    assert [question.split()[2] for question in asked] == ["one.pem"] * 3


@pytest.mark.parametrize("end", ["", EOFError])
def test_an_empty_answer_goes_on_without(
    end: str | type[BaseException], locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "two", end)
    assert opened(locked) == [False, True]


def test_nobody_is_asked_where_nobody_is(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch)
    monkeypatch.setattr(sys, "stdin", StringIO())
    assert opened(locked) == [False, False]
    assert asked == []


def test_with_a_passphrase_file_nobody_is_asked(locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch)
    (tmp_path / "words").write_bytes(b"two\r\n\nthree\n")
    assert passphrases(tmp_path / "words") == (b"two", b"three")
    statuses = {key.file: key.status for key in load((locked,), tmp_path / "words").keys}
    assert (statuses["one.pem"], statuses["two.pem"]) == ("unusable", "ok")
    assert asked == []


def test_a_passphrase_file_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file.*one passphrase a line"):
        passphrases(tmp_path / "gone")


def test_a_path_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such key file or folder"):
        load((tmp_path / "gone",), None)


def test_many_keys_are_counted_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    monkeypatch.setattr(keyfolder, "_PROGRESS_FROM", 3)
    for number in range(2):
        (tmp_path / f"{number}.pem").write_bytes(KEY.public_pem)
    load((tmp_path,), None)
    assert terminal.getvalue() == ""
    (tmp_path / "3.pem").write_bytes(KEY.public_pem)
    load((tmp_path,), None)
    lines = terminal.getvalue().split("\r")
    assert lines[-1] == f"reading keys [{'#' * 30}] 3/3\n"
    assert all(line.startswith("reading keys [") for line in lines[1:])
