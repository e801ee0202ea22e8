"""Conversations examined by forked helpers: the same cases in the same order, whatever becomes of the helpers."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer import examination, judging, pipeline
from analyzer.capture import open_capture
from analyzer.case import Case
from analyzer.conversations import Conversations, TcpConversation
from analyzer.examination import Examination
from analyzer.keys import KeyRing, load_keys
from analyzer.pipeline import Options, analyze_capture

CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "tcp-01a-good-brewskey-fw063", "tcp-12-syn-refused")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="helpers are forked")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores whatever the machine has, helpers from the first conversation on, two conversations in a batch."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(examination, "_ON_THE_SPOT", 1)
    monkeypatch.setattr(examination, "_BATCH", 2)
    monkeypatch.setattr(examination, "_WAITING", 2)


@pytest.fixture
def talk(captures: Path) -> list[TcpConversation]:
    """Conversations of several captures, several times over: an odd number, so that the last batch is not full."""
    found: list[TcpConversation] = []
    for case in CASES:
        table = Conversations()
        capture = open_capture(captures / case / "capture.pcap", name=case)
        for packet in capture.screened(table):
            found.extend(item for item in table.feed(packet) if isinstance(item, TcpConversation))
        found.extend(item for item in table.finish() if isinstance(item, TcpConversation))
    talk = found * 5
    return talk if len(talk) % 2 else talk[:-1]


@pytest.fixture
def ring(captures: Path) -> KeyRing:
    return load_keys([captures / case / "keys" for case in CASES if (captures / case / "keys").exists()])


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """However it went, no helper outlives its examination."""
    yield
    assert multiprocessing.active_children() == []


def examined(talk: list[TcpConversation], ring: KeyRing, jobs: int) -> list[Case]:
    work = Examination(ring, jobs)
    for conversation in talk:
        work.take(conversation)
    return work.cases()


def same(found: list[Case], alone: list[Case]) -> bool:
    """Equal in all that was found out, in order, and each with the very conversation it is about."""
    pairs = zip(found, alone, strict=True)
    return found == alone and all(one.conversation is other.conversation for one, other in pairs)


def test_helpers_find_what_one_process_finds(talk: list[TcpConversation], ring: KeyRing) -> None:
    alone = examined(talk, ring, 1)
    assert any(case.decryption.session is not None for case in alone), "there is something to find"
    work = Examination(ring, 2)
    for conversation in talk:
        work.take(conversation)
    assert len(multiprocessing.active_children()) == 1, "one helper for the second core"
    assert same(work.cases(), alone)


def test_a_killed_helper_costs_nothing_but_time(talk: list[TcpConversation], ring: KeyRing) -> None:
    alone = examined(talk, ring, 1)
    work = Examination(ring, 2)
    work.expect_many()
    (helper,) = multiprocessing.active_children()
    helper.kill()
    helper.join()
    for conversation in talk:
        work.take(conversation)
    assert same(work.cases(), alone)


@pytest.mark.parametrize("early", [False, True])
def test_no_room_for_a_helper_costs_nothing_but_time(
    early: bool, talk: list[TcpConversation], ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))  # as fork does at the limit of processes

    alone = examined(talk, ring, 1)
    monkeypatch.setattr(os, "fork", refused)
    work = Examination(ring, 2)
    if early:
        work.expect_many()
    for conversation in talk:
        work.take(conversation)
    assert same(work.cases(), alone)


def test_other_keys_hold_from_the_moment_they_are_given(talk: list[TcpConversation], ring: KeyRing) -> None:
    """What was taken before is judged with the keys of before, also where a helper has not come to it yet."""
    work = Examination(ring, 2)
    for conversation in talk:
        work.take(conversation)
    work.with_ring(load_keys([]))
    for conversation in talk:
        work.take(conversation)
    found = work.cases()
    half = len(found) // 2
    assert same(found[:half], examined(talk, ring, 1))
    assert same(found[half:], examined(talk, load_keys([]), 1))


def test_helpers_are_started_before_the_reading_and_only_where_there_are_keys(ring: KeyRing) -> None:
    without = Examination(load_keys([]), 2)
    without.expect_many()
    assert multiprocessing.active_children() == []
    work = Examination(ring, 2)
    work.expect_many()
    assert len(multiprocessing.active_children()) == 1
    assert work.cases() == []


@pytest.mark.parametrize("why", ["one core", "one job", "no fork", "a daemon"])
def test_without_helpers_all_of_it_happens_here(
    why: str, talk: list[TcpConversation], ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = examined(talk, ring, 1)
    if why == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    elif why == "no fork":
        monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    elif why == "a daemon":  # multiprocessing forbids it children
        monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    work = Examination(ring, 1 if why == "one job" else 2)
    for conversation in talk:
        work.take(conversation)
    assert multiprocessing.active_children() == []
    assert same(work.cases(), alone)


def test_a_large_file_has_its_helpers_before_the_reading(captures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = captures / "tcp-01e-good-three-devices"
    ring = load_keys([case / "keys"])
    alone = analyze_capture(case / "capture.pcap", ring, Options(jobs=1), name="c")
    started: list[int] = []
    expect = Examination.expect_many

    def watched(work: Examination) -> None:
        expect(work)
        started.append(len(multiprocessing.active_children()))

    monkeypatch.setattr(Examination, "expect_many", watched)
    assert analyze_capture(case / "capture.pcap", ring, Options(jobs=2), name="c") == alone
    assert started == [], "a small file"
    monkeypatch.setattr(pipeline, "_MANY_SESSIONS", 1)
    assert analyze_capture(case / "capture.pcap", ring, Options(jobs=2), name="c") == alone
    assert started == [1]
    assert len(alone.sessions) > 2


GATEWAY = "tcp-17-gateway"


@pytest.mark.parametrize("fate", ["well", "dies", "no process"])
def test_sessions_judged_by_several_processes_are_those_of_one(
    captures: Path, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    case = next(folder for folder in sorted(captures.iterdir()) if folder.name.startswith(GATEWAY))
    keys = load_keys([case / "keys"])
    alone = analyze_capture(case / "capture.pcap", keys, Options(jobs=1)).sessions
    assert len(alone) > 3
    monkeypatch.setattr(judging, "_MANY", 2)
    me, forked = os.getpid(), os.fork
    original = judging._judged
    parts: list[int] = []

    def of_a_share(cases: list[Case], *given: object) -> object:
        if os.getpid() == me:
            parts.append(len(list(given[-1])))  # type: ignore[call-overload]
        elif fate == "dies":
            os._exit(9)
        return original(cases, *given)  # type: ignore[arg-type]

    def no_room() -> int:
        raise OSError(errno.EAGAIN, "no room for a process")

    monkeypatch.setattr(judging, "_judged", of_a_share)
    monkeypatch.setattr(os, "fork", no_room if fate == "no process" else forked)
    assert analyze_capture(case / "capture.pcap", keys, Options(jobs=2)).sessions == alone
    assert len(parts) == (1 if fate == "well" else 2), "the other share is another process's, or done here after all"
