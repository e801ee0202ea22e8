"""Waits and the retry ladder."""

from __future__ import annotations

from analyzer.firmware.timers import retry_wait_s, timers, timers_near


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
    for timer in timers().values():
        assert (
            timer.who in ("device", "cloud", "network") and timer.source and all(value > 0 for value in timer.seconds)
        )
