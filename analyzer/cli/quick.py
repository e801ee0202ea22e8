"""The default action's words read without the option parser, whose own start costs more than a small capture.

How it works. Only what is plainly right is understood here; any doubt (a sub-command, an option that is not in the table,
a value that is not allowed) gives None, and the option parser starts after all, with its own messages. A test holds the
table against the parser's options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from analyzer.cli.capturing import Engine, Format, Request

#: Set when a shell asks for completions: the option parser's business.
_COMPLETION = "_ANALYZE_COMPLETE"
#: May be the name of a sub-command.
_NAME = re.compile(r"[a-z][a-z-]*")


class Spec(NamedTuple):
    """One option: the field of `Request` it fills, what it makes of its value (None: a flag), whether it may repeat."""

    field: str
    value: Callable[[str], Any] | None = None
    many: bool = False


def _jobs(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


OPTIONS: dict[str, Spec] = {
    "--keys": Spec("keys", Path, many=True),
    "--format": Spec("format", Format),
    "--output": Spec("output", Path),
    "-o": Spec("output", Path),
    "--log": Spec("log", Path, many=True),
    "--port": Spec("port", str, many=True),
    "--engine": Spec("engine", Engine),
    "--jobs": Spec("jobs", _jobs),
    "-j": Spec("jobs", _jobs),
    "--redact": Spec("redact"),
    "--show-secrets": Spec("show_secrets"),
    "--quiet": Spec("quiet"),
    "-q": Spec("quiet"),
    "--verbose": Spec("verbose"),
    "-v": Spec("verbose"),
    "--open": Spec("open"),
    "--passphrase-file": Spec("passphrase_file", Path),
}


def understood(words: Sequence[str]) -> Request | None:
    """The request these words plainly are, or None."""
    if not words or _NAME.fullmatch(words[0]) or _COMPLETION in os.environ:
        return None
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            given.setdefault("paths", []).append(word)
            continue
        spec = OPTIONS.get(word)
        if spec is None:
            return None
        if spec.value is None:
            given[spec.field] = True
            continue
        text = next(rest, None)
        if text is None or (text.startswith("-") and not (text == "-" and spec.field == "log")):
            return None
        try:
            value = spec.value(text)
        except ValueError:
            return None
        if spec.many:
            given.setdefault(spec.field, []).append(value)
        else:
            given[spec.field] = value
    return Request(**given)
