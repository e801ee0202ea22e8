"""A report without what identifies anybody: the same faults, with pseudonyms in place of addresses, ids and names.

How it works. What names somebody (`names`) gets a pseudonym wherever it stands, in fields and in sentences. What quotes
somebody (`quotes`: log lines, message contents, pages of a portal) is left out whole, wherever it is repeated. What is
left is ours: verdicts, numbers, advice. The pseudonyms are those `analyze redact` gives a capture under the same salt:
addresses keep their prefixes, and the same thing has the same name throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.model import CaptureReport, Evidence, KeyRow, Remedy, Report, Session, Story, Verdict
from analyzer.reports.redaction.names import LEFT_OUT, Names
from analyzer.reports.redaction.quotes import Quotes, of_logs
from analyzer.reports.redaction.search import Search, replaced

__all__ = ["LEFT_OUT", "redacted"]


def redacted(report: Report, salt: bytes) -> Report:
    """``report`` with pseudonyms under ``salt``; what cannot be given one is left out, and so are session secrets."""
    names = Names(report, Pseudonyms(salt))
    return replace(
        report,
        keys=tuple(_key(row, names) for row in report.keys),
        captures=tuple(_capture(capture, names) for capture in report.captures),
        stories=tuple(_story(story, names) for story in report.stories),
        secrets_shown=False,
    )


def _key(row: KeyRow, names: Names) -> KeyRow:
    def clean(text: str | None) -> str | None:
        return text and replaced(text, names.searches)

    return replace(
        row,
        file=names.file(row.file) or LEFT_OUT,
        reached=(names.file(row.file) or LEFT_OUT) if row.reached else "",
        device_id=clean(row.device_id),
        fingerprint=clean(row.fingerprint),
        problem=clean(row.problem),
    )


def _capture(capture: CaptureReport, names: Names) -> CaptureReport:
    told = (*of_logs(names), *names.searches)
    return replace(
        capture,
        path=names.capture(capture.path),
        sha256=capture.sha256 and replaced(capture.sha256, names.searches),
        problems=tuple(replace(item, message=replaced(item.message, told)) for item in capture.problems),
        sessions=tuple(_session(session, names) for session in capture.sessions),
        stories=tuple(_story(story, names) for story in capture.stories),
        advice=tuple(_remedy(item, names.searches) for item in capture.advice),
        inputs=tuple(replace(item, path=_file(item.path, names)) for item in capture.inputs),
        joined=tuple(_file(path, names) for path in capture.joined),
    )


def _file(path: str, names: Names) -> str:
    """A file of a ticket: a key's or a capture's name as elsewhere in the report, else nothing."""
    return names.file(path) or names.capture(path)


def _remedy(remedy: Remedy, searches: tuple[Search, ...]) -> Remedy:
    commands = tuple(replaced(command, searches) for command in remedy.commands)
    return replace(remedy, text=replaced(remedy.text, searches), commands=commands)


def _session(session: Session, names: Names) -> Session:
    quotes = Quotes(session, names)
    device, cloud = session.device, session.cloud

    def clean(text: str) -> str:
        return replaced(text, names.searches)

    def told(text: str) -> str:
        return replaced(text, quotes.telling)

    return replace(
        session,
        filter=clean(session.filter),
        device=replace(device, address=clean(device.address), id=device.id and clean(device.id)),
        cloud=replace(cloud, address=clean(cloud.address), host=cloud.host and names.host(cloud.host)),
        stages=tuple(map(quotes.stage, session.stages)),
        attempts=tuple(
            replace(item, key=names.file(item.key) or clean(item.key), detail=told(item.detail))
            for item in session.attempts
        ),
        messages=tuple(map(quotes.message, session.messages)),
        verdict=_verdict(session.verdict, quotes),
        findings=tuple(replace(item, summary=told(item.summary)) for item in session.findings),
        log=tuple(map(quotes.log_line, session.log)),
        also_seen=tuple(
            replace(
                other,
                device=replace(other.device, address=clean(other.device.address)),
                cloud=replace(other.cloud, address=clean(other.cloud.address)),
                capture=other.capture and _file(other.capture, names),
            )
            for other in session.also_seen
        ),
        secrets=(),
    )


def _verdict(verdict: Verdict, quotes: Quotes) -> Verdict:
    def advised(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(replaced(text, quotes.advice) for text in texts)

    def said(items: Sequence[Evidence]) -> tuple[Evidence, ...]:
        return tuple(replace(item, text=replaced(item.text, quotes.telling)) for item in items)

    return replace(
        verdict,
        summary=replaced(verdict.summary, quotes.telling),
        evidence=said(verdict.evidence),
        would_settle=advised(verdict.would_settle),
        remedy=tuple(_remedy(item, quotes.advice) for item in verdict.remedy),
        device_shows=advised(verdict.device_shows),
        premises=tuple(replaced(text, quotes.telling) for text in verdict.premises),
        causes=tuple(replace(cause, pro=said(cause.pro), con=said(cause.con)) for cause in verdict.causes),
    )


def _story(story: Story, names: Names) -> Story:
    searches: tuple[Search, ...] = (*of_logs(names), *names.searches)

    def clean(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(replaced(text, searches) for text in texts)

    return replace(
        story,
        device=clean((story.device,))[0],
        sessions=tuple(map(names.session, story.sessions)),
        summary=clean((story.summary,))[0],
        addresses=clean(story.addresses),
        last_good=story.last_good and names.session(story.last_good),
        first_bad=story.first_bad and names.session(story.first_bad),
        changed=clean(story.changed),
    )
