"""Hostile key folders: whatever the bytes, a ring comes back, quickly, and no key is made up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors import InputError
from analyzer.keys import load_keys, protected
from analyzer.keys.build import build
from analyzer.keys.contents import read_contents
from analyzer.keys.names import hint
from analyzer.keys.pairing import compare
from analyzer.keys.protected import open_pem
from analyzer.keys.roles import Claim

ZOO = Path(__file__).resolve().parents[3] / "captures" / "keys-zoo"
SMALL = sorted(
    path for path in ZOO.rglob("*") if path.is_file() and path.stat().st_size < 9000 and path.name != "expected.json"
)


def read(name: str, data: bytes):
    claim = Claim(name, hint(name))
    contents = read_contents(data, claim)
    return [build(blob, claim, (b"correct horse",)) for blob in contents.blobs] + (
        [contents.secrets] if contents.secrets else []
    )


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.relative_to(ZOO).as_posix())
def test_every_truncation_is_read(path):
    data = path.read_bytes()
    for size in {*range(min(40, len(data))), *range(0, len(data), max(1, len(data) // 40))}:
        for key in read(path.name, data[:size]):
            assert key.status == "ok" or key.problem


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SMALL), st.lists(st.tuples(st.integers(0, 8999), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_read(path, flips):
    data = bytearray(path.read_bytes())
    if not data:
        return
    for offset, mask in flips:
        data[offset % len(data)] ^= mask
    for key in read(path.name, bytes(data)):
        assert key.status == "ok" or key.problem


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([path.name for path in SMALL]), st.binary(max_size=1400))
def test_any_bytes_under_any_name_are_read(name, data):
    for key in read(name, data):
        assert key.status == "ok" or key.problem
        assert key.rsa is None or not key.rsa.consistent


def test_folder_of_everything_at_once_is_compared():
    ring = load_keys([ZOO], passphrases=[b"correct horse"])
    report = compare(ring)
    assert len(ring.keys) > 150
    assert report.troubled


def test_what_is_no_file_is_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.der")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.der").symlink_to(tmp_path / "nowhere")
    assert load_keys([tmp_path]).keys == ()


def test_missing_path_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_keys([tmp_path / "nowhere"])


def test_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.der").open("wb") as stream:
        stream.truncate(1 << 33)
    started = time.perf_counter()
    ring = load_keys([tmp_path])
    assert time.perf_counter() - started < 1
    assert [item.file for item in ring.skipped] == ["huge.der"]


def test_unreadable_file_is_told(tmp_path):
    path = tmp_path / "a.der"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("running as a user whom no permission stops")
    assert load_keys([tmp_path]).skipped[0].reason.startswith("cannot be read")


def test_progress_counts_every_file(tmp_path):
    for number in range(200):
        (tmp_path / f"{number}.der").write_bytes(b"x")
    seen: list[tuple[int, int]] = []
    load_keys([tmp_path], progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 200)
    assert seen[-1] == (200, 200)
    assert len(seen) > 2


def test_same_name_in_two_folders_stays_apart_and_the_same_file_comes_once(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "device.der").write_bytes(folder.encode() * 700)
    ring = load_keys([tmp_path / "a", tmp_path / "b", tmp_path / "b" / "device.der"])
    assert [key.file for key in ring.keys] == ["device.der", "b/device.der"]


def test_folder_hash_follows_names_and_contents(tmp_path):
    (tmp_path / "a.der").write_bytes(b"one")
    first = load_keys([tmp_path]).fingerprint_of_folder
    assert load_keys([tmp_path]).fingerprint_of_folder == first
    (tmp_path / "a.der").write_bytes(b"two")
    second = load_keys([tmp_path]).fingerprint_of_folder
    (tmp_path / "a.der").rename(tmp_path / "b.der")
    assert len({first, second, load_keys([tmp_path]).fingerprint_of_folder}) == 3


@pytest.mark.parametrize("vector", [b"9AD6E2", b"", b"xyz", b"9AD6E2ACAF094117FFDD37418057CA6B00"])
def test_an_old_encrypted_pem_with_a_wrong_vector_is_not_opened(vector: bytes, capfd) -> None:
    """The library's Rust panics on a short one, which no `except Exception` catches."""
    pem = (
        b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,"
        + vector
        + b"\n\nVXlUeG4=\n-----END EC PRIVATE KEY-----\n"
    )
    assert open_pem(pem, [b"secret"]) is None
    assert capfd.readouterr().err == ""


def test_a_panic_of_the_library_is_a_key_that_does_not_open(monkeypatch) -> None:
    class PanicException(BaseException):
        pass

    def load(data: bytes, passphrase: bytes) -> object:
        raise PanicException

    assert protected._opened(load, b"", [b"secret"]) is None
