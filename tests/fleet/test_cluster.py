"""A real Dask scheduler with two worker processes on loopback, and a real S3-compatible server."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.fleet import batch
from analyzer.fleet.cluster import Sealed, remote
from analyzer.fleet.questions import Filter
from analyzer.fleet.store import Store
from analyzer.fleet.work import Limits, Setup, analyze
from analyzer.keys import load_keys
from analyzer.reports.fleet.json import format_json
from tests.fleet.difference import difference

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]], Path]]:
    """Address, the two workers' processes, and the folder where workers spill."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": (tmp_path / "dask.log").open("wb"),
        "env": environment,
        "cwd": tmp_path,
    }
    dask = [sys.executable, "-m", "dask"]
    head = subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)
    spill = tmp_path / "spill"
    workers = [
        subprocess.Popen(
            [*dask, "worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(spill), "--name", f"w{number}"],
            **quiet,
        )
        for number in range(2)
    ]  # fmt: skip
    try:
        with distributed.Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, workers, spill
    finally:
        for process in (*workers, head):
            process.terminate()  # not kill: what the workers did is then counted by `.ci/coverage`
        for process in (*workers, head):
            try:
                process.wait(timeout=4)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def many(fleet: Path, count: int) -> list[str]:
    source = (fleet / "captures" / "again.pcap").read_bytes()
    for number in range(count):
        data = bytearray(source)
        data[24:28] = (1_790_000_000 + number).to_bytes(4, "little")
        (fleet / "captures" / f"more-{number:03}.pcap").write_bytes(data)
    return sorted(str(path) for path in (fleet / "captures").rglob("*.pcap"))


def expected(paths: list[str], setup: Setup) -> str:
    def here(names, given):
        for name in names:
            yield analyze(name, given)

    with Store(None) as store:
        batch.run(paths, setup, store, here)
        return "".join(format_json(store, Filter()))


def test_a_worker_killed_in_the_middle_costs_nothing_but_time(fleet, scheduler):
    address, workers, _ = scheduler
    paths = many(fleet, 60)
    setup = Setup(load_keys((fleet / "keys",)))
    killed = threading.Event()

    def told(progress: batch.Progress) -> None:
        if progress.done >= 10 and not killed.is_set():
            workers[0].kill()
            killed.set()

    with Store(fleet / "f.sqlite") as store:
        done = batch.run(paths, setup, store, remote(address), told)
        assert killed.is_set()
        assert (done.done, done.failed) == (len(paths), 0)
        assert difference("".join(format_json(store, Filter())), expected(paths, setup)) is None


def test_keys_stay_out_of_what_the_cluster_shows_and_spills(fleet, scheduler):
    address, _, spill = scheduler
    paths = many(fleet, 8)
    ring = load_keys((fleet / "keys",))
    secrets = [
        key.rsa.d.to_bytes((key.rsa.d.bit_length() + 7) // 8, "big") for key in ring.keys if key.rsa and key.rsa.d
    ]
    assert secrets
    seen: list[str] = []

    def look(dask_scheduler=None) -> str:
        tasks = [f"{key} {task.group_key} {task.prefix.name}" for key, task in dask_scheduler.tasks.items()]
        return "\n".join([*tasks, repr(dask_scheduler.worker_plugins.keys()), repr(list(dask_scheduler.get_events()))])

    def told(progress: batch.Progress) -> None:
        with distributed.Client(address, set_as_default=False) as client:
            seen.append(client.run_on_scheduler(look))

    with Store(None) as store:
        batch.run(paths, Setup(ring), store, remote(address), told)
    text = "\n".join(seen)
    assert "analyze-" in text, "the tasks were looked at while they were there"
    for secret in secrets:
        assert secret[:12].hex() not in text
        assert repr(secret[:12])[2:-1] not in text
        for file in spill.rglob("*"):
            assert not file.is_file() or secret[:16] not in file.read_bytes()
    with distributed.Client(address, set_as_default=False) as client:
        left = client.run(lambda: len(__import__("analyzer.fleet.cluster", fromlist=["x"])._SETUPS))
    assert set(left.values()) == {0}, "after the run no worker holds the keys"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are what hangs here")
def test_the_time_limit_holds_on_the_cluster_too(fleet, scheduler):
    address, _, _ = scheduler
    os.mkfifo(fleet / "hangs.pcap")
    with Store(None) as store:
        setup = Setup(load_keys(()), limits=Limits(seconds=1.0))
        batch.run([str(fleet / "hangs.pcap")], setup, store, remote(address))
        assert store.db.execute("SELECT reason FROM results").fetchall() == [("given up after 1 s (--time-limit)",)]


def test_no_scheduler_is_one_line_and_exit_3(fleet, analyze):
    done = analyze("batch", fleet / "captures", "--scheduler", f"tcp://127.0.0.1:{free_port()}", "--quiet")
    assert done.returncode == 3
    assert "no Dask scheduler answers there" in done.stderr
    assert "Traceback" not in done.stderr


def test_sealed_shows_nothing():
    sealed = Sealed(pickle.dumps(b"secret"))
    assert "secret" not in repr(sealed) + str(sealed)


@pytest.fixture
def bucket(fleet, monkeypatch) -> str:
    """A bucket of moto's server with the fleet's captures; the address is in the environment, as users of S3 give it."""
    pytest.importorskip("s3fs", reason="the extra `remote` is not installed")
    server = pytest.importorskip("moto.server", reason="moto's server is not installed").ThreadedMotoServer(
        port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "*",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    system.mkdir("tickets")
    for path in (fleet / "captures").rglob("*.pcap"):
        system.put_file(str(path), f"tickets/{path.parent.name}-{path.name}")
    yield "s3://tickets"
    server.stop()


def test_captures_of_a_bucket(fleet, bucket, analyze):
    done = analyze("batch", bucket, "--keys", fleet / "keys", "--format", "json", "--jobs", 2)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    local = json.loads(analyze("batch", fleet / "captures", "--keys", fleet / "keys", "--format", "json").stdout)
    assert {item["path"][:13] for item in told["captures"]} == {"s3://tickets/"}
    assert sorted(item["sha256"] for item in told["captures"]) == sorted(item["sha256"] for item in local["captures"])
    assert told["totals"] == local["totals"]
    missing = analyze("batch", f"{bucket}/gone.pcap", "--format", "json")
    assert missing.returncode == 3
    assert "no such file" in missing.stdout
