"""Prefixes of every firmware and terminal."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.devicelog.prefix import Prefixed, hide_keys, strip_prefix

MESSAGE = "Unable to receive key -19"


@pytest.mark.parametrize(
    ("line", "time_ms", "category", "level"),
    [
        (MESSAGE, None, None, None),
        (f"0000304866 ERROR: {MESSAGE}", 304866, None, "ERROR"),
        (f"0000001306 [comm.lightssl.handshake] ERROR: {MESSAGE}", 1306, "comm.lightssl.handshake", "ERROR"),
        (f"> 0000015205 [app] INFO: {MESSAGE}", 15205, "app", "INFO"),
        (f"Dec 17 01:36:22 [comm.protocol] ERROR: {MESSAGE}", None, "comm.protocol", "ERROR"),
        (f"12:34:56.789 -> 0000304866 ERROR: {MESSAGE}", 304866, None, "ERROR"),
        (f"[2023-05-01 12:34:56] 0000304866 ERROR: {MESSAGE}", 304866, None, "ERROR"),
        (f"2023-05-01T12:34:56.789Z 0000304866 [system] ERROR: {MESSAGE}", 304866, "system", "ERROR"),
        (f"05/01/2023 12:34:56.7 PM 0000304866 ERROR: {MESSAGE}", 304866, None, "ERROR"),
        (f"\x1b[31m0000304866 ERROR: {MESSAGE}\x1b[0m\r\n", 304866, None, "ERROR"),
        (f"\ufeff0000304866 ERROR: {MESSAGE}", 304866, None, "ERROR"),
        (f"0000304866:ERROR: int Spark_Handshake(bool) (546): {MESSAGE}", 304866, None, "ERROR"),
        (f"0000304866:INFO : <anonymous> spark_protocol.cpp(124):{MESSAGE}", 304866, None, "INFO"),
        (f"\x1b]0;serial monitor\x070000304866 TRACE: {MESSAGE}", 304866, None, "TRACE"),
    ],
)
def test_prefix(line, time_ms, category, level):
    assert strip_prefix(line) == Prefixed(MESSAGE, time_ms, category, level)


def test_a_header_whose_message_is_in_the_next_line():
    found = strip_prefix(
        "0000001000:DEBUG: particle::protocol::ProtocolError particle::protocol::LightSSLMessageChannel::handshake() (186):"
    )
    assert (found.message, found.time_ms, found.header_only) == ("", 1000, True)


@pytest.mark.parametrize(
    "line", ["[app] is a word", "12345 is no clock", "12:34 is no time", "00001 INFO", "--- device x"]
)
def test_text_that_only_looks_like_a_prefix_stays(line):
    assert strip_prefix(line).message == line


@given(st.text(max_size=3000))
def test_no_text_raises_and_no_control_character_is_left(text):
    assert all(char.isprintable() or char.isspace() or ord(char) > 0x9F for char in strip_prefix(text).message)


@pytest.mark.parametrize("filler", ["\x1b[", "0", "[", "1:", "\x1b]0;", "(1):", "0000000000:INFO : (", " "])
def test_time_is_linear(filler):
    def needed(size: int) -> float:
        text = filler * size
        started = time.perf_counter()
        strip_prefix(text)
        return time.perf_counter() - started

    needed(10)
    assert needed(50_000) < 0.5


def test_hexadecimal_that_may_be_a_key_is_hidden_and_an_id_is_not():
    assert hide_keys("id 0a10aced202194944a042f01 ok") == "id 0a10aced202194944a042f01 ok"
    assert hide_keys("x " + "3082" * 20 + " y") == "x (long number removed) y"
