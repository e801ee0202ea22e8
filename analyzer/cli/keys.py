"""`analyze keys`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import options


class Format(StrEnum):
    """What the key report can be written as."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("keys", short_help="What is in a key folder, and what is wrong with it.")(keys)


def keys(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Key folders or files.")],
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.TEXT,
    output: options.Report = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Every file of every finding.")] = False,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Say what is in a key folder, what is wrong with it, and which halves belong together.

    \b
      analyze keys keys/
      analyze keys flash-dump.bin --format json

    Exit status: 0 nothing wrong, 1 a file is unusable or two halves disagree.
    """
    from analyzer.cli.exits import UsageError
    from analyzer.cli.keyfolder import load
    from analyzer.cli.words import begins_like_capture
    from analyzer.reports.keys import run_keys_report
    from analyzer.reports.writing import Style, write_file, write_out

    for path in paths:
        if begins_like_capture(path):
            raise UsageError(f"{path} is a capture: `analyze {path}` reads it; `keys` is for a key folder or key files")
    style = Style.for_stream(sys.stdout, verbose=verbose, to_file=output is not None)
    pieces, status = run_keys_report(load(paths, passphrase_file), format.value, style)
    if output is None:
        write_out(pieces)
    else:
        write_file(output, pieces)
    raise typer.Exit(status)
