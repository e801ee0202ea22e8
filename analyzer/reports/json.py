"""The JSON report (contract, section 3) and its one-session-per-line form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

from analyzer.model import CaptureReport, Report


@cache
def _names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a dataclass
    return tuple(field.name for field in fields(kind))


@cache
def written_names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - a dataclass
    """The fields of a model type as the JSON calls them: by their own names but for those that Python keeps (``for``)."""
    return tuple(field.metadata.get("json", field.name) for field in fields(kind))


def plain(value: Any) -> Any:  # noqa: ANN401 - any model value in, plain JSON values out
    """A model value as dicts, lists, strings, numbers; field names are the contract's."""
    if value is None or isinstance(value, str | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        names = zip(written_names(type(value)), _names(type(value)), strict=True)
        return {written: plain(getattr(value, name)) for written, name in names if _told(value, name)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no place in a report")


#: Fields that are written only when something is in them: a session was seen elsewhere too, secrets were asked for, there is advice to give.
_WHEN_GIVEN = ("also_seen", "secrets", "advice", "causes", "inputs", "joined", "capture")


#: Fields of the model that stand in no report.
UNWRITTEN = ("reached",)


def _told(value: Any, name: str) -> bool:  # noqa: ANN401
    return name not in UNWRITTEN and (name not in _WHEN_GIVEN or bool(getattr(value, name)))


def compact(value: Any) -> str:  # noqa: ANN401 - any model value
    """A model value as one line of JSON: that of :func:`plain`, in less than half the time."""
    return _dump(value)


def _dump(value: Any, indent: int | None = None) -> str:  # noqa: ANN401
    # ASCII only: control, bidirectional and zero-width characters from a capture arrive escaped.
    return json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False, default=_shallow)


@cache
def _getter(kind: Any) -> Callable[[Any], tuple[Any, ...]]:  # noqa: ANN401 - a dataclass
    names = _names(kind)
    return attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)


def _shallow(value: Any) -> Any:  # noqa: ANN401 - what the encoder does not know, one level of it as what it does know
    if is_dataclass(value) and not isinstance(value, type):
        found = dict(zip(written_names(type(value)), _getter(type(value))(value), strict=True))
        for name in _WHEN_GIVEN:
            if not found.get(name, True):
                del found[name]
        for name in UNWRITTEN:
            found.pop(name, None)
        return found
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


def format_json(report: Report) -> Iterator[str]:
    """The whole report, a capture at a time, so that a large one is never one string."""
    yield "{\n"
    for name in ("schema", "tool", "keys"):
        yield f' "{name}": {_dump(getattr(report, name))},\n'
    if report.secrets_shown:
        yield ' "secrets_shown": true,\n'
    yield ' "captures": ['
    for index, capture in enumerate(report.captures):
        yield ("," if index else "") + "\n  "
        yield from _capture(capture)
    yield "\n ],\n"
    yield f' "totals": {_dump(report.totals)},\n'
    yield f' "stories": {_dump(report.stories)}\n}}\n'


def _capture(capture: CaptureReport) -> Iterator[str]:
    apart = ("sessions", "stories")
    head = {
        name: getattr(capture, name) for name in _names(CaptureReport) if name not in apart and _told(capture, name)
    }
    yield _dump(head)[:-1] + ',\n   "sessions": ['
    for index, session in enumerate(capture.sessions):
        yield ("," if index else "") + "\n    " + _dump(session)
    yield '],\n   "stories": ' + _dump(capture.stories) + "}"


def format_jsonl(report: Report) -> Iterator[str]:
    """One line per session, each with the path of its capture."""
    for capture in report.captures:
        for session in capture.sessions:
            mark = {"secrets_shown": True} if report.secrets_shown else {}
            yield _dump({"capture": capture.path, **mark, **plain(session)}) + "\n"
