"""LED patterns (leds.toml) and finding one from a description in free words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from analyzer.firmware.tables import strings, table
from analyzer.model import Code

_COLOURS = frozenset({"cyan", "red", "orange", "magenta", "white", "green", "blue", "yellow"})
_COUNTS = frozenset({"1", "2", "3"})
_RHYTHMS = frozenset({"fast", "slow", "breathing", "blinking", "sos"})
_SYNONYMS = {
    "one": "1", "once": "1", "single": "1", "two": "2", "twice": "2", "three": "3", "thrice": "3",
    "quick": "fast", "quickly": "fast", "rapid": "fast", "rapidly": "fast", "slowly": "slow",
    "blink": "blinking", "blinks": "blinking", "blinked": "blinking", "flash": "blinking", "flashes": "blinking",
    "flashing": "blinking", "flashed": "blinking", "flicker": "blinking", "pulsing": "breathing", "pulse": "breathing",
    "fading": "breathing", "fade": "breathing", "breathe": "breathing", "breathes": "breathing",
    "turquoise": "cyan", "teal": "cyan", "aqua": "cyan", "purple": "magenta", "pink": "magenta", "violet": "magenta",
    "amber": "orange",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LedMeaning:
    """What a pattern means in some firmware versions."""

    eras: str
    text: str
    verdicts: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Led:
    """One pattern with all its meanings."""

    pattern: str
    words: frozenset[str]
    meanings: tuple[LedMeaning, ...]


@cache
def leds() -> tuple[Led, ...]:
    """All patterns of leds.toml."""
    return tuple(
        Led(
            entry["pattern"],
            frozenset(entry["words"]),
            tuple(
                LedMeaning(item["eras"], item["text"], tuple(Code(code) for code in strings(item, "verdicts")))
                for item in entry["meaning"]
            ),
        )
        for entry in table("leds")["led"]
    )


#: What ends a thought in running text; a comma does not ("fast cyan, one red flash").
_CLAUSE = re.compile(r"[.;:!?()\n]|, and |\bor\b|\bversus\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+|\d+", re.IGNORECASE)
#: Words around a colour that may belong to it, and how far apart two colours of one pattern are.
_NEAR, _APART = 4, 8


def leds_told(text: str) -> tuple[tuple[str, Led], ...]:
    """The patterns that running text tells of, each with the words that do: a colour together with a count or a rhythm.

    Stricter than `find_leds`: a colour alone tells nothing, and words that fit more than two patterns say too little.
    """
    found: dict[str, tuple[str, Led]] = {}
    for clause in _CLAUSE.split(text):
        words = list(_WORD.finditer(clause))
        said = [_SYNONYMS.get(word[0].lower(), word[0].lower()) for word in words]
        for first, last in _coloured(said):
            near = frozenset(said[first:last])
            if not near & (_COUNTS | _RHYTHMS):
                continue
            quote = clause[words[first].start() : words[last - 1].end()]
            fitting = find_leds(quote)
            most = max((len(near & led.words) for led in fitting), default=0)
            best = [led for led in fitting if len(near & led.words) == most]
            if len(best) <= 2:
                found.update({led.pattern: (quote, led) for led in best if led.pattern not in found})
    return tuple(found.values())


def _coloured(said: list[str]) -> Iterator[tuple[int, int]]:
    """Where colours stand close together, with the words around them."""
    places = [place for place, word in enumerate(said) if word in _COLOURS or word == "sos"]
    start = 0
    for index, place in enumerate(places):
        if index + 1 == len(places) or places[index + 1] - place > _APART:
            yield max(0, places[start] - _NEAR), min(len(said), place + _NEAR)
            start = index + 1


def find_leds(description: str) -> tuple[Led, ...]:
    """The patterns a description fits, best first: "3 orange", "fast cyan, one red", "orange three times".

    Every colour named must be in the pattern; empty when no colour (nor SOS) is named.
    """
    words = [_SYNONYMS.get(word, word) for word in re.findall(r"[a-z]+|\d+", description.lower()[:200])]
    said = frozenset(words)
    needed = said & (_COLOURS | {"sos"})
    if not needed:
        return ()
    scored = []
    for led in leds():
        if not needed <= led.words or (said & _COUNTS and led.words & _COUNTS and not said & led.words & _COUNTS):
            continue
        missed = len((said & (_COUNTS | {"fast", "slow", "breathing"})) - led.words)
        colours_extra = len((led.words & _COLOURS) - needed - {"cyan"})
        scored.append((missed, colours_extra, -len(said & led.words), led))
    if not scored:
        return ()
    scored.sort(key=lambda item: item[:3])
    best = scored[0][:2]
    return tuple(item[3] for item in scored if item[:2] == best)
