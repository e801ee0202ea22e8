"""The fleet for a ticket: what, how many, since when."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.fleet.questions import Overview
from analyzer.reports.fleet.text import cluster_text, headline, state_text
from analyzer.reports.grouping import counted
from analyzer.reports.markdown import escape

_CLUSTERS, _DEVICES, _UNREAD = 30, 200, 50


def format_markdown(view: Overview) -> Iterator[str]:
    """The overview as Markdown (CommonMark with tables)."""
    yield f"# Fleet report\n\n{escape(headline(view))}.\n\n"
    if view.first_bad_day:
        yield f"First bad day: {view.first_bad_day}\n\n"
    yield from _table(("verdict", "sessions"), view.verdicts)
    yield from _table(("devices", "number"), [(state.value, count) for state, count in view.states if count])
    if view.clusters:
        yield "## Causes\n\n"
        for cluster in view.clusters[:_CLUSTERS]:
            span = f"{counted(cluster.sessions, 'session')}, {cluster.first_time[:10]} to {cluster.last_time[:10]}"
            yield f"- {escape(cluster_text(cluster))} ({cluster.code}, {cluster.certainty}; {span})\n"
        yield from _more(len(view.clusters) - _CLUSTERS, "cause")
        yield "\n"
    for title, rows in (
        ("cloud", view.by_cloud),
        ("access network", view.by_network),
        ("firmware family", view.by_family),
    ):
        if len(rows) > 1:
            yield from _table((title, "devices", "failing"), rows[:_CLUSTERS])
    if view.devices:
        yield "## Devices\n\n"
        yield from _table(
            ("device", "state", "verdict", "certainty", "failing", "sessions", "cloud"),
            [
                (row.device, state_text(row), row.verdict, row.certainty, row.failing, row.sessions, row.cloud)
                for row in view.devices[:_DEVICES]
            ],
        )
        yield from _more(len(view.devices) - _DEVICES, "device")
    if view.unread:
        yield "## Not read to the end\n\n"
        for file in view.unread[:_UNREAD]:
            yield f"- {escape(file.path)}: {escape(file.reason or file.status)}\n"
        yield from _more(len(view.unread) - _UNREAD, "capture")


def _table(head: tuple[str, ...], rows: object) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
    for row in rows:  # type: ignore[attr-defined]
        yield f"| {' | '.join(escape(str(cell)) for cell in row)} |\n"
    yield "\n"


def _more(number: int, noun: str) -> Iterator[str]:
    if number > 0:
        yield f"\n... and {counted(number, f'more {noun}')}; `--format csv` lists every session.\n"
