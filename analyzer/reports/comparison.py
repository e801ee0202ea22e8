"""Two sessions side by side, as text, as an HTML page, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from analyzer.comparison import Comparison, Row, Step, slower
from analyzer.model import Session
from analyzer.reports.grouping import Tone
from analyzer.reports.html.element import Html, Node, element, stream
from analyzer.reports.html.frame import asset, head
from analyzer.reports.ladder import frames_text, offset_text
from analyzer.reports.pen import Pen
from analyzer.reports.writing import Style
from dissectors.events import Status

_LABEL = 22
_STATUS = {
    Status.SEEN: "",
    Status.PARTIAL: "incomplete",
    Status.ABSENT: "never came",
    Status.MALFORMED: "malformed",
}


def sentence(found: Comparison) -> str:
    """Where they part, in a sentence."""
    if found.parts_at is None:
        return "They do the same, stage by stage."
    one, other = next((good, bad) for name, good, bad in found.stages if name == found.parts_at)
    return f"They part at {found.parts_at}: in the first {_cell(one)}, in the second {_cell(other)}{_ended(found.bad)}."


def _ended(session: Session) -> str:
    if session.ending.by == "capture":
        return ""
    return f", and the {session.ending.by} ends it ({session.ending.how.value})"


def _cell(step: Step | None) -> str:
    """What became of a stage, in a few words."""
    if step is None:
        return "there is none"
    said = [_STATUS.get(step.status, step.status.value)]
    if step.status is not Status.ABSENT:
        said.insert(0, f"{step.bytes} B" if step.bytes else "seen" if step.status is Status.SEEN else "")
    said += [f"fits {key}" for key in step.proved[:1]] + [f"{key} does not fit" for key in step.refuted[:1]]
    return ", ".join(part for part in said if part) or step.status.value


def _when(step: Step | None) -> str:
    if step is None or step.offset_s is None or not step.frames:
        return ""
    return f"{offset_text(step.offset_s)} s, frames {frames_text(step.frames)}"


def format_text(found: Comparison, style: Style) -> Iterator[str]:
    """Side by side in columns: what differs first, then the stages, and last what is the same."""
    pen = Pen(style)
    column = (pen.width - _LABEL - 4) // 2
    yield (
        f"{sentence(found)}\n\n"
        if len(sentence(found)) <= pen.width
        else "\n".join(pen.fold(sentence(found), pen.width)) + "\n\n"
    )
    yield _columns(pen, column, "", "first", "second", "bold")
    for row in found.facts:
        if row.differs:
            yield from _lines(pen, column, row.name, _shown(row.good), _shown(row.bad))
    yield "\n"
    for name, good, bad in found.stages:
        mark = pen.glyphs.here if name == found.parts_at else " "
        yield from _lines(pen, column, f"{mark} {name}", _cell(good), _cell(bad))
        if name == found.parts_at or slower(good, bad):
            yield from _lines(pen, column, "", _when(good), _when(bad), "dim")
    same = [f"{row.name} {_shown(row.good)}" for row in found.facts if not row.differs and row.good is not None]
    if same:
        yield "\n"
        for number, line in enumerate(pen.fold("; ".join(same), pen.width - 14)):
            yield pen.paint(f"{'The same in both:' if not number else '':18}{line}", "dim") + "\n"


def _shown(value: object) -> str:
    return "-" if value is None else str(value)


def _lines(pen: Pen, column: int, label: str, good: str, bad: str, colour: str = "") -> Iterator[str]:
    left, right = pen.fold(good, column), pen.fold(bad, column)
    for at in range(max(len(left), len(right))):
        one, other = (lines[at] if at < len(lines) else "" for lines in (left, right))
        yield _columns(pen, column, label if not at else "", one, other, colour)


def _columns(pen: Pen, column: int, label: str, good: str, bad: str, colour: str = "") -> str:
    line = f"{label:{_LABEL}}  {good:{column}}  {bad}".rstrip()
    return pen.paint(line, colour) + "\n"


def format_json(found: Comparison) -> Iterator[str]:
    """For programs: both sessions by capture-independent facts, the stages of both, where they part."""

    def step(value: Step | None) -> object:
        return None if value is None else {**asdict(value), "status": value.status.value}

    body = {
        "schema": "handshake-comparison/1",
        "parts_at": found.parts_at,
        "facts": [{"name": row.name, "good": row.good, "bad": row.bad, "differs": row.differs} for row in found.facts],
        "stages": [{"stage": name, "good": step(good), "bad": step(bad)} for name, good, bad in found.stages],
    }
    yield json.dumps(body, indent=1) + "\n"


def format_html(found: Comparison) -> Iterator[str]:
    """One offline page: the sentence, what differs, the stages side by side, and folded what is the same."""
    style = asset(("analyzer.reports.html", "report.css"), ("analyzer.reports", "comparison.css"))
    nothing = Html(""), "'none'"
    yield Html("<!doctype html>\n")
    yield from stream("html", _document(found, style, nothing), lang="en")


def _document(found: Comparison, style: tuple[Html, str], script: tuple[Html, str]) -> Iterator[Html]:
    yield head(f"{found.good.id} and {found.bad.id} compared", style, script)
    yield from stream("body", _body(found))


def _body(found: Comparison) -> Iterator[Html]:
    different = [row for row in found.facts if row.differs]
    same = [row for row in found.facts if not row.differs and row.good is not None]
    yield element(
        "main",
        element("h1", "Two sessions compared"),
        element("p", element("strong", sentence(found))),
        _table("What differs", [_fact(row) for row in different], found),
        _table("Stage by stage", [_stage(found, *item) for item in found.stages], found),
        element("details", element("summary", "What is the same"), _table("", [_fact(row) for row in same], found)),
        class_="comparison",
    )


def _table(title: str, rows: list[Html], found: Comparison) -> Node:
    heads = [
        element("th", f"{which}: {session.id}, {Tone.of(session.verdict).value}", scope="col")
        for which, session in (("first", found.good), ("second", found.bad))
    ]
    top = element("tr", element("th", element("span", "what"), scope="col"), *heads)
    return [
        element("h2", title) if title else None,
        element("div", element("table", element("thead", top), element("tbody", *rows)), class_="wide"),
    ]


def _fact(row: Row) -> Html:
    return element(
        "tr", element("th", row.name, scope="row"), element("td", _shown(row.good)), element("td", _shown(row.bad))
    )


def _stage(found: Comparison, name: str, good: Step | None, bad: Step | None) -> Html:
    here = name == found.parts_at
    cells = [
        element("td", _cell(step), element("br"), element("small", _when(step)) if _when(step) else None)
        for step in (good, bad)
    ]
    label = element("th", name, element("small", " they part here") if here else None, scope="row")
    return element("tr", label, *cells, class_="apart" if here else None)
