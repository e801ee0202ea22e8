"""`analyze watch`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import options
from analyzer.cli.batch import Ended, cores, terminable
from analyzer.cli.capturing import ports_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", short_help="Verdicts as captures arrive in a folder.")(watch)


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder captures are dropped into.")],
    keys: options.Keys = None,
    store: options.Store = None,
    jobs: options.Jobs = None,
    settle: Annotated[
        float,
        typer.Option(
            "--settle", metavar="SECONDS", min=0.1, help="Seconds without a change after which a capture is complete."
        ),
    ] = 3.0,
    port: options.Ports = None,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Analyse captures as they are completed in a folder, one line per session, until Ctrl-C.

    \b
      analyze watch /srv/drop --keys keys/ --store fleet.sqlite

    Captures that arrive while nobody watches are analysed at the next start; --store remembers which are done.
    """
    from analyzer.cli.keyfolder import load
    from analyzer.fleet import batch as fleet
    from analyzer.fleet.store import Store
    from analyzer.fleet.work import Setup
    from analyzer.pipeline import Options
    from analyzer.watching import arriving

    setup = Setup(load(keys or (), passphrase_file), Options(ports=ports_of(port or ())))
    print(f"analyze: watching {folder}; Ctrl-C ends it", file=sys.stderr)
    with Store(store) as opened, terminable():
        try:
            for paths in arriving(folder, settle):
                if paths:
                    fleet.run(paths, setup, opened, fleet.local(jobs or cores()))
                    _tell(opened, paths)
        except KeyboardInterrupt as stop:
            opened.flush()
            print("analyze: stopped watching", file=sys.stderr)
            raise typer.Exit(143 if isinstance(stop, Ended) else 0) from None


def _tell(opened: object, paths: list[str]) -> None:
    from analyzer.fleet.questions import Filter, captures, sessions
    from analyzer.fleet.store import Store
    from analyzer.safe import printable

    assert isinstance(opened, Store)
    opened.select(paths)
    told: set[str] = set()
    for path, row in sessions(opened, Filter()):
        told.add(path)
        print(
            printable(
                f"{path}: {row.verdict} ({row.certainty})  {row.device} -> {row.cloud_address}:{row.cloud_port}"
                f"  {row.start_time}  {row.summary}"
            ),
            flush=True,
        )
    for capture in captures(opened):
        if capture.path not in told:
            print(printable(f"{capture.path}: {capture.reason or 'no device session'}"), flush=True)
    opened.select(None)
