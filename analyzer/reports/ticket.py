"""The answer for a customer: at most twelve lines, with what is wrong, how sure that is, what to do, what to send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer.model import Certainty, Code, Remedy, Report, Session
from analyzer.reports.grouping import Group, Tone, alike, by_weight
from analyzer.safe import printable

#: Lines in all.
LINES: Final = 12
#: Characters of a line: a mail reader's width; commands are never broken.
_WIDTH: Final = 320
#: Commands that one step may bring.
_COMMANDS: Final = 3

_SURE: Final = {
    Certainty.PROVEN: "This is certain: the capture itself proves it.",
    Certainty.INFERRED: "This is very likely: it follows from what the capture shows, which does not prove it.",
    Certainty.UNDETERMINED: "This is not settled: the capture leaves it open.",
}


def format_ticket(report: Report) -> Iterator[str]:
    """The report as plain text of at most twelve lines, the device that is worst off first."""
    lines = list(_lines(report))
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"({len(lines) - LINES + 1} more lines are in the full report.)"]
    yield "".join(f"{line}\n" for line in lines)


def _lines(report: Report) -> Iterator[str]:
    groups = by_weight(alike(session for capture in report.captures for session in capture.sessions))
    if not groups:
        yield from _nothing(report)
        return
    first, others = groups[0], groups[1:]
    yield from _of(first)
    others = _distinct(first, others)
    if others:
        yield _also(others)
    steps = [step for step in first.first.verdict.remedy if Tone.of(first.first.verdict) is not Tone.OK]
    yield from _steps(steps)
    wanted = first.first.verdict.would_settle
    if wanted and first.first.verdict.certainty is not Certainty.PROVEN:
        yield _line(f"Please send us: {'; '.join(wanted[:2])}.")


def _of(group: Group) -> Iterator[str]:
    session, verdict = group.first, group.first.verdict
    times = f" ({len(group.sessions)} attempts)" if len(group.sessions) > 1 else ""
    yield _line(f"{_device(session)}{times}: {verdict.summary}")
    if verdict.code is Code.HEALTHY:
        return
    sure = f"{verdict.code.value}: {_SURE[verdict.certainty]}"
    if verdict.premises:
        sure = f"{sure[:-1]}, provided that {' and '.join(verdict.premises)}."
    if verdict.certainty is Certainty.UNDETERMINED and verdict.alternatives:
        sure += f" It may also be: {', '.join(verdict.alternatives[:4])}."
    yield _line(sure)


def _device(session: Session) -> str:
    if session.device.id:
        return f"Device {session.device.id}"
    return f"The device at {session.device.address}" if session.device.address else "The device"


def _also(groups: list[Group]) -> str:
    told = [f"{_device(group.first)}: {group.first.verdict.code.value}" for group in groups[:4]]
    more = f"; and {len(groups) - 4} more" if len(groups) > 4 else ""
    return _line(f"Also in this capture: {'; '.join(told)}{more}.")


def _distinct(first: Group, groups: list[Group]) -> list[Group]:
    """The other troubles: a device and a verdict once, and none that is well."""
    seen = {(_device(first.first), first.first.verdict.code)}
    found: list[Group] = []
    for group in groups:
        key = _device(group.first), group.first.verdict.code
        if key not in seen and Tone.of(group.first.verdict) is not Tone.OK:
            seen.add(key)
            found.append(group)
    return found


def _steps(steps: list[Remedy]) -> Iterator[str]:
    room = LINES - 4
    if steps:
        yield "What to do:"
    for number, step in enumerate(steps, 1):
        lines = [
            _line(f"{number}. {step.text}"),
            *(f"   {printable(command)}" for command in step.commands[:_COMMANDS]),
        ]
        room -= len(lines)
        if room < 0 and number > 1:
            left = len(steps) - number + 1
            yield f"({left} more step{'s' * (left > 1)} in the full report.)"
            return
        yield from lines


def _nothing(report: Report) -> Iterator[str]:
    yield "The capture shows no device that tries to reach its cloud."
    for capture in report.captures:
        for problem in capture.problems[:3]:
            yield _line(problem.message)
        yield from _steps(list(capture.advice[:2]))


def _line(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _WIDTH else f"{shown[:_WIDTH].rsplit(' ', 1)[0]} ..."
