"""Worker processes of this machine. One that costs too much is killed, and its capture becomes a row that says so.

How it works. The parent hands each worker a few captures ahead and takes answers as they come. A worker writes the
digest of what it is at into a piece of shared memory, so that the parent can name the content of a capture it had to
stop. Workers are spawned, not forked: the same on every system, and nothing of the parent's threads or files in them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from analyzer.fleet.answer import Answer, Known, Unchanged, given_up
from analyzer.fleet.work import Limits, Setup, analyze

#: Captures a worker has in hand, at most.
_AHEAD = 8
_TICK = 0.25
#: Bytes that tell what a worker is at: digests of content and of keys, zeros for none.
_DIGEST = 32
_TOLD = 2 * _DIGEST
#: A worker that died of itself gets its capture again once: somebody else may have used up the memory.
_TRIES = 2
#: Seconds a worker may take to start, which is not the fault of its first capture.
_START_S = 60.0


def run(paths: Sequence[str], setup: Setup, jobs: int) -> Iterator[Answer | Unchanged | None]:
    """Answers in the order in which they are done; None now and then, so that the caller can show that time passes."""
    crew = _Crew(paths, setup, max(1, min(jobs, len(paths))))
    try:
        yield from crew.answers()
    finally:
        crew.stop()


class _Worker:
    """A process, the captures it holds, and when it was last heard of."""

    def __init__(self, setup: Setup) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.now: Any = context.RawArray("B", _TOLD)
        self.process = context.Process(target=_serve, args=(theirs, self.now, setup), daemon=True)
        self.process.start()
        theirs.close()
        self.held: deque[str] = deque()
        self.since = time.monotonic() + _START_S
        self.ready = False

    def give(self, path: str) -> None:
        if not self.held and self.ready:
            self.since = time.monotonic()
        self.held.append(path)
        with suppress(OSError):  # it is gone: its captures are seen to when its end is noticed
            self.pipe.send(path)

    @property
    def at(self) -> Known | None:
        """What it is at, when it got that far."""
        return _told(self.now)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Crew:
    def __init__(self, paths: Sequence[str], setup: Setup, jobs: int) -> None:
        self._waiting = deque(paths)
        self._setup = setup
        self._tries: dict[str, int] = {}
        self._workers = [_Worker(setup) for _ in range(jobs)]

    def answers(self) -> Iterator[Answer | Unchanged | None]:
        while self._waiting or any(worker.held for worker in self._workers):
            for worker in self._workers:
                ahead = max(1, min(_AHEAD, len(self._waiting) // (2 * len(self._workers))))
                while self._waiting and len(worker.held) < ahead:
                    worker.give(self._waiting.popleft())
            busy = {worker.pipe: worker for worker in self._workers if worker.held}
            ready = wait(list(busy), timeout=_TICK)
            for pipe in ready:
                yield from self._hear(busy[pipe])  # type: ignore[index]
            for worker in list(busy.values()):
                if worker.held and not worker.pipe.closed and not worker.pipe.poll():
                    yield from self._check(worker)
            if not ready:
                yield None

    def _hear(self, worker: _Worker) -> Iterator[Answer | Unchanged]:
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._lost(worker)
            return
        worker.since = time.monotonic()
        if said is None:
            worker.ready = True
            return
        worker.held.popleft()
        if isinstance(said, Answer) and said.stopped == "memory":
            yield said
            self._replace(worker)
            return
        yield said

    def _lost(self, worker: _Worker) -> Iterator[Answer]:
        """It died: of a signal from outside, a fault in native code, or a system short of memory."""
        worker.process.join()
        path, code = worker.held[0], worker.process.exitcode
        self._tries[path] = self._tries.get(path, 0) + 1
        if self._tries[path] < _TRIES:
            self._replace(worker)
            return
        how = signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
        worker.held.popleft()
        yield given_up(path, "worker-died", f"the process that read it died ({how})", known=worker.at, stopped="crash")
        self._replace(worker)

    def _check(self, worker: _Worker) -> Iterator[Answer]:
        limits = self._setup.limits
        path = worker.held[0]
        if time.monotonic() - worker.since > limits.seconds:
            text = f"given up after {limits.seconds:g} s (--time-limit)"
            answer = given_up(path, "limit-time", text, known=worker.at, stopped="time", limit=limits.seconds)
        elif _resident(worker.process.pid) > limits.megabytes << 20:
            answer = over_memory(path, limits, worker.at)
        else:
            return
        worker.kill()
        worker.held.popleft()
        yield answer
        self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        """A fresh worker in its place; what it held and did not begin waits again."""
        worker.kill()
        self._waiting.extendleft(reversed(worker.held))
        self._workers.remove(worker)
        if self._waiting:
            self._workers.append(_Worker(self._setup))

    def stop(self) -> None:
        """End every worker, whatever it is at."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.kill()


def over_memory(path: str, limits: Limits, known: Known | None) -> Answer:
    """The row of a capture whose worker grew too large."""
    text = f"given up above {limits.megabytes} MB of memory (--memory-limit)"
    return given_up(path, "limit-memory", text, known=known, stopped="memory", limit=limits.megabytes)


def _resident(pid: int | None) -> int:
    """Bytes of memory a process holds; 0 where the system does not tell (then its own limit has to do)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _serve(pipe: Connection, now: Any, setup: Setup) -> None:  # noqa: ANN401 - a shared array, which multiprocessing does not type
    """A worker's life: captures in, answers out, until the parent is gone or has no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _bound_memory(setup.limits.megabytes)

    def begun(known: Known) -> None:
        now[:] = known.content + known.keys.ljust(_DIGEST, b"\0")

    with suppress(EOFError, OSError):
        pipe.send(None)
        while True:
            path = pipe.recv()
            now[:] = bytes(_TOLD)
            try:
                answer = analyze(path, setup, begun)
            except MemoryError:
                pipe.send(over_memory(path, setup.limits, _told(now)))
                return
            pipe.send(answer)


def _told(now: Any) -> Known | None:  # noqa: ANN401 - as above
    content, keys = bytes(now)[:_DIGEST], bytes(now)[_DIGEST:]
    return Known(content, keys if any(keys) else b"") if any(content) else None


def _bound_memory(megabytes: int) -> None:
    """Have the system refuse what is beyond the limit, where it can; half as much again for what is shared or unused."""
    if sys.platform == "win32":
        return
    import resource

    most = (megabytes + megabytes // 2) << 20
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))
