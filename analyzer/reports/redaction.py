"""A report without what identifies anybody: the same faults, with pseudonyms in place of addresses, ids and names.

How it works. Everything that names somebody is collected from the report's own fields; every string of the report is then
searched for any of it, in one pass, longest first. Where text comes from the device or its user (log lines, message
contents, pages of a portal), it is left out whole. The pseudonyms are those `analyze redact` gives a capture under the
same salt: addresses keep their prefixes, and the same thing has the same name throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from ipaddress import ip_address
from pathlib import PurePath
from typing import Any

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.model import CaptureReport, LogLine, Message, Report, Session, Stage

_ID = r"(?<![0-9a-z])[0-9a-f]{24}(?![0-9a-z])"
_FINGERPRINT = r"SHA256:[0-9a-f]{16,64}|(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])"
#: Facts of a stage that quote the other side; the rest are numbers and words of ours.
_QUOTING = frozenset(
    {"answer", "location", "title", "server", "banner", "status_line", "summary", "name", "answers", "realm", "body"}
)
_LEFT_OUT = "(left out)"
#: What may be an address in a sentence of ours, and one that names nobody: the internet test's.
_ADDRESS = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?![\w.:]*\w)")
_KNOWN_TO_ALL = frozenset({"8.8.8.8"})
#: Problems that quote a log.
_QUOTES = frozenset({"known-line"})


def redacted(report: Report, salt: bytes) -> Report:
    """``report`` with pseudonyms under ``salt``; what cannot be given one is left out."""
    pseudonyms = Pseudonyms(salt)
    known = dict(_identifiers(report, pseudonyms))
    words = "|".join(re.escape(word) for word in sorted(known, key=len, reverse=True))
    # One pass over all kinds: a pseudonym must not be taken for an identifier and replaced once more.
    pattern = re.compile("|".join(filter(None, (words, _FINGERPRINT, _ID))), re.IGNORECASE)

    def pseudonym(match: re.Match[str]) -> str:
        found = match[0]
        if found.lower() in known:
            return known[found.lower()]
        return _device(found, pseudonyms) if len(found) == 24 else _fingerprint(found, pseudonyms)

    def clean(text: str) -> str:
        return pattern.sub(pseudonym, text)

    captures = tuple(_without_quotes(capture) for capture in report.captures)
    found: Report = _walk(replace(report, captures=captures), clean)
    return found


def _identifiers(report: Report, pseudonyms: Pseudonyms) -> Iterator[tuple[str, str]]:
    for row in report.keys:
        yield row.file.lower(), _file(row.file, row.role.value, pseudonyms)
    for number, capture in enumerate(report.captures, 1):
        name = f"capture-{number}{''.join(PurePath(capture.path).suffixes[-2:])[:12]}"
        yield capture.path.lower(), name
        yield PurePath(capture.path).name.lower(), name
        if capture.sha256:
            yield capture.sha256, pseudonyms.derived("sha256", capture.sha256.encode(), 32).hex()
        for problem in capture.problems:
            for text in _ADDRESS.findall(problem.message):
                if text not in _KNOWN_TO_ALL and _address(text, pseudonyms) != _LEFT_OUT:
                    yield text, _address(text, pseudonyms)
        for session in capture.sessions:
            yield from _of_session(session, pseudonyms)


def _of_session(session: Session, pseudonyms: Pseudonyms) -> Iterator[tuple[str, str]]:
    for text in (session.device.address, session.cloud.address):
        yield text.lower(), _address(text, pseudonyms)
    if session.cloud.host:
        yield session.cloud.host.lower(), _host(session.cloud.host, pseudonyms)
    for stage in session.stages:
        name, answers = stage.fields.get("name"), stage.fields.get("answers")
        if stage.stage == "name-resolution" and isinstance(name, str):
            yield name.lower(), _host(name, pseudonyms)
        for answer in answers if isinstance(answers, tuple) else ():
            yield str(answer).lower(), _address(str(answer), pseudonyms)


def _without_quotes(capture: CaptureReport) -> CaptureReport:
    problems = tuple(
        replace(problem, message=_LEFT_OUT) if problem.code in _QUOTES else problem for problem in capture.problems
    )
    return replace(capture, problems=problems, sessions=tuple(_quiet(session) for session in capture.sessions))


def _quiet(session: Session) -> Session:
    def message(item: Message) -> Message:
        return replace(item, summary="")

    def line(item: LogLine) -> LogLine:
        return replace(item, file="device.log", text=_LEFT_OUT)

    def stage(item: Stage) -> Stage:
        kept = {
            key: _LEFT_OUT if key in _QUOTING and isinstance(value, str) else value
            for key, value in item.fields.items()
        }
        return replace(item, fields={key: value for key, value in kept.items() if key != "answers"})

    return replace(
        session,
        messages=tuple(map(message, session.messages)),
        log=tuple(map(line, session.log)),
        stages=tuple(map(stage, session.stages)),
    )


def _walk(value: Any, clean: Any) -> Any:  # noqa: ANN401 - any model value
    if isinstance(value, Enum) or value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(_walk(item, clean) for item in value)
    if isinstance(value, Mapping):
        return {clean(key): _walk(item, clean) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _walk(getattr(value, field.name), clean) for field in fields(value)})
    raise TypeError(f"{type(value).__name__} has no place in a report")


def _address(text: str, pseudonyms: Pseudonyms) -> str:
    try:
        return str(ip_address(pseudonyms.address(ip_address(text).packed)))
    except ValueError:
        return _LEFT_OUT


def _host(name: str, pseudonyms: Pseudonyms) -> str:
    """Particle's own names stay (but for the id in them): which cloud it was is the finding."""
    if re.fullmatch(r"(?:.*\.)?(?:spark|particle)\.io\.?", name, re.IGNORECASE):
        return re.sub(_ID, lambda match: _device(match[0], pseudonyms), name.lower())
    return ".".join(pseudonyms.label(label.encode("utf-8", "replace")).decode() for label in name.split("."))


def _device(text: str, pseudonyms: Pseudonyms) -> str:
    return pseudonyms.device_id(bytes.fromhex(text)).hex()


def _file(name: str, role: str, pseudonyms: Pseudonyms) -> str:
    suffix = PurePath(name).suffix[:8]
    found = re.search(_ID, PurePath(name).name.lower().replace("_", " "))
    who = (
        _device(found[0], pseudonyms) if found else pseudonyms.derived("file", name.encode("utf-8", "replace"), 3).hex()
    )
    return f"{who}.{role}{suffix}"


def _fingerprint(text: str, pseudonyms: Pseudonyms) -> str:
    head, digits = ("SHA256:", text[7:]) if text.startswith("SHA256:") else ("", text)
    # By its first 16 digits: a short and a long form of one fingerprint stay the same thing.
    return head + pseudonyms.derived("fingerprint", digits[:16].encode(), 32).hex()[: len(digits)]
