"""The page: head with its Content-Security-Policy, then the captures of the report, then the keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analyzer.model import CaptureReport, KeyRow, Outcome, Report
from analyzer.reports.grouping import BY_WEIGHT, Group, Tone, alike, by_weight, counted, nothing_found
from analyzer.reports.html.budget import DRAW_ALL_BELOW, PROBLEMS, TABLE_ROWS, Budget
from analyzer.reports.html.element import Html, Node, element, stream
from analyzer.reports.html.frame import asset, head
from analyzer.reports.html.overview import Entry, answers, totals
from analyzer.reports.html.parts import copyable, drawing, facts, fold, left_out, moment, sign, steps_of, symbols, table
from analyzer.reports.html.session import Place, article
from analyzer.reports.html.story import stories

#: More keys than this fold away.
_KEYS_OPEN = 8


def format_html(report: Report) -> Iterator[str]:
    """The report as one file that needs nothing else: no network, no other file, and works without its script.

    Yields pieces of the page in order, at most a session at a time. Everything in the report is treated as hostile.
    """
    yield Html("<!doctype html>\n")
    yield from stream("html", _document(report), lang="en")


def _document(report: Report) -> Iterator[Html]:
    script = asset(("analyzer.reports.html", "report.js"))
    yield head(_title(report), asset(("analyzer.reports.html", "report.css")), script)
    yield from stream("body", _body(report, script[0]))


def _body(report: Report, script: Html) -> Iterator[Html]:
    yield element("a", "Skip to the verdict", href="#main", class_="skip")
    yield symbols()
    yield _banner(report)
    budget = Budget()
    yield from stream("main", _main(report, budget), id="main", tabindex=-1)
    yield element(
        "footer",
        element("p", f"{report.tool.name} {report.tool.version}, {report.schema}. "),
        element("p", "Frame numbers are Wireshark's; times are UTC. This page loads nothing from anywhere."),
    )
    yield element("script", script)


def _title(report: Report) -> str:
    if len(report.captures) != 1:
        return f"{counted(report.totals.sessions, 'session')} in {counted(len(report.captures), 'capture')}: handshake report"
    capture = report.captures[0]
    groups = by_weight(alike(capture.sessions))
    if not groups:
        return f"{_file_name(capture.path)}: handshake report"
    more = f" and {len(groups) - 1} more" if len(groups) > 1 else ""
    return f"{groups[0].first.verdict.code.value}{more}: {_file_name(capture.path)}"


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def _banner(report: Report) -> Html:
    limits = None
    if len(report.captures) == 1:
        capture = report.captures[0]
        what: Node = element("b", _file_name(capture.path))
        size: Node = f"{counted(len(capture.sessions), 'session')}, {counted(capture.packets, 'packet')}"
        if capture.problems and capture.sessions:
            limits = element("a", drawing("note"), " ", _limits(capture), href="#c1-problems")
    else:
        what = element("b", counted(len(report.captures), "capture"))
        size = counted(report.totals.sessions, "session")
    return element(
        "header",
        element("p", "Handshake report", class_="brand"),
        element("p", what, " ", element("span", size), class_="file"),
        limits,
        class_="banner",
    )


def _limits(capture: CaptureReport) -> str:
    number = len(capture.problems)
    return "one thing limits this report" if number == 1 else f"{number:,} things limit this report"


def _main(report: Report, budget: Budget) -> Iterator[Html]:
    grouped = [(capture, _drawn_groups(capture)) for capture in report.captures]
    if len(report.captures) == 1:
        capture, groups = grouped[0]
        yield from _one(capture, groups, budget)
    else:
        yield from _many(report, grouped, budget)
    yield from _keys(report)
    if len(report.captures) == 1:
        yield _about(report.captures[0], 2)


def _drawn_groups(capture: CaptureReport) -> list[Group]:
    return by_weight(alike(capture.sessions))


def _one(capture: CaptureReport, groups: list[Group], budget: Budget) -> Iterator[Html]:
    """A report on one capture: its only answer, or its answers and then each of them."""
    if len(groups) == 1:
        yield from _sessions(capture, groups, "c1", 1, budget)
        yield from _problems(capture, "c1", 2)
    elif groups:
        entries = [Entry(capture, group, anchor) for group, anchor in _anchored(groups, "c1", budget.sessions)]
        yield element("h1", f"{counted(len(groups), 'verdict')} in {_file_name(capture.path)}")
        yield from answers(entries, 1, with_capture=False)
        yield from _problems(capture, "c1", 2)
        yield from _sessions(capture, groups, "c1", 2, budget)
    else:
        yield _nothing(capture, 1)
        yield from _problems(capture, "c1", 2)
    yield from stories(capture.stories, {session.id: session for session in capture.sessions}, 2)


def _anchored(groups: list[Group], prefix: str, drawn: int) -> Iterator[tuple[Group, str | None]]:
    for index, group in enumerate(groups):
        yield group, f"{prefix}-s{group.numbers[0]}" if index < drawn else None


def _sessions(capture: CaptureReport, groups: list[Group], prefix: str, level: int, budget: Budget) -> Iterator[Html]:
    """The groups in full, as many as the page has room for."""
    total = len(capture.sessions)
    drawn = budget.take_sessions(len(groups))
    for index, (group, anchor) in enumerate(_anchored(groups[:drawn], prefix, drawn)):
        place = Place(anchor or "", level, group.numbers[0], total)
        alone = len(groups) == 1
        yield from article(group, place, budget, opened=len(groups) < DRAW_ALL_BELOW or index == 0, foldable=not alone)
    rest = left_out(len(groups) - drawn, "verdict")
    if rest is not None:
        yield rest


def _many(report: Report, grouped: list[tuple[CaptureReport, list[Group]]], budget: Budget) -> Iterator[Html]:
    """The overview of all captures, then each capture behind a line."""
    yield element("h1", f"{counted(report.totals.sessions, 'session')} in {counted(len(report.captures), 'capture')}")
    yield from totals(report, 2)
    entries: list[Entry] = []
    left = budget.sessions
    for index, (capture, groups) in enumerate(grouped, 1):
        entries += [Entry(capture, group, anchor) for group, anchor in _anchored(groups, f"c{index}", left)]
        left = max(0, left - len(groups))
    entries.sort(key=lambda entry: BY_WEIGHT.index(Tone.of(entry.group.first.verdict)))
    if entries:
        yield element("h2", "Sessions")
        yield from answers(entries, 2, with_capture=True)
    yield from _unread(report)
    telling = [(index, capture, groups) for index, (capture, groups) in enumerate(grouped, 1) if groups]
    if telling:
        yield element("h2", "Captures one by one")
    drawn = 0
    for index, capture, groups in telling:
        if budget.sessions <= 0:
            break
        drawn += 1
        yield from _folded(capture, groups, f"c{index}", budget)
    rest = left_out(len(telling) - drawn, "capture")
    if rest is not None:
        yield rest


def _folded(capture: CaptureReport, groups: list[Group], prefix: str, budget: Budget) -> Iterator[Html]:
    signs = [sign(tone) for tone in dict.fromkeys(Tone.of(group.first.verdict) for group in groups)]
    summary = element(
        "summary",
        element("h3", signs, " ", element("span", capture.path), class_="capture-name"),
        element(
            "span",
            f" {counted(len(capture.sessions), 'session')}, {counted(capture.packets, 'packet')}",
            class_="aside",
        ),
    )

    def content() -> Iterator[Html]:
        yield summary
        yield from _problems(capture, prefix, 4)
        yield from _sessions(capture, groups, prefix, 4, budget)
        yield from stories(capture.stories, {session.id: session for session in capture.sessions}, 4)
        yield _about(capture, 4)

    yield from stream("details", content(), class_="capture bulk", id=prefix)


def _unread(report: Report) -> Iterator[Html]:
    """Captures that gave no session, and why."""
    rows = [
        (
            capture.path,
            [drawing("bad"), " not readable"]
            if capture.status == "failed"
            else [drawing("none"), " no device session"],
            "; ".join(problem.message for problem in capture.problems[:3]),
        )
        for capture in report.captures
        if not capture.sessions
    ]
    if rows:
        yield element("h2", f"{counted(len(rows), 'capture')} without a session")
        yield table("Captures without a session", ("Capture", "Status", "Reason"), rows[:TABLE_ROWS])
        rest = left_out(len(rows) - TABLE_ROWS, "capture")
        if rest is not None:
            yield rest


def _nothing(capture: CaptureReport, level: int) -> Html:
    failed = capture.status == "failed"
    title = "This capture cannot be read" if failed else "No device session found"
    reasons = [element("p", problem.message, class_="lead") for problem in capture.problems[:3]] if failed else []
    said = nothing_found(capture)
    return element(
        "section",
        element(f"h{level}", drawing("bad" if failed else "unsure"), " ", title, class_="title"),
        reasons or (element("p", said, class_="lead") if said else None),
        steps_of("What to do", capture.advice, level + 1),
        class_=f"verdict {'bad' if failed else 'unsure'}",
    )


def _problems(capture: CaptureReport, prefix: str, level: int) -> Iterator[Html]:
    if not capture.problems or (capture.status == "failed" and not capture.sessions):
        return
    items = [
        element(
            "li",
            problem.message,
            f" (frame {problem.frame})" if problem.frame else None,
            " ",
            element("code", problem.code),
        )
        for problem in capture.problems[:PROBLEMS]
    ]
    yield element(
        "section",
        element(f"h{level}", drawing("note"), " What limits this report"),
        element("ul", items),
        left_out(len(capture.problems) - PROBLEMS, "problem"),
        class_="problems",
        id=f"{prefix}-problems",
    )


def _keys(report: Report) -> Iterator[Html]:
    if not report.keys:
        return
    fits = Counter(
        attempt.key
        for capture in report.captures
        for session in capture.sessions
        for attempt in session.attempts
        if attempt.outcome is Outcome.PROVED
    )
    columns = ("File", "Role", "Kind", "Public SHA256", "Status")
    rows = [_key(key, fits[key.file]) for key in report.keys[:TABLE_ROWS]]
    yield fold(
        f"Keys: {counted(len(report.keys), 'file')}",
        table("Keys in hand", columns, rows, class_="keys"),
        left_out(len(report.keys) - TABLE_ROWS, "key"),
        opened=len(report.keys) <= _KEYS_OPEN,
        class_="wide",
        level=2,
    )


def _key(key: KeyRow, fits: int) -> tuple[Node, ...]:
    status: Node
    if key.status == "unusable":
        status = element("span", drawing("bad"), " unusable: ", key.problem or "no reason known", class_="outcome bad")
    else:
        fitting = f", fits {counted(fits, 'time')}" if fits else ""
        remark = f": {key.problem}" if key.problem else ""
        status = element("span", drawing("ok"), f" usable{fitting}{remark}", class_="outcome ok")
    owner = None
    if key.device_id and key.device_id not in key.file:
        owner = element("p", "of ", element("code", key.device_id), class_="aside")
    return (
        [key.file, owner],
        key.role.value,
        f"{key.kind} {key.bits}" if key.bits else key.kind,
        element("code", key.fingerprint[:16], title=key.fingerprint) if key.fingerprint else None,
        status,
    )


def _about(capture: CaptureReport, level: int) -> Html:
    return fold(
        "The capture",
        facts(
            ("File", capture.path),
            ("Format", capture.format),
            ("Read", {"ok": "to its end", "partial": "in part", "failed": "not at all"}[capture.status]),
            ("Packets", f"{capture.packets:,}"),
            ("Bytes", f"{capture.bytes:,}"),
            ("Link types", ", ".join(capture.link_types)),
            ("First packet", moment(capture.first_time)),
            ("Last packet", moment(capture.last_time)),
            ("SHA256", copyable(capture.sha256) if capture.sha256 else None),
        ),
        class_="wide",
        level=level,
    )
