"""How a run ends: every foreseeable end is a status of the contract, never a traceback."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable

from analyzer.cli.exits import UNREADABLE, USAGE, UsageError

#: New objects between two looks for garbage in cycles: we make hardly any, and have many objects to look at.
_COLLECT_AFTER = 50_000


def guarded(action: Callable[[], None]) -> None:
    """Run ``action``; an error becomes one line for the person and an exit status."""
    gc.set_threshold(_COLLECT_AFTER, 20, 50)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `analyze ... | head` ends quietly, as its neighbours do
    try:
        action()
    except KeyboardInterrupt:
        print("analyze: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_told(error))


def _told(error: Exception) -> int:
    from analyzer.errors import InputError
    from analyzer.safe import printable

    if isinstance(error, InputError | UsageError):
        print(f"analyze: {printable(str(error))}", file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else UNREADABLE
    if "-v" in sys.argv or "--verbose" in sys.argv:
        raise error  # ours, whatever it is: one line for the person, the traceback for us
    print(
        f"analyze: internal error ({type(error).__name__}); this is a bug in analyze, not in your files. "
        "Run it again with --verbose and report what it prints.",
        file=sys.stderr,
    )
    return UNREADABLE
