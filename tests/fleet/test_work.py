"""One capture and its answer, whatever is wrong with the capture, its file or us."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from pathlib import Path

import pytest

from analyzer.fleet import work
from analyzer.fleet.answer import Answer, Known, Unchanged, capture_json
from analyzer.fleet.work import Setup, analyze
from analyzer.keys import KeyRing
from tests.fleet.odd import Odd


@pytest.fixture
def capture(captures: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(captures / "synth-connect-refused" / "capture.pcap", tmp_path / "a.pcap"))


def known_of(path: Path) -> Known:
    return Known(hashlib.sha256(path.read_bytes()).digest())


def answered(path: object, setup: Setup | None = None) -> Answer:
    found = analyze(str(path), setup or Setup(KeyRing()))
    assert isinstance(found, Answer)
    return found


def test_the_content_is_told_before_the_work_begins(capture: Path) -> None:
    told: list[Known] = []
    assert isinstance(analyze(str(capture), Setup(KeyRing()), told.append), Answer)
    assert told == [known_of(capture)]
    again = analyze(str(capture), Setup(KeyRing(), done=frozenset(told)))
    assert again == Unchanged(str(capture), told[0].sha256)


def test_a_large_capture_is_read_twice_with_the_same_result(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = answered(capture)
    size = capture.stat().st_size
    for small in (100, size - 1, size):
        monkeypatch.setattr(work, "_SMALL", small)
        monkeypatch.setattr(work, "_BLOCK", 64)
        assert answered(capture) == once


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are what cannot be read twice")
def test_a_large_capture_that_cannot_be_read_twice_is_refused(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_SMALL", 100)
    os.mkfifo(tmp_path / "pipe.pcap")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe.pcap").write_bytes(capture.read_bytes()))
    writer.start()
    found = answered(tmp_path / "pipe.pcap")
    writer.join()
    assert (found.status, found.stopped) == ("failed", "unreadable")
    assert found.reason == "cannot be read twice (copy it to a file first)"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("gone.pcap", "cannot be read: No such file or directory"), ("folder", "is a folder")],
)
def test_what_cannot_be_opened_is_tried_again(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    found = answered(tmp_path / name)
    assert (found.sha256, found.status, found.reason, found.stopped) == (None, "failed", reason, "unreadable")


def test_what_is_no_capture_is_a_result(tmp_path: Path) -> None:
    """Its content is known and will not change: the next run need not look again."""
    (tmp_path / "x.pcap").write_bytes(b"no capture at all")
    found = answered(tmp_path / "x.pcap")
    assert (found.sha256, found.stopped) == (known_of(tmp_path / "x.pcap").sha256, None)


def test_a_defect_of_ours_is_that_captures_row_alone(capture: Path) -> None:
    found = answered(capture.rename(capture.with_name("defect.pcap")), Setup(KeyRing(), tickets=Odd()))
    assert (found.status, found.stopped) == ("failed", "crash")
    assert found.sha256 == known_of(capture.with_name("defect.pcap")).sha256
    assert found.reason is not None
    assert found.reason.startswith("a defect of the analyzer: ZeroDivisionError at odd.py:")
    assert "secret" not in found.reason + capture_json("p", found.report)


def test_memory_that_is_refused_is_for_the_process_to_answer(capture: Path) -> None:
    with pytest.raises(MemoryError):
        analyze(str(capture.rename(capture.with_name("refused.pcap"))), Setup(KeyRing(), tickets=Odd()))


def test_a_url_is_opened_where_it_is(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(url: str) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(capture.read_bytes())

    monkeypatch.setattr(work, "open_url", opened)
    found = answered("s3://bucket/a.pcap")
    assert asked == [found.path] == ["s3://bucket/a.pcap"]
    assert found.report == answered(capture).report
