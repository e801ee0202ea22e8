"""Files put one behind the other, and time stamps that cannot be: nothing is lost, nothing becomes silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.model import Code
from tests.wire.frames import Frame, pcap
from tests.wire.handed import CAPTURES, GENUINE, genuine, original, report, verdicts

#: An ARP packet that nobody waits for.
ARP = b"\xff" * 12 + b"\x08\x06" + bytes(28)
STAMPS = [0, 3_600 * 10**9, 2_712_000_000 * 10**9, 4_294_967_295 * 10**9]


@pytest.mark.parametrize("name", GENUINE[::2])
def test_cat(name: str) -> None:
    link, frames = genuine(name)
    half, third = len(frames) // 2, len(frames) // 3
    for parts in ((frames[:half], frames[half:]), (frames[:third], frames[third:half], frames[half:])):
        joined = report(b"".join(pcap(link, part) for part in parts), name)
        assert verdicts(joined) == verdicts(original(name))
        assert [problem.code for problem in joined.problems if problem.code == "joined-files"]
        assert (joined.status, joined.packets) == ("ok", len(frames))


def test_cat_of_other_formats() -> None:
    """pcap of another byte order and precision, pcapng: each part is read by its own header."""
    folder = CAPTURES / "tcp-21a-formats-good"
    for first, second in (
        ("capture.pcap", "capture_bigendian.pcap"),
        ("capture_bigendian.pcap", "capture_nano.pcap"),
        ("capture.pcap", "capture.pcapng"),
        ("capture.pcapng", "capture_nano.pcap"),
        ("capture_rawip.pcap", "capture.pcap"),
    ):
        both = report((folder / first).read_bytes() + (folder / second).read_bytes(), folder.name)
        assert both.packets == sum(
            report((folder / part).read_bytes(), folder.name).packets for part in (first, second)
        )
        assert {session.verdict.code for session in both.sessions} == {Code.HEALTHY}
        assert "joined-files" in [problem.code for problem in both.problems]


@pytest.mark.parametrize("lost", [1, 20, 60])
def test_the_first_file_was_cut_off(lost: int) -> None:
    """What the record that was cut off seems to hold is the next file's header: it is no byte of the session."""
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    for at in range(8, len(frames), 3):
        joined = report(pcap(link, frames[:at])[:-lost] + pcap(link, frames[at:]), name)
        assert {session.verdict.code for session in joined.sessions} <= {Code.HEALTHY, Code.CAPTURE_INCOMPLETE}
        assert joined.sessions


def test_a_capture_that_carries_a_capture_is_no_joint() -> None:
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    carried = Frame(
        frames[20].ns, b"\xff" * 12 + b"\x88\xb5" + pcap(link, frames[:3]), 14 + len(pcap(link, frames[:3]))
    )
    found = report(pcap(link, [*frames[:20], carried, *frames[20:]]), name)
    assert found.packets == len(frames) + 1
    assert found.problems == ()
    assert verdicts(found) == verdicts(original(name))


@pytest.mark.parametrize("name", GENUINE[1::3])
def test_a_stamp_that_cannot_be(name: str) -> None:
    """Of an ARP packet and of a packet of the session, in the middle and at the ends."""
    link, frames = genuine(name)
    if len(frames) < 6:
        pytest.skip("too few packets")
    for number, stamp in enumerate(STAMPS):
        seen = [
            item.at(stamp) if index == (number * 5 + 2) % len(frames) else item for index, item in enumerate(frames)
        ]
        seen.insert(len(seen) * number // 3, Frame(stamp, ARP, len(ARP)))
        found = report(pcap(link, seen), name)
        assert verdicts(found) == verdicts(original(name))
        assert "absurd-time" in [problem.code for problem in found.problems]


def test_a_stamp_that_cannot_be_makes_no_silence() -> None:
    """The capture ends behind the device's Hello, and one more packet claims to be of 2055."""
    name = "tcp-15a-segmented-good"
    link, frames = genuine(name)
    (session,) = original(name).sessions
    hello = next(stage for stage in session.stages if stage.stage == "device-hello").frames[0]
    seen = [*frames[:hello], Frame(STAMPS[2], ARP, len(ARP))]
    (session,) = report(pcap(link, seen), name).sessions
    assert session.verdict.code is Code.CAPTURE_INCOMPLETE


def test_a_clock_that_was_set_is_followed() -> None:
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    before = [replace(item, ns=item.ns % 10**12) for item in [Frame(n, ARP, len(ARP)) for n in range(8)]]
    found = report(pcap(link, [*before, *frames]), name)
    assert found.last_time is not None and found.last_time.startswith("2026")
    assert [code for code, _ in verdicts(found)] == [Code.HEALTHY]


def test_a_file_years_after_the_one_before_it_keeps_its_times() -> None:
    """``cat`` of last year's capture and today's: every packet of the second is where its own clock says."""
    first, second = "dtls-30-engine-290", "tcp-05-flipn-devkey-brewskey"
    link, frames = genuine(first)
    other, later = genuine(second)
    long_ago = [item.at(item.ns - 4 * 366 * 86_400 * 10**9) for item in frames]
    found = report(pcap(link, long_ago) + pcap(other, later), second)
    assert "absurd-time" not in [problem.code for problem in found.problems]
    times = {session.start_time for session in found.sessions}
    assert {session.start_time for session in original(second).sessions} < times
