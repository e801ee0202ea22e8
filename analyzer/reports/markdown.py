"""A report for a ticket: headings, one table, fenced commands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from analyzer.model import CaptureReport, Remedy, Report, Session
from analyzer.reports.grouping import assumed, taken, weighed
from analyzer.reports.ladder import frames_text, offset_text, span_text
from analyzer.safe import printable

_SPECIAL = str.maketrans({char: "\\" + char for char in "\\`*_{}[]<>()#+!|~&"})
#: What begins a list or a rule; the other blocks begin with a character that is escaped everywhere.
_BLOCK = re.compile(r"^(?:\d+(?=\.)|(?=[-=]))")


def escape(text: str) -> str:
    """Text from outside as literal Markdown on one line."""
    return _BLOCK.sub(r"\g<0>\\", printable(text).strip().translate(_SPECIAL))


def format_markdown(report: Report) -> Iterator[str]:
    """The report as Markdown (CommonMark with tables)."""
    for capture in report.captures:
        yield from _capture(capture)


def _capture(capture: CaptureReport) -> Iterator[str]:
    yield f"# {escape(capture.path)}\n\n"
    for problem in capture.problems:
        yield f"> **{escape(problem.code)}**: {escape(problem.message)}\n\n"
    if not capture.sessions:
        yield "No device session found.\n\n"
        yield from _steps(capture.advice)
        return
    yield "| session | device | cloud | verdict | certainty | frames |\n|---|---|---|---|---|---|\n"
    for session in capture.sessions:
        device = f"{session.device.id}{assumed(session)}" if session.device.id else session.device.address
        yield (
            f"| {escape(session.id)} | {escape(device)} | {escape(session.cloud.address)}:{session.cloud.port} | {session.verdict.code} "
            f"| {session.verdict.certainty} | {session.first_frame}-{session.last_frame} |\n"
        )
    yield "\n"
    for session in capture.sessions:
        yield from _session(session)


def _steps(steps: Iterable[Remedy]) -> Iterator[str]:
    for remedy in steps:
        yield f"- {escape(remedy.text)}\n"
        if remedy.commands:
            yield "\n" + "".join(f"      {printable(command)}\n" for command in remedy.commands) + "\n"


def _session(session: Session) -> Iterator[str]:
    verdict = session.verdict
    yield f"## {escape(session.id)}: {verdict.code} ({verdict.certainty})\n\n{escape(verdict.summary)}\n\n"
    for text in verdict.premises:
        yield f"{taken(verdict)} {escape(text)}.\n\n"
    for other in session.also_seen:
        yield f"Also seen as {escape(other.ends)}, {span_text(other)}.\n\n"
    yield from _steps(verdict.remedy)
    yield "\n| time | frames | direction | size | stage | |\n|---:|---|:---:|---:|---|---|\n"
    for stage in session.stages:
        arrow = "→" if stage.direction == "device-to-cloud" else "←"
        size = f"{stage.bytes} B" if stage.bytes else ""
        yield f"| {offset_text(stage.offset_s)} | {frames_text(stage.frames)} | {arrow} | {size} | {escape(stage.stage)} | {stage.status} |\n"
    yield "\n"
    if verdict.evidence:
        yield f"Why ({verdict.certainty}):\n\n"
        for number, item in enumerate(verdict.evidence, 1):
            frames = f" (frames {frames_text(item.frames)})" if item.frames else ""
            yield f"{number}. {escape(item.text)}{frames}\n"
        yield "\n"
    own, others = weighed(verdict)
    told = [("", "against it", item) for item in own]
    told += [(code.value, "for it" if sign == "+" else "against it", item) for code, sign, item in others]
    for code, side, item in told:
        frames = f" (frames {frames_text(item.frames)})" if item.frames else ""
        yield f"- {code + ', ' if code else ''}{side}: {escape(item.text)}{frames}\n"
    if told:
        yield "\n"
    if verdict.alternatives:
        yield "It could also be: " + ", ".join(verdict.alternatives) + ".\n\n"
    for text in verdict.would_settle:
        yield f"- would settle it: {escape(text)}\n"
    for finding in session.findings:
        yield f"- {escape(finding.code)} ({finding.certainty}): {escape(finding.summary)}\n"
    yield "\n"
