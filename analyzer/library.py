"""The analyzer for programs and notebooks: what `from analyzer import ...` gives.

How it works. Thin on purpose: paths may be strings, keys may be a folder's name, and what comes back is the report of the
command line (`analyzer.model.Report`, the JSON contract as types) that also shows itself in a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from analyzer import pipeline
from analyzer.keys import KeyRing
from analyzer.keys import load_keys as _load_keys
from analyzer.model import Report
from analyzer.pipeline import Options
from analyzer.tickets import Ticket, gather

#: Keys as a caller has them: loaded already, or files and folders.
Keys = KeyRing | str | Path | Iterable[str | Path]


@dataclass(frozen=True, slots=True)
class Result(Report):
    """A report that shows itself: `print` gives the terminal's text, a notebook the HTML page."""

    def __str__(self) -> str:
        """The report as the terminal shows it, without colour, 100 columns wide."""
        from analyzer.reports.text import format_text
        from analyzer.reports.writing import Style

        return "".join(format_text(self, Style()))

    def to_json(self) -> str:
        """The JSON report, as `--format json` writes it."""
        from analyzer.reports.json import format_json

        return "".join(format_json(self))

    def to_html(self) -> str:
        """The HTML report, one page that needs nothing else."""
        from analyzer.reports.html import format_html

        return "".join(format_html(self))

    def sessions_frame(self) -> Any:  # noqa: ANN401 - of a library that may not be there
        """The sessions as a table, a row each, with the columns of `--format csv`: a pandas DataFrame, or a pyarrow Table
        where there is no pandas. Raises ImportError where neither is."""
        from analyzer.reports.csv import COLUMNS, rows

        columns = {name: [row[name] for row in rows(self)] for name in COLUMNS}
        for module, made in (("pandas", "DataFrame"), ("pyarrow", "table")):
            with suppress(ImportError):
                return getattr(import_module(module), made)(columns)
        raise ImportError("sessions_frame needs pandas or pyarrow: pip install pandas, or the extra parquet")

    def _repr_html_(self) -> str:
        """The HTML report in a frame of its own, so that its style and the notebook's leave each other alone."""
        page = escape(self.to_html(), quote=True)
        look = "width:100%;height:46rem;border:0"
        return f'<iframe sandbox="allow-scripts" style="{look}" title="Handshake report" srcdoc="{page}"></iframe>'


def load_keys(paths: str | Path | Iterable[str | Path], *, passphrases: Sequence[bytes] = ()) -> KeyRing:
    """The keys of files and folders, read once for many captures. What cannot be used is a row with its reason.

    Raises :class:`analyzer.errors.InputError` for a path that is not there.
    """
    names = [paths] if isinstance(paths, str | Path) else list(paths)
    return _load_keys(tuple(Path(name) for name in names), passphrases=tuple(passphrases))


def analyze_capture(source: str | Path | BinaryIO, keys: Keys = (), options: Options = Options()) -> Result:  # noqa: B008 - frozen
    """The report on one capture: a path, or a binary stream (named `-` in the report).

    A damaged capture is used as far as it goes. Raises :class:`analyzer.errors.InputError` for a file that is no capture.
    """
    ring = _ring(keys)
    if isinstance(source, str | Path):
        return _result(pipeline.report_of([pipeline.analyze_capture(Path(source), ring, options)], ring))
    return _result(pipeline.report_of([pipeline.analyze_capture(source, ring, options, name="-")], ring))


def analyze_captures(
    paths: str | Path | Iterable[str | Path],
    keys: Keys = (),
    options: Options = Options(),  # noqa: B008 - frozen
) -> Result:
    """One report on captures, folders of them, globs and tickets (folders or archives with keys and logs in them), in order.

    ``keys`` come on top of a ticket's own. A capture that cannot be read is a row with its reason. Raises
    :class:`analyzer.errors.InputError` for a path that is not there and an archive that cannot be unpacked. For
    thousands of captures, `analyze batch`.
    """
    names = [paths] if isinstance(paths, str | Path) else list(paths)
    inputs = [item if isinstance(item, str) else Ticket.of(item) for item in gather(map(str, names))]
    return _result(pipeline.analyze_inputs(inputs, _ring(keys), options))


def _ring(keys: Keys) -> KeyRing:
    return keys if isinstance(keys, KeyRing) else load_keys(keys)


def _result(report: Report) -> Result:
    return Result(**{field.name: getattr(report, field.name) for field in fields(report)})
