"""`kill -9` of a run at random moments, each after the run had come further than the one before."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

_POLL_S = 0.02


def done_in(store: Path) -> int:
    """Captures that have a result in the store; 0 while there is none."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute("SELECT count(*) FROM captures").fetchone()[0])
    except sqlite3.OperationalError:  # no file, or no tables yet
        return 0


def kill_again_and_again(
    command: Sequence[str], store: Path, total: int, kills: int, *, pause_s: float = 0.3, seed: int = 8
) -> list[int]:
    """Start ``command`` and kill it with everything it started, ``kills`` times; how many of ``total`` captures were done at each.

    A kill comes a random time (up to ``pause_s``) after the store has grown by a random share of what is left, so that it
    falls anywhere between two writes and in them. Raises RuntimeError when a run ended of itself or did not come further.
    """
    random = Random(seed)
    counts = [0]
    for number in range(kills):
        left = total - counts[-1]
        wanted = counts[-1] + 1 + int(random.random() * left / (kills - number + 1) / 2)
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 300
            while done_in(store) < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            time.sleep(pause_s * random.random())
            ended = process.poll() is not None
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        counts.append(done_in(store))
        if ended or counts[-1] <= counts[-2]:
            raise RuntimeError(f"kill {number + 1}: {'the run was over' if ended else 'no progress'} at {counts}")
    return counts[1:]
