"""A drop folder: captures are taken when they are complete, and none is lost."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.fleet.questions import captures as rows
from analyzer.fleet.store import Store
from analyzer.watching import Arrivals, arriving

ROOT = Path(__file__).parents[2]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_counts_once_it_is_closed_or_quiet_for_long_enough(tmp_path):
    clock = Clock()
    arrivals = Arrivals(settled_s=3.0, clock=clock)
    growing, closed = tmp_path / "growing.pcap", tmp_path / "closed.pcap"
    growing.write_bytes(b"1")
    closed.write_bytes(b"1")
    arrivals.changed(str(growing))
    arrivals.changed(str(closed))
    arrivals.closed(str(closed))
    assert arrivals.ready() == [str(closed)]
    for _ in range(5):
        clock.now += 2.0
        growing.write_bytes(growing.read_bytes() + b"1")
        assert arrivals.ready() == []
    clock.now += 2.9
    assert arrivals.ready() == []
    clock.now += 0.2
    assert arrivals.ready() == [str(growing)]
    clock.now += 60
    assert arrivals.ready() == []
    arrivals.changed(str(growing))
    arrivals.ready()
    clock.now += 3.1
    assert arrivals.ready() == [str(growing)], "what changes after it was taken comes again"


def test_what_is_no_capture_or_is_gone_does_not_come(tmp_path):
    arrivals = Arrivals(settled_s=0.0)
    for name in ("notes.txt", ".capture.pcap.partial", ".hidden.pcap", "gone.pcap"):
        arrivals.changed(str(tmp_path / name))
        arrivals.closed(str(tmp_path / name))
    assert arrivals.ready() == []


def test_a_file_that_goes_before_it_is_complete_is_forgotten(tmp_path):
    clock = Clock()
    arrivals = Arrivals(settled_s=3.0, clock=clock)
    file = tmp_path / "upload.pcap"
    file.write_bytes(b"1")
    arrivals.changed(str(file))
    assert arrivals.ready() == []
    file.unlink()
    assert arrivals.ready() == []
    file.write_bytes(b"1")  # another one of that name, which nobody told of
    clock.now += 10
    assert arrivals.ready() == []


def test_a_file_that_is_renamed_into_place_is_complete(tmp_path):
    """How careful writers do it: under another name until all of it is there."""
    pytest.importorskip("watchdog", reason="the extra `watch` is not installed")
    (tmp_path / "folder").mkdir()
    coming = arriving(tmp_path, settled_s=60.0)
    assert next(coming) == []
    (tmp_path / "folder" / "a.pcap.part").write_bytes(b"1")
    (tmp_path / "folder" / "a.pcap.part").rename(tmp_path / "folder" / "a.pcap")
    deadline = time.monotonic() + 30
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        found = next(coming)
    coming.close()
    assert found == [str(tmp_path / "folder" / "a.pcap")]


def test_without_watchdog_the_folder_is_looked_through(tmp_path, monkeypatch):
    monkeypatch.setattr("analyzer.watching.find_spec", lambda name: None)
    monkeypatch.setattr("analyzer.watching._POLL_S", 0.05)
    there, later = tmp_path / "there.pcap", tmp_path / "sub" / "later.pcap"
    there.write_bytes(b"1")
    found: list[str] = []
    coming = arriving(tmp_path, 0.2)
    deadline = time.monotonic() + 30

    def wait_for(path: Path) -> None:
        found.clear()
        while str(path) not in found:
            assert time.monotonic() < deadline, found
            found.extend(next(coming))

    wait_for(there)
    later.parent.mkdir()
    later.write_bytes(b"1")
    wait_for(later)
    assert found == [str(later)], "what has not changed does not come again"
    there.write_bytes(b"22")
    wait_for(there)
    coming.close()


def test_a_folder_that_cannot_be_watched_is_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such folder"):
        next(arriving(tmp_path / "gone"))
    observers = pytest.importorskip("watchdog.observers", reason="the extra `watch` is not installed")

    def refused(_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(observers.Observer, "start", refused)
    with pytest.raises(InputError, match="cannot be watched: inotify watch limit reached"):
        next(arriving(tmp_path))


def wait_for(store: Path, names: set[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if store.exists():
            with Store(store) as opened:
                if {Path(row.path).name for row in rows(opened)} >= names:
                    return
        time.sleep(0.3)
    raise AssertionError(f"{names} did not come")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_there_what_comes_and_what_came_meanwhile(captures, tmp_path, number):
    pytest.importorskip("watchdog", reason="the extra `watch` is not installed")
    case = captures / "tcp-02a-cloud-wrong-devkey-brewskey"
    drop, store = tmp_path / "drop", tmp_path / "f.sqlite"
    drop.mkdir()
    command = [
        sys.executable,
        "-m",
        "analyzer",
        "watch",
        str(drop),
        "--keys",
        str(case / "keys"),
        "--store",
        str(store),
        "--settle",
        "0.5",
    ]

    def start():
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def stop(process) -> str:
        process.send_signal(number)
        told, _ = process.communicate(timeout=30)
        assert process.returncode == (0 if number == signal.SIGINT else 143)
        return told

    shutil.copy(case / "capture.pcap", drop / "before.pcap")
    process = start()
    wait_for(store, {"before.pcap"})
    (drop / "new").mkdir()
    time.sleep(0.5)
    shutil.copy(case / "capture.pcap", drop / "new" / "during.pcap")
    giving_up = threading.Timer(60, process.kill)  # what is told comes after what is stored: wait for the telling
    giving_up.start()
    told = [process.stdout.readline() for _ in range(4)]
    giving_up.cancel()
    assert ["device-key-mismatch (proven)" in line for line in told] == [True] * 4
    assert stop(process) == ""
    shutil.copy(captures / "dtls-01-good" / "capture.pcap", drop / "after.pcap")
    process = start()
    wait_for(store, {"before.pcap", "during.pcap", "after.pcap"})
    stop(process)
