"""The default action: one capture in full, several as rows and totals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from analyzer.cli import options
from analyzer.cli.capturing import Engine, Format, Request, run

NAME = "capture"
GROUP_HELP = """Tell from a packet capture why a Particle device cannot reach its cloud, and which key is wrong.

\b
  analyze capture.pcap                        what can be said without keys
  analyze capture.pcap --keys keys/           which key is wrong, with proof
  analyze ticket.zip                          captures, keys and logs of one
  analyze captures/ --keys keys/              a row per session, and totals
  analyze capture.pcap --log device.log       the device's log (or a server's)
  analyze --log device.log                    what the log alone can say
  analyze capture.pcap --format json          the same, for programs

A first word that is one of the commands below selects it; anything else is a capture
(pcap or pcapng, also .gz; a folder or an archive; `-` for standard input).
Exit status: 0 every session healthy, 1 at least one failing, 2 usage, 3 an input could
not be read or finished, 4 no device session found."""


_CLICKS: Any = TyperCommand.context_class


class _Context(_CLICKS):  # type: ignore[misc]  # click's, which typer hides
    """The default action is called by the program's name alone: its own stands in no list and in no message."""

    @property
    def command_path(self) -> str:
        """As the user types it."""
        return str(self.parent.command_path)


class _Default(TyperCommand):
    context_class = _Context


def register(app: typer.Typer) -> None:
    """Add the default action under its (hidden) name."""
    app.command(NAME, cls=_Default, hidden=True)(capture)


def capture(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH", help="Captures, folders, globs, or - for standard input.")
    ] = None,
    keys: options.Keys = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="How to write the report; else by the ending of --output, else text."),
    ] = None,
    output: options.Report = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help="A device's serial log or an open server's, also gzip'ed, or - for standard input; may be repeated.",
        ),
    ] = None,
    port: options.Ports = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Who reads link and network layers.")] = Engine.AUTO,
    jobs: options.Jobs = None,
    redact: Annotated[bool, typer.Option("--redact", help="Leave addresses, ids and names out of the report.")] = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show session keys in the report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per session.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="All sessions, messages and keys; tracebacks of our own faults.")
    ] = False,
    passphrase_file: options.Passphrases = None,
    open: Annotated[
        bool, typer.Option("--open", help="Open the report when it is written (HTML, unless told).")
    ] = False,
) -> None:
    """Read captures and say what is wrong."""
    request = Request(
        paths,
        keys,
        format,
        output,
        log,
        port,
        engine,
        jobs,
        redact,
        show_secrets,
        quiet,
        verbose,
        passphrase_file,
        open,
    )
    raise typer.Exit(run(request))
