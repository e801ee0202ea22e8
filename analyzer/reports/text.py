"""The terminal report: the answer first, then how sure and why, then the picture, then the rest."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from analyzer.model import CaptureReport, Certainty, Code, KeyRow, Outcome, Report, Session, Stage, Verdict
from analyzer.reports.ladder import frames_text, offset_text
from analyzer.reports.safe import printable
from analyzer.reports.writing import Style
from dissectors.events import Direction, Status

_MESSAGES_SHOWN = 12
_OTHERS_SHOWN = 12


class _Pen:
    """Glyphs and colours of one style, so that no other line of this module asks which."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.width = style.width
        wide = style.unicode
        self.ok, self.bad, self.unsure = ("✓", "✗", "?") if wide else ("ok", "!!", "??")
        self.line, self.right, self.left, self.dot = ("─", "▶", "◀", "·") if wide else ("-", ">", "<", ".")
        self.to = "→" if wide else "->"

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.style.color else text

    def bold(self, text: str) -> str:
        return self.paint(text, "1")

    def dim(self, text: str) -> str:
        return self.paint(text, "2")

    def plain(self, text: str) -> str:
        """Text from outside: inert, and within what the stream can show."""
        shown = printable(text)
        return shown if self.style.unicode else shown.encode("ascii", "backslashreplace").decode()

    def wrap(self, text: str, indent: int, first: str = "") -> Iterator[str]:
        """Lines of ``text``, indented; ``first`` replaces the first line's indent."""
        lead = first or " " * indent
        for line in textwrap.wrap(
            self.plain(text),
            self.width - 1,
            initial_indent=lead,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        ) or [lead.rstrip()]:
            yield line + "\n"


def format_text(report: Report, style: Style) -> Iterator[str]:
    """The report for a terminal or a ticket."""
    pen = _Pen(style)
    if style.quiet:
        for capture in report.captures:
            for session in capture.sessions:
                yield _row(pen, session, f"{pen.plain(capture.path)}: " if len(report.captures) > 1 else "")
        return
    if len(report.captures) > 1:
        yield from _many(pen, report)
        return
    for capture in report.captures:
        yield from _capture(pen, capture, report.keys)


def _many(pen: _Pen, report: Report) -> Iterator[str]:
    for capture in report.captures:
        yield pen.bold(pen.plain(capture.path)) + "\n"
        for problem in capture.problems:
            yield from pen.wrap(f"{problem.message}", 4, "  ! ")
        if not capture.sessions and capture.status != "failed":
            yield "  no device session\n"
        for session in capture.sessions:
            yield _row(pen, session, "  ")
    totals = report.totals
    counts = ", ".join(
        f"{count} {code}" for code, count in sorted(totals.verdicts.items(), key=lambda item: (-item[1], item[0]))
    )
    yield (
        f"\n{_count(totals.captures, 'capture')}, {_count(totals.sessions, 'session')}"
        + (f": {counts}" if counts else "")
        + "\n"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _row(pen: _Pen, session: Session, lead: str) -> str:
    device = session.device.id or session.device.address
    frames = f"frames {session.first_frame}-{session.last_frame}"
    return f"{lead}{_headline(pen, session.verdict)}  {device} {pen.to} {session.cloud.address}:{session.cloud.port}  {frames}  {session.start_time}\n"


def _headline(pen: _Pen, verdict: Verdict) -> str:
    if verdict.code is Code.HEALTHY:
        mark, colour = pen.ok, "32;1"
    elif verdict.certainty is Certainty.UNDETERMINED:
        mark, colour = pen.unsure, "33;1"
    else:
        mark, colour = pen.bad, "31;1"
    return pen.paint(f"{mark} {verdict.code} ({verdict.certainty})", colour)


def _capture(pen: _Pen, capture: CaptureReport, keys: tuple[KeyRow, ...]) -> Iterator[str]:
    for problem in capture.problems:
        yield from pen.wrap(problem.message, 4, "  ! ")
    if not capture.sessions:
        if capture.status != "failed":
            yield from _nothing(pen, capture)
        return
    groups = _alike(capture)
    shown = capture.sessions if pen.style.verbose else [group[0] for group in groups]
    if len(shown) > 1:
        for group in groups:
            session = group[0]
            times = f"  x{len(group)}" if len(group) > 1 else ""
            yield f"{_headline(pen, session.verdict)}  {session.device.id or session.device.address} {pen.to} {session.cloud.address}:{session.cloud.port}{times}\n"
        yield "\n"
    for number, session in enumerate(shown):
        if number:
            yield pen.dim(pen.line * (pen.width - 1)) + "\n"
        yield from _session(pen, session, capture)
        group = next(group for group in groups if session in group)
        if not pen.style.verbose and len(group) > 1:
            yield from _others(pen, group[1:])
    yield from _stories(pen, capture)
    if keys and pen.style.verbose:
        yield from _keys(pen, keys)


def _nothing(pen: _Pen, capture: CaptureReport) -> Iterator[str]:
    yield "No device session found.\n"
    yield from pen.wrap(
        f"{capture.packets} packets were read ({', '.join(capture.link_types) or 'no packets'}). A device talks to its cloud over TCP port 5683 or UDP port 5684; "
        "on other ports its handshake is recognised by content, and --port tcp/N or udp/N adds a port. "
        "Usual causes: the capture was taken where the device's traffic does not pass, it was filtered, or the device sent nothing at all "
        "(a private key that does not parse keeps a UDP device silent: analyze keys shows that).",
        2,
    )


def _alike(capture: CaptureReport) -> list[list[Session]]:
    """Sessions of one device with one verdict, together; the surest of them first."""
    groups: dict[tuple[str, str, str, str], list[Session]] = {}
    for session in capture.sessions:
        key = (
            session.device.id or session.device.address,
            session.cloud.address,
            session.verdict.code.value,
            session.verdict.certainty.value,
        )
        groups.setdefault(key, []).append(session)
    return list(groups.values())


def _session(pen: _Pen, session: Session, capture: CaptureReport) -> Iterator[str]:
    verdict = session.verdict
    host = f" ({pen.plain(session.cloud.host)})" if session.cloud.host else ""
    device = f"device {session.device.id}" if session.device.id else f"device at {session.device.address}"
    yield f"{_headline(pen, verdict)}    {device}    cloud {session.cloud.address}:{session.cloud.port}{host}\n"
    yield from pen.wrap(verdict.summary, 2)
    yield from _alternatives(pen, verdict)
    yield from _fix(pen, verdict)
    yield "\n"
    yield from _ladder(pen, session, capture)
    yield from _why(pen, verdict)
    for finding in session.findings:
        frames = f" (frames {frames_text(finding.frames)})" if finding.frames else ""
        yield from pen.wrap(f"{finding.code} ({finding.certainty}): {finding.summary}{frames}", 4, "  + ")
    if verdict.device_shows:
        yield from _block(pen, "The device shows", list(verdict.device_shows))
    if session.log:
        yield from _block(pen, "Its log says", [f"{line.text}" for line in session.log])
    if session.messages:
        yield from _messages(pen, session)


def _alternatives(pen: _Pen, verdict: Verdict) -> Iterator[str]:
    if verdict.alternatives:
        yield from pen.wrap("It could be: " + ", ".join(verdict.alternatives), 4, "  ")
    for number, text in enumerate(verdict.would_settle):
        yield from pen.wrap(text, 16, "  To settle it  " if number == 0 else " " * 16)


def _fix(pen: _Pen, verdict: Verdict) -> Iterator[str]:
    for number, remedy in enumerate(verdict.remedy):
        yield from pen.wrap(remedy.text, 8, f"  {pen.bold('Fix')}   " if number == 0 else " " * 8)
        for command in remedy.commands:
            yield " " * 10 + pen.plain(command) + "\n"  # never wrapped: it is there to be copied


def _block(pen: _Pen, title: str, lines: list[str]) -> Iterator[str]:
    indent = 2 + len(title) + 2
    for number, line in enumerate(lines):
        yield from pen.wrap(line, indent, f"  {pen.bold(title)}  " if number == 0 else " " * indent)


def _ladder(pen: _Pen, session: Session, capture: CaptureReport) -> Iterator[str]:
    number = capture.sessions.index(session) + 1
    title = f"Session {number} of {len(capture.sessions)}   {session.transport} {session.device.address}:{session.device.port} {pen.to} {session.cloud.address}:{session.cloud.port}"
    yield from pen.wrap(
        f"{title}   frames {session.first_frame}-{session.last_frame}   {session.duration_s:.2f} s   filter: {session.filter}",
        4,
        "  ",
    )
    notes = _notes(session)
    inline = pen.width >= 110
    for stage in session.stages:
        if stage.stage == "session" and stage.status is Status.ABSENT:
            continue
        note = notes.get(stage.stage, "")
        row = f"  {offset_text(stage.offset_s):>9}  {frames_text(stage.frames, 2):<9.9}  {_arrow(pen, stage)}  {stage.stage:<19.19}"
        text = pen.plain(" ".join(filter(None, (_status(stage), note))))
        if inline and text:
            lines = textwrap.wrap(text, pen.width - len(row) - 2) or [""]
            yield f"{row} {lines[0]}\n"
            for line in lines[1:]:
                yield f"{' ' * (len(row) + 1)}{line}\n"
        else:
            yield row.rstrip() + "\n"
            yield from pen.wrap(text, 24) if text else ()
    yield from _end(pen, session)


def _arrow(pen: _Pen, stage: Stage) -> str:
    width = 23
    if stage.status is Status.ABSENT:
        return f"{pen.dot + ' ':s}" * (width // 2) + pen.dot
    label = (
        "SYN, SYN-ACK, ACK"
        if stage.stage == "connect" and stage.status is Status.SEEN
        else "SYN"
        if stage.stage == "connect"
        else f"{stage.bytes} B"
        if stage.bytes
        else ""
    )
    label = f" {label} " if label else ""
    body = label.center(width - 1, pen.line)
    return body + pen.right if stage.direction is Direction.UP else pen.left + body


def _status(stage: Stage) -> str:
    if stage.status is Status.ABSENT:
        return "never came" if stage.stage != "connect" else "not in the capture"
    return "" if stage.status is Status.SEEN else stage.status.value


def _notes(session: Session) -> dict[str, str]:
    """One short note per stage: what a key proved, or what the bytes look like."""
    notes: dict[str, str] = {}
    for attempt in session.attempts:
        if attempt.outcome is Outcome.PROVED and attempt.stage not in notes:
            notes[attempt.stage] = f"{attempt.key}: {attempt.detail}"
    for stage in session.stages:
        if stage.fields.get("looks_like"):
            notes[stage.stage] = f"looks like {stage.fields.get('answer') or stage.fields['looks_like']}"
        elif stage.stage not in notes and stage.fields.get("summary"):
            notes[stage.stage] = str(stage.fields["summary"])
    return notes


def _end(pen: _Pen, session: Session) -> Iterator[str]:
    ending = session.ending
    after = f", {ending.after_s:.3f} s after the last data" if ending.after_s is not None else ""
    frame = f"{ending.frame}" if ending.frame else ""
    how = {
        "fin": "closed (FIN)",
        "rst": "reset (RST)",
        "capture-end": "still open when the capture ends",
        "silence": "silence",
        "icmp": "ICMP error",
        "alert": "alert",
        "timeout": "timeout",
    }[ending.how.value]
    who = "" if ending.by == "capture" else f" by the {ending.by}"
    yield f"  {'':>9}  {frame:<9}  {how}{who}{after}\n\n"


def _why(pen: _Pen, verdict: Verdict) -> Iterator[str]:
    if not verdict.evidence:
        return
    yield f"  {pen.bold('Why this is ' + verdict.certainty if verdict.certainty is not Certainty.UNDETERMINED else 'What is known')}\n"
    for number, item in enumerate(verdict.evidence, 1):
        frames = f" (frame{'s' if len(item.frames) > 1 else ''} {frames_text(item.frames)})" if item.frames else ""
        yield from pen.wrap(item.text + frames, 6, f"  {number:>2}  ")


def _messages(pen: _Pen, session: Session) -> Iterator[str]:
    yield f"  {pen.bold('What was said')}\n"
    limit = len(session.messages) if pen.style.verbose else _MESSAGES_SHOWN
    for message in session.messages[:limit]:
        arrow = pen.to if message.direction is Direction.UP else ("←" if pen.style.unicode else "<-")
        yield from pen.wrap(
            f"{message.type}: {message.summary}" if message.summary else message.type,
            28,
            f"  {offset_text(message.offset_s):>9}  {frames_text(message.frames, 1):<8.8} {arrow}  ",
        )
    if len(session.messages) > limit:
        yield f"      ... and {len(session.messages) - limit} more (--verbose shows all)\n"


def _others(pen: _Pen, others: list[Session]) -> Iterator[str]:
    again = _count(len(others), "more session")
    yield f"\n  {pen.bold(f'The same in {again}')}\n"
    for session in others[:_OTHERS_SHOWN]:
        yield f"    {session.start_time}  frames {session.first_frame}-{session.last_frame}  {session.filter}\n"
    if len(others) > _OTHERS_SHOWN:
        yield f"    ... and {len(others) - _OTHERS_SHOWN} more (--verbose shows all)\n"


def _stories(pen: _Pen, capture: CaptureReport) -> Iterator[str]:
    told = [story for story in capture.stories if story.attempts > 1]
    if told:
        yield "\n"
    for story in told:
        yield from pen.wrap(f"{story.device}: {story.summary}", 11, f"  {pen.bold('Story')}    ")


def _keys(pen: _Pen, keys: tuple[KeyRow, ...]) -> Iterator[str]:
    yield f"\n  {pen.bold('Keys')}\n"
    for key in keys:
        said = key.problem or (f"SHA256:{key.fingerprint[:16]}" if key.fingerprint else "")
        yield from pen.wrap(f"{key.file}  {key.role}  {key.kind}  {said}", 6, "    ")
