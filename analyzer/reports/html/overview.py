"""What a reader sees first when there is more than one answer: how many of which, and where each is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analyzer.model import CaptureReport, Report
from analyzer.reports.grouping import BY_WEIGHT, Group, Tone, counted
from analyzer.reports.html.budget import TABLE_ROWS
from analyzer.reports.html.element import Html, Node, element
from analyzer.reports.html.parts import certainty, left_out, prose, sign, table, tone_class
from analyzer.reports.html.session import device_name

#: This many answers are cards with their fix; more of them are a table, and many a table without sentences.
_CARDS = 6
_TOLD = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer; ``anchor`` when the page tells it in full."""

    capture: CaptureReport
    group: Group
    anchor: str | None


def totals(report: Report, level: int) -> Iterator[Html]:
    """How many sessions have which verdict, as bars and numbers."""
    counts = report.totals.verdicts
    if not counts:
        return
    tones: dict[str, set[Tone]] = defaultdict(set)
    for capture in report.captures:
        for session in capture.sessions:
            tones[session.verdict.code.value].add(Tone.of(session.verdict))
    most = max(counts.values())
    rows = [
        element(
            "li",
            element("span", [sign(tone) for tone in BY_WEIGHT if tone in tones[code]]),
            element("span", code, class_="code"),
            element(
                "svg",
                element("rect", width=f"{max(1.0, 100 * count / most):.1f}%", height="100%", rx=3),
                class_="bar",
                aria_hidden="true",
            ),
            element("span", f"{count:,}", class_="count"),
        )
        for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    yield element("section", element(f"h{level}", "Verdicts"), element("ul", rows, class_="totals"), class_="overview")


def answers(entries: Sequence[Entry], level: int, *, with_capture: bool) -> Iterator[Html]:
    """All answers, each a link to its place on the page."""
    if not with_capture and len(entries) <= _CARDS:
        cards = [_card(entry, level + 1) for entry in entries]
        yield element("ol", cards, class_="cards")
        return
    told = len(entries) <= _TOLD
    columns = ["Verdict", "Device", "Cloud", "Sessions", "First frame"]
    columns += ["Capture"] * with_capture + ["In short"] * told
    rows = [_row(entry, with_capture=with_capture, told=told) for entry in entries[:TABLE_ROWS]]
    yield element(
        "section",
        table(
            "Verdicts, failing ones first", columns, rows, class_=f"answers filterable {'told' if told else ''}".strip()
        ),
        left_out(len(entries) - TABLE_ROWS, "verdict"),
        class_="overview",
    )


def _linked(entry: Entry, *content: Node) -> Node:
    return element("a", *content, href=f"#{entry.anchor}") if entry.anchor else element("span", *content)


def _row(entry: Entry, *, with_capture: bool, told: bool) -> tuple[Node, ...]:
    session = entry.group.first
    verdict = session.verdict
    fix = next(iter(verdict.remedy), None)
    return (
        [
            sign(Tone.of(verdict)),
            " ",
            _linked(entry, element("span", verdict.code.value, class_="code")),
            " ",
            certainty(verdict.certainty),
        ],
        device_name(session),
        f"{session.cloud.address}:{session.cloud.port}",
        f"{len(entry.group.sessions):,}",
        session.first_frame,
        *((entry.capture.path,) if with_capture else ()),
        *(
            ([verdict.summary, element("p", "Fix: ", prose(fix.text), class_="aside") if fix else None],)
            if told
            else ()
        ),
    )


def _card(entry: Entry, level: int) -> Html:
    session = entry.group.first
    verdict = session.verdict
    times = f", {counted(len(entry.group.sessions), 'session')}" if entry.group.others else ""
    fix = next(iter(verdict.remedy), None)
    return element(
        "li",
        element(
            f"h{level}",
            sign(Tone.of(verdict)),
            " ",
            _linked(entry, element("span", verdict.code.value, class_="code")),
            " ",
            certainty(verdict.certainty),
        ),
        element("p", f"{device_name(session)} → {session.cloud.address}:{session.cloud.port}{times}", class_="aside"),
        element("p", verdict.summary),
        element("p", element("b", "Fix"), "  ", prose(fix.text), class_="fix-line") if fix else None,
        class_=f"card {tone_class(verdict)}",
    )
