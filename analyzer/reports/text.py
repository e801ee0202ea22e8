"""The terminal report: the answer first, then how sure and why, then the picture, then the rest.

Made to be pasted: no trailing spaces, no tabs, commands on lines of their own and never broken, nothing that only colour says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from analyzer.model import CaptureReport, Certainty, KeyRow, Outcome, Remedy, Report, Session, Verdict
from analyzer.reports.grouping import Group, Tone, alike, assumed, by_weight, counted, nothing_found, taken, weighed
from analyzer.reports.ladder import duration_text, frames_text, offset_text, span_text, told_by, told_since
from analyzer.reports.pen import Pen
from analyzer.reports.rungs import loose_log
from analyzer.reports.textladder import ladder
from analyzer.reports.writing import Style
from dissectors.events import Direction

#: What is shown without --verbose; what is left out is always counted.
_MESSAGES, _OTHERS, _TOLD, _LISTED, _LOG, _BAD_KEYS = 12, 12, 8, 40, 6, 4
#: Where steps and questions begin.
_STEP, _QUESTION = 8, 16

#: How a report that shows secrets is marked.
MARK = "secrets shown on request (--show-secrets): whoever reads this can decrypt these sessions"


def format_text(report: Report, style: Style) -> Iterator[str]:
    """The report for a terminal or a ticket, a line or a few at a time; with ``style.quiet`` one line per session."""
    pen = Pen(style)
    if report.secrets_shown:
        yield from pen.block(MARK, 4, f"  {pen.glyphs.note} ", "unsure")
        yield from _secrets(pen, report)
    if style.quiet:
        yield from _quiet(pen, report)
    elif len(report.captures) > 1:
        yield from _many(pen, report)
    else:
        for capture in report.captures:
            yield from _capture(pen, capture, report.keys)


def _secrets(pen: Pen, report: Report) -> Iterator[str]:
    for capture in report.captures:
        for session in capture.sessions:
            for secret in session.secrets:
                yield f"    {pen.plain(capture.path)} {session.id} {secret.name}: {pen.plain(secret.value)}\n"


def _quiet(pen: Pen, report: Report) -> Iterator[str]:
    for capture in report.captures:
        name = f"{pen.plain(capture.path)}: " if len(report.captures) > 1 else ""
        for session in capture.sessions:
            who = f"{_device(pen, session)} {pen.glyphs.to} {_cloud(pen, session)}"
            frames = span_text(session)
            yield f"{name}{_headline(pen, session.verdict)}  {who}  {frames}  {pen.plain(session.begins)}\n"


def _many(pen: Pen, report: Report) -> Iterator[str]:
    """A row for each session, in columns, and the totals."""
    columns = _Columns.of(pen, (session for capture in report.captures for session in capture.sessions))
    for capture in report.captures:
        yield pen.paint(pen.plain(capture.path), "bold") + "\n"
        for problem in capture.problems:
            yield from pen.block(problem.message, 4, f"  {pen.glyphs.note} ", "unsure")
        if not capture.sessions and capture.status != "failed":
            yield "  no device session\n"
        for session in capture.sessions:
            yield columns.row(pen, session) + "\n"
    totals = report.totals
    yield f"\n{counted(totals.captures, 'capture')}, {counted(totals.sessions, 'session')}\n"
    for code, count in sorted(totals.verdicts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>8,}  {code}\n"


class _Columns:
    """One line per session in columns; where lines are short, what tells sessions apart least is left out."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        self.widths = widths

    @classmethod
    def of(cls, pen: Pen, sessions: Iterable[Session], beside: int = 0) -> _Columns:
        """Columns as wide as their widest cell; ``beside`` columns stay free at the end."""
        widths = [0] * 6
        for session in sessions:
            widths = [max(width, len(cell)) for width, cell in zip(widths, _cells(pen, session), strict=True)]
        room = pen.width - 1 - beside - 3 - len(pen.sign(Tone.UNSURE))
        kept = len(widths)
        while kept > 3 and sum(widths[:kept]) + 2 * (kept - 1) > room:
            kept -= 1
        return cls(tuple(widths[:kept]))

    def row(self, pen: Pen, session: Session) -> str:
        tone = Tone.of(session.verdict)
        cells = [f"{cell:<{width}}" for cell, width in zip(_cells(pen, session), self.widths, strict=False)]
        head = pen.tone(f"  {pen.sign(tone)} {cells[0]}", tone)
        return f"{head}  {'  '.join(cells[1:])}".rstrip()


def _cells(pen: Pen, session: Session) -> tuple[str, ...]:
    verdict = session.verdict
    who = (_device(pen, session), span_text(session), _cloud(pen, session))
    return verdict.code.value, verdict.certainty.value, *who, pen.plain(session.begins)


def _capture(pen: Pen, capture: CaptureReport, keys: tuple[KeyRow, ...]) -> Iterator[str]:
    for problem in capture.problems:
        yield from pen.block(problem.message, 2, f"{pen.glyphs.note} ", "unsure")
    if not capture.sessions:
        if capture.status != "failed":
            yield "No device session found.\n"
            said = nothing_found(capture)
            if said:
                yield from pen.block(said, 2, "  ")
            yield from _steps(pen, capture.advice, "What to do")
        return
    groups = by_weight(alike(capture.sessions))
    if pen.style.verbose:
        groups = by_weight([Group((session,), (number,)) for number, session in enumerate(capture.sessions, 1)])
    if len(groups) > 1:
        yield from _list(pen, groups)
    told = groups if pen.style.verbose else groups[:_TOLD]
    for number, group in enumerate(told):
        if number:
            yield "\n" + pen.paint(pen.glyphs.line * (pen.width - 1), "dim") + "\n"
        yield from _session(pen, group, len(capture.sessions))
    if len(groups) > len(told):
        yield f"\n{counted(len(groups) - len(told), 'more verdict')} in the list above; --verbose tells each of them.\n"
    yield from _stories(pen, capture)
    yield from _keys(pen, keys)


def _list(pen: Pen, groups: Sequence[Group]) -> Iterator[str]:
    """All verdicts of the capture, one line each."""
    shown = groups if pen.style.verbose else groups[:_LISTED]
    yield f"{counted(len(groups), 'verdict')} in this capture\n"
    most = max(len(f"  {pen.glyphs.times}{len(group.sessions):,}") for group in shown)
    columns = _Columns.of(pen, (group.first for group in shown), beside=most)
    for group in shown:
        times = f"  {pen.glyphs.times}{len(group.sessions):,}" if group.others else ""
        yield f"{columns.row(pen, group.first)}{times}\n"
    if len(groups) > len(shown):
        yield f"  {pen.glyphs.more} and {len(groups) - len(shown):,} more (--verbose shows all)\n"
    yield "\n"


def _device(pen: Pen, session: Session) -> str:
    return pen.plain(session.device.id or session.device.address or "device unknown")


def _cloud(pen: Pen, session: Session) -> str:
    return pen.plain(f"{session.cloud.address or 'unknown'}:{session.cloud.port}")


def _headline(pen: Pen, verdict: Verdict) -> str:
    tone = Tone.of(verdict)
    return pen.tone(f"{pen.sign(tone)} {verdict.code.value} ({verdict.certainty.value})", tone)


def _session(pen: Pen, group: Group, total: int) -> Iterator[str]:
    session = group.first
    verdict = session.verdict
    yield from _head(pen, session)
    yield from pen.block(verdict.summary, 2, "  ")
    for number, text in enumerate(verdict.premises):
        yield from pen.block(text, _QUESTION, "" if number else f"  {taken(verdict)} ", "bold")
    if Tone.of(verdict) is Tone.UNSURE:
        yield from _open_questions(pen, verdict)
        yield from _fix(pen, verdict, "Until then")
    else:
        yield from _fix(pen, verdict, "Fix")
        yield from _open_questions(pen, verdict)
    yield "\n"
    yield from _where(pen, session, group.numbers[0], total)
    yield from ladder(pen, session)
    yield "\n"
    yield from _why(pen, verdict)
    yield from _against(pen, verdict)
    yield from _findings(pen, session)
    yield from _list_of(pen, "The device shows", verdict.device_shows)
    yield from _log(pen, session)
    yield from _messages(pen, session)
    if pen.style.verbose:
        yield from _attempts(pen, session)
    yield from _others(pen, group)


def _head(pen: Pen, session: Session) -> Iterator[str]:
    verdict = session.verdict
    host = f" ({session.cloud.host})" if session.cloud.host else ""
    address = f"device at {session.device.address}" if session.device.address else "device unknown"
    device = f"device {session.device.id}{assumed(session)}" if session.device.id else address
    parts = (pen.plain(device), f"cloud {_cloud(pen, session)}{pen.plain(host)}")
    line = f"{pen.sign(Tone.of(verdict))} {verdict.code.value} ({verdict.certainty.value})"
    if len("    ".join((line, *parts))) < pen.width:
        yield "    ".join((_headline(pen, verdict), *parts)) + "\n"
        return
    yield _headline(pen, verdict) + "\n"
    if len("  " + "    ".join(parts)) < pen.width:
        yield "  " + "    ".join(parts) + "\n"
    else:
        yield from (f"  {part}\n" for part in parts)


def _open_questions(pen: Pen, verdict: Verdict) -> Iterator[str]:
    if verdict.alternatives:
        codes = f" {pen.glyphs.bullet} ".join(code.value for code in verdict.alternatives)
        yield from pen.block(codes, _QUESTION, "  It could be", "bold")
    for number, text in enumerate(verdict.would_settle):
        yield from pen.block(text, _QUESTION, "" if number else "  To settle it", "bold")


def _fix(pen: Pen, verdict: Verdict, title: str) -> Iterator[str]:
    yield from _steps(pen, verdict.remedy, title)


def _steps(pen: Pen, steps: Sequence[Remedy], title: str) -> Iterator[str]:
    if steps and len(title) + 2 >= _STEP:
        yield _title(pen, title)
        title = ""
    for number, remedy in enumerate(steps):
        yield from pen.block(remedy.text, _STEP, "" if number else f"  {title}", "bold")
        for command in remedy.commands:
            yield f"{' ' * (_STEP + 2)}{pen.plain(command)}\n"  # never broken: it is there to be copied


def _where(pen: Pen, session: Session, number: int, total: int) -> Iterator[str]:
    address = session.device.address
    parts: tuple[str, ...] = (
        f"Session {number:,} of {total:,}" if total > 1 else "Session",
        f"{session.transport} {address}:{session.device.port} {pen.glyphs.to} {session.cloud.address}:{session.cloud.port}",
        session.start_time,
        span_text(session),
        duration_text(session.duration_s),
        f"filter: {session.filter}",
    )
    if not session.first_frame:  # told by a log: no frames; a device knows no address of its own and no time of day
        own = f"{address} " if address else ""
        away = f"{session.transport} {own}{pen.glyphs.to} {session.cloud.address or 'unknown'}:{session.cloud.port}"
        told = f"from the {told_by(session)} alone"
        parts = (parts[0], away, told, told_since(session), duration_text(session.duration_s))
    line = "  "
    for part in map(pen.plain, parts):
        if len(line) + len(part) + 3 > pen.width - 1 and line.strip():
            yield line.rstrip() + "\n"
            line = "    "
        line += part + "   "
    yield line.rstrip() + "\n"
    for other in session.also_seen:
        ends = other.ends.replace("→", pen.glyphs.to)
        yield from pen.block(f"{ends}   {span_text(other)}", 18, "    also seen as  ")


def _title(pen: Pen, title: str) -> str:
    return f"  {pen.paint(title, 'bold')}\n"


def _why(pen: Pen, verdict: Verdict) -> Iterator[str]:
    if not verdict.evidence:
        return
    known = verdict.certainty is Certainty.UNDETERMINED
    yield _title(pen, "What is known" if known else f"Why this is {verdict.certainty.value}")
    for number, item in enumerate(verdict.evidence, 1):
        yield from pen.block(item.text + _frames(item.frames), 6, f"  {number:>2}  ")


def _against(pen: Pen, verdict: Verdict) -> Iterator[str]:
    """What speaks against the verdict, and for and against the causes beside it."""
    own, others = weighed(verdict)
    if own:
        yield _title(pen, "What speaks against it")
    for item in own:
        yield from pen.block(item.text + _frames(item.frames), 6, "   -  ")
    if others:
        yield _title(pen, "The other causes")
    for code, sign, item in others:
        yield from pen.block(f"{code.value}: {item.text}{_frames(item.frames)}", 6, f"   {sign}  ")


def _frames(frames: tuple[int, ...]) -> str:
    return f" (frame{'s' if len(set(frames)) > 1 else ''} {frames_text(frames)})" if frames else ""


def _findings(pen: Pen, session: Session) -> Iterator[str]:
    if session.findings:
        yield _title(pen, "Also found")
    for finding in session.findings:
        told = f"{finding.code} ({finding.certainty.value}): {finding.summary}{_frames(finding.frames)}"
        yield from pen.block(told, 6, "   +  ")


def _list_of(pen: Pen, title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield _title(pen, title)
    for line in lines:
        yield from pen.block(line, 6, f"   {pen.glyphs.bullet}")


def _log(pen: Pen, session: Session) -> Iterator[str]:
    lines = loose_log(session)
    shown = lines if pen.style.verbose else lines[:_LOG]
    told = [f"{line.time_ms / 1000:.3f}  {line.text}" if line.time_ms is not None else line.text for line in shown]
    if len(lines) > len(shown):
        told.append(f"{len(lines) - len(shown):,} more (--verbose shows all)")
    yield from _list_of(pen, "More from its log", told)


def _messages(pen: Pen, session: Session) -> Iterator[str]:
    if not session.messages:
        return
    yield _title(pen, "What was said")
    limit = len(session.messages) if pen.style.verbose else _MESSAGES
    kinds = max(len(message.type) for message in session.messages[:limit])
    for message in session.messages[:limit]:
        way = pen.glyphs.to if message.direction is Direction.UP else pen.glyphs.back
        lead = f"{offset_text(message.offset_s):>10}  {frames_text(message.frames, 1):<9.9}  {way}  "
        said = f"{pen.plain(message.type):<{min(kinds, 16)}}  {message.summary}".rstrip()
        yield from pen.block(said, len(lead), lead, "dim")
    if len(session.messages) > limit:
        yield f"{' ' * 12}{pen.glyphs.more} and {len(session.messages) - limit:,} more (--verbose shows all)\n"


def _attempts(pen: Pen, session: Session) -> Iterator[str]:
    words = {
        Outcome.PROVED: "fits",
        Outcome.REFUTED: "does not fit",
        Outcome.NO_KEY: "no key",
        Outcome.NOT_REACHED: "not reached",
        Outcome.UNDECIDED: "cannot tell",
    }
    told = []
    for attempt in session.attempts:
        detail = f": {attempt.detail}" if attempt.detail else ""
        told.append(f"{attempt.stage}  {attempt.key or 'none'}  {words[attempt.outcome]}{detail}")
    yield from _list_of(pen, "Keys tried", told)


def _others(pen: Pen, group: Group) -> Iterator[str]:
    if not group.others:
        return
    yield _title(pen, f"The same in {counted(len(group.others), 'more session')}")
    for session in group.others[:_OTHERS]:
        frames = span_text(session)
        yield f"      {pen.plain(session.begins)}  {frames}  {pen.plain(session.filter)}".rstrip() + "\n"
    if len(group.others) > _OTHERS:
        yield f"      {pen.glyphs.more} and {len(group.others) - _OTHERS:,} more (--verbose shows all)\n"


def _stories(pen: Pen, capture: CaptureReport) -> Iterator[str]:
    told = [story for story in capture.stories if story.attempts > 1]
    shown = told if pen.style.verbose else told[:_TOLD]
    if shown:
        yield "\n"
    for story in shown:
        yield from pen.block(f"{story.device}: {story.summary}", 9, "  Story", "bold")
    if len(told) > len(shown):
        yield f"         {pen.glyphs.more} and {len(told) - len(shown):,} more devices (--verbose shows all)\n"


def _keys(pen: Pen, keys: tuple[KeyRow, ...]) -> Iterator[str]:
    """Without --verbose only what cannot be used: everything else has been named where it mattered."""
    rows = keys if pen.style.verbose else tuple(key for key in keys if key.status == "unusable")
    shown = rows if pen.style.verbose else rows[:_BAD_KEYS]
    if not shown:
        return
    yield "\n" + _title(
        pen, "Keys" if pen.style.verbose else f"Keys that cannot be used: {len(rows)} of {len(keys)} files"
    )
    for key in shown:
        kind = f"{key.kind} {key.bits}" if key.bits else key.kind
        said = key.problem or (f"SHA256:{key.fingerprint[:16]}" if key.fingerprint else "")
        yield from pen.block(f"{key.file}  {key.role.value}  {kind}  {said}", 8, "      ")
    if len(rows) > len(shown):
        yield f"      {pen.glyphs.more} and {len(rows) - len(shown):,} more (--verbose shows all)\n"
