"""Many TCP conversations examined beside the reading, on further cores once it pays.

How it works. Opening a session costs a millisecond of RSA, reading a packet a microsecond of Python: on a gateway
capture with thousands of sessions the two can go on at once. The first conversations are examined on the spot; when
there are more, batches go to forked workers (which share the keys without copying them) and come back in order. Where
there is no fork, or one core, all of it happens on the spot, with the same result.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from analyzer.case import Case
from analyzer.conversations import TcpConversation
from analyzer.examine import examine_tcp
from analyzer.keys import KeyRing

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ProcessPoolExecutor

#: Conversations examined on the spot before workers are worth their start, and in one batch afterwards.
_ON_THE_SPOT = 150
_BATCH = 48
_WAITING = 8

_shared_ring: KeyRing | None = None
_T = TypeVar("_T")


def helpers(jobs: int | None) -> int:
    """How many forked processes may work beside this one; ``jobs``: processes in all, None: one for each core."""
    import multiprocessing

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    forks = "fork" in multiprocessing.get_all_start_methods()
    alone = not forks or multiprocessing.current_process().daemon
    return 0 if alone else min(jobs or cores, cores) - 1


class Examination:
    """Takes conversations, gives cases. ``jobs``: processes to use in all; None: one for each core."""

    def __init__(self, ring: KeyRing, jobs: int | None = None) -> None:
        self._ring = ring
        self._jobs = jobs
        #: None: not looked for yet.
        self._workers: int | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._taken = 0
        self._batch: list[TcpConversation] = []
        self._sent: deque[tuple[list[TcpConversation], Future[list[Case | None]] | None]] = deque()
        self._done: list[Case] = []

    def with_ring(self, ring: KeyRing) -> None:
        """Use other keys from now on (secrets that the capture itself brought)."""
        self._flush()
        self._collect(0)
        self._close()
        self._ring = ring

    def expect_many(self) -> None:
        """Start the helpers now: a process is as large as what it is forked from, and that is small before the reading."""
        if len(self._ring) and self._helpers() and not _result(self._sent_off(_nothing)):
            self._workers = 0
            self._close()

    def take(self, conversation: TcpConversation) -> None:
        """Examine this one, now or soon."""
        self._taken += 1
        if self._taken <= _ON_THE_SPOT or not len(self._ring) or not self._helpers():
            self._keep(examine_tcp(conversation, self._ring))
            return
        self._batch.append(conversation)
        if len(self._batch) >= _BATCH:
            self._flush()
            self._collect(_WAITING)

    def cases(self) -> list[Case]:
        """All cases, in the order in which their conversations came."""
        self._flush()
        self._collect(0)
        self._close()
        return self._done

    def _helpers(self) -> int:
        """How many processes may work beside this one."""
        if self._workers is None:
            self._workers = helpers(self._jobs)
        return self._workers

    def _started(self) -> ProcessPoolExecutor:
        global _shared_ring  # noqa: PLW0603 - what a forked worker inherits without its being copied
        if self._pool is None:
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            _shared_ring = self._ring
            self._pool = ProcessPoolExecutor(self._helpers(), multiprocessing.get_context("fork"))
        return self._pool

    def _keep(self, case: Case | None) -> None:
        if case is not None:
            self._done.append(case)

    def _flush(self) -> None:
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._sent.append((batch, self._sent_off(_examine, batch)))

    def _sent_off(self, work: Callable[..., _T], *given: object) -> Future[_T] | None:
        """The result to come; None where helpers cannot be had: killed meanwhile, or no room for another process."""
        from concurrent.futures.process import BrokenProcessPool

        try:
            return self._started().submit(work, *given)
        except (BrokenProcessPool, OSError):
            return None

    def _collect(self, allowed: int) -> None:
        """Take results back until at most ``allowed`` batches are out."""
        while len(self._sent) > allowed or (self._sent and _ready(self._sent[0][1])):
            batch, future = self._sent.popleft()
            found = _result(future)
            if found is None:  # a worker was killed: its work is done here
                found = [examine_tcp(conversation, self._ring) for conversation in batch]
                self._workers = allowed = 0
            for case, conversation in zip(found, batch, strict=True):
                if case is not None:
                    case.conversation = conversation
                self._keep(case)

    def _close(self) -> None:
        global _shared_ring  # noqa: PLW0603
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        _shared_ring = None


def _nothing() -> bool:
    """The first work of a pool, which starts it."""
    return True


def _ready(future: Future[_T] | None) -> bool:
    return future is None or future.done()


def _result(future: Future[_T] | None) -> _T | None:
    from concurrent.futures.process import BrokenProcessPool

    try:
        return future.result() if future is not None else None
    except BrokenProcessPool:
        return None


def _examine(batch: list[TcpConversation]) -> list[Case | None]:
    assert _shared_ring is not None
    cases = [examine_tcp(conversation, _shared_ring) for conversation in batch]
    for case in cases:
        if case is not None:
            case.conversation = None  # who sent it has it still
    return cases
