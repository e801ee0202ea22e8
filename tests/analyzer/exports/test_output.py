"""Whole or not at all; never over the input; for the owner's eyes when it holds secrets."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.exports.output import make_private, new_file


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with new_file(output, tmp_path / "in") as file:
        file.write(b"abc")
        assert not output.exists()
    assert output.read_bytes() == b"abc"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_left_when_the_block_fails(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), new_file(output, tmp_path / "in") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert output.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("private", [True, False])
def test_modes(tmp_path: Path, private: bool) -> None:
    with new_file(tmp_path / "out", tmp_path / "in", private=private) as file:
        (temporary,) = tmp_path.iterdir()
        during = stat.S_IMODE(temporary.stat().st_mode)
        file.write(b"x")
    after = stat.S_IMODE((tmp_path / "out").stat().st_mode)
    assert during == after
    assert (after == 0o600) is private


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link", "other spelling"])
def test_the_input_is_never_the_output(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"capture")
    output = {
        "same": source,
        "symlink": tmp_path / "link",
        "hard link": tmp_path / "hard",
        "other spelling": tmp_path / "." / "sub" / ".." / "in",
    }[kind]
    (tmp_path / "sub").mkdir()
    if kind == "symlink":
        output.symlink_to(source)
    if kind == "hard link":
        output.hardlink_to(source)
    with pytest.raises(InputError, match="is the capture that is read"), new_file(output, source):
        pass
    assert source.read_bytes() == b"capture"


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), new_file(tmp_path / "no" / "out", tmp_path / "in"):
        pass


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with new_file(pipe, tmp_path / "in") as file:
        make_private(file)  # of a pipe there is nothing to make private
        file.write(b"abc")
    reader.join()
    assert read == [b"abc"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot be written: No space left"),
        new_file(Path("/dev/full"), tmp_path) as file,
    ):
        file.write(b"abc" * 100_000)


def test_what_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(InputError, match="cannot be written"), new_file(output, tmp_path / "in") as file:
        file.write(b"abc")
        output.mkdir()
        (output / "something").write_bytes(b"in the way")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_made_private_on_the_way_stays_so(tmp_path: Path) -> None:
    with new_file(tmp_path / "out", tmp_path / "in") as file:
        make_private(file)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
