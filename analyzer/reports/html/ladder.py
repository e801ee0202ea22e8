"""The ladder of a session as a list of rows, each with its own drawing between two lifelines.

How it works. One SVG over the whole ladder would have to shrink on a phone until nothing can be read. Each row has an SVG
as wide as its lane and as tall as the row, placed by percentages: lines stretch, text and arrow heads keep their size,
and notes of any length stand beside their arrow (below it on a phone) without anything being measured.
"""

from __future__ import annotations

from analyzer.model import LogLine, Session
from analyzer.reports.html.element import Html, element
from analyzer.reports.html.parts import drawing, hidden, outcome
from analyzer.reports.ladder import log_clock, offset_text
from analyzer.reports.rungs import Kind, Note, Rung, rungs
from dissectors.events import Direction, Status

#: Height of the arrow below the top of its row (px); the label stands above it.
_Y = 31
_WAY = {Direction.UP: "device to cloud", Direction.DOWN: "cloud to device", None: "both ways"}


def ladder(session: Session, title: str) -> Html:
    """The figure: who spoke, when, how much, what became of it, and what never came."""
    rows = [_row(rung, session) for rung in rungs(session)]
    device = session.device
    cloud = session.cloud
    head = element(
        "div",
        element("span", "time", class_="when"),
        element("span", "frames", class_="what"),
        element(
            "div",
            element(
                "span", element("b", "Device"), " ", element("span", f"{device.address}:{device.port}"), class_="side"
            ),
            element(
                "span", element("b", "Cloud"), " ", element("span", f"{cloud.address}:{cloud.port}"), class_="side"
            ),
            class_="sides",
        ),
        class_="ladder-head",
        aria_hidden="true",
    )
    return element(
        "figure",
        element("figcaption", title, class_="heard"),
        head,
        element("ol", rows, class_="rungs", aria_label=title),
        class_="ladder",
    )


def _row(rung: Rung, session: Session) -> Html:
    if rung.kind is Kind.PAUSE:
        return element("li", _lane(rung), class_="rung pause")
    state = rung.status.value if rung.kind is Kind.STAGE else rung.kind.value
    marks = [
        element("p", element("span", rung.state, class_="state"), class_="note") if rung.state else None,
        [_note(note) for note in rung.notes],
        element("ul", [_log_line(line) for line in rung.log], class_="log", aria_label="log") if rung.log else None,
    ]
    told = element("div", marks, class_="notes") if rung.state or rung.notes or rung.log else None
    return element(
        "li",
        element("span", offset_text(rung.offset_s), hidden(" s") if rung.offset_s is not None else None, class_="when"),
        element("span", hidden("frame "), rung.frames_shown(3), class_="what") if rung.frames else None,
        _lane(rung),
        told,
        class_=f"rung {state}{' verdict-here' if _is_verdict_stage(rung, session) else ''}",
    )


def _is_verdict_stage(rung: Rung, session: Session) -> bool:
    return rung.kind is Kind.STAGE and rung.label == session.verdict.stage and session.verdict.code.value != "healthy"


def _lane(rung: Rung) -> Html:
    way = None if rung.kind in (Kind.PAUSE, Kind.OPEN, Kind.SILENCE) else hidden(f", {_WAY[rung.direction]}")
    size = element("span", rung.measure, class_="size") if rung.measure else None
    label = element("span", element("b", rung.label), " " if size else None, size, way, class_="label")
    return element("div", _drawing(rung), label, class_="lane")


def _drawing(rung: Rung) -> Html:
    bottom = _Y if rung.kind is Kind.OPEN else "100%"
    lifelines = [element("line", class_="life", x1=side, x2=side, y1=0, y2=bottom) for side in (0, "100%")]
    return element("svg", lifelines, _arrow(rung), class_="wire", aria_hidden="true", focusable="false")


def _arrow(rung: Rung) -> list[Html]:
    if rung.kind is Kind.PAUSE:
        return []
    if rung.kind is Kind.OPEN:
        return [_at(side, element("path", class_="fade", d="M-4 0h8M-2.5 4h5M-1 8h2")) for side in ("0", "100%")]
    if rung.kind is Kind.GAP:
        return [_line("0", "100%"), _at("50%", element("path", class_="break", d="M-9 7l6-14M3 7l6-14"))]
    if rung.kind is Kind.SILENCE:
        side = "0" if rung.direction is Direction.UP else "100%"
        return [_at(side, element("path", class_="cross", d="M-5-5l10 10M5-5l-10 10"))]
    if rung.kind is Kind.NETWORK:
        right = rung.direction is not Direction.DOWN
        source = _at("50%", element("path", class_="source", d="M0-6l6 6-6 6-6-6z"))
        return [_line("50%", "100%" if right else "0"), source, _head(right)]
    start, end = ("0", "100%") if rung.direction is not Direction.DOWN else ("100%", "0")
    if rung.status is Status.ABSENT:
        return [_line(start, end), _at("50%", element("path", class_="cross", d="M-4.5-4.5l9 9M4.5-4.5l-9 9"))]
    if rung.status is Status.PARTIAL:
        stop = "68%" if rung.direction is not Direction.DOWN else "32%"
        return [_line(start, stop), _at(stop, element("path", class_="break", d="M-6 7l5-14M1 7l5-14"))]
    parts = [_line(start, end), _head(rung.direction is not Direction.DOWN)]
    if rung.direction is None:
        parts.append(_head(False))
    if rung.status is Status.MALFORMED:
        parts.append(_at("50%", element("path", class_="zigzag", d="M-14 0l4-4 6 8 6-8 6 8 4-4")))
    if rung.kind is Kind.END:
        closer = "0" if rung.direction is Direction.UP else "100%"
        parts.append(_at(closer, element("rect", class_="stop", x=-5, y=-5, width=10, height=10)))
    return parts


def _line(start: str, end: str) -> Html:
    return element("line", class_="arrow", x1=start, x2=end, y1=_Y, y2=_Y)


def _head(right: bool) -> Html:
    return _at(
        "100%" if right else "0", element("path", class_="head", d="M0 0l-10-5v10z" if right else "M0 0l10-5v10z")
    )


def _at(x: str, *shapes: Html) -> Html:
    """Shapes in pixels around a point of the arrow's line."""
    return element("svg", *shapes, x=x, y=_Y, class_="at")


def _note(note: Note) -> Html:
    if note.outcome is None:
        return element("p", note.text, class_="note")
    return element("p", outcome(note.outcome), ": ", element("span", note.text), class_="note")


def _log_line(line: LogLine) -> Html:
    server = ", s from the start of the session" if line.offset_s is not None else ""
    clock = ", device clock in s" if line.time_ms is not None else server
    clash = element("span", drawing("note"), " disagrees", class_="outcome bad") if line.agrees is False else None
    return element(
        "li",
        element(
            "span",
            log_clock(line),
            class_="clock",
            title=f"{line.file} line {line.line}{clock}",
        ),
        " ",
        element("code", line.text),
        " " if clash else None,
        clash,
    )


def log_list(lines: tuple[LogLine, ...], limit: int = 40) -> Html:
    """Log lines that belong to no row of the ladder."""
    more = len(lines) - limit
    rows = [_log_line(line) for line in lines[:limit]]
    if more > 0:
        rows.append(element("li", f"... and {more} more lines"))
    return element("ul", rows, class_="log")
