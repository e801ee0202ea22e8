"""Wall time and peak memory of a command with everything it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: seconds of wall time, seconds of CPU, peak resident memory of the whole process tree in MB, exit status."""

    wall: float
    cpu: float
    peak: float
    status: int


def measure(command: Sequence[str], *, output: Path | None = None, timeout: float = 3600) -> Measured:
    """Runs ``command`` with its standard output thrown away or written to ``output``; standard error is thrown away.

    On Linux the peak is the sum over the process tree, sampled every 20 ms, or the first process's own high-water mark
    if that is larger. (wait4's ru_maxrss is no use there: it counts what *we* hold before the program is loaded.)
    Elsewhere it is ru_maxrss. Raises TimeoutError after ``timeout`` seconds.
    """
    with (output or Path(os.devnull)).open("wb") as sink:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL)
        watch = _Watch(process.pid)
        watch.start()
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        overdue = not killer.is_alive()
        killer.cancel()
        watch.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    if overdue:
        raise TimeoutError(f"{command[0]} took longer than {timeout:.0f} s")
    peak = watch.peak or usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return Measured(wall, usage.ru_utime + usage.ru_stime, peak, process.returncode)


class _Watch(threading.Thread):
    """Samples the resident memory of a process and its descendants; nothing where there is no /proc."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, _tree(self.pid) * _PAGE / (1 << 20), _high_water(self.pid))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _tree(pid: int) -> int:
    """Resident pages of a process and all its descendants."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (OSError, IndexError):
        return 0
    return pages + sum(_tree(int(child)) for children in tasks for child in children)


def _high_water(pid: int) -> float:
    """The most memory the process has had at once since its program was loaded, in MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)
