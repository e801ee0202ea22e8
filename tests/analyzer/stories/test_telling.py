"""Stories: one per device, when it began to fail, what changed, when it comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import CaptureReport, Code, Session
from analyzer.pipeline import analyze_paths
from analyzer.stories import stories_across, tell
from dissectors.events import How
from tests.analyzer.stories.told import ID, OTHER, session, streak


def capture(path: str, *sessions: Session) -> CaptureReport:
    return CaptureReport(path, None, "pcap", "ok", (), 1, 1, (), None, None, sessions)


def test_attempts_of_one_device_are_one_story_across_addresses_ports_and_transports():
    (story,) = tell(
        [
            session(1, 0, key="aa"),
            session(2, 60, Code.HEALTHY, address="10.1.1.7", key="aa"),
            session(3, 120, udp=True, source="hello"),
        ]
    )
    assert story.device == ID
    assert story.sessions == ("s1", "s2", "s3")
    assert story.addresses == ("192.168.1.50", "10.1.1.7")
    assert not story.guess


def test_the_key_ties_a_session_without_id_to_its_device():
    (story,) = tell([session(1, 0, key="ab" * 32), session(2, 9, device=None, address="10.9.9.9", key="ab" * 32)])
    assert story.attempts == 2 and story.device == ID


def test_a_key_that_two_devices_show_ties_nothing():
    stories = tell(
        [
            session(1, 0, key="ab"),
            session(2, 1, device=OTHER, address="192.168.1.51", key="ab"),
            session(3, 2, device=None, address="192.168.1.52", key="ab"),
        ]
    )
    assert [story.device for story in stories] == [ID, OTHER, "SHA256:ab"]


def test_an_address_alone_is_a_guess():
    stories = tell([session(1, 0, device=None), session(2, 5, device=None), session(3, 6, source="stored-address")])
    assert [(story.device, story.attempts, story.guess) for story in stories] == [
        ("192.168.1.50", 2, True),
        (ID, 1, True),
    ]


def test_one_session_that_names_its_device_makes_it_no_guess():
    (story,) = tell([session(1, 0, source="address"), session(2, 5)])
    assert not story.guess


def test_the_summary_counts_and_says_when_the_device_comes_back():
    (story,) = tell(streak(1, 2))
    assert story.summary == (
        "2 attempts in 1.7 s, both server-key-mismatch; waits of 1 s: after at most 5 failures in a row; "
        "the next would follow after 1 to 2 s, then longer, up to 128 s"
    )
    assert story.cadence_s == (1.2,)
    assert story.next_wait_s == (1.0, 2.0)


def test_long_waits_date_the_beginning():
    (story,) = tell(streak(26, 2))
    assert story.failures_in_a_row == (27, 31)
    assert "the first attempt here is number 26 to 30 in a row" in story.summary
    assert "failing for at least 160 s before" in story.summary  # 155 s of waits, 25 attempts of a fifth of a second


def test_the_last_step_has_no_end():
    (story,) = tell(streak(50, 3))
    assert story.next_wait_s == (128.0, 128.0)
    assert "number 36 or later" in story.summary and "then longer" not in story.summary


def test_a_restart_in_between_is_told():
    before, after = streak(11, 3), streak(1, 4)
    late = [session(4 + index, 160.0 + index * 1.2) for index in range(len(after))]
    (story,) = tell(before + late)
    assert "the waits begin anew at 08:02:40 (s4)" in story.summary


def test_a_session_sets_the_count_to_nought():
    sessions = streak(26, 3)
    sessions[1] = session(2, 133.0, Code.SESSION_DROPPED)
    sessions[1] = replace(sessions[1], stages=session(2, 0, Code.HEALTHY).stages)
    (story,) = tell(sessions)
    assert story.failures_in_a_row == ()


def test_what_changed_between_the_last_good_and_the_first_bad():
    good = session(1, 0, Code.HEALTHY, key="aa" * 32, fields={"opened_with": "a.pem"})
    bad = session(2, 500, cloud="198.51.100.7", key="bb" * 32, fields={"opened_with": "a.pem"})
    (story,) = tell([good, bad, session(3, 501.2, cloud="198.51.100.7", key="bb" * 32)])
    assert (story.last_good, story.first_bad, story.failing_since) == ("s1", "s2", bad.start_time)
    assert story.changed == (
        "cloud: 203.0.113.10:5683 then, 198.51.100.7:5683 now",
        f"device key: SHA256:{'a' * 16} then, SHA256:{'b' * 16} now",
    )
    assert "got through until 08:00:00 (s1), failed from 08:08:20 on (s2)" in story.summary


def test_nothing_changed_is_said_too():
    (story,) = tell([session(1, 0, Code.HEALTHY, key="aa"), session(2, 500, key="aa")])
    assert story.changed == () and "nothing that a capture shows changed in between" in story.summary


def test_what_the_capture_does_not_tell_is_neither_good_nor_bad():
    (story,) = tell([session(1, 0, Code.HEALTHY), session(2, 9, Code.CAPTURE_INCOMPLETE)])
    assert story.first_bad is None and story.failing_since is None


def test_a_recovery_is_told():
    (story,) = tell([session(1, 0), session(2, 9, Code.HEALTHY)])
    assert story.failing_since is None and "gets through from 08:00:09 on (s2)" in story.summary


def test_two_devices_with_one_id_push_each_other_out():
    turns = [session(n, n, Code.SESSION_DISPLACED, address=f"192.168.1.{50 + n % 2}") for n in range(1, 6)]
    (story,) = tell([*turns, session(6, 6, Code.HEALTHY)])
    assert "2 devices share this id (192.168.1.51, 192.168.1.50) and push each other out, 5 times" in story.summary
    assert "got through" not in story.summary


def test_a_silent_udp_attempt_ends_with_the_devices_timer():
    # 9 s of retransmissions (mbedTLS 3 s, 6 s), then 1 s: device-os dtls_message_channel.cpp up to 1.4.0.
    sessions = [session(n, n * 10.0, udp=True, took=3.0, led=0.0, how=How.TIMEOUT) for n in range(1, 4)]
    (story,) = tell(sessions)
    assert story.next_wait_s == (1.0, 2.0)


def test_one_pause_after_an_unanswered_syn_may_be_chance():
    sessions = [session(n, n * 36.7, Code.CONNECT_UNANSWERED, took=3.0) for n in (1, 2)]
    (story,) = tell(sessions)
    assert story.next_wait_s == ()


def test_across_captures_only_an_id_or_a_key_ties():
    found = stories_across(
        [
            capture("monday.pcap", session(1, 0, Code.HEALTHY), session(2, 5, device=None)),
            capture("tuesday.pcap", session(1, 86_400), session(2, 5, device=None)),
            capture("other.pcap", session(1, 3, device=OTHER, address="192.168.1.9")),
        ]
    )
    (story,) = found
    assert story.device == ID
    assert story.sessions == ("monday.pcap#s1", "tuesday.pcap#s1")
    assert story.summary.startswith("2 attempts in 24 h 0 min over 2 captures: 1 healthy, 1 server-key-mismatch")


def test_a_report_of_several_captures_has_the_stories_across(captures: Path, tmp_path: Path):
    case = captures / "seed-002"
    capture_path = str(case / "capture.pcap")
    one = analyze_paths([capture_path], load_keys([case / "keys"]))
    assert one.stories == ()
    again = tmp_path / "again.pcap"
    again.write_bytes((case / "capture.pcap").read_bytes())
    two = analyze_paths([capture_path, str(again)], load_keys([case / "keys"]))
    assert [story.attempts for story in two.stories] == [4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "tcp-16a-retry-loop-wrong-server-key",
            "23 attempts in 112 s, all server-key-mismatch; waits of 1 to 16 s: the firmware's ladder from its first step on; "
            "the next would follow after 16 s, then longer, up to 128 s",
        ),
        (
            "seed-002",
            "2 attempts in 33 s, both server-key-mismatch; waits of 32 s are those after many failures: the first attempt here is "
            "number 26 to 30 in a row, so it has been failing for at least 166 s before; the next would follow after 32 to 64 s, "
            "then longer, up to 128 s",
        ),
    ],
)
def test_stories_of_genuine_ladders(captures: Path, name: str, expected: str):
    case = captures / name
    report = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"]))
    assert [story.summary for story in report.captures[0].stories] == [expected]


@pytest.mark.parametrize("transport", ["dtls-12a-retry-loop-wrong-server-key", "dtls-13-several-devices"])
def test_a_genuine_dtls_ladder_is_followed_from_its_first_step(captures: Path, transport: str):
    case = captures / transport
    report = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"]))
    ladders = [story for story in report.captures[0].stories if story.attempts > 10]
    assert ladders
    for story in ladders:
        assert story.failures_in_a_row == (story.attempts, story.attempts)
