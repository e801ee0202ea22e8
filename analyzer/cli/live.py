"""`analyze live`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli.batch import terminable
from analyzer.cli.capturing import ports_of
from analyzer.cli.exits import EMPTY, FAILING, HEALTHY


class Format(StrEnum):
    """What live verdicts can be written as."""

    TEXT = "text"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("live")(live)


def live(
    interface: Annotated[
        str, typer.Option("--interface", "-i", help="The interface to capture on; `dumpcap -D` lists them.")
    ],
    keys: Annotated[
        list[Path] | None, typer.Option("--keys", help="Key folder or file; may be given several times.")
    ] = None,
    only: Annotated[str, typer.Option("--filter", "-f", help="Capture filter, as for tcpdump.")] = "",
    write: Annotated[Path | None, typer.Option("--write", "-w", help="Keep the packets in this pcapng file.")] = None,
    format: Annotated[Format, typer.Option("--format", help="Lines of text, or of JSON.")] = Format.TEXT,
    port: Annotated[list[str] | None, typer.Option("--port", help="Further cloud port, tcp/N or udp/N.")] = None,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Passphrases for encrypted PEM, one a line.")
    ] = None,
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
