"""Text from captures, logs, file names and keys is hostile until it went through here."""

from __future__ import annotations

import unicodedata

#: Categories that may move the cursor, reorder or hide text: controls, formats (bidirectional and zero-width
#: characters among them), surrogates, private use, unassigned, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

#: Longest text a report for people shows in one place.
TEXT_KEPT = 1_000


def printable(text: str) -> str:
    """``text`` on one line with every character that is not plainly visible shown as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clipped(text: str) -> str:
    """``text`` for a place where people read: a longer one ends in a count of what is left out. Not yet inert."""
    if len(text) <= TEXT_KEPT:
        return text
    return f"{text[:TEXT_KEPT]} ... ({len(text) - TEXT_KEPT} more characters)"
