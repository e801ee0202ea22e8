"""`analyze live`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import options
from analyzer.cli.batch import terminable
from analyzer.cli.capturing import ports_of
from analyzer.cli.exits import EMPTY, FAILING, HEALTHY


class Format(StrEnum):
    """What live verdicts can be written as."""

    TEXT = "text"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("live", short_help="Verdicts as sessions end, on an interface.")(live)


def live(
    interface: Annotated[
        str,
        typer.Option(
            "--interface", "-i", metavar="IFACE", help="The interface to capture on; `dumpcap -D` lists them."
        ),
    ],
    keys: options.Keys = None,
    only: Annotated[str, typer.Option("--filter", "-f", metavar="TEXT", help="Capture filter, as for tcpdump.")] = "",
    write: Annotated[
        Path | None, typer.Option("--write", "-w", metavar="FILE", help="Keep the packets in this pcapng file.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="Lines of text, or of JSON.")] = Format.TEXT,
    port: options.Ports = None,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Capture and say what is wrong with each session as it ends, until Ctrl-C.

    \b
      analyze live -i wlan0 --keys keys/ --write ticket.pcapng

    dumpcap (of Wireshark) captures: nothing here needs to be root. Exit status as for one capture.
    """
    from analyzer.cli.keyfolder import load
    from analyzer.live import Desk, Interface, sessions
    from analyzer.pipeline import Options
    from analyzer.reports.json import plain
    from analyzer.safe import printable

    ring = load(keys or (), passphrase_file)
    desk = Desk(ring, Options(ports=ports_of(port or ())))
    status = EMPTY
    with terminable():
        running = Interface(interface, only=only, copy=write)
        print(f"analyze: capturing on {interface}; Ctrl-C ends it", file=sys.stderr)
        try:
            for session in sessions(running, desk):
                verdict = session.verdict
                bad = verdict.code.value != "healthy"
                status = FAILING if bad or status == FAILING else HEALTHY
                if format is Format.JSONL:
                    line = json.dumps({"capture": str(write or interface), **plain(session)})
                else:
                    device = session.device.id or session.device.address
                    line = printable(
                        f"{session.start_time}  {verdict.code} ({verdict.certainty})  {device} ->"
                        f" {session.cloud.address}:{session.cloud.port}  {verdict.summary}"
                    )
                print(line, flush=True)
        finally:
            running.close()
    raise typer.Exit(status)
