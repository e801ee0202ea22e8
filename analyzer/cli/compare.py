"""`analyze compare`."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analyzer.cli import options

if TYPE_CHECKING:
    from analyzer.model import Session

_NUMBERED = re.compile(r"(?P<path>.+)#(?P<number>[1-9][0-9]{0,8})")


class Format(StrEnum):
    """What a comparison can be written as."""

    TEXT = "text"
    HTML = "html"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare", short_help="Two sessions side by side: where they part.")(compare)


def compare(
    good: Annotated[str, typer.Argument(metavar="GOOD[#N]", help="What works: a capture or ticket, session N of it.")],
    bad: Annotated[str, typer.Argument(metavar="BAD[#N]", help="What does not.")],
    keys: options.Keys = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="How to write it; else by the ending of --output, else text.")
    ] = None,
    output: options.Report = None,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Say what the healthy one does here and this one does not, stage by stage.

    \b
      analyze compare good.pcap bad.pcap --keys keys/
      analyze compare capture.pcap#1 capture.pcap#3 -o both.html

    Without a number the first healthy session of GOOD and the first failing one of BAD are taken.
    Exit status: 0 they do the same, 1 they part.
    """
    from analyzer.comparison import compared
    from analyzer.reports import comparison as reports
    from analyzer.reports.writing import Style, write_file, write_out

    found = compared(
        _session(good, keys, passphrase_file, healthy=True), _session(bad, keys, passphrase_file, healthy=False)
    )
    by_ending = {".html": Format.HTML, ".json": Format.JSON}.get(output.suffix.lower() if output else "", Format.TEXT)
    match format or by_ending:
        case Format.JSON:
            pieces = reports.format_json(found)
        case Format.HTML:
            pieces = reports.format_html(found)
        case _:
            pieces = reports.format_text(found, Style.for_stream(sys.stdout, to_file=output is not None))
    if output is None:
        write_out(pieces)
    else:
        write_file(output, pieces)
    raise typer.Exit(0 if found.parts_at is None else 1)


def _session(word: str, keys: list[Path] | None, passphrase_file: Path | None, *, healthy: bool) -> Session:
    """The session that a word means. Raises InputError and UsageError."""
    from analyzer.cli.exits import UsageError
    from analyzer.cli.keyfolder import load, passphrases
    from analyzer.comparison import chosen
    from analyzer.pipeline import analyze_inputs
    from analyzer.tickets import Ticket, gather

    numbered = None if Path(word).exists() else _NUMBERED.fullmatch(word)
    path, number = (numbered["path"], int(numbered["number"])) if numbered else (word, None)
    known = passphrases(passphrase_file)
    inputs = [item if isinstance(item, str) else Ticket.of(item, known) for item in gather([path])]
    report = analyze_inputs(inputs, load(keys or (), passphrase_file))
    session = chosen(report, number, healthy=healthy)
    if session is None:
        count = sum(len(capture.sessions) for capture in report.captures)
        there = f"holds sessions 1 to {count}" if count else "holds no device session"
        raise UsageError(f"{word}: {path} {there}")
    return session
