"""How a run ends: a status for each way, a line for the person, and nothing of ours on the screen unless asked for."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli import ending

ROOT = Path(__file__).resolve().parents[3]


def guarded(body: str, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
    """A process that runs ``body`` as the action of a command."""
    program = (
        "import errno, os, signal, sys, time\nfrom analyzer.cli.ending import guarded\n"
        "from analyzer.cli.exits import UsageError\nfrom analyzer.errors import InputError\n"
        f"def action():\n    {body}\nguarded(action)\n"
    )
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, **more)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("pass", 0, ""),
        ("raise InputError('a.pcap', 'no such \\x1b[2Jfile')", 3, "analyze: a.pcap: no such"),
        ("raise UsageError('--jobs 0')", 2, "analyze: --jobs 0"),
        ("raise KeyboardInterrupt", 130, "analyze: interrupted"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", 143, "analyze: terminated"),
        ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(9)", 129, "analyze: terminated"),
        ("raise OSError(errno.ENOSPC, 'No space left on device')", 3, "analyze: standard output: cannot be written: No space"),
        ("raise ZeroDivisionError('a secret')", 3, "analyze: internal error (ZeroDivisionError); this is a bug in analyze"),
        ("raise OSError(errno.ENOSPC, 'No space', 'file.sqlite')", 3, "analyze: internal error (OSError)"),
    ],
)  # fmt: skip
def test_each_end_is_one_line_and_a_status(body: str, status: int, told: str) -> None:
    done = guarded(body)
    assert done.returncode == status
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == bool(told)
    assert "secret" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("word", ["-v", "--verbose"])
def test_a_defect_shows_its_traceback_when_asked(word: str) -> None:
    done = guarded("raise ZeroDivisionError('where')", word)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "ZeroDivisionError: where" in done.stderr


def test_an_error_at_the_last_flush_is_told_too() -> None:
    """What is still in the buffer meets the full disk when the command is over."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with Path("/dev/full").open("w") as full:
        program = "from analyzer.cli.ending import guarded\nguarded(lambda: print('report'))"
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
    assert (done.returncode, done.stderr) == (
        3, f"analyze: standard output: cannot be written: {os.strerror(errno.ENOSPC)}\n",
    )  # fmt: skip


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="SIGHUP")
def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    done = guarded(
        "os.kill(os.getpid(), signal.SIGHUP); print('still here')",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert (done.returncode, done.stdout) == (0, "still here\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="helpers are forked")
def test_a_forked_helper_that_is_told_to_end_does_so_at_once() -> None:
    """It has its parent's handler and none of its business: unwinding would remove the parent's temporary files."""

    def helper() -> None:
        try:
            ending._terminated(signal.SIGTERM, None)
        finally:
            os._exit(77)

    child = multiprocessing.get_context("fork").Process(target=helper)
    child.start()
    child.join(30)
    assert child.exitcode == 128 + signal.SIGTERM
