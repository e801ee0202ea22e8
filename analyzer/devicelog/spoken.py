"""What is known in a text that holds no attempt: log lines, messages of tools, error numbers and LED patterns, one sentence each.

How it works. The reader has found the log lines; of the other lines it keeps those that may speak of an LED or a number. Here
both are put into words, lines that mean the same together. It is what `analyze explain` knows, cut to one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.devicelog.records import DeviceLog
from analyzer.firmware.leds import leds_told
from analyzer.firmware.lines import LineKind, match_line
from analyzer.firmware.numbers import meanings, number

#: Lines that tell nothing on their own.
_CHATTER = frozenset({LineKind.INFO, LineKind.SECRET})
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"])")
_NUMBER = re.compile(
    r"(?<!\[)\b(?:error|code|errno|alert)s?\b[ :=#]{1,3}(?P<n>-?\d{1,5}\b|-0?x?[0-9a-f]{3,4}\b)|(?<![\w.-])(?P<alone>-(?:1[89]|20))(?![\w.-])",
    re.IGNORECASE,
)
_COLOUR = re.compile(
    r"\b(?:cyan|turquoise|orange|amber|red|magenta|purple|white|green|blue|yellow|SOS)\b", re.IGNORECASE
)
_MOST = 12
_QUOTED = 80
#: Characters shown on both sides of a number.
_AROUND = 30


@dataclass(frozen=True, slots=True)
class Spoken:
    """Something known: the lines that say it (numbers from 1), the first of them as it stands, and what it means."""

    lines: tuple[int, ...]
    said: str
    means: str


def may_speak(text: str) -> bool:
    """Whether a line that is no log line may still speak of an LED or a number: cheap, for every line of a log."""
    return _COLOUR.search(text) is not None or _NUMBER.search(text) is not None


def spoken(log: DeviceLog) -> tuple[Spoken, ...]:
    """All that is known in the log's single lines, in their order; what means the same is one entry."""
    found: dict[str, tuple[str, list[int]]] = {}
    for line, said, means in sorted((*_events(log), *_loose(log)), key=lambda item: item[0]):
        lines = found.setdefault(means, (said, []))[1]
        if line not in lines:
            lines.append(line)
    return tuple(Spoken(tuple(lines), _cut(said), means) for means, (said, lines) in list(found.items())[:_MOST])


def _events(log: DeviceLog) -> Iterator[tuple[int, str, str]]:
    for event in log.events:
        known = match_line(event.text)
        if event.kind in _CHATTER or known is None:
            continue
        item = next(
            (item for name in event.spaces if event.number is not None and (item := number(name, event.number))), None
        )
        yield event.line, event.text, _first(known[0].text) + (f" {item.name}: {_first(item.text)}" if item else "")


def _loose(log: DeviceLog) -> Iterator[tuple[int, str, str]]:
    for line, text in log.loose:
        for words, led in leds_told(text):
            yield line, words, f"LED {led.pattern}: {_first(led.meanings[0].text)}"
        for match in _NUMBER.finditer(text):
            word = match["n"] or match["alone"]
            value = int(word) if re.fullmatch(r"-?\d+", word) else -int(word.lstrip("-"), 16)
            item = next((item for _, item in meanings(value)), None)
            if item is not None:
                yield (
                    line,
                    text[max(0, match.start() - _AROUND) : match.end() + _AROUND].strip(),
                    f"{word} is {item.name}: {_first(item.text)}",
                )


def _cut(said: str) -> str:
    return said if len(said) <= _QUOTED else f"{said[: _QUOTED - 3].rstrip()}..."


def _first(text: str) -> str:
    """Its first sentence."""
    return _SENTENCE.split(text, maxsplit=1)[0]
