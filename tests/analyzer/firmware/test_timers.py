"""Waits and the retry ladder."""

from __future__ import annotations

from analyzer.diagnosis import patience
from analyzer.firmware.timers import retry_wait_s, timer, timers, timers_near
from dissectors.dtls import profile


def test_the_retry_ladder_is_the_firmwares():
    # 1000 * (1 << min(7, (n - 1) / 5)) ms, system_utilities.cpp
    expected = [1000 * (1 << min(7, (n - 1) // 5)) / 1000 for n in range(1, 60)]
    assert [retry_wait_s(n) for n in range(1, 60)] == expected
    assert retry_wait_s(1) == 1 and retry_wait_s(36) == 128 and retry_wait_s(10_000) == 128


def test_a_silence_names_the_timers_it_may_be():
    assert [timer.name for timer in timers_near(20.0, who="device", transport="tcp")] == ["device-receive"]
    assert timers_near(30.0, who="cloud")[0].name == "spark-server-hello"
    assert "brewskey-handshake" in {timer.name for timer in timers_near(10.0, who="cloud", transport="tcp")}
    # 3 s + 6 s in all, then 45 s in all.
    assert timers_near(9.0, who="device", transport="udp")[0].name == "dtls-retransmit-short"
    assert timers_near(45.0, who="device", transport="udp")[0].name == "dtls-retransmit-long"
    assert timers_near(7777.0) == ()


def test_every_timer_has_a_source():
    for item in timers().values():
        assert item.who in ("device", "cloud", "network") and item.source and all(value > 0 for value in item.seconds)


def test_what_stands_in_code_as_well_is_the_tables():
    """The dissectors may not read the table."""
    short, long = timer("dtls-retransmit-short").total, timer("dtls-retransmit-long").total
    assert {generation.longest_wait_s for generation in profile.GENERATIONS} == {short, long} == {9, 45}


def test_our_patience_is_shorter_than_the_device_s():
    """A capture that we call long enough is one in which a device has not given up yet, and the other way round."""
    assert patience.CONNECT_WATCH < timer("dtls-retransmit-short").first < timer("connect").first
    assert patience.ABANDON_WITHIN < patience.ANSWER_WATCH < timer("device-receive").first
    assert timer("connect").first > patience.CONNECT_EARLY
    assert timer("dtls-retransmit-long").total < patience.TEST_WITHIN
