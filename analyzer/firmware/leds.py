"""LED patterns (leds.toml) and finding one from a description in free words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from analyzer.firmware.tables import strings, table
from analyzer.model import Code

_COLOURS = frozenset({"cyan", "red", "orange", "magenta", "white", "green", "blue", "yellow"})
_COUNTS = frozenset({"1", "2", "3"})
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
