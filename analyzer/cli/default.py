"""The default action: one capture in full, several as rows and totals."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli.exits import USAGE, status_of

NAME = "capture"
GROUP_HELP = """Tell from a packet capture why a Particle device cannot reach its cloud, and which key is wrong.

\b
  analyze capture.pcap                        what can be said without keys
  analyze capture.pcap --keys keys/           which key is wrong, with proof
  analyze captures/ --keys keys/              a row per session, and totals
  analyze capture.pcap --log device.log       the device's own log beside it
  analyze --log device.log                    what the log alone can say
  analyze capture.pcap --format json          the same, for programs

A first word that is one of the commands below selects it; anything else is a capture
(pcap or pcapng, also .gz; a folder; `-` for standard input).
Exit status: 0 every session healthy, 1 at least one failing, 2 usage, 3 an input could
not be read or finished, 4 no device session found."""


class Format(StrEnum):
    """What a report can be written as."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    HTML = "html"
    MARKDOWN = "markdown"


class Engine(StrEnum):
    """Who dissects link and network layers."""

    AUTO = "auto"
    SCAPY = "scapy"
    TSHARK = "tshark"


def register(app: typer.Typer) -> None:
    """Add the default action under its (hidden) name."""
    app.command(NAME, hidden=True)(capture)


def capture(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH...", help="Captures, folders, globs, or - for standard input.")
    ] = None,
    keys: Annotated[
        list[Path] | None, typer.Option("--keys", help="Key folder or file; may be given several times.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report here.")] = None,
    log: Annotated[
        list[Path] | None, typer.Option("--log", help="The device's serial log; may be given several times.")
    ] = None,
    port: Annotated[list[str] | None, typer.Option("--port", help="Further cloud port, tcp/N or udp/N.")] = None,
    engine: Annotated[Engine, typer.Option("--engine", help="Who reads link and network layers.")] = Engine.AUTO,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes for several captures.")] = None,
    redact: Annotated[bool, typer.Option("--redact", help="Leave addresses, ids and names out of the report.")] = False,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show session keys in the report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line per session.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    passphrase_file: Annotated[
        Path | None, typer.Option("--passphrase-file", help="Passphrases for encrypted PEM, one a line.")
    ] = None,
) -> None:
    """Read captures and say what is wrong."""
    from analyzer.cli.keyfolder import load
    from analyzer.inputs import expand
    from analyzer.pipeline import Options, analyze_logs, analyze_paths
    from analyzer.reports.writing import Style, write

    options = Options(ports=_ports(port or ()), engine=engine.value, logs=tuple(log or ()), jobs=jobs)
    if not paths and not log:
        print("analyze: give it a capture, or a device's log with --log", file=sys.stderr)
        raise typer.Exit(USAGE)
    ring = load(keys or (), passphrase_file)
    report = analyze_paths(expand(paths), ring, options) if paths else analyze_logs(options.logs, ring)
    if redact:
        import secrets

        from analyzer.reports.redaction import redacted

        report = redacted(report, secrets.token_bytes(32))
    style = Style.for_stream(sys.stdout, quiet=quiet, verbose=verbose, to_file=output is not None)
    write(report, format.value, output, style)
    for item in report.captures:
        for problem in item.problems:
            print(f"analyze: {item.path}: {problem.message}", file=sys.stderr)
    raise typer.Exit(status_of(report.captures))


def _ports(words: tuple[str, ...] | list[str]) -> tuple[tuple[str, int], ...]:
    ports = []
    for word in words:
        transport, _, number = word.partition("/")
        if transport not in ("tcp", "udp") or not number.isdigit() or not 0 < int(number) < 65536:
            print(f"analyze: --port {word}: expected tcp/N or udp/N", file=sys.stderr)
            raise typer.Exit(USAGE)
        ports.append((transport, int(number)))
    return tuple(ports)
