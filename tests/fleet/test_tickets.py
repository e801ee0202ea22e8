"""Captures with keys of their own beside them: each judged with those keys, and with no other ticket's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.utils import rdpcap, wrpcap

from analyzer.fleet import batch
from analyzer.fleet.answer import Answer
from analyzer.fleet.questions import Filter
from analyzer.fleet.store import Store
from analyzer.fleet.tickets import Tickets
from analyzer.fleet.work import Setup, analyze
from analyzer.keys import KeyRing, load_keys
from analyzer.reports.fleet.json import format_json
from tests.fleet.conftest import CASES, Run

#: A wrong server key, proven also by the stored one, which is a file of this ticket.
LONE = "tcp-03a-wrong-server-key-brewskey"


@pytest.fixture
def tickets(captures: Path, tmp_path: Path) -> Path:
    """Golden cases as a support desk keeps them: a folder each, with the capture and its keys."""
    for case in (*CASES, LONE):
        (tmp_path / "tickets" / case).mkdir(parents=True)
        shutil.copy(captures / case / "capture.pcap", tmp_path / "tickets" / case / "capture.pcap")
        if (captures / case / "keys").exists():
            shutil.copytree(captures / case / "keys", tmp_path / "tickets" / case / "keys")
    return tmp_path / "tickets"


def setup_of(ring: KeyRing) -> Setup:
    return Setup(ring, tickets=Tickets(ring, "keys"))


class Counting:
    """Workers in this process that remember what they analysed."""

    def __init__(self) -> None:
        self.worked: list[str] = []

    def __call__(self, paths, setup):
        for path in paths:
            answer = analyze(path, setup)
            if isinstance(answer, Answer):
                self.worked.append(Path(path).parent.name)
            yield answer


def paths_of(tickets: Path) -> list[str]:
    return sorted(str(path) for path in tickets.rglob("*.pcap"))


def exported(store: Store) -> dict:
    return json.loads("".join(format_json(store, Filter())))


def test_each_ticket_is_judged_as_with_its_own_folder(tickets):
    with Store(None) as store:
        batch.run(paths_of(tickets), setup_of(KeyRing()), store, Counting())
        told = {Path(capture["path"]).parent.name: capture for capture in exported(store)["captures"]}
    assert len(told) == len(CASES) + 1
    for case, capture in told.items():
        own = tickets / case / "keys"
        with Store(None) as alone:
            batch.run([capture["path"]], Setup(load_keys((own,) if own.exists() else ())), alone, Counting())
            assert capture == exported(alone)["captures"][0], case


def test_a_lone_wrong_server_key_is_settled_by_the_tickets_own_dump(tickets, monkeypatch):
    """In one folder for all nobody can say whose dump counts; a ticket says it, and the search for a flipped bit is spared."""

    def never(*words: object) -> None:
        raise AssertionError("searched for a flipped bit")

    monkeypatch.setattr("analyzer.diagnosis.lightssl.transit.identity_flip", never)
    capture = tickets / LONE / "capture.pcap"
    packets = rdpcap(str(capture))
    port = next(packet[TCP].sport for packet in packets if TCP in packet)
    wrpcap(str(capture), [packet for packet in packets if TCP in packet and port in (packet.sport, packet.dport)])
    with Store(None) as store:
        batch.run([str(capture)], setup_of(KeyRing()), store, Counting())
        rows = store.db.execute("SELECT verdict, certainty FROM sessions").fetchall()
    assert rows == [("server-key-mismatch", "proven")]


def test_one_changed_ticket_is_redone_and_no_other(tickets, tmp_path):
    with Store(tmp_path / "f.sqlite") as store:
        first, again, changed = Counting(), Counting(), Counting()
        batch.run(paths_of(tickets), setup_of(KeyRing()), store, first)
        before = exported(store)
        assert batch.run(paths_of(tickets), setup_of(KeyRing()), store, again).known == len(first.worked)
        assert exported(store) == before
        next((tickets / CASES[0] / "keys").glob("*.pub.pem")).unlink()
        batch.run(paths_of(tickets), setup_of(KeyRing()), store, changed)
        after = exported(store)
    assert (sorted(first.worked), again.worked, changed.worked) == (sorted((*CASES, LONE)), [], [CASES[0]])
    with Store(None) as fresh:
        batch.run(paths_of(tickets), setup_of(KeyRing()), fresh, Counting())
        assert after == exported(fresh)


def test_the_same_capture_in_two_tickets_has_a_result_in_each(tickets):
    """One has the keys and one has not: what is proven there is open here."""
    bare = tickets / "no keys yet"
    bare.mkdir()
    shutil.copy(tickets / LONE / "capture.pcap", bare / "capture.pcap")
    with Store(None) as store:
        batch.run(paths_of(tickets), setup_of(KeyRing()), store, Counting())
        rows = dict(
            store.db.execute(
                "SELECT path, verdict FROM captures JOIN sessions USING (result) WHERE path LIKE '%no keys yet%' OR path LIKE ?",
                (f"%{LONE}%",),
            )
        )
    assert rows == {
        str(bare / "capture.pcap"): "identity-rejected",
        str(tickets / LONE / "capture.pcap"): "server-key-mismatch",
    }


def test_keys_of_the_run_count_for_every_ticket(tickets):
    """The cloud's key given once; a file called the same in a ticket is told apart in the report."""
    ring = load_keys((tickets / LONE / "keys" / "default_key.pem",))
    (tickets / LONE / "keys" / "default_key.pub.pem").unlink()
    both = Tickets(ring, "keys").ring(str(tickets / LONE / "capture.pcap"))
    names = [key.file for key in both.keys]
    assert names.count("default_key.pem") == names.count("keys/default_key.pem") == 1
    assert Tickets(ring, "keys").ring("s3://bucket/1/capture.pcap") is ring


def test_on_the_command_line_with_two_processes(tickets, tmp_path, analyze: Run):
    words = ("batch", tickets, "--keys-beside", "keys", "--store", tmp_path / "f.sqlite", "--jobs", 2)
    done = analyze(*words, "--format", "json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    verdicts = {Path(c["path"]).parent.name: c["sessions"][0]["verdict"] for c in report["captures"]}
    assert (verdicts[LONE]["code"], verdicts[LONE]["certainty"]) == ("server-key-mismatch", "proven")
    listed = {row["file"] for row in report["keys"]}
    assert {path.name for path in (tickets / LONE / "keys").iterdir()} <= listed
    again = analyze(*words)
    assert "5 known already" in again.stderr


@pytest.mark.parametrize("name", ["../keys", "a/b", ".", "", "/"])
def test_a_path_is_no_name_of_a_folder(tickets, analyze: Run, name):
    done = analyze("batch", tickets, "--keys-beside", name)
    assert done.returncode == 2
    assert "is no name of a folder" in done.stderr


def said(capture: dict) -> list[tuple]:
    verdicts = [session["verdict"] for session in capture["sessions"]]
    return [(told["code"], told["certainty"], told["frames"], told["alternatives"]) for told in verdicts]


def test_archives_in_a_folder_are_tickets_of_their_own(tickets, tmp_path, analyze: Run):
    done = analyze("batch", tickets, "--format", "json")
    wanted = {Path(c["path"]).parent.name: said(c) for c in json.loads(done.stdout)["captures"]}
    packed = tmp_path / "packed"
    packed.mkdir()
    for case in sorted(tickets.iterdir()):
        shutil.make_archive(str(packed / case.name), "zip" if case.name != LONE else "gztar", case)
    (packed / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    done = analyze("batch", packed, "--format", "json", "--jobs", 2)
    captures = json.loads(done.stdout)["captures"]
    found = {Path(c["path"]).parent.name.split(".")[0]: said(c) for c in captures if c["sessions"]}
    assert found == wanted
    (broken,) = (c for c in captures if c["status"] == "failed")
    assert "damaged archive" in broken["problems"][0]["message"]
