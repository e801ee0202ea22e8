"""Small pieces every part of the page uses: signs, badges, facts, commands, tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from analyzer.model import Certainty, Outcome, Remedy, Session, Verdict
from analyzer.reports.grouping import Tone
from analyzer.reports.html.element import Html, Node, element
from analyzer.reports.ladder import frames_text, told_since

#: Signs differ in shape, not only in colour, and stand beside a word.
_SIGNS = {
    Tone.OK: "ok",
    Tone.BAD: "bad",
    Tone.UNSURE: "unsure",
}
_FRACTION = re.compile(r"\.\d+")
_OUTCOMES = {
    Outcome.PROVED: ("ok", "fits"),
    Outcome.REFUTED: ("bad", "does not fit"),
    Outcome.NO_KEY: ("none", "no key"),
    Outcome.NOT_REACHED: ("none", "not reached"),
    Outcome.UNDECIDED: ("unsure", "cannot tell"),
}


def symbols() -> Html:
    """The drawings :func:`sign` refers to; once in a page."""
    shapes = {
        "ok": (
            element("circle", cx=12, cy=12, r=10.5),
            element("path", class_="stroke", d="M7 12.5l3.4 3.4L17 9"),
        ),
        "bad": (
            element("path", d="M7.6 1.5h8.8l6.1 6.1v8.8l-6.1 6.1H7.6l-6.1-6.1V7.6z"),
            element("path", class_="stroke", d="M8.4 8.4l7.2 7.2M15.6 8.4l-7.2 7.2"),
        ),
        "unsure": (
            element("path", d="M12 .8L23.2 12 12 23.2.8 12z"),
            element("path", class_="stroke", d="M9.2 9.6a2.8 2.8 0 1 1 4.2 2.5c-.9.5-1.4 1-1.4 2M12 17v.1"),
        ),
        "none": (element("circle", class_="hollow", cx=12, cy=12, r=9),),
        "note": (
            element("path", d="M12 1.6L23.4 21.8H.6z"),
            element("path", class_="stroke", d="M12 9v6M12 18v.1"),
        ),
    }
    drawn = [element("symbol", shape, id=f"sign-{name}", viewBox="0 0 24 24") for name, shape in shapes.items()]
    return element("svg", drawn, class_="symbols", width=0, height=0, aria_hidden="true")


def drawing(name: str) -> Html:
    """A sign alone; the word for it has to stand beside it."""
    return element(
        "svg", element("use", href=f"#sign-{name}"), class_=f"sign {name}", aria_hidden="true", focusable="false"
    )


def sign(tone: Tone) -> Html:
    """The sign of a verdict without its word."""
    return drawing(_SIGNS[tone])


def tone_class(verdict: Verdict) -> str:
    """The class that colours what belongs to ``verdict``."""
    return _SIGNS[Tone.of(verdict)]


def outcome(value: Outcome) -> Html:
    """What became of a key, as sign and word."""
    name, word = _OUTCOMES[value]
    return element("span", drawing(name), " ", word, class_=f"outcome {name}")


def certainty(value: Certainty) -> Html:
    """How sure a verdict is: three steps and the word."""
    steps = [element("span", class_="on" if step <= value.rank else None) for step in range(len(Certainty))]
    return element("span", element("span", steps, class_="steps", aria_hidden="true"), value.value, class_="certainty")


def hidden(*nodes: Node) -> Html:
    """Words for those who hear the page."""
    return element("span", *nodes, class_="heard")


def frames(numbers: Iterable[int]) -> Html | None:
    """``frames 3-5, 8``, or nothing."""
    numbers = tuple(numbers)
    if not numbers:
        return None
    word = "frame" if len(set(numbers)) == 1 else "frames"
    return element("span", f"{word} {frames_text(numbers)}", class_="frames")


def moment(time: str | None, *, to_second: bool = False) -> Html | None:
    """A time as people read it, in UTC; the full precision of the capture unless ``to_second``."""
    if time is None:
        return None
    shown = time.replace("T", " ", 1).replace("Z", " UTC")
    return element("time", _FRACTION.sub("", shown) if to_second else shown, datetime=time)


def began(session: Session, *, to_second: bool = False) -> Html | None:
    """When a session began: by the clock, or as a log that alone tells of it says."""
    if session.first_frame:
        return moment(session.start_time, to_second=to_second)
    return element("span", told_since(session))


def facts(*pairs: tuple[str, Node]) -> Html:
    """A list of named facts; those that are not known are left out."""
    rows = [
        element("div", element("dt", name), element("dd", value))
        for name, value in pairs
        if value is not None and value != ""
    ]
    return element("dl", rows, class_="facts")


def copyable(value: str) -> Html:
    """Something to paste elsewhere as it stands."""
    return element("code", value, class_="copy")


def command(line: str) -> Html:
    """A command to run; never broken by markup, so that it can be copied."""
    return element("pre", element("code", line, class_="copy"), class_="command")


def steps_of(title: str, steps: Sequence[Remedy], level: int) -> Html | None:
    """What to do, in order; nothing when there is nothing to do."""
    if not steps:
        return None
    rows = [element("li", element("p", prose(step.text)), [command(line) for line in step.commands]) for step in steps]
    numbered = element("ol", rows, class_=None if len(rows) > 1 else "single")
    return element("div", element(f"h{level}", title), numbered, class_="fix")


def fold(title: Node, *body: Node, opened: bool = False, class_: str = "", level: int | None = None) -> Html:
    """A part that opens on demand; ``level`` makes its title a heading."""
    heading = element(f"h{level}", title) if level else element("span", title)
    return element(
        "details",
        element("summary", heading),
        element("div", *body, class_="body"),
        open=opened,
        class_=f"fold {class_}".strip(),
    )


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Node]], *, class_: str = "") -> Html:
    """A table that becomes a list of cards on a narrow screen; the first column names the row."""

    def cell(index: int, value: Node) -> Html:
        tag, scope = ("th", "row") if index == 0 else ("td", None)
        return element(tag, value, scope=scope, data_label=columns[index])

    body = [element("tr", [cell(index, value) for index, value in enumerate(row)]) for row in rows]
    head = element("tr", [element("th", column, scope="col") for column in columns])
    return element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", body),
        class_=f"rows {class_}".strip(),
    )


def left_out(number: int, noun: str) -> Html | None:
    """The line that says how much a page does not show."""
    if number <= 0:
        return None
    plural = noun if number == 1 else f"{noun}s"
    return element(
        "p", f"{number:,} more {plural} not shown here; analyze --format json lists all of them.", class_="left-out"
    )


def prose(sentence: str) -> list[Node]:
    """A sentence of ours in which `backticks` stand around what is to be typed."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return [sentence]
    return [element("code", part) if index % 2 else part for index, part in enumerate(parts)]
