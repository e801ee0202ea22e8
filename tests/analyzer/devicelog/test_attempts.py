"""Where an attempt begins and ends."""

from __future__ import annotations

from pathlib import Path

from analyzer.devicelog import read_log
from analyzer.firmware.lines import LineKind

LOGS = Path(__file__).resolve().parents[2] / "data" / "devicelogs"


def outcomes(*lines: str) -> list[str]:
    return [attempt.outcome for attempt in read_log(lines).attempts]


def test_the_seed_threads_two_attempts():
    first, second = read_log(LOGS / "seed-002.log").attempts
    # The first begins without "Cloud: connecting": the quote starts in its middle.
    assert (first.first_line, first.last_line, second.first_line) == (1, 13, 14)
    assert first.host == "device.spark.io" and first.address == "34.237.141.248" and first.port == 5683
    assert first.address_lost and first.address_type == 255
    assert first.time_of("nonce") == 304693 and first.anchor_ms == 304693
    assert first.failure().text == "Unable to receive key -19" and first.failure().number == -19
    assert first.time_of("session-key", LineKind.WAITING) == 304730


def test_without_cloud_connecting_a_step_back_begins_an_attempt():
    lines = ["Started, receive nonce", "Could not receive nonce: -1", "Started, receive nonce", "Encrypting nonce"]
    assert outcomes(*lines) == ["failed", "unfinished"]


def test_a_result_belongs_to_the_attempt_it_ends():
    lines = [
        "Receive key",
        "Unable to receive key -19",
        "handshake failed with code 26",
        "Cloud handshake failed, code=26",
    ]
    assert outcomes(*lines) == ["failed"]


def test_lines_between_attempts_belong_to_none():
    assert outcomes("Internet Test Failed!", "Handling cloud error: 2") == []
    assert outcomes("Public Server Key was blank, restoring.") == []


def test_a_restart_ends_an_attempt():
    lines = [
        "0000005000 INFO: Cloud: connecting",
        "0000005100 INFO: Started, receive nonce",
        "0000000010 INFO: Cloud: connecting",
    ]
    log = read_log(lines)
    assert [(attempt.boot, attempt.outcome) for attempt in log.attempts] == [(0, "unfinished"), (1, "unfinished")]


def test_a_connection_never_made_is_anchored_where_the_device_set_out():
    attempt = read_log(LOGS / "tcp-refused.log").attempts[0]
    assert attempt.failure().number == 111
    assert attempt.anchor_ms == next(e.time_ms for e in attempt.events if e.kind is LineKind.ADDRESS)


def test_a_connection_lost_later_still_counts_as_connected():
    first, _ = read_log(LOGS / "tcp-bad-length.log").attempts
    assert first.outcome == "connected" and first.failure().text == "Event loop error 4"
