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
_RHYTHMS = frozenset({"fast", "slow", "breathing", "blinking", "solid", "sos"})
#: Colours a device shows on its way to its cloud (device-os system_led_signal.cpp): what follows them is what counts.
_ON_THE_WAY = {
    "white": "white: it starts, or its network is off",
    "green": "green: the network (Wi-Fi or cellular)",
    "cyan": "cyan: the cloud",
}
#: Colours as people see them, and what the light is when theirs fits no pattern.
_SEEN_AS = ({"yellow": "orange"}, {"blue": "cyan"}, {"yellow": "orange", "blue": "cyan"})
_SPAN = re.compile(r"\b\d{1,4}(?: ?(?:-|to) ?\d{1,4})? ?(?:s|secs?|seconds?|ms|mins?|minutes?)\b")
_SYNONYMS = {
    "one": "1", "once": "1", "single": "1", "two": "2", "twice": "2", "three": "3", "thrice": "3",
    "double": "2", "triple": "3", "couple": "2", "a": "", "short": "", "brief": "",
    "steady": "solid", "constant": "solid", "constantly": "solid", "stays": "solid",
    "gold": "orange", "golden": "orange", "rose": "magenta", "lightblue": "cyan", "fastly": "fast",
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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a description of lights comes to: the patterns, best first; the phases before the one that counts; colours
    that are others than they were seen as (seen, is)."""

    leds: tuple[Led, ...] = ()
    passed: tuple[str, ...] = ()
    seen_as: tuple[tuple[str, str], ...] = ()


def find_leds(description: str) -> tuple[Led, ...]:
    """The patterns a description fits, best first: "3 orange", "fast cyan, one red", "green, cyan, one red"."""
    return read_leds(description).leds


def read_leds(description: str) -> Reading:
    """A description in anybody's words: every colour in the pattern; else the part that fails; else a colour seen wrong.

    Nothing when no colour (nor SOS) is named.
    """
    said = _said(description)
    found = _fitting(said)
    if found:
        return Reading(found)
    part, passed = _failing(said)
    if passed and (found := _fitting(part)):
        return Reading(found, passed)
    for seen in _SEEN_AS:
        # Dark blue is no cyan.
        if not seen.keys() <= set(said) or "dark" in said:
            continue
        again = [seen.get(word, word) for word in said]
        found, passed = _fitting(again), ()
        if not found:
            part, passed = _failing(again)
            found = _fitting(part)
        if found:
            return Reading(found, passed, tuple(seen.items()))
    return Reading()


def _said(description: str) -> list[str]:
    plain = _SPAN.sub(" ", description.lower()[:300].replace("light blue", "lightblue"))
    return [word for item in re.findall(r"[a-z]+|\d+", plain) if (word := _SYNONYMS.get(item, item))]


def _failing(said: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """The words from the cloud's phase on (or from what follows the network's), and the phases before them by name."""
    places = [(place, word) for place, word in enumerate(said) if word in _COLOURS]
    first = next((number for number, (_, word) in enumerate(places) if word not in ("white", "green", "magenta")), None)
    if not first:
        return said, ()
    passed = tuple(dict.fromkeys(_ON_THE_WAY[word] for _, word in places[:first] if word in _ON_THE_WAY))
    # The rhythm and count of a colour stand before it.
    start = places[first - 1][0] + 1
    return said[start:], passed


def _fitting(words: list[str]) -> tuple[Led, ...]:
    """The patterns that hold every colour named, best first."""
    said = frozenset(words)
    needed = said & (_COLOURS | {"sos"})
    if not needed:
        return ()
    scored = []
    for led in leds():
        if not needed <= led.words or (said & _COUNTS and led.words & _COUNTS and not said & led.words & _COUNTS):
            continue
        missed = len((said & (_COUNTS | {"fast", "slow", "breathing", "solid"})) - led.words)
        colours_extra = len((led.words & _COLOURS) - needed - {"cyan"})
        scored.append((missed, colours_extra, -len(said & led.words), led))
    if not scored:
        return ()
    scored.sort(key=lambda item: item[:3])
    best = scored[0][:2]
    found = tuple(item[3] for item in scored if item[:2] == best)
    later = tuple(led for led in found if not led.meanings[0].eras.startswith("Spark Core"))
    return found if "core" in said or not later else later
