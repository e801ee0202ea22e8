"""What a device answers to Describe: JSON with its functions, variables, platform and modules.

Keys: ``f`` functions, ``v`` variables by type digit, ``p`` platform, ``m`` modules (device-os services/src/
system_describe, communication/src/protocol.cpp generate_and_send_description()@v0.6.3). IMEI and ICCID that cellular
devices add are left out of summaries.
"""

from __future__ import annotations

import json

from dissectors.detect import quote
from dissectors.events import Fact
from dissectors.hello import platform_name

#: Longest JSON looked into; a device's own limit is its message buffer times a few blocks.
MAX_JSON = 65536
LISTED = 32
_VARIABLE_TYPES = {1: "bool", 2: "int", 4: "string", 9: "double"}
_MODULES = {"b": "bootloader", "s": "system", "u": "user", "m": "monolithic", "r": "resource", "c": "radio"}


def summarise(payload: bytes) -> tuple[str, dict[str, Fact]]:
    """(summary, facts) of a Describe answer, JSON or binary, whole or a block of it. Never raises."""
    if not payload.startswith(b"{"):
        return f"describes itself in {len(payload)} bytes, not JSON", {"bytes": len(payload)}
    try:
        found = json.loads(payload[:MAX_JSON])
    except (ValueError, RecursionError):
        return f"describes itself in {len(payload)} bytes of JSON, not complete", {"bytes": len(payload)}
    facts: dict[str, Fact] = {"bytes": len(payload)}
    parts = []
    if isinstance(found.get("p"), int):
        facts |= {"platform": found["p"], "platform_name": platform_name(found["p"])}
        parts.append(platform_name(found["p"]))
    functions, variables, modules = found.get("f"), found.get("v"), found.get("m")
    if isinstance(functions, list):
        facts["functions"] = tuple(_text(name) for name in functions[:LISTED])
        parts.append(_count(len(functions), "function"))
    if isinstance(variables, dict):
        kinds = list(variables.items())[:LISTED]
        facts["variables"] = tuple(f"{_text(name)} ({_kind(kind)})" for name, kind in kinds)
        parts.append(_count(len(variables), "variable"))
    if isinstance(modules, list):
        facts["modules"] = tuple(_module(module) for module in modules[:LISTED] if isinstance(module, dict))
        parts.append(_count(len(modules), "module"))
    return "describes itself: " + (", ".join(parts) or f"{len(payload)} bytes of JSON"), facts


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _text(value: object) -> str:
    return quote(str(value).encode("utf-8", "replace"), 64)


def _kind(digit: object) -> str:
    return _VARIABLE_TYPES.get(digit, str(digit)) if isinstance(digit, int) else "?"


def _module(module: dict[str, object]) -> str:
    kind = module.get("f")
    name = _MODULES.get(kind, _text(kind)) if isinstance(kind, str) else "module"
    return f"{name} {_text(module.get('n', '?'))} v{_text(module.get('v', '?'))}"
