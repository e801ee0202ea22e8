"""How a run ends: every foreseeable end is a status of the contract, never a traceback."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from analyzer.cli.exits import UNREADABLE, USAGE, UsageError

#: New objects between two looks for garbage in cycles: we make hardly any, and have many objects to look at.
_COLLECT_AFTER = 50_000
_OWN = os.getpid()
#: What a write says when the disk is full, its quota used up, or the medium broken.
_MEDIUM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Terminated(KeyboardInterrupt):
    """SIGTERM, or the terminal was closed (SIGHUP): unwinds like Ctrl-C, so that temporary files and dumpcap go."""

    def __init__(self, number: int) -> None:
        super().__init__()
        #: As a shell says it: 128 and the signal.
        self.status = 128 + number


def guarded(action: Callable[[], None]) -> None:
    """Run ``action``; an error becomes one line for the person and an exit status."""
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `analyze ... | head` ends quietly, as its neighbours do
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored: nohup
        signal.signal(signal.SIGHUP, _terminated)
    try:
        try:
            action()
        finally:
            sys.stdout.flush()
    except Terminated as end:
        with suppress(OSError):  # a terminal that is gone
            print("analyze: terminated", file=sys.stderr)
        sys.exit(end.status)
    except KeyboardInterrupt:
        print("analyze: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_told(error))


def _terminated(number: int, _frame: object) -> None:
    if os.getpid() != _OWN:
        os._exit(128 + number)  # a forked worker: whoever ended it cleans up
    raise Terminated(number)


def _told(error: Exception) -> int:
    from analyzer.errors import InputError
    from analyzer.safe import printable

    if isinstance(error, InputError | UsageError):
        print(f"analyze: {printable(str(error))}", file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else UNREADABLE
    if isinstance(error, OSError) and error.errno in _MEDIUM and error.filename is None:
        _drop_output()
        print(f"analyze: standard output: cannot be written: {error.strerror}", file=sys.stderr)
        return UNREADABLE
    if "-v" in sys.argv or "--verbose" in sys.argv:
        raise error  # ours, whatever it is: one line for the person, the traceback for us
    print(
        f"analyze: internal error ({type(error).__name__}); this is a bug in analyze, not in your files. "
        "Run it again with --verbose and report what it prints.",
        file=sys.stderr,
    )
    return UNREADABLE


def _drop_output() -> None:
    """What is still buffered would fail once more when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
