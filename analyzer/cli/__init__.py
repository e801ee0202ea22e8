"""The ``analyze`` command: options, wiring, exit status; nothing else lives here."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave with the contract's exit status."""
    from analyzer.cli.app import run

    run()
