"""`analyze fleet`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import completion, options
from analyzer.cli.batch import Format


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fleet", short_help="Reports and questions on a batch run's store.")(fleet)


def fleet(
    store: Annotated[Path, typer.Argument(metavar="F.sqlite", help="The store of a batch run.")],
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.TEXT,
    output: options.Report = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="ID", help="Only this device: its id or address.")
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(
            "--verdict", metavar="CODE", help="Only sessions with this verdict.", autocompletion=completion.verdicts
        ),
    ] = None,
    certainty: Annotated[
        str | None,
        typer.Option(
            "--certainty",
            metavar="WORD",
            help="Only proven, inferred or undetermined verdicts.",
            autocompletion=completion.certainties,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only sessions from this day or time (UTC) on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="Only sessions before this day or time (UTC).")
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", metavar="NET", help="Only this access network or address.")
    ] = None,
    cloud: Annotated[
        str | None, typer.Option("--cloud", metavar="HOST", help="Only this cloud address or name.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per device.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List everything.")] = False,
) -> None:
    """Report on a store: which devices, which cause, since when, the same everywhere?

    \b
      analyze fleet fleet.sqlite
      analyze fleet fleet.sqlite --format html --output fleet.html
      analyze fleet fleet.sqlite --device 300047001147343332373737
    """
    from analyzer.cli.exits import USAGE
    from analyzer.errors import InputError
    from analyzer.fleet.questions import Filter
    from analyzer.fleet.store import Store
    from analyzer.model import Certainty, Code
    from analyzer.reports.fleet.writing import write
    from analyzer.reports.writing import Style

    for option, value, known in (("--verdict", verdict, Code), ("--certainty", certainty, Certainty)):
        if value is not None and value not in {item.value for item in known}:
            print(f"analyze: {option} {value!r}: one of {', '.join(item.value for item in known)}", file=sys.stderr)
            raise typer.Exit(USAGE)
    if not store.is_file():
        raise InputError(str(store), "no such store", "analyze batch PATH... --store F.sqlite makes one")
    only = Filter(device, verdict, certainty, since, until, network, cloud)
    style = Style.for_stream(sys.stdout, quiet=quiet, verbose=verbose, to_file=output is not None)
    with Store(store) as opened:
        write(opened, format.value, output, only, style)
