"""`analyze batch`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from analyzer.cli.capturing import Engine, ports_of


class Format(StrEnum):
    """What a report on a fleet can be written as."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    HTML = "html"


class Ended(KeyboardInterrupt):
    """SIGTERM: the same clean end as Ctrl-C."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("batch")(batch)


def batch(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Captures, folders, globs, URLs, or - for a list of them.")
    ],
    keys: Annotated[
        list[Path] | None, typer.Option("--keys", help="Key folder or file; may be given several times.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="SQLite file that remembers what is done; made when not there.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes to work with; default: one per core.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write the HTML report here.")] = None,
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here.")] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Work on this Dask cluster, tcp://HOST:8786.")
    ] = None,
    time_limit: Annotated[float, typer.Option("--time-limit", min=0.1, help="Seconds for one capture.")] = 300.0,
    memory_limit: Annotated[int, typer.Option("--memory-limit", min=64, help="Megabytes for one capture.")] = 2048,
    port: Annotated[list[str] | None, typer.Option("--port", help="Further cloud port, tcp/N or udp/N.")] = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Who reads link and network layers.")] = Engine.AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per device, no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List everything.")] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Passphrases for encrypted PEM, one a line.")
    ] = None,
) -> None:
    """Analyse many captures at once; with --store, resumable at any point.

    \b
      analyze batch captures/ --keys keys/ --store fleet.sqlite --html fleet.html
      find /srv -name '*.pcap' -print0 | analyze batch - --keys keys/ --store fleet.sqlite

    Interrupted or killed, the same command goes on where it was. Exit status as for one capture.
    """
    from analyzer.cli.keyfolder import load
    from analyzer.cli.progress import Meter
    from analyzer.fleet import batch as fleet
    from analyzer.fleet.listing import listed
    from analyzer.fleet.questions import Filter
    from analyzer.fleet.status import status_of
    from analyzer.fleet.store import Store
    from analyzer.fleet.work import Limits, Setup
    from analyzer.pipeline import Options
    from analyzer.reports.fleet.writing import write
    from analyzer.reports.writing import Style

    options = Options(ports=ports_of(port or ()), engine=engine.value)
    ring = load(keys or (), passphrase_file)
    names = listed(paths)
    if scheduler is not None:
        from analyzer.fleet.cluster import remote

        workers = remote(scheduler)
    else:
        workers = fleet.local(jobs or cores())
    setup = Setup(ring, options, Limits(time_limit, memory_limit))
    style = Style.for_stream(sys.stdout, quiet=quiet, verbose=verbose, to_file=output is not None)
    meter = Meter()
    latest = fleet.Progress(total=len(names))

    def told(progress: fleet.Progress) -> None:
        nonlocal latest
        latest = progress
        if not quiet:
            meter(progress)

    with Store(store) as opened:
        try:
            with terminable():
                fleet.run(names, setup, opened, workers, told)
        except KeyboardInterrupt as stop:
            meter.clear()
            opened.flush()
            kept = f"; {store} keeps them, and the same command goes on from there" if store is not None else ""
            print(f"analyze: stopped with {latest.done:,} of {latest.total:,} captures done{kept}", file=sys.stderr)
            raise typer.Exit(143 if isinstance(stop, Ended) else 130) from None
        if not quiet:
            meter.end(latest)
        opened.select(names)
        write(opened, format.value, output, Filter(), style)
        if html is not None:
            write(opened, "html", html, Filter(), style)
        raise typer.Exit(status_of(opened))


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends what is inside as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
