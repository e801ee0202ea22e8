"""The fleet as one offline page: verdicts, causes, since when, and every device; sortable when scripts may run.

How it works. Ten thousand devices are ten thousand rows: rows hold plain text in few cells, long tables are folded (a
browser lays out nothing that is folded), and only the first devices get a drawing of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from analyzer import __version__
from analyzer.fleet.causes import Cluster
from analyzer.fleet.questions import DeviceRow, Filter, Overview, State
from analyzer.model import TOOL_NAME
from analyzer.reports.fleet.charts import attempts_chart, spans, timeline
from analyzer.reports.fleet.text import cluster_text, headline, state_text
from analyzer.reports.grouping import counted
from analyzer.reports.html.element import Html, Node, element, stream
from analyzer.reports.html.frame import asset, head
from analyzer.reports.html.parts import drawing, fold, symbols
from analyzer.times import seconds_of

_CLUSTERS, _SPLIT, _UNREAD, _DAYS, _NAMED = 60, 100, 500, 400, 200
#: Devices with a drawing of their timeline, and rows above which a table is folded.
_DRAWN, _FOLDED = 400, 200
_STATE_SIGN = {
    State.NEVER: "bad",
    State.LOST: "bad",
    State.RECOVERED: "note",
    State.WELL: "ok",
    State.UNCLEAR: "unsure",
}


def format_html(view: Overview, only: Filter = Filter()) -> Iterator[str]:  # noqa: B008 - frozen
    """The page in pieces. It needs no network, no other file, and works without its script; all of the view is taken as hostile."""
    style = asset(("analyzer.reports.html", "report.css"), ("analyzer.reports.fleet", "fleet.css"))
    script = asset(("analyzer.reports.fleet", "fleet.js"))
    yield Html('<!doctype html>\n<html lang="en">')
    yield head(f"{counted(len(view.devices), 'device')}: fleet report", style, script)
    yield from stream("body", _body(view, only, script[0]))
    yield Html("</html>\n")


def _body(view: Overview, only: Filter, script: Html) -> Iterator[Html]:
    yield element("a", "Skip to the report", href="#main", class_="skip")
    yield symbols()
    chosen = ", ".join(f"{name} {value}" for name, value in asdict(only).items() if value is not None)
    yield element(
        "header",
        element("p", "Fleet report", class_="brand"),
        element("p", element("span", f"only {chosen}") if chosen else None, class_="file"),
        class_="banner",
    )
    yield from stream("main", _main(view), id="main", tabindex=-1)
    yield element(
        "footer",
        element("p", f"{TOOL_NAME} {__version__}. Times are UTC. This page loads nothing from anywhere."),
    )
    yield element("script", script)


def _main(view: Overview) -> Iterator[Html]:
    yield element("h1", headline(view))
    if view.sessions:
        yield element("div", _states(view), _verdicts(view), class_="pair")
        yield _over_time(view)
        yield from _causes(view.clusters)
        for title, noun, rows in (
            ("Cloud addresses", "Cloud", view.by_cloud),
            ("Access networks", "Network", view.by_network),
            ("Firmware families", "Family", view.by_family),
        ):
            yield from _split(title, noun, rows)
        yield from _devices(view)
    yield from _unread(view)


def _bars(rows: Sequence[tuple[Node, str, int]]) -> Html:
    most = max((count for _, _, count in rows), default=1) or 1
    items = [
        element(
            "li",
            element("span", mark),
            element("span", name, class_="code"),
            element(
                "svg",
                element("rect", width=f"{max(1.0, 100 * count / most):.1f}%", height="100%", rx=3),
                class_="bar",
                aria_hidden="true",
            ),
            element("span", f"{count:,}", class_="count"),
        )
        for mark, name, count in rows
    ]
    return element("ul", items, class_="totals")


def _states(view: Overview) -> Html:
    rows = [(drawing(_STATE_SIGN[state]), state.value, count) for state, count in view.states if count]
    first = (
        element("p", "First bad day: ", element("b", view.first_bad_day)) if view.first_bad_day is not None else None
    )
    return element("section", element("h2", "Devices by state"), _bars(rows), first, class_="overview")


def _verdicts(view: Overview) -> Html:
    rows = [(drawing(_verdict_sign(code)), code, count) for code, count in view.verdicts]
    return element("section", element("h2", "Sessions by verdict"), _bars(rows), class_="overview")


def _verdict_sign(code: str) -> str:
    return {"healthy": "ok", "capture-incomplete": "unsure"}.get(code, "bad")


def _over_time(view: Overview) -> Html:
    bars = spans(view.days)
    most = max(every for _, every, _ in bars)
    rows = [(name, f"{every:,}", f"{bad:,}") for name, every, bad in bars if every][:_DAYS]
    return element(
        "section",
        element("h2", "Attempts over time"),
        element(
            "figure",
            attempts_chart(bars),
            element(
                "figcaption",
                element("span", bars[0][0]),
                element(
                    "span",
                    element("span", class_="key-bad"),
                    " failing ",
                    element("span", class_="key-ok"),
                    f" other sessions; the highest bar is {most:,}",
                ),
                element("span", bars[-1][0] if len(bars) > 1 else ""),
                class_="axis",
            ),
            class_="over-time",
        ),
        fold("The numbers", _table("Attempts over time", ("When", "Sessions", "Failing"), rows, numbers=(1, 2))),
        class_="overview",
    )


def _causes(clusters: Sequence[Cluster]) -> Iterator[Html]:
    if not clusters:
        return
    items = [_cause(cluster) for cluster in clusters[:_CLUSTERS]]
    more = len(clusters) - _CLUSTERS
    yield element(
        "section",
        element("h2", "Causes, the widest first"),
        element("ol", items, class_="causes"),
        element("p", f"{counted(more, 'more cause')} with fewer devices.", class_="left-out") if more > 0 else None,
        class_="overview",
    )


def _cause(cluster: Cluster) -> Html:
    where = [
        element("div", element("dt", name), element("dd", _counts(pairs)))
        for name, pairs in (("Cloud", cluster.clouds), ("Network", cluster.networks), ("Family", cluster.families))
        if pairs
    ]
    named = cluster.devices[:_NAMED]
    more = len(cluster.devices) - len(named)
    return element(
        "li",
        element("p", element("b", cluster_text(cluster))),
        element(
            "p",
            element("span", cluster.code, class_="code"),
            f" {cluster.certainty}, {counted(cluster.sessions, 'session')}, {_days(cluster)}",
            class_="aside",
        ),
        element("dl", where, class_="facts"),
        fold(
            counted(len(cluster.devices), "device"),
            element(
                "p",
                ", ".join(named) if more <= 0 else ", ".join(named[:40]),
                f" and {more + len(named) - 40:,} more" if more > 0 else None,
            ),
        ),
    )


def _days(cluster: Cluster) -> str:
    first, last = cluster.first_time[:10], cluster.last_time[:10]
    return first if first == last else f"{first} to {last}"


def _counts(pairs: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"{value} ({count:,})" for value, count in pairs[:4])
    return shown + (f" and {len(pairs) - 4:,} more" if len(pairs) > 4 else "")


def _split(title: str, noun: str, rows: Sequence[tuple[str, int, int]]) -> Iterator[Html]:
    if len(rows) < 2:
        return
    cells = [(value, f"{devices:,}", f"{failing:,}") for value, devices, failing in rows[:_SPLIT]]
    more = len(rows) - _SPLIT
    yield fold(
        f"{title}: {len(rows):,}",
        _table(title, (noun, "Devices", "Failing"), cells, numbers=(1, 2)),
        element("p", f"{more:,} more.", class_="left-out") if more > 0 else None,
        opened=len(rows) <= 8,
        class_="wide",
        level=2,
    )


def _devices(view: Overview) -> Iterator[Html]:
    first = min(seconds_of(row.first_time) for row in view.devices)
    last = max(seconds_of(row.last_time) for row in view.devices)
    yield element("h2", "Devices", id="devices")
    drawn = 0
    for state in State:
        rows = [row for row in view.devices if row.state is state]
        if not rows:
            continue
        room = max(0, _DRAWN - drawn)
        drawn += min(room, len(rows))
        cells = [_device(row, index < room, first, last) for index, row in enumerate(rows)]
        columns = ("Device", "State", "Verdict", "Failing", "Sessions", "Cloud", "Network", "Last seen", "Timeline")
        yield fold(
            [drawing(_STATE_SIGN[state]), f" {state.value}: {counted(len(rows), 'device')}"],
            _table(f"Devices: {state.value}", columns, cells, numbers=(3, 4), class_="devices"),
            opened=len(rows) <= _FOLDED,
            class_="wide bulk",
            level=3,
        )


def _device(row: DeviceRow, draw: bool, first: float, last: float) -> tuple[Node, ...]:
    return (
        row.device,
        state_text(row),
        f"{row.verdict} ({row.certainty})",
        f"{row.failing:,}",
        f"{row.sessions:,}",
        row.cloud,
        row.network,
        row.last_time[:19].replace("T", " "),
        timeline(row.attempts, first, last) if draw else None,
    )


def _unread(view: Overview) -> Iterator[Html]:
    if not view.unread:
        return
    rows = [(row.path, row.status, row.reason or "") for row in view.unread[:_UNREAD]]
    more = len(view.unread) - _UNREAD
    yield fold(
        f"Not read to the end: {counted(len(view.unread), 'capture')}",
        _table("Captures not read to the end", ("Capture", "Status", "Reason"), rows),
        element("p", f"{more:,} more.", class_="left-out") if more > 0 else None,
        opened=len(view.unread) <= 20,
        class_="wide",
        level=2,
    )


def _table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Node]],
    *,
    numbers: Sequence[int] = (),
    class_: str = "",
) -> Html:
    """A table the page's script can sort and filter; on a phone each row is a card."""
    body = [
        element(
            "tr",
            [
                element(
                    "td" if index else "th",
                    cell,
                    scope=None if index else "row",
                    class_="number" if index in numbers else None,
                    data_label=columns[index],
                )
                for index, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    head = element(
        "tr",
        [
            element("th", name, scope="col", class_="number" if index in numbers else None)
            for index, name in enumerate(columns)
        ],
    )
    return element(
        "table",
        element("caption", caption, class_="heard"),
        element("thead", head),
        element("tbody", body),
        class_=f"rows sortable {class_}".strip(),
    )
