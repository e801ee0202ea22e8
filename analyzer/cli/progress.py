"""How far a run is: a bar on a terminal, a line a minute elsewhere; standard error either way."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from analyzer.fleet.batch import Progress

_BAR_S, _LINE_S, _WIDTH = 0.2, 60.0, 28
#: The rate is that of the last so many seconds: captures differ in size.
_RECENT_S = 20.0


class Meter:
    """Shows what it is told, not more often than is useful."""

    def __init__(self, stream: TextIO | None = None, *, every_s: float | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._bar = self._stream.isatty()
        self._every = every_s if every_s is not None else (_BAR_S if self._bar else _LINE_S)
        self._began = self._shown = time.monotonic()
        self._recent: list[tuple[float, int]] = [(self._began, 0)]

    def __call__(self, progress: Progress) -> None:
        """Show this, when it is time to show something again."""
        now = time.monotonic()
        if now - self._shown < self._every:
            return
        self._shown = now
        self._recent.append((now, progress.done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _RECENT_S:
            self._recent.pop(0)
        (then, before), (_, done) = self._recent[0], self._recent[-1]
        rate = (done - before) / max(now - then, 1e-6)
        left = f"{_clock((progress.total - done) / rate)} left" if rate > 0 else "time left not known"
        text = f"{done:,}/{progress.total:,}  {rate:.1f}/s  {left}"
        if progress.failed:
            text += f"  {progress.failed:,} not readable"
        if self._bar:
            filled = _WIDTH * done // max(progress.total, 1)
            self._stream.write(f"\r\x1b[K[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}")
        else:
            self._stream.write(f"analyze: {text}\n")
        self._stream.flush()

    def end(self, progress: Progress) -> None:
        """The last line: what the run did and how long it took."""
        took = time.monotonic() - self._began
        known = f", {progress.known:,} known already" if progress.known else ""
        failed = f", {progress.failed:,} not readable" if progress.failed else ""
        self.clear()
        rate = (progress.done / took) if took > 0 else 0.0
        self._stream.write(f"analyze: {progress.done:,} captures in {_clock(took)} ({rate:.1f}/s){known}{failed}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the bar off the terminal, so that what comes next stands alone."""
        if self._bar:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
