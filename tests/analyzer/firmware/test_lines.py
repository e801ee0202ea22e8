"""Log lines: each entry matches its own example, genuine logs are known line by line, and no text is slow or raises."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.devicelog.prefix import strip_prefix
from analyzer.firmware.lines import LONGEST, LineKind, known_lines, match_line, number_of
from analyzer.firmware.numbers import number, spaces

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"
STAGES = {
    *("name-resolution", "connect", "nonce", "identity", "session-key", "device-hello", "cloud-hello", "session"),
    *("client-hello", "server-hello", "resumed"),
}


@pytest.mark.parametrize("line", known_lines(), ids=lambda line: line.example[:50])
def test_an_entry_matches_its_own_example_first(line):
    found = match_line(line.example)
    assert found is not None and found[0] is line
    assert line.stage is None or line.stage in STAGES
    assert line.text.endswith((".", ")"))
    value = number_of(*found)
    if line.spaces and value is not None:
        assert any(number(name, value) for name in line.spaces), value
    assert set(line.spaces) <= set(spaces())


def test_every_line_of_the_genuine_logs_is_known():
    # What the test harness and the application print, and what says nothing about the cloud.
    others = ("APP:", "...", "Hello from Particle!", "ready():", "initialized ")
    for path in sorted(LOGS.glob("*.log")):
        for text in path.read_text().splitlines():
            message = strip_prefix(text).message
            if message and not message.startswith(others):
                assert match_line(message), (path.name, text)


def test_lines_of_all_eras_say_the_same():
    def told(text: str) -> tuple[str | None, LineKind, int | None]:
        line, values = match_line(text)
        return line.stage, line.kind, number_of(line, values)

    old, new = "Handshake: Unable to receive key -19", "Unable to receive key -19"
    assert told(old) == told(new) == ("session-key", LineKind.FAILED, -19)
    assert told("Handshake: rsa encrypt error -4") == told("RSA encrypt error -4")
    assert told("Handshake:  could not set key, 6") == told("Could not set key, 6")
    assert told("Hanshake: completed") == told("Handshake completed") == ("session", LineKind.REACHED, None)
    assert told("handshake failed with code 26") == told("Handshake failed: 26")
    assert told("handshake failed -4e00") == (None, LineKind.FAILED, -0x4E00)
    assert told("mbedtls_ssl_read() failed: -0x7880") == (None, LineKind.LOST, -0x7880)


def test_the_two_ways_of_starting_tell_the_family():
    assert match_line("Started: Receive nonce")[0].family == "spark-protocol"
    assert match_line("Started, receive nonce")[0].family == "lightssl"


@given(st.text(max_size=2000))
def test_no_text_raises(text):
    found = match_line(text)
    if found:
        number_of(*found)


def slow_candidates():
    for line in known_lines():
        head = line.example[: len(line.example) // 2]
        for filler in ("a", " ", ":", "1", ".", "a ", "/library/", "ip: 1", "#"):
            yield head + filler * LONGEST
            yield filler * LONGEST


def test_no_line_takes_long():
    worst = 0.0
    for text in slow_candidates():
        started = time.perf_counter()
        match_line(text)
        worst = max(worst, time.perf_counter() - started)
    # About 0.3 ms here; a pattern with nested repetition takes seconds.
    assert worst < 0.2
