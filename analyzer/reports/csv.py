"""One line per session for spreadsheets; cells that a spreadsheet would run as a formula are made inert."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from analyzer.model import Report, Session
from analyzer.safe import printable

COLUMNS = (
    "capture",
    "session",
    "start_time",
    "duration_s",
    "transport",
    "protocol",
    "device_id",
    "id_source",
    "device_address",
    "device_port",
    "cloud_address",
    "cloud_port",
    "cloud_host",
    "verdict",
    "certainty",
    "stage",
    "frames",
    "alternatives",
    "summary",
    "findings",
    "ended_by",
    "ended_how",
    "history",
    "filter",
)
#: The last four: what a spreadsheet with an East Asian locale takes for the first four.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def format_csv(report: Report) -> Iterator[str]:
    """RFC 4180 with a header line."""
    yield _line(COLUMNS)
    for capture in report.captures:
        for session in capture.sessions:
            yield _line((capture.path, *_cells(session)))


def rows(report: Report) -> Iterator[dict[str, object]]:
    """The sessions as rows for other libraries: values by the names of `COLUMNS`, nothing made inert."""
    for capture in report.captures:
        for session in capture.sessions:
            yield dict(zip(COLUMNS, (capture.path, *_cells(session)), strict=True))


def _cells(session: Session) -> tuple[object, ...]:
    verdict = session.verdict
    return (
        session.id,
        session.begins,
        session.duration_s,
        session.transport,
        session.protocol,
        session.device.id,
        session.device.id_source,
        session.device.address,
        session.device.port,
        session.cloud.address,
        session.cloud.port,
        session.cloud.host,
        verdict.code.value,
        verdict.certainty.value,
        verdict.stage,
        " ".join(map(str, verdict.frames)),
        " ".join(code.value for code in verdict.alternatives),
        verdict.summary,
        " ".join(finding.code for finding in session.findings),
        session.ending.by,
        session.ending.how.value,
        session.history,
        session.filter,
    )


def _line(cells: tuple[object, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([inert(cell) for cell in cells])
    return buffer.getvalue()


def inert(cell: object) -> object:
    """A cell as text that no spreadsheet takes for a formula (OWASP CSV injection: a leading apostrophe)."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return cell
    text = printable(cell)
    return "'" + text if text.startswith(_FORMULA) or cell.startswith(_FORMULA) else text
