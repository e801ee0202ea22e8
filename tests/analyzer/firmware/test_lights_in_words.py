"""LEDs as people write them: sequences, colours seen wrong, counts in words."""

from __future__ import annotations

import pytest

from analyzer.explain import explain
from analyzer.firmware.leds import read_leds

RED, ORANGE = "fast cyan, one red flash", "fast cyan, one orange flash"
TWO, THREE = "cyan, two orange blinks", "cyan, three orange blinks"


@pytest.mark.parametrize(
    ("words", "pattern", "passed"),
    [
        ("green, cyan, one red", RED, True),
        ("green, cyan, red and restarts the loop", RED, True),
        ("breathing white then green then rapid cyan then a single red flash", RED, True),
        ("fast green, fast cyan, two orange blinks", TWO, True),
        ("flashing green; quick turquoise; twice orange", TWO, True),
        ("breathing white, flashing green, cyan, 3 orange flashes", THREE, True),
        ("rapid cyan then a quick yellow flash", ORANGE, False),
        ("blue then three yellow", THREE, False),
        ("light blue flashing fast then 1 red", RED, False),
        ("3 orange", THREE, False),
        ("blinking dark blue", "blinking blue", False),
        ("blinking yellow", "blinking yellow", False),
    ],
)
def test_the_part_that_fails_decides(words: str, pattern: str, passed: bool):
    reading = read_leds(words)
    assert reading.leds and reading.leds[0].pattern == pattern
    assert bool(reading.passed) is passed


def test_how_long_a_phase_lasts_is_no_count():
    reading = read_leds("green 10-20 secs, cyan 3 secs, one short cyan breathe")
    assert {led.pattern for led in reading.leds} == {"breathing cyan"}


def test_a_colour_that_was_seen_wrong_is_named():
    found = explain("blue then three yellow")
    assert found is not None
    details = dict(found.meanings[0].details)
    assert "Colour" in details


@pytest.mark.parametrize("question", ["how do I fix -19", "what does -4e00 mean?", "why -6e80?"])
def test_a_question_gets_the_answer_of_its_number(question: str):
    found, plain = (
        explain(question),
        explain(
            question.strip("?").split()[-1]
            if "fix" in question
            else question.split()[-2]
            if "mean" in question
            else "-6e80"
        ),
    )
    assert found is not None and plain is not None
    assert found.meanings == plain.meanings
