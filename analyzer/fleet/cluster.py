"""Workers on an existing Dask cluster: the same work, elsewhere.

How it works. The keys travel as an argument of the function that installs them on each worker, once, sealed in an object
whose ``repr`` shows nothing; tasks carry a path and the name of that set-up (a digest of a random number). So no task
name, dashboard, log or spilled result has a key in it: results hold reports only. A worker that joins late or comes
back asks for nothing: the set-up is a worker plug-in, which the scheduler gives to every worker that ever joins. A
worker that dies loses what it had in hand, and Dask gives that to another.
"""

from __future__ import annotations

import os
import pickle
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from analyzer.errors import InputError
from analyzer.fleet.answer import Answer, Unchanged, given_up
from analyzer.fleet.processes import run as run_here
from analyzer.fleet.work import Setup

if TYPE_CHECKING:
    from analyzer.fleet.batch import Workers

_CONNECT_S = 10.0
_TICK_S = 0.5
#: Tasks in hand per core of the cluster, and captures in a task: one message for several small captures.
_AHEAD, _CHUNK = 3, 32
#: Workers a capture may take down before it is given up.
_DEATHS = 2

_GO_ON = "what is done is in the store; run the same command again"

_SETUPS: dict[str, Setup] = {}
_HOSTS = threading.local()


class Sealed:
    """Bytes that nothing shows: not ``repr``, not a debugger's summary, not an error message."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __repr__(self) -> str:
        return "Sealed(...)"

    def __reduce__(self) -> tuple[type[Sealed], tuple[bytes]]:
        return Sealed, (self._content,)

    def open(self) -> Setup:
        """What is inside."""
        found = pickle.loads(self._content)
        if not isinstance(found, Setup):
            raise TypeError("not a set-up")
        return found


def remote(address: str) -> Workers:
    """The workers of the cluster at ``address`` (``tcp://HOST:8786``). Raises InputError when it does not answer, once used."""

    def work(paths: Sequence[str], setup: Setup) -> Iterator[Answer | Unchanged | None]:
        return _run(address, paths, setup)

    return work


def _run(address: str, paths: Sequence[str], setup: Setup) -> Iterator[Answer | Unchanged | None]:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            address, "a cluster needs Dask", "install the extra, in the clone: pip install '.[cluster]'"
        ) from error
    import dask

    dask.config.set({"distributed.scheduler.allowed-failures": _DEATHS})
    connect: Any = distributed.Client  # untyped
    try:
        client = connect(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(address, "no Dask scheduler answers there", "start one: dask scheduler") from error
    name = f"analyze-{secrets.token_hex(8)}"
    try:
        client.register_plugin(_plugin(name, setup), name=name)
        yield from _answers(client, name, paths)
    finally:
        with suppress(Exception):  # the cluster may be gone; the keys' removal is then moot
            client.unregister_worker_plugin(name)
        client.close(timeout=5)


def _plugin(name: str, setup: Setup) -> Any:  # noqa: ANN401 - distributed is imported only where a cluster is used
    from distributed import WorkerPlugin

    class Keys(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        """Installs the set-up of one run on a worker, and takes it away again."""

        def __init__(self, sealed: Sealed) -> None:
            self.sealed = sealed
            self.name = name

        def __repr__(self) -> str:
            return f"Keys({name})"

        def setup(self, worker: object) -> None:
            # By import: this class travels by value, and a table it names directly would be a copy.
            from analyzer.fleet import cluster

            cluster.install(name, self.sealed)

        def teardown(self, worker: object) -> None:
            from analyzer.fleet import cluster

            cluster.install(name, None)

    return Keys(Sealed(pickle.dumps(setup)))


def install(name: str, sealed: Sealed | None) -> None:
    """Put the set-up of a run where this worker's tasks find it; None takes it away."""
    if sealed is None:
        _SETUPS.pop(name, None)
    else:
        _SETUPS[name] = sealed.open()


def _answers(client: Any, name: str, paths: Sequence[str]) -> Iterator[Answer | Unchanged | None]:  # noqa: ANN401
    size = max(1, min(_CHUNK, len(paths) // 32))
    waiting = deque(tuple(paths[start : start + size]) for start in range(0, len(paths), size))
    running: dict[str, tuple[Any, tuple[str, ...]]] = {}
    ended: SimpleQueue[Any] = SimpleQueue()
    number = 0
    while waiting or running:
        room = max(4, _AHEAD * sum(client.ncores().values()))
        while waiting and len(running) < room:
            chunk = waiting.popleft()
            # The key is a name of ours: one made by Dask would be a digest of the arguments.
            future = client.submit(analyze_there, chunk, name, key=f"{name}-{number}", pure=False, retries=1)
            running[future.key] = future, chunk
            number += 1
            future.add_done_callback(ended.put)
        try:
            key = ended.get(timeout=_TICK_S).key
        except Empty:
            if client.status not in ("running", "connecting"):
                raise InputError(client.scheduler.address, "the cluster is gone", _GO_ON) from None
            yield None
            continue
        future, chunk = running.pop(key)
        if future.status == "finished":
            yield from future.result()
        elif len(chunk) > 1:
            waiting.extendleft((path,) for path in reversed(chunk))  # one of them does it: each alone
        elif future.status == "error":
            reason = "the workers it was given to died" if _died(future) else "the cluster gave it up"
            yield given_up(chunk[0], "worker-died", reason, stopped="crash")
        else:
            raise InputError(client.scheduler.address, "the cluster dropped the work", _GO_ON)
        future.release()


def _died(future: Any) -> bool:  # noqa: ANN401
    from distributed import KilledWorker

    return isinstance(future.exception(), KilledWorker)


def analyze_there(paths: Sequence[str], name: str) -> list[Answer | Unchanged]:
    """What runs on a cluster's worker. Raises RuntimeError when the process it needs dies."""
    host = getattr(_HOSTS, "host", None)
    if host is None or host.name != name or host.process.poll() is not None:
        host = _HOSTS.host = _Host(name, _SETUPS[name])
    return host.ask(paths)


class _Host:
    """A process beside the cluster's worker, for one of its threads, that runs crews of its own.

    Dask's workers may not have children of multiprocessing's making, and a thread cannot be killed: without this, the
    limits of time and memory would not hold. Keys reach it through its standard input.
    """

    def __init__(self, name: str, setup: Setup) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from analyzer.fleet.cluster import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(setup)

    def _send(self, value: object) -> None:
        assert self.process.stdin is not None
        try:
            pickle.dump(value, self.process.stdin)
            self.process.stdin.flush()
        except OSError as error:
            raise RuntimeError("the process beside the worker died") from error

    def ask(self, paths: Sequence[str]) -> list[Answer | Unchanged]:
        """Answers for ``paths``, each once."""
        assert self.process.stdout is not None
        self._send(tuple(paths))
        try:
            found: list[Answer | Unchanged] = pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            raise RuntimeError("the process beside the worker died") from error
        return found

    def __del__(self) -> None:
        with suppress(Exception):
            self.process.kill()
            self.process.wait()


def serve() -> None:
    """The life of such a process: a set-up, then lists of paths, until its worker is gone."""
    read, write = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing but answers may go where the answers go
    with suppress(EOFError, OSError):
        setup = pickle.load(read)
        while True:
            answers = [answer for answer in run_here(pickle.load(read), setup, 1) if answer is not None]
            pickle.dump(answers, write)
            write.flush()
