"""Where a fleet report goes, by the name of its format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analyzer.errors import InputError
from analyzer.fleet.questions import Filter, overview
from analyzer.fleet.store import Store
from analyzer.reports.writing import Style, write_file, write_out


def chunks(store: Store, format: str, only: Filter, style: Style) -> Iterator[str]:
    """The report in a text format, piece by piece."""
    if format in ("json", "jsonl"):
        from analyzer.reports.fleet.json import format_json, format_jsonl

        return format_json(store, only) if format == "json" else format_jsonl(store, only)
    if format == "csv":
        from analyzer.reports.fleet.table import format_csv

        return format_csv(store, only)
    if format == "markdown":
        from analyzer.reports.fleet.markdown import format_markdown

        return format_markdown(overview(store, only))
    if format == "html":
        from analyzer.reports.fleet.html import format_html

        return format_html(overview(store, only), only)
    from analyzer.reports.fleet.text import format_text

    return format_text(overview(store, only), style)


def write(store: Store, format: str, output: Path | None, only: Filter, style: Style) -> None:
    """Write the report to ``output`` (replaced only when all of it is written) or to standard output. Raises InputError."""
    if format == "parquet":
        from analyzer.reports.fleet.table import write_parquet

        if output is None:
            raise InputError("--format parquet", "needs a file", "say where: --output FILE")
        write_parquet(store, only, output)
    elif output is None:
        write_out(chunks(store, format, only, style))
    else:
        write_file(output, chunks(store, format, only, style))
