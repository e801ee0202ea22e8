"""A drop folder: which captures have arrived in it, and which of them are complete.

How it works. watchdog tells what changes; without it the folder is looked through every few seconds. A capture is ready when its writer closed it, or when its size and time have
not changed for a while (network drives tell of no closing). One taken too early changes again and comes again. What
arrived while nobody watched is found by looking through the folder at the start; the store knows what is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISREG
from threading import Lock
from typing import Any

from analyzer.errors import InputError
from analyzer.inputs import NAMES

#: Seconds without a change after which a file counts as complete.
SETTLED_S = 3.0
_LOOK_S = 0.25
#: Without watchdog: seconds between two looks, and how many times as long as a look takes.
_POLL_S, _POLL_SHARE = 1.0, 10.0


class Arrivals:
    """Changes of a folder, gathered from watchdog's thread."""

    def __init__(self, settled_s: float = SETTLED_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._settled_s = settled_s
        self._clock = clock
        self._lock = Lock()
        #: Path -> (size, time of change, since when they are these).
        self._open: dict[str, tuple[int, int, float]] = {}
        self._closed: dict[str, None] = {}

    def changed(self, path: str) -> None:
        """``path`` is new, or was written to."""
        if self._is_capture(path):
            with self._lock:
                self._closed.pop(path, None)
                self._open.setdefault(path, (-1, 0, self._clock()))

    def closed(self, path: str) -> None:
        """Whoever wrote ``path`` is done with it."""
        if self._is_capture(path):
            with self._lock:
                self._open.pop(path, None)
                self._closed[path] = None

    def ready(self) -> list[str]:
        """Complete captures since the last call, sorted; each comes once for every time it was completed."""
        now = self._clock()
        with self._lock:
            found = list(self._closed)
            self._closed.clear()
            for path, (size, changed_ns, since) in list(self._open.items()):
                try:
                    status = Path(path).stat()
                except OSError:
                    del self._open[path]  # it was renamed or removed before it was complete
                    continue
                if (status.st_size, status.st_mtime_ns) != (size, changed_ns):
                    self._open[path] = status.st_size, status.st_mtime_ns, now
                elif now - since >= self._settled_s:
                    del self._open[path]
                    found.append(path)
        return sorted(path for path in found if Path(path).is_file())

    @staticmethod
    def _is_capture(path: str) -> bool:
        name = Path(path).name
        return name.lower().endswith(NAMES) and not name.startswith(".")


def arriving(folder: Path, settled_s: float = SETTLED_S) -> Iterator[list[str]]:
    """Lists of complete captures, the ones already there first; an empty list now and then. Ends when it is closed.

    Raises InputError when the folder cannot be watched.
    """
    if not folder.is_dir():
        raise InputError(str(folder), "no such folder")
    arrivals = Arrivals(settled_s)
    changes = _told(folder, arrivals) if find_spec("watchdog") else _looked_for(folder, arrivals)
    try:
        for _ in changes:
            yield arrivals.ready()
            time.sleep(_LOOK_S)
    finally:
        changes.close()


def _told(folder: Path, arrivals: Arrivals) -> Generator[None]:
    """Changes as watchdog tells them."""
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):  # type: ignore[misc, unused-ignore]
        def on_any_event(self, event: Any) -> None:  # noqa: ANN401 - watchdog's events
            if event.is_directory:
                return
            if event.event_type == "moved":
                arrivals.closed(str(event.dest_path))
            elif event.event_type == "closed":
                arrivals.closed(str(event.src_path))
            elif event.event_type in ("created", "modified"):
                arrivals.changed(str(event.src_path))

    observer = Observer()
    observer.schedule(Handler(), str(folder), recursive=True)
    try:
        observer.start()
    except OSError as error:
        raise InputError(str(folder), f"cannot be watched: {error.strerror or error}") from error
    try:
        # Only after watching began, so that nothing falls between the two.
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                arrivals.changed(str(path))
        while True:
            yield
    finally:
        observer.stop()
        observer.join()


def _looked_for(folder: Path, arrivals: Arrivals) -> Generator[None]:
    """Changes as sizes and times of files show them; a large folder is looked through less often."""
    known: dict[Path, tuple[int, int]] = {}
    again = 0.0
    while True:
        begun = time.monotonic()
        if begun >= again:
            for path, state in sorted(_states(folder)):
                if known.get(path) != state:
                    known[path] = state
                    arrivals.changed(str(path))
            took = time.monotonic() - begun
            again = time.monotonic() + max(_POLL_S, _POLL_SHARE * took)
        yield


def _states(folder: Path) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Size and time of change of every file under a folder."""
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except OSError:  # gone meanwhile
            continue
        if S_ISREG(status.st_mode):
            yield path, (status.st_size, status.st_mtime_ns)
