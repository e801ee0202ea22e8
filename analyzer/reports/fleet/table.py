"""The fleet as rows: one line per session, for spreadsheets (CSV) and for data frames (Parquet)."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from analyzer.errors import InputError
from analyzer.fleet.answer import SESSION_COLUMNS, cells
from analyzer.fleet.questions import Filter, sessions
from analyzer.fleet.store import Store
from analyzer.reports.csv import inert

COLUMNS = ("capture", *SESSION_COLUMNS)
_NUMBERS = {"number": "int32", "cloud_port": "int32", "duration_s": "float64"}
_GROUP = 50_000


def format_csv(store: Store, only: Filter) -> Iterator[str]:
    """RFC 4180 with a header line; no cell is a formula."""
    yield _line(COLUMNS)
    for path, row in sessions(store, only):
        yield _line((path, *cells(row)))


def _line(values: tuple[object, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([inert(value) for value in values])
    return buffer.getvalue()


def write_parquet(store: Store, only: Filter, output: Path) -> None:
    """One row per session, in groups, so that a large fleet is never in memory at once. Raises InputError."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            str(output), "Parquet needs pyarrow", "install the extra, in the clone: pip install '.[parquet]'"
        ) from error
    types = [(name, getattr(pyarrow, _NUMBERS.get(name, "string"))()) for name in COLUMNS]
    # Times stay text (RFC 3339 with the capture's own digits), and a real time stands beside them.
    schema = pyarrow.schema([*types, ("start", pyarrow.timestamp("ns", tz="UTC"))])
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    rows = sessions(store, only)
    at = COLUMNS.index("start_time")
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            while group := [(path, *cells(row)) for path, row in islice(rows, _GROUP)]:
                columns = [
                    pyarrow.array(values, kind)
                    for values, (_, kind) in zip(zip(*group, strict=True), types, strict=True)
                ]
                times = pyarrow.array([_nanoseconds(str(row[at])) for row in group], pyarrow.int64())
                columns.append(times.cast(pyarrow.timestamp("ns", tz="UTC")))
                writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(str(output), f"cannot be written: {error.strerror or error}") from error


def _nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time in UTC; None beyond what 64 bits hold (1677 to 2262)."""
    from datetime import UTC, datetime

    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = int(
        (datetime.fromisoformat(whole).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    )
    value = seconds * 10**9 + int((fraction or "0").ljust(9, "0")[:9])
    return value if -(2**63) <= value < 2**63 else None
