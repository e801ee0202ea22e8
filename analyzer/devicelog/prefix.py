"""What stands before a log message: terminal time stamps, the device's clock, category, level. All of it is optional.

Forms met (device-os services/src/{debug,logging}.c; support threads):
``0000304420 WARN: text`` | ``0000001000 [system] INFO: text`` | ``0000000000:INFO : void f() (581):`` with the text in
the next line | ``Dec 17 01:36:22 [comm.protocol] ERROR: text`` | ``> 0000015205 [app] INFO: text`` |
``12:34:56.789 -> text`` | colour codes anywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from analyzer.firmware.lines import LineKind, match_line

#: Terminal escape sequences: CSI (colours, cursor) and OSC (window title), both bounded.
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]{0,24}[@-~]|\][^\x07\x1b]{0,80}(?:\x07|\x1b\\)|[@-Z\\^_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_DAY = r"(?:\d{4}[-/.]\d{2}[-/.]\d{2}|(?:[A-Z][a-z]{2} )?[A-Z][a-z]{2} {1,2}\d{1,2}(?: \d{4})?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})"
_HOST_TIME = re.compile(
    rf"[\[(<]?(?:{_DAY}[T, ]{{1,2}})?\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,:]\d{{1,9}})?(?: ?[AP]M)?(?:Z|[+-]\d{{2}}:?\d{{2}})?[\])>]?"
    r"\s{0,4}(?:->|=>|[:|>-](?=\s))?\s{0,8}"
)
_DEVICE_TIME = re.compile(r"(\d{10})(?=[\s:])")
_CATEGORY = re.compile(r"\s{0,8}\[([A-Za-z][\w.-]{0,60})\]\s{0,4}")
_LEVEL = re.compile(r"\s{0,8}(TRACE|DEBUG|INFO|WARN|ERROR|PANIC|LOG)\s{0,2}:\s{0,4}")
#: v0.4-v0.6.0: clock, level, function, file and line; the message follows on the same or the next line.
_OLD = re.compile(r"(\d{10}):(TRACE|DEBUG|INFO|WARN|ERROR|PANIC)\s{0,2}: [^\n]{0,180}?\(\d{1,6}\):\s{0,4}")


#: A run of hexadecimal digits longer than any id or address: nothing a reader needs, possibly a key.
_LONG_HEX = re.compile(r"[0-9A-Fa-f]{33,}")


@dataclass(frozen=True, slots=True)
class Prefixed:
    """A line taken apart. ``time_ms`` is the device's clock; ``header_only`` says that the message is in the next line."""

    message: str
    time_ms: int | None = None
    category: str | None = None
    level: str | None = None
    header_only: bool = False


def strip_prefix(line: str, before: Before | None = None) -> Prefixed:
    """Take the prefix off a line of any firmware or terminal; what is left is the message, free of control characters.

    ``before``: what else stands before the lines of this log (`learned`).
    """
    text = _bare(line)
    if before is not None:
        text = _bare(before.cut(text))
    old = _OLD.match(text)
    if old:
        message = text[old.end() :].strip()
        return Prefixed(message, int(old.group(1)), None, old.group(2), header_only=not message)
    at = 0
    clock = _DEVICE_TIME.match(text)
    if clock:
        at = clock.end()
    category = _CATEGORY.match(text, at)
    if category:
        at = category.end()
    level = _LEVEL.match(text, at)
    if level:
        at = level.end()
    # "[app]" alone at the start of a line is text, not a category.
    if not clock and not level:
        return Prefixed(text)
    return Prefixed(
        text[at:].strip(),
        int(clock.group(1)) if clock else None,
        category.group(1) if category else None,
        level.group(1) if level else None,
    )


def _bare(line: str) -> str:
    """The line without colours, control characters, a quotation mark and the time of a terminal."""
    text = _CONTROL.sub("", _ESCAPE.sub("", line)).strip()
    while text.startswith("> "):
        text = text[2:].lstrip()
    host = _HOST_TIME.match(text)
    return text[host.end() :] if host else text


@dataclass(frozen=True, slots=True)
class Before:
    """What stands before the lines of one log: prefixes in which only the digits differ."""

    patterns: tuple[re.Pattern[str], ...]

    def cut(self, text: str) -> str:
        """The text without it, or as it is."""
        for pattern in self.patterns:
            found = pattern.match(text)
            if found:
                return text[found.end() :]
        return text


#: Lines a prefix is learned from; so often it must stand there; so long it may be; shapes of it that are kept.
_LEARNED_FROM = 400
_REPEATED = 2
_LONGEST_BEFORE = 100
_KEPT = 4
#: Places at which a message may begin behind something else.
_BEGIN = re.compile(r"(?:(?<=[\s:|>\])}*#-])|^)(?=[\w\[\"-])")
_PLACES = 14
_CHATTER = (LineKind.INFO, LineKind.TOOL, LineKind.SECRET)
_DIGITS = re.compile(r"\d+")


def learned(lines: Iterable[str], *, least: int = _REPEATED) -> Before | None:
    """What repeats before the lines of a log, whatever wrote it there: a logger's tag, another clock, a table's border.

    It is found by its repetition: before at least ``least`` lines that are a device's behind it and are none with it.
    """
    counted: Counter[str] = Counter()
    for number, line in enumerate(lines):
        if number >= _LEARNED_FROM:
            break
        prefix = _in_front(_bare(line[: 4 * _LONGEST_BEFORE]))
        if prefix:
            counted[_DIGITS.sub("0", prefix)] += 1
    shapes = [shape for shape, count in counted.most_common(_KEPT) if count >= least]
    # The longest first: one may begin with another.
    shapes.sort(key=len, reverse=True)
    return Before(tuple(_pattern(shape) for shape in shapes)) if shapes else None


def _in_front(text: str) -> str | None:
    """What stands before the device's part of a line; None when nothing does, or the line is none of a device."""
    if _is_device(text):
        return None
    for at in _places(text):
        if _is_device(text[at:]):
            return text[:at]
    return None


def _places(text: str) -> Iterator[int]:
    for number, found in enumerate(_BEGIN.finditer(text, 0, _LONGEST_BEFORE)):
        if number >= _PLACES:
            return
        if found.start():
            yield found.start()


def _is_device(text: str) -> bool:
    if _OLD.match(text):
        return True
    parts = strip_prefix(text)
    if parts.time_ms is not None and parts.level is not None:
        return True
    found = match_line(parts.message) if parts.message else None
    return found is not None and found[0].kind not in _CHATTER and found[0].pattern.match(parts.message) is not None


def _pattern(shape: str) -> re.Pattern[str]:
    parts = (re.escape(part).replace(r"\ ", r"\s{1,8}") for part in shape.split("0"))
    return re.compile(r"\d{1,20}".join(parts))


def hide_keys(text: str) -> str:
    """The text without long runs of hexadecimal digits: a log may print a private key in any place."""
    return _LONG_HEX.sub("(long number removed)", text)
