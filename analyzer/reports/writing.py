"""Where a report goes: the format by name, the stream or file, and how much a terminal can show."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import TextIO

from analyzer.errors import InputError
from analyzer.model import Report

_DEFAULT_WIDTH = 100
_MAX_WIDTH = 160


@dataclass(frozen=True, slots=True)
class Style:
    """What a text report may use: columns, colour, characters beyond ASCII; and how much to say."""

    width: int = _DEFAULT_WIDTH
    color: bool = False
    unicode: bool = True
    quiet: bool = False
    verbose: bool = False

    @classmethod
    def for_stream(cls, stream: TextIO, *, quiet: bool = False, verbose: bool = False, to_file: bool = False) -> Style:
        """The style for this stream: colour only on a terminal and without NO_COLOR (no-color.org), ASCII where the encoding has no more."""
        terminal = stream.isatty() and not to_file
        width = (
            min(shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns, _MAX_WIDTH)
            if terminal or "COLUMNS" in os.environ
            else _DEFAULT_WIDTH
        )
        encoding = ("utf-8" if to_file else (stream.encoding or "ascii")).lower()
        return cls(
            width=max(60, width),
            color=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
            unicode=encoding.replace("-", "") in ("utf8", "utf16", "utf32"),
            quiet=quiet,
            verbose=verbose,
        )


def chunks(report: Report, format: str, style: Style) -> Iterator[str]:
    """The report in ``format``, piece by piece."""
    if format == "json":
        from analyzer.reports.json import format_json

        return format_json(report)
    if format == "jsonl":
        from analyzer.reports.json import format_jsonl

        return format_jsonl(report)
    if format == "csv":
        from analyzer.reports.csv import format_csv

        return format_csv(report)
    if format == "markdown":
        from analyzer.reports.markdown import format_markdown

        return format_markdown(report)
    if format == "ticket":
        from analyzer.reports.ticket import format_ticket

        return format_ticket(report)
    if format in ("junit", "sarif"):
        from analyzer.reports.checks import format_junit, format_sarif

        return format_junit(report) if format == "junit" else format_sarif(report)
    if format == "html":
        from analyzer.reports.html import format_html

        return format_html(report)
    from analyzer.reports.text import format_text

    return format_text(report, style)


def write(report: Report, format: str, output: Path | None, style: Style) -> None:
    """Write the report to ``output`` (replaced only when all of it is written) or to standard output."""
    pieces = chunks(report, format, style)
    if output is None:
        write_out(pieces)
    else:
        write_file(output, pieces)


def write_out(pieces: Iterable[str]) -> None:
    """Write text to standard output. Raises InputError when that is full or gone."""
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):
            # What is still buffered would fail once more when the interpreter ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError("standard output", f"cannot be written: {error.strerror or error}") from error


def write_file(path: Path, pieces: Iterable[str]) -> None:
    """Write text to ``path`` by way of a temporary file beside it, readable by its owner only.

    An output that is there keeps its mode; one that is no regular file (a device, a pipe) is written to, not replaced.
    Raises InputError when it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        before = path.stat().st_mode if path.exists() else None
        if before is not None and not S_ISREG(before):
            with path.open("w", encoding="utf-8", newline="") as stream:
                stream.writelines(pieces)
            return
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.writelines(pieces)
        if before is not None:
            partial.chmod(S_IMODE(before))
        partial.replace(path)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
