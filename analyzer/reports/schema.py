"""The JSON Schema of the report, derived from the model so that the two cannot part."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from analyzer import model
from analyzer.model import SCHEMA_NAME, Report
from analyzer.reports.json import UNWRITTEN, written_names

#: Written only when there is something in them (`analyzer.reports.json`); secrets only when `--show-secrets` asked for them.
_WHEN_GIVEN = ("also_seen", "secrets", "secrets_shown", "advice", "causes", "inputs", "joined", "capture")


def report_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``handshake-report/1``. Unknown further members are allowed: the report grows."""
    definitions: dict[str, Any] = {}
    root = _of(Report, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_NAME,
        "title": "Report of the Particle handshake analyzer",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - a type hint
    origin = get_origin(hint)
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin in (typing.Union, types.UnionType):
        options = [_of(option, definitions) for option in get_args(hint)]
        return {"anyOf": options}
    if origin is tuple:
        return {"type": "array", "items": _of(get_args(hint)[0], definitions)}
    if origin in (Mapping, dict):
        return {"type": "object", "additionalProperties": _of(get_args(hint)[1], definitions)}
    if hint is types.NoneType:
        return {"type": "null"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        definitions[hint.__name__] = {"enum": [member.value for member in hint], **_described(hint)}
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # placeholder: a type may refer to itself
            hints = get_type_hints(hint, vars(model))
            definitions[hint.__name__] = {
                "type": "object",
                **_described(hint),
                "properties": {
                    written: _of(hints[field.name], definitions)
                    for written, field in zip(written_names(hint), fields(hint), strict=True)
                    if field.name not in UNWRITTEN
                },
                "required": [name for name in written_names(hint) if name not in (*_WHEN_GIVEN, *UNWRITTEN)],
            }
            if hint is Report:
                definitions[hint.__name__]["properties"]["schema"] = {"const": SCHEMA_NAME}
        return {"$ref": f"#/$defs/{hint.__name__}"}
    simple = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": simple[hint]}


def _described(kind: type) -> dict[str, str]:
    return {"description": " ".join((kind.__doc__ or "").split())}
