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
from typing import TYPE_CHECKING, Annotated

import typer

from analyzer.cli import options
from analyzer.cli.capturing import Engine, ports_of
from analyzer.cli.exits import EMPTY, FAILING, HEALTHY, UNREADABLE

if TYPE_CHECKING:
    from analyzer.fleet.store import Store


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
    app.command("batch", short_help="Many captures at once, resumable.")(batch)


def batch(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Captures, folders, globs, URLs, or - for a list of them.")
    ],
    keys: options.Keys = None,
    keys_beside: Annotated[
        str | None,
        typer.Option(
            "--keys-beside", metavar="NAME", help="Folder beside each capture with more keys, for that capture alone."
        ),
    ] = None,
    store: options.Store = None,
    jobs: options.Jobs = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the HTML report here.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.TEXT,
    output: options.Report = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="tcp://HOST:PORT", help="Work on this Dask cluster, tcp://HOST:8786."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", min=0.1, help="Seconds for one capture.")
    ] = 300.0,
    memory_limit: Annotated[
        int, typer.Option("--memory-limit", metavar="MB", min=64, help="Megabytes for one capture.")
    ] = 2048,
    port: options.Ports = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Who reads link and network layers.")] = Engine.AUTO,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per device, no progress.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List everything.")] = False,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Analyse many captures at once; with --store, resumable at any point.

    \b
      analyze batch captures/ --keys keys/ --store fleet.sqlite --html fleet.html
      find /srv -name '*.pcap' | analyze batch - --keys keys/ --store f.sqlite
      analyze batch tickets/ --keys-beside keys      # tickets/1/keys and so on

    Interrupted or killed, the same command goes on where it was. Exit status as for one capture.
    """
    from analyzer.cli.keyfolder import load, passphrases
    from analyzer.cli.progress import Meter
    from analyzer.fleet import batch as fleet
    from analyzer.fleet.listing import listed
    from analyzer.fleet.places import is_url
    from analyzer.fleet.questions import Filter
    from analyzer.fleet.store import Store
    from analyzer.fleet.tickets import Tickets, in_archive, places_of
    from analyzer.fleet.work import Limits, Setup
    from analyzer.pipeline import Options
    from analyzer.reports.fleet.writing import write
    from analyzer.reports.writing import Style

    ring = load(keys or (), passphrase_file)
    names = listed(paths)
    if scheduler is not None:
        from analyzer.fleet.cluster import remote

        workers = remote(scheduler)
    else:
        workers = fleet.local(jobs or cores())
    known = passphrases(passphrase_file)
    if keys_beside is not None:
        tickets: Tickets | None = Tickets(ring, folder_name(keys_beside), known)
    else:
        places = places_of(paths)
        own = places or any(in_archive(name) for name in names if not is_url(name))
        tickets = Tickets(ring, passphrases=known, places=places) if own else None
    setup = Setup(
        ring,
        Options(ports=ports_of(port or ()), engine=engine.value),
        Limits(time_limit, memory_limit),
        tickets=tickets,
    )
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


def status_of(store: Store) -> int:
    """The contract's status for the captures asked about: 3 outranks 1, and 4 means that no session was found anywhere."""
    db = store.db
    if db.execute("SELECT 1 FROM temp.asked JOIN results ON id = asked.result WHERE status <> 'ok' LIMIT 1").fetchone():
        return UNREADABLE
    verdicts = "SELECT 1 FROM temp.asked JOIN sessions ON sessions.result = asked.result"
    if db.execute(f"{verdicts} WHERE verdict <> 'healthy' LIMIT 1").fetchone():
        return FAILING
    return HEALTHY if db.execute(f"{verdicts} LIMIT 1").fetchone() else EMPTY


def folder_name(text: str) -> str:
    """What ``--keys-beside`` names: a folder's name, not a path. Raises BadParameter."""
    name = text.rstrip("/\\")
    if name in ("", ".", "..") or Path(name).name != name:
        raise typer.BadParameter(
            f"{text!r} is no name of a folder; keys of all captures go to --keys", param_hint="--keys-beside"
        )
    return name


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
