"""Worker processes: none outlives its parent, and what one of them dies of is one row."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from analyzer.fleet import processes
from analyzer.fleet.answer import Answer
from analyzer.fleet.work import Limits, Setup
from analyzer.keys import KeyRing
from tests.fleet.odd import Odd


@pytest.fixture
def odd(captures: Path, tmp_path: Path):
    """Makes captures of these names."""

    def make(*names: str) -> list[str]:
        source = captures / "synth-connect-refused" / "capture.pcap"
        return [str(shutil.copy(source, tmp_path / f"{name}.pcap")) for name in names]

    return make


def sha256_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def ran(paths: list[str], limits: Limits | None = None) -> dict[str, Answer]:
    setup = Setup(KeyRing(), limits=limits or Limits(), tickets=Odd())
    found = [answer for answer in processes.run(paths, setup, 1) if isinstance(answer, Answer)]
    assert len(found) == len(paths), "each once"
    return {Path(answer.path).stem: answer for answer in found}


def test_a_worker_whose_parent_is_gone_ends_of_itself(odd) -> None:
    (path,) = odd("a")
    worker = processes._Worker(Setup(KeyRing()))
    try:
        assert worker.pipe.recv() is None, "it is ready"
        assert worker.at is None
        worker.give(path)
        answer = worker.pipe.recv()
        assert (answer.path, answer.sha256) == (path, sha256_of(path))
        assert worker.at is not None
        assert worker.at.sha256 == sha256_of(path)
        worker.pipe.close()  # as the system does when the parent ends, of whatever
        worker.process.join(30)
        assert worker.process.exitcode == 0
    finally:
        worker.kill()


def test_a_defect_on_one_capture_does_not_end_the_worker(odd) -> None:
    found = ran(odd("a", "defect", "b"))
    assert [found[name].status for name in ("a", "defect", "b")] == ["ok", "failed", "ok"]


@pytest.mark.parametrize("name", ["refused", "large"])
@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by RLIMIT_DATA as Linux has it")
def test_memory_that_the_system_refuses_is_that_captures_row(name: str, odd) -> None:
    paths = odd("a", name, "b", "c")
    found = ran(paths, Limits(megabytes=1024))
    assert (found[name].stopped, found[name].limit) == ("memory", 1024)
    assert found[name].reason == "given up above 1024 MB of memory (--memory-limit)"
    assert found[name].sha256 == sha256_of(paths[1])
    assert {found[other].status for other in ("a", "b", "c")} == {"ok"}


def test_a_worker_that_ends_is_a_row_with_its_status(odd) -> None:
    paths = odd("a", "leaves", "b")
    found = ran(paths)
    assert found["leaves"].stopped == "crash"
    assert found["leaves"].reason == "the process that read it died (status 7)"
    assert found["leaves"].sha256 == sha256_of(paths[1])
    assert (found["a"].status, found["b"].status) == ("ok", "ok")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read from /proc")
def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert processes._resident(os.getpid()) > 1 << 20
    assert processes._resident(None) == 0
