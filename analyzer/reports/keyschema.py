"""The JSON Schema of `analyze keys --format json` (`key-report/1`). Names only get added."""

from __future__ import annotations

from typing import Any, Final

from analyzer.keys.findings import SEVERITIES
from analyzer.model import Role

_TEXT: Final = {"type": "string"}
_OPTIONAL: Final = {"type": ["string", "null"]}
_FINGERPRINT: Final = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"}
_ID: Final = {"type": ["string", "null"], "pattern": "^[0-9a-f]{24}$"}
#: A fingerprint, the problem of a key that has none ("unusable: ..."), or nothing in hand.
_VALUE: Final = {"type": ["string", "null"], "pattern": "^([0-9a-f]{64}|unusable: .+)$"}


def _object(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas are plain JSON
    return {"type": "object", "required": sorted(fields), "properties": fields}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


KEYS_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "key-report/1",
    **_object(
        schema={"const": "key-report/1"},
        keys=_list(
            _object(
                file=_TEXT,
                role={"enum": [role.value for role in Role]},
                device_id=_ID,
                kind=_TEXT,
                bits={"type": ["integer", "null"]},
                fingerprint=_FINGERPRINT,
                status={"enum": ["ok", "unusable"]},
                problem=_OPTIONAL,
                part=_OPTIONAL,
                encoding={"enum": ["pem", "der", "hex", "base64", "log", "flash", "text"]},
            )
        ),
        devices=_list(
            _object(
                id=_ID,
                transport={"enum": ["tcp", "udp", "unknown"]},
                device_private=_VALUE,
                device_public=_VALUE,
                cloud_copy=_VALUE,
                device_server_key=_VALUE,
                server_address=_OPTIONAL,
                server_port={"type": ["integer", "null"]},
                verdict=_TEXT,
                ok={"type": "boolean"},
                files={"type": "object", "additionalProperties": _list(_TEXT)},
                pairs=_list(_object(left=_TEXT, right=_TEXT, fits={"type": ["boolean", "null"]}, text=_TEXT)),
            )
        ),
        findings=_list(
            _object(
                code={"type": "string", "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$"},
                severity={"enum": list(SEVERITIES)},
                file=_TEXT,
                device_id=_ID,
                summary=_TEXT,
                remedy=_TEXT,
                commands=_list(_TEXT),
            )
        ),
        skipped=_list(_object(file=_TEXT, reason=_TEXT)),
    ),
}
