"""The ``analyze`` command: options, wiring, exit status; nothing else lives here."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with the contract's exit status.

    A plain look at captures does not wait for the option parser; everything else, and every mistake, is the parser's.
    """
    from analyzer.cli.ending import guarded

    guarded(_command)


def _command() -> None:
    from analyzer.cli import quick

    request = quick.understood(sys.argv[1:])
    if request is None:
        from analyzer.cli.app import app

        app(prog_name="analyze")
        return
    from analyzer.cli.capturing import run

    sys.exit(run(request))
