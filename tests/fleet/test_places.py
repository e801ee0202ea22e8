"""Captures behind URLs: what a URL means, and one clear line where it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO

import pytest

from analyzer.errors import InputError
from analyzer.fleet.listing import listed
from analyzer.fleet.places import expand_url, is_url, open_url

fsspec = pytest.importorskip("fsspec", reason="the extra `remote` is not installed")


@pytest.fixture
def memory() -> Iterator[str]:
    """A file system of fsspec's own with two captures and a note in it."""
    system = fsspec.filesystem("memory")
    for name, content in {"a.pcap": b"first", "deep/b.PCAPNG": b"second", "notes.txt": b"no capture"}.items():
        with system.open(f"/tickets/{name}", "wb") as file:
            file.write(content)
    yield "memory://tickets"
    system.rm("/tickets", recursive=True)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system that refuses everything, with the error its host's name says."""

    class Refusing(fsspec.AbstractFileSystem):
        protocol = "refusing"

        def _refuse(self, path: str, *_: object, **__: object) -> None:
            raise {"forbidden": PermissionError, "broken": RuntimeError}[path.rpartition("//")[2]]("user:secret@host")

        open = isdir = glob = find = _refuse

    monkeypatch.setitem(import_module("fsspec.registry")._registry, "refusing", Refusing)  # the public one is read-only
    return "refusing://"


@pytest.mark.parametrize(
    ("word", "url"),
    [("s3://bucket/x.pcap", True), ("HTTPS://host/x.pcap", True), ("C:\\captures\\x.pcap", False), ("c:/x.pcap", False),
     ("./s3:/x.pcap", False), ("x.pcap", False), ("1a://x", False)],
)  # fmt: skip
def test_a_drive_letter_is_no_scheme(word: str, url: bool) -> None:
    assert is_url(word) is url


def test_a_url_opens_seekable(memory: str) -> None:
    with open_url(f"{memory}/a.pcap") as stream:
        assert stream.read() == b"first"
        stream.seek(1)
        assert stream.read() == b"irst"


def test_a_folder_means_the_captures_below_it(memory: str) -> None:
    assert expand_url(memory) == ("memory:///tickets/a.pcap", "memory:///tickets/deep/b.PCAPNG")


def test_a_glob_means_what_it_matches(memory: str) -> None:
    assert expand_url(f"{memory}/*.pcap") == ("memory:///tickets/a.pcap",)
    with pytest.raises(InputError, match="no captures there"):
        expand_url(f"{memory}/*.snoop")


def test_a_file_means_itself_whether_it_is_there_or_not(memory: str) -> None:
    for name in ("a.pcap", "gone.pcap"):
        assert expand_url(f"{memory}/{name}") == (f"{memory}/{name}",)


def test_a_web_server_is_not_asked_for_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none that can be listed: a page of links is not a folder of captures."""
    asked: list[str] = []

    class Web:
        def isdir(self, path: str) -> bool:
            asked.append(path)
            return True

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Web(), url))
    assert expand_url("https://host/captures") == ("https://host/captures",)
    assert asked == []


def test_a_list_holds_folders_and_urls_each_once(memory: str) -> None:
    """A URL on the list is taken as it is: what is not there becomes a row, not the end of the run."""
    names = f"{memory}/gone.pcap\0{memory}/gone.pcap\0".encode()
    assert listed([memory, "-", f"{memory}/*.pcap"], BytesIO(names)) == (
        "memory:///tickets/a.pcap",
        "memory:///tickets/deep/b.PCAPNG",
        "memory://tickets/gone.pcap",
    )


@pytest.mark.parametrize("ask", [open_url, expand_url])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("forbidden", "access denied"),
        ("broken", "cannot be read: RuntimeError"),
    ],
)
def test_a_refusal_is_one_line_without_what_the_error_says(ask, url: str, told: str, refusing: str) -> None:
    """Errors of file systems may quote credentials: only their kind is told."""
    with pytest.raises(InputError, match=told) as end:
        ask(refusing + url)
    assert "secret" not in str(end.value)


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(InputError, match="no such file"):
        open_url("memory://tickets/gone.pcap")


@pytest.mark.parametrize("ask", [open_url, expand_url])
def test_a_file_system_that_is_not_installed_is_named(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(InputError, match="its file system is not installed: .*paramiko"):
        ask("sftp://host/x.pcap")


@pytest.mark.parametrize("ask", [open_url, expand_url])
def test_without_fsspec_the_extra_is_named(ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match=r"URLs need fsspec.*\[remote\]"):
        ask("s3://bucket/x.pcap")
