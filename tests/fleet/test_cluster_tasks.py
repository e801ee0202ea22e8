"""Tasks of a cluster that fail: what is tried again, what becomes a row, what ends the run. No cluster is needed."""

from __future__ import annotations

import pickle
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.errors import InputError
from analyzer.fleet import cluster
from analyzer.fleet.answer import Answer, Unchanged
from analyzer.fleet.cluster import Sealed, analyze_there
from analyzer.fleet.work import Setup
from analyzer.keys import KeyRing, load_keys

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


class Future:
    """A task that has ended."""

    def __init__(self, key: str, status: str, value: object) -> None:
        self.key, self.status, self._value = key, status, value
        self.released = False

    def add_done_callback(self, told: Callable[[Future], None]) -> None:
        told(self)

    def result(self) -> object:
        return self._value

    def exception(self) -> object:
        return self._value

    def release(self) -> None:
        self.released = True


class Client:
    """A cluster of one core. ``fate`` says of the captures of a task how it ends: (status, result or error)."""

    class scheduler:  # noqa: N801 - as in distributed
        address = "tcp://host:8786"

    def __init__(self, fate: Callable[[tuple[str, ...]], tuple[str, object]]) -> None:
        self._fate = fate
        self.status = "running"
        self.futures: list[Future] = []
        self.tasks: list[tuple[str, ...]] = []

    def ncores(self) -> dict[str, int]:
        return {"tcp://worker:1": 1}

    def submit(self, _work: object, chunk: tuple[str, ...], _name: str, *, key: str, **_: object) -> Future:
        self.tasks.append(chunk)
        self.futures.append(Future(key, *self._fate(chunk)))
        return self.futures[-1]


def ran(client: Client, paths: list[str]) -> list[Any]:
    return [answer for answer in cluster._answers(client, "run", paths) if answer is not None]


def done(chunk: tuple[str, ...]) -> tuple[str, object]:
    return "finished", [Unchanged(path, "00") for path in chunk]


def test_a_task_that_failed_is_done_again_a_capture_at_a_time() -> None:
    """One of its captures kills workers; the others are not given up with it."""
    bad = "c/070.pcap"
    paths = [f"c/{number:03}.pcap" for number in range(100)]

    def fate(chunk: tuple[str, ...]) -> tuple[str, object]:
        return ("error", distributed.KilledWorker("task", "worker", 2)) if bad in chunk else done(chunk)

    client = Client(fate)
    found = ran(client, paths)
    assert sorted(answer.path for answer in found) == paths
    (failed,) = [answer for answer in found if isinstance(answer, Answer)]
    assert (failed.path, failed.stopped, failed.reason) == (bad, "crash", "the workers it was given to died")
    (first, alone) = [chunk for chunk in client.tasks if bad in chunk]
    assert len(first) > 1
    assert alone == (bad,)
    assert all(future.released for future in client.futures), "no result stays on the cluster"
    assert len({future.key for future in client.futures}) == len(client.futures)


def test_what_the_cluster_gives_up_is_a_row() -> None:
    (failed,) = ran(Client(lambda _: ("error", RuntimeError("the process beside the worker died"))), ["a.pcap"])
    assert (failed.path, failed.stopped, failed.reason) == ("a.pcap", "crash", "the cluster gave it up")


@pytest.mark.parametrize("status", ["lost", "cancelled"])
def test_a_cluster_that_drops_the_work_ends_the_run(status: str) -> None:
    with pytest.raises(InputError, match=r"dropped the work.*run the same command again"):
        ran(Client(lambda _: (status, None)), ["a.pcap"])


def test_a_cluster_that_is_gone_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it may come back it is waited for."""
    monkeypatch.setattr(cluster, "_TICK_S", 0.01)
    monkeypatch.setattr(Future, "add_done_callback", lambda *_: None)
    client = Client(done)
    answers = cluster._answers(client, "run", ["a.pcap"])
    assert [next(answers), next(answers)] == [None, None]
    client.status = "connecting"
    assert next(answers) is None
    client.status = "closed"
    with pytest.raises(InputError, match=r"the cluster is gone.*run the same command again"):
        next(answers)


def test_keys_come_to_a_worker_and_go_again(captures: Path) -> None:
    ring = load_keys((captures / "synth-healthy-photon" / "keys",))
    plugin = cluster._plugin("run-1", Setup(ring))
    assert repr(plugin) == "Keys(run-1)"
    plugin.setup(object())
    assert len(cluster._SETUPS["run-1"].ring) == len(ring) > 0
    plugin.teardown(object())
    assert "run-1" not in cluster._SETUPS
    plugin.teardown(object())  # of a worker that was never given them


def test_what_is_no_setup_is_not_installed() -> None:
    with pytest.raises(TypeError, match="not a set-up"):
        cluster.install("run-1", Sealed(pickle.dumps({"ring": KeyRing()})))
    assert "run-1" not in cluster._SETUPS


@pytest.fixture
def capture(captures: Path, tmp_path: Path) -> str:
    return str(shutil.copy(captures / "synth-connect-refused" / "capture.pcap", tmp_path / "a.pcap"))


@pytest.fixture
def run_1(monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose set-up this process has, as a worker of the cluster would."""
    monkeypatch.setitem(cluster._SETUPS, "run-1", Setup(KeyRing()))
    monkeypatch.setattr(cluster, "_HOSTS", threading.local())
    return "run-1"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
def test_a_process_that_dies_beside_the_worker_is_replaced(run_1: str, capture: str) -> None:
    (answer,) = analyze_there((capture,), run_1)
    assert (answer.path, answer.status) == (capture, "ok")
    first = cluster._HOSTS.host
    first.process.send_signal(signal.SIGSTOP)  # it has the question, and will never answer
    killer = threading.Timer(0.5, first.process.kill)
    killer.start()
    with pytest.raises(RuntimeError, match="the process beside the worker died"):
        analyze_there((capture,), run_1)
    first.process.wait()
    with pytest.raises(RuntimeError, match="the process beside the worker died"):
        first.ask((capture,))
    assert analyze_there((capture,), run_1) == [answer], "the next task has a new one"
    assert cluster._HOSTS.host is not first


def test_another_run_has_a_process_of_its_own(run_1: str, capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of one run never serve another."""
    analyze_there((capture,), run_1)
    first = cluster._HOSTS.host
    monkeypatch.setitem(cluster._SETUPS, "run-2", Setup(KeyRing()))
    analyze_there((capture,), "run-2")
    assert cluster._HOSTS.host is not first
    assert cluster._HOSTS.host.name == "run-2"
    process = first.process
    del first
    assert process.wait(30) is not None, "the other one is ended"


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"a cluster needs Dask.*\[cluster\]"):
        list(cluster.remote("tcp://host:8786")(["a.pcap"], Setup(KeyRing())))
