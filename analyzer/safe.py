"""Text from captures, logs, file names and keys is hostile until it went through here."""

from __future__ import annotations

import unicodedata

#: Categories that may move the cursor, reorder or hide text: controls, formats (bidirectional and zero-width
#: characters among them), surrogates, private use, unassigned, line and paragraph separators, spaces of other widths.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
#: Characters of harmless categories that show nothing (Unicode DerivedCoreProperties.txt, Default_Ignorable_Code_Point,
#: and U+2800, an empty Braille cell).
_INVISIBLE = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, *range(0xFE00, 0xFE10), 0xFFA0, *range(0xE0100, 0xE01F0)))
)  # fmt: skip

#: Longest text a report for people shows in one place.
TEXT_KEPT = 1_000


def printable(text: str) -> str:
    """``text`` on one line with every character that is not plainly visible shown as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _visible(char) else _escaped(char) for char in text)


def _visible(char: str) -> bool:
    return char == " " or (unicodedata.category(char) not in _UNSAFE and char not in _INVISIBLE)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clipped(text: str) -> str:
    """``text`` for a place where people read: a longer one ends in a count of what is left out. Not yet inert."""
    if len(text) <= TEXT_KEPT:
        return text
    return f"{text[:TEXT_KEPT]} ... ({len(text) - TEXT_KEPT} more characters)"
