"""LED patterns from free words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.firmware.leds import find_leds, leds, leds_told
from analyzer.model import Code

ONE = [
    ("3 orange", "cyan, three orange blinks"),
    ("orange three times", "cyan, three orange blinks"),
    ("three flashes of orange", "cyan, three orange blinks"),
    ("2 orange", "cyan, two orange blinks"),
    ("fast cyan, one red", "fast cyan, one red flash"),
    ("one red flash after rapid cyan", "fast cyan, one red flash"),
    ("FAST CYAN 1 RED", "fast cyan, one red flash"),
    ("single purple blink", "fast cyan, one magenta flash"),
    ("cyan, 1 orange", "fast cyan, one orange flash"),
    ("pulsing turquoise", "breathing cyan"),
    ("SOS", "red SOS, again and again"),
    ("flashing yellow", "blinking yellow"),
    ("2 red blinks", "cyan, two or three red blinks"),
]


@pytest.mark.parametrize(("words", "pattern"), ONE)
def test_words_in_any_order_find_the_pattern(words, pattern):
    assert [led.pattern for led in find_leds(words)] == [pattern]


def test_a_colour_alone_gives_all_patterns_with_it():
    assert {led.pattern for led in find_leds("orange")} == {
        "fast cyan, one orange flash",
        "cyan, two orange blinks",
        "cyan, three orange blinks",
    }


@pytest.mark.parametrize("words", ["", "-19", "hello", "blinking", "42 zebras", "5 orange and purple stars"])
def test_words_without_a_known_pattern_find_none(words):
    assert find_leds(words) == ()


@pytest.mark.parametrize("led", leds(), ids=lambda led: led.pattern)
def test_a_pattern_is_found_by_its_own_name(led):
    assert led in find_leds(led.pattern)


def test_since_2_0_the_colours_no_longer_tell():
    orange = next(led for led in leds() if led.pattern == "fast cyan, one orange flash")
    assert [Code.DEVICE_KEY_MISMATCH in item.verdicts for item in orange.meanings] == [True, False]


@given(st.text(max_size=500))
def test_no_text_raises(text):
    find_leds(text)
    leds_told(text)


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        # Support threads 003 and 004.
        ("it will blink Red once or Orange three times", ["fast cyan, one red flash", "cyan, three orange blinks"]),
        (
            "My error was blinking cyan following by three flashes of orange, fixed by keys.",
            ["cyan, three orange blinks"],
        ),
        ("with blinking cyan followed by a single flash of red (the first time)", ["fast cyan, one red flash"]),
        ("I get the fast flashing cyan for ever.", ["fast cyan"]),
        ("I have a red car, and two cats.", []),
        ("the red and the blue wire", []),
        ("no colour blinks here", []),
    ],
)
def test_running_text_tells_of_patterns(text, patterns):
    assert [led.pattern for _, led in leds_told(text)] == patterns
    assert all(words in text for words, _ in leds_told(text))
