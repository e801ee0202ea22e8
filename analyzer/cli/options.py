"""Options that several commands have, each worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Capture = Annotated[Path, typer.Argument(metavar="CAPTURE", help="A pcap or pcapng file, also .gz.")]
Keys = Annotated[
    list[Path] | None, typer.Option("--keys", metavar="PATH", help="Key folder or file; may be given several times.")
]
Passphrases = Annotated[
    Path | None, typer.Option("--passphrase-file", metavar="FILE", help="Passphrases for encrypted PEM, one a line.")
]
Ports = Annotated[
    list[str] | None,
    typer.Option("--port", metavar="tcp/N|udp/N", help="Further cloud port; content decides, the port is a hint."),
]
Report = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report here.")]
NewCapture = Annotated[Path, typer.Option("--output", "-o", metavar="OUT.pcapng", help="The file to write.")]
Store = Annotated[
    Path | None,
    typer.Option("--store", metavar="F.sqlite", help="SQLite file that remembers what is done; made when not there."),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="Processes to work with; default: one per core.")
]
