"""A report as the result of tests: JUnit's XML and SARIF, for firmware that is tried against a cloud in a pipeline.

One test a session. It passes when the session is healthy, fails by its verdict, and is skipped where the capture cannot
tell; a capture that cannot be read is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from analyzer.model import CaptureReport, Code, Report, Session
from analyzer.reports.grouping import Tone
from analyzer.safe import printable

_SARIF: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: SARIF 3.27.9 and 3.27.10: what kind of result it is, and how bad.
_KINDS: Final = {Tone.OK: ("pass", "none"), Tone.UNSURE: ("open", "none"), Tone.BAD: ("fail", "error")}


def format_junit(report: Report) -> Iterator[str]:
    """JUnit XML, as Jenkins' and GitLab's readers take it: a suite for each capture."""
    counts = [_counted(capture) for capture in report.captures]
    tests, failures, errors, skipped = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0, 0)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<testsuites name="analyze" tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}">\n'
    for capture, (tests, failures, errors, skipped) in zip(report.captures, counts, strict=True):
        stamp = f" timestamp={_attribute(capture.first_time[:19])}" if capture.first_time else ""
        yield (
            f'<testsuite name={_attribute(capture.path)} tests="{tests}" failures="{failures}" errors="{errors}" '
            f'skipped="{skipped}"{stamp}>\n'
        )
        for session in capture.sessions:
            yield from _case(capture, session)
        if _unread(capture):
            why = "; ".join(problem.message for problem in capture.problems) or "cannot be read"
            yield f'<testcase name="capture" classname={_attribute(_class(capture))}>\n'
            yield f'<error type="unreadable" message={_attribute(why)}/>\n</testcase>\n'
        yield "</testsuite>\n"
    yield "</testsuites>\n"


def _counted(capture: CaptureReport) -> tuple[int, int, int, int]:
    """Tests, failures, errors, skipped."""
    tones = [Tone.of(session.verdict) for session in capture.sessions]
    errors = int(_unread(capture))
    skipped = sum(session.verdict.code is Code.CAPTURE_INCOMPLETE for session in capture.sessions)
    failures = sum(tone is not Tone.OK for tone in tones) - skipped
    return len(tones) + errors, failures, errors, skipped


def _unread(capture: CaptureReport) -> bool:
    return capture.status == "failed"


def _case(capture: CaptureReport, session: Session) -> Iterator[str]:
    verdict = session.verdict
    name = f"{session.id} {session.device.id or session.device.address} to {session.cloud.address}:{session.cloud.port}"
    yield (f'<testcase name={_attribute(name)} classname={_attribute(_class(capture))} time="{session.duration_s:.3f}"')
    if verdict.code is Code.HEALTHY:
        yield "/>\n"
    elif verdict.code is Code.CAPTURE_INCOMPLETE:
        yield f">\n<skipped message={_attribute(verdict.summary)}/>\n</testcase>\n"
    else:
        kind = f"{verdict.code.value} ({verdict.certainty.value})"
        yield f">\n<failure type={_attribute(kind)} message={_attribute(verdict.summary)}>"
        yield escape("\n".join(_told(session)))
        yield "</failure>\n</testcase>\n"


def _told(session: Session) -> Iterator[str]:
    """Why, and what to do, a line each."""
    verdict = session.verdict
    yield f"frames {session.first_frame}-{session.last_frame}, filter: {printable(session.filter)}"
    yield from (f"if {printable(premise)}" for premise in verdict.premises)
    yield from (f"{number}. {printable(item.text)}" for number, item in enumerate(verdict.evidence, 1))
    if verdict.alternatives:
        yield f"it could also be: {', '.join(verdict.alternatives)}"
    for step in verdict.remedy:
        yield f"fix: {printable(step.text)}"
        yield from (f"  {printable(command)}" for command in step.commands)


def _class(capture: CaptureReport) -> str:
    return PurePath(capture.path).with_suffix("").as_posix().strip("/").replace("/", ".") or "capture"


def _attribute(text: str) -> str:
    """A quoted attribute: `printable` leaves nothing that XML 1.0 cannot hold."""
    return quoteattr(printable(text))


def format_sarif(report: Report) -> Iterator[str]:
    """SARIF 2.1.0 (OASIS): a rule for each verdict, a result for each session."""
    used = sorted({session.verdict.code for capture in report.captures for session in capture.sessions})
    run = {
        "tool": {
            "driver": {
                "name": report.tool.name,
                "version": report.tool.version,
                "rules": [{"id": code.value, "shortDescription": {"text": _words(code)}} for code in used],
            }
        },
        "artifacts": [{"location": {"uri": _uri(capture.path)}} for capture in report.captures],
        "invocations": [
            {
                "executionSuccessful": all(not _unread(capture) for capture in report.captures),
                "toolExecutionNotifications": [
                    {
                        "level": "error" if _unread(capture) else "warning",
                        "message": {"text": printable(problem.message)},
                        "locations": [_location(capture, place)],
                    }
                    for place, capture in enumerate(report.captures)
                    for problem in capture.problems
                ],
            }
        ],
        "results": [
            _result(capture, place, session, used)
            for place, capture in enumerate(report.captures)
            for session in capture.sessions
        ],
    }
    yield json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _words(code: Code) -> str:
    return code.value.replace("-", " ")


def _result(capture: CaptureReport, place: int, session: Session, used: list[Code]) -> dict[str, Any]:
    verdict = session.verdict
    kind, level = _KINDS[Tone.of(verdict)]
    who = session.device.id or session.device.address
    return {
        "ruleId": verdict.code.value,
        "ruleIndex": used.index(verdict.code),
        "kind": kind,
        "level": level,
        "message": {"text": "\n".join((f"{printable(who)}: {printable(verdict.summary)}", *_told(session)))},
        "locations": [_location(capture, place)],
        "partialFingerprints": {"session/v1": f"{who}/{verdict.code.value}/{session.start_time}"},
        "properties": {
            "certainty": verdict.certainty.value,
            "session": session.id,
            "frames": [session.first_frame, session.last_frame],
            "filter": session.filter,
        },
    }


def _location(capture: CaptureReport, place: int) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(capture.path), "index": place}}}


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(PurePath(path).as_posix().encode("utf-8", "surrogatepass"))
