"""Runs over many captures: the same results whatever happens on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analyzer.fleet import batch
from analyzer.fleet.answer import Answer, Unchanged
from analyzer.fleet.questions import Filter
from analyzer.fleet.store import Store
from analyzer.fleet.work import Setup, analyze
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_paths
from analyzer.reports.fleet.json import format_json
from analyzer.reports.json import format_json as format_one
from tests.benchmarks.kills import kill_again_and_again
from tests.fleet.conftest import Run
from tests.fleet.difference import difference

ROOT = Path(__file__).parents[2]


def paths_of(fleet: Path) -> list[str]:
    return sorted(str(path) for path in (fleet / "captures").rglob("*.pcap"))


def members(group: int) -> list[str]:
    """Processes of a group that are alive (an orphan may stay a zombie where nobody reaps)."""
    found = []
    for stat_file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat_file.read_text().rpartition(")")
        except OSError:
            continue
        state, _, of = rest.split()[:3]
        if int(of) == group and state != "Z":
            found.append(name)
    return found


def in_process(paths, setup):
    """Workers without processes: what is tested is the run, not the crew."""
    for path in paths:
        yield analyze(path, setup)


def exported(store: Store) -> str:
    return "".join(format_json(store, Filter()))


def test_the_json_of_a_store_is_the_report_of_the_pipeline(fleet):
    paths = paths_of(fleet)
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths, Setup(ring), store, in_process)
        told = json.loads(exported(store))
    expected = json.loads("".join(format_one(analyze_paths(paths, ring))))
    assert told == {**expected, "stories": []}


def test_done_work_is_not_done_again(fleet):
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        first = batch.run(paths_of(fleet), Setup(ring), store, in_process)
        before = exported(store)
        again = batch.run(paths_of(fleet), Setup(ring), store, in_process)
        assert (first.known, again.known, again.total) == (0, 5, 5)
        assert difference(exported(store), before) is None


def test_a_capture_that_moved_is_known_and_one_that_changed_is_not(fleet):
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths_of(fleet), Setup(ring), store, in_process)
        moved = fleet / "captures" / "moved.pcap"
        (fleet / "captures" / "again.pcap").rename(moved)
        shutil.copy(
            fleet / "captures" / "dtls-01-good" / "capture.pcap",
            fleet / "captures" / "synth-healthy-photon" / "capture.pcap",
        )
        data = bytearray((fleet / "captures" / "dtls-01-good" / "capture.pcap").read_bytes())
        data[30] ^= 1  # a time stamp
        (fleet / "captures" / "dtls-01-good" / "capture.pcap").write_bytes(data)
        again = batch.run(paths_of(fleet), Setup(ring), store, in_process)
        assert again.known == 4
        told = json.loads(exported(store))
    by_path = {capture["path"]: capture for capture in told["captures"]}
    assert (
        by_path[str(moved)]["sha256"]
        == by_path[str(fleet / "captures" / "tcp-02a-cloud-wrong-devkey-brewskey" / "capture.pcap")]["sha256"]
    )


def test_two_threads_of_work_give_the_order_of_the_paths(fleet, analyze: Run):
    one = analyze("batch", fleet / "captures", "--keys", fleet / "keys", "--format", "json", "--jobs", 1)
    two = analyze("batch", fleet / "captures", "--keys", fleet / "keys", "--format", "json", "--jobs", 2)
    assert one.returncode == two.returncode == 1, one.stderr
    assert one.stdout == two.stdout
    assert [item["path"] for item in json.loads(one.stdout)["captures"]] == paths_of(fleet)


def test_changed_keys_redo_what_they_touch_and_only_that(fleet):
    """The result after a change is that of a fresh run with the new keys; untouched captures are not analysed again."""
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths_of(fleet), Setup(load_keys((fleet / "keys",))), store, in_process)
        copy = next((fleet / "keys" / "tcp-02a-cloud-wrong-devkey-brewskey").glob("*.pub.pem"))
        copy.unlink()
        ring = load_keys((fleet / "keys",))
        worked: list[str] = []

        def counting(paths, setup):
            for path in paths:
                answer = analyze(path, setup)
                if isinstance(answer, Answer):
                    worked.append(path)
                yield answer

        batch.run(paths_of(fleet), Setup(ring), store, counting)
        told = exported(store)
    with Store(None) as fresh:
        batch.run(paths_of(fleet), Setup(ring), fresh, in_process)
        assert difference(told, exported(fresh)) is None
    assert worked, "the captures of that device rest on the key that went"


def test_keys_that_nothing_asked_for_redo_nothing(fleet):
    """What is no capture rests on no key at all."""
    (fleet / "captures" / "junk.pcap").write_bytes(b"not a capture, with any keys")
    paths = [str(fleet / "captures" / "junk.pcap")]
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths, Setup(load_keys(())), store, in_process)
        assert batch.run(paths, Setup(load_keys((fleet / "keys",))), store, in_process).known == 1


def test_what_is_no_capture_is_a_row_and_exit_3(fleet, analyze: Run):
    (fleet / "captures" / "junk.pcap").write_bytes(b"not a capture at all")
    done = analyze("batch", fleet / "captures", "--keys", fleet / "keys", "--format", "json", "--jobs", 1)
    assert done.returncode == 3
    failed = [item for item in json.loads(done.stdout)["captures"] if item["status"] == "failed"]
    assert [(item["path"], item["problems"][0]["code"]) for item in failed] == [
        (str(fleet / "captures" / "junk.pcap"), "unreadable")
    ]


@pytest.mark.parametrize(("case", "status"), [("synth-healthy-photon", 0), ("synth-connect-refused", 1)])
def test_exit_status_of_one_case(fleet, analyze: Run, case, status):
    done = analyze("batch", fleet / "captures" / case, "--keys", fleet / "keys" / case, "-q", "--jobs", 1)
    assert done.returncode == status, done.stderr


def test_no_session_anywhere_is_exit_4(fleet, analyze: Run):
    (fleet / "none.pcap").write_bytes((fleet / "captures" / "again.pcap").read_bytes()[:24])
    assert analyze("batch", fleet / "none.pcap").returncode == 4


def test_the_list_on_standard_input(fleet, analyze: Run):
    names = paths_of(fleet)[:2]
    done = analyze("batch", "-", "--format", "json", "--jobs", 1, input="\0".join(names) + "\0")
    assert [item["path"] for item in json.loads(done.stdout)["captures"]] == sorted(names)
    gone = analyze("batch", "-", "--format", "json", "--jobs", 1, input=f"{names[0]}\n{fleet}/gone.pcap\n")
    assert gone.returncode == 3
    assert [item["status"] for item in json.loads(gone.stdout)["captures"]] == ["ok", "failed"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are what hangs here")
def test_a_capture_over_its_time_limit_is_a_row(fleet):
    """A pipe that nobody writes to: reading it never ends."""
    os.mkfifo(fleet / "captures" / "hangs.pcap")
    paths = sorted([*paths_of(fleet), str(fleet / "captures" / "hangs.pcap")])
    with Store(fleet / "f.sqlite") as store:
        from analyzer.fleet.work import Limits

        setup = Setup(load_keys((fleet / "keys",)), limits=Limits(seconds=1.0))
        batch.run(sorted(set(paths)), setup, store, batch.local(2))
        rows = dict(
            store.db.execute("SELECT path, reason FROM captures JOIN results ON id = result WHERE status = 'failed'")
        )
    assert rows == {str(fleet / "captures" / "hangs.pcap"): "given up after 1 s (--time-limit)"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory of a process is read from /proc")
def test_a_capture_over_its_memory_limit_is_a_row(fleet):
    from analyzer.fleet.work import Limits

    os.mkfifo(fleet / "hangs.pcap")
    with Store(None) as store:
        setup = Setup(load_keys(()), limits=Limits(megabytes=1))
        batch.run([str(fleet / "hangs.pcap")], setup, store, batch.local(1))
        rows = store.db.execute("SELECT stopped, stop_limit, reason FROM results").fetchall()
    assert rows == [("memory", 1.0, "given up above 1 MB of memory (--memory-limit)")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are what hangs here")
def test_a_worker_that_dies_twice_on_a_capture_leaves_a_row(fleet):
    import multiprocessing
    import threading

    os.mkfifo(fleet / "hangs.pcap")
    stop = threading.Event()

    def killer() -> None:
        while not stop.wait(0.5):
            for child in multiprocessing.active_children():
                child.kill()

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        with Store(None) as store:
            batch.run([str(fleet / "hangs.pcap")], Setup(load_keys(())), store, batch.local(1))
            rows = store.db.execute("SELECT stopped, reason FROM results").fetchall()
    finally:
        stop.set()
        thread.join()
    assert rows == [("crash", "the process that read it died (SIGKILL)")]


def test_killed_at_random_the_result_is_that_of_an_uninterrupted_run(fleet):
    """`kill -9` of the whole run, three times, each further on; the benchmark does it thirty times on 5,000 captures."""
    source = (fleet / "captures" / "again.pcap").read_bytes()
    for number in range(600):
        data = bytearray(source)
        data[24:28] = (1_790_000_000 + number).to_bytes(4, "little")  # the first packet's time: other content
        (fleet / "captures" / f"more-{number:04}.pcap").write_bytes(data)
    words = ["batch", str(fleet / "captures"), "--keys", str(fleet / "keys"), "--jobs", "2", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "analyzer", *words, "--store", str(fleet / "whole.sqlite")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    command = [sys.executable, "-m", "analyzer", *words, "--store", str(fleet / "killed.sqlite")]
    counts = kill_again_and_again(command, fleet / "killed.sqlite", len(paths_of(fleet)), 3, pause_s=0.1)
    assert counts == sorted(set(counts)), counts
    assert 0 < counts[0] <= counts[-1] < len(paths_of(fleet)), counts
    subprocess.run(
        [sys.executable, "-m", "analyzer", *words, "--store", str(fleet / "killed.sqlite")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    with Store(fleet / "whole.sqlite") as whole, Store(fleet / "killed.sqlite") as killed:
        assert killed.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert difference(exported(killed), exported(whole)) is None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_keeps_what_is_done_and_leaves_no_process(fleet, number, status):
    os.mkfifo(fleet / "captures" / "zz-hangs.pcap")
    process = subprocess.Popen(
        [sys.executable, "-m", "analyzer", "batch", "-", "--keys", str(fleet / "keys"), "--store", str(fleet / "f.sqlite"), "--jobs", "1"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("\n".join([*paths_of(fleet), str(fleet / "captures" / "zz-hangs.pcap")]))
    process.stdin.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            with sqlite3.connect(f"file:{fleet / 'f.sqlite'}?mode=ro", uri=True) as db:
                if db.execute("SELECT count(*) FROM captures").fetchone()[0] >= 5:
                    break
        except sqlite3.OperationalError:
            continue
    os.killpg(process.pid, number)
    assert process.wait(20) == status
    assert process.stderr is not None
    assert "stopped with 5 of 6 captures done" in process.stderr.read()
    deadline = time.monotonic() + 10
    while (left := members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_two_runs_on_one_store_at_once(fleet):
    words = [
        sys.executable,
        "-m",
        "analyzer",
        "batch",
        str(fleet / "captures"),
        "--keys",
        str(fleet / "keys"),
        "--jobs",
        "1",
        "-q",
    ]
    pair = [
        subprocess.Popen([*words, "--store", str(fleet / "f.sqlite")], cwd=ROOT, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(120) for process in pair] == [1, 1]
    with Store(fleet / "f.sqlite") as store, Store(None) as fresh:
        assert store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        batch.run(paths_of(fleet), Setup(load_keys((fleet / "keys",))), fresh, in_process)
        assert difference(exported(store), exported(fresh)) is None


def test_a_result_that_another_run_took_away_is_made_again(fleet):
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths_of(fleet), Setup(ring), store, in_process)
        before = exported(store)

        def robbed(paths, setup):
            if setup.done:
                store.db.execute("DELETE FROM captures")
                store.db.execute("DELETE FROM results")
            yield from in_process(paths, setup)

        batch.run(paths_of(fleet), Setup(ring), store, robbed)
        assert difference(exported(store), before) is None


def test_the_store_is_the_owners_alone_and_holds_no_secret(fleet):
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        batch.run(paths_of(fleet), Setup(ring), store, in_process)
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert stat.S_IMODE((fleet / "f.sqlite").stat().st_mode) == 0o600
    text = exported(Store(fleet / "f.sqlite"))
    secrets = [key.rsa.d for key in ring.keys if key.rsa is not None and key.rsa.d is not None]
    assert secrets
    whole = (fleet / "f.sqlite").read_bytes()
    for secret in secrets:
        raw = secret.to_bytes((secret.bit_length() + 7) // 8, "big")
        assert raw[-16:] not in whole
        assert raw[-16:].hex() not in text


def test_a_file_that_vanishes_is_read_again_when_it_is_back(fleet):
    path = str(fleet / "captures" / "again.pcap")
    data = Path(path).read_bytes()
    Path(path).unlink()
    ring = load_keys((fleet / "keys",))
    with Store(fleet / "f.sqlite") as store:
        assert batch.run([path], Setup(ring), store, in_process).failed == 1
        Path(path).write_bytes(data)
        done = batch.run([path], Setup(ring), store, in_process)
        assert (done.failed, done.known) == (0, 0)
        assert isinstance(analyze(path, Setup(ring, done=store.done(Setup(ring).limits))), Unchanged)
