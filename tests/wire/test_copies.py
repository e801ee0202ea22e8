"""One session seen several times is one session, with the verdict it has when it is seen once."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from analyzer.capture import open_capture
from analyzer.live import Desk
from tests.wire.frames import (
    SERVED,
    TCP,
    UDP,
    Frame,
    both_sides,
    device_sends,
    forwarded,
    merged,
    pcap,
    translated_alone,
)
from tests.wire.handed import GENUINE, genuine, original, report, ring, verdicts

SECOND = 10**9


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("keyed", [True, False], ids=["keys", "no keys"])
def test_both_sides_of_a_nat(name: str, keyed: bool) -> None:
    link, frames = genuine(name)
    once = original(name, keyed)
    twice = report(pcap(link, both_sides(frames)), name, keyed)
    assert verdicts(twice) == verdicts(once)
    for before, after in zip(once.sessions, twice.sessions, strict=True):
        assert after.device.address == before.device.address
        assert after.verdict.alternatives == before.verdict.alternatives
        if before.device.port in SERVED | {0}:
            continue  # a look-up; a device on the cloud's own port, which the translation leaves alone
        (other,) = after.also_seen
        assert other.device.address.startswith("198.51.100.")
        assert after.first_frame <= other.first_frame <= other.last_frame <= after.last_frame
        assert len(other.frames) == min(other.count, 64)
    for before, after in zip(once.stories, twice.stories, strict=True):
        assert (after.attempts, after.addresses) == (before.attempts, before.addresses)


@pytest.mark.parametrize("name", GENUINE[::5])
def test_the_filter_selects_all_copies(name: str) -> None:
    link, frames = genuine(name)
    seen = both_sides(frames)
    for session in report(pcap(link, seen), name).sessions:
        if session.also_seen:
            (other,) = session.also_seen
            assert f"{session.transport}.stream eq {session.stream}" in session.filter
            assert f"{session.transport}.stream eq {other.stream}" in session.filter


@pytest.mark.parametrize("name", GENUINE[::3])
def test_a_third_point_of_capture_and_a_forwarded_port(name: str) -> None:
    link, frames = genuine(name)
    tunnel = [item.at(item.ns + 30_000) for item in translated_alone(frames, "10.8.0.7")]
    assert verdicts(report(pcap(link, merged(both_sides(frames), tunnel)), name)) == verdicts(original(name))
    assert verdicts(report(pcap(link, forwarded(frames)), name)) == verdicts(original(name))


#: Nothing was said in them, so that nothing ties two captures together whose clocks differ.
SAID_NOTHING = {"tcp-11-no-synack", "tcp-12-syn-refused"}


@pytest.mark.parametrize("name", [name for name in GENUINE[1::3] if name not in SAID_NOTHING])
@pytest.mark.parametrize("apart", [0.3, 3, -400])
def test_two_captures_with_clocks_of_their_own(name: str, apart: float) -> None:
    link, frames = genuine(name)
    outside = [item.at(item.ns + int(apart * SECOND)) for item in translated_alone(frames)]
    assert verdicts(report(pcap(link, merged(frames, outside)), name)) == verdicts(original(name))


HANDSHAKES = [
    "tcp-01a-good-brewskey-fw063",
    "tcp-02a-cloud-wrong-devkey-brewskey",
    "tcp-06a-bad-signature-brewskey",
    "dtls-01-good",
]


@pytest.mark.parametrize("name", HANDSHAKES)
def test_what_one_copy_lacks_the_other_gives(name: str) -> None:
    """Each side's capture lost another third of the packets; every packet is in one of them."""
    link, frames = genuine(name)
    inside = [item for number, item in enumerate(frames) if number % 3 != 1 or device_sends(item) is None]
    outside = [item for number, item in enumerate(frames) if number % 3 != 2]
    whole = report(pcap(link, merged(inside, translated_alone(outside))), name)
    assert verdicts(whole) == verdicts(original(name))
    said = [
        [len(session.messages) for session in each.sessions]
        for each in (report(pcap(link, inside), name), whole, original(name))
    ]
    assert said[0] < said[1] == said[2] or not any(said[2])


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_copy_cut_short_takes_nothing_away(name: str) -> None:
    link, frames = genuine(name)
    inside = [replace(item, data=item.data[:96]) for item in frames]
    whole = report(pcap(link, merged(inside, translated_alone(frames))), name)
    codes = [session.verdict.code for session in whole.sessions]
    assert codes == [session.verdict.code for session in original(name).sessions] or name.startswith("dtls")


@pytest.mark.parametrize(
    "name", ["tcp-24-same-id-twice", "tcp-16a-retry-loop-wrong-server-key", "dtls-12a-retry-loop-wrong-server-key"]
)
def test_different_sessions_stay_apart(name: str) -> None:
    """Two devices with one id, a device that tries again and again: none of that is a copy."""
    assert len(original(name).sessions) > 3
    assert not any(session.also_seen for session in original(name).sessions)


def _damaged(item: Frame, at: int) -> Frame:
    """The packet with two bytes of its payload changed, its checksum left as it was."""
    data = bytearray(item.data)
    data[item.payload + at] ^= 0x5A
    data[item.payload + at + 1] ^= 0xA5
    return replace(item, data=bytes(data))


def _room(item: Frame) -> int:
    return item.end - item.payload if item.protocol in (TCP, UDP) else 0


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("late", [False, True], ids=["before", "behind"])
def test_damaged_copies_beside_the_good_ones(name: str, late: bool) -> None:
    """Each packet with a payload comes twice: damaged, so that its checksum fails, and good."""
    link, frames = genuine(name)
    if name in {
        "tcp-20a-snaplen96-good",
        "tcp-20b-snaplen96-wrong-server-key",
        "dtls-30-engine-222e",
        "dtls-30-engine-290",
    }:
        pytest.skip("cut packets, or none with a checksum: nothing tells")
    seen = []
    for number, item in enumerate(frames):
        room = _room(item) if 53 not in item.ends else 0  # this gateway's answers have no checksum that tells
        bad = [_damaged(item, number * 7 % (room - 1)).at(item.ns + (40_000 if late else -40_000))] if room > 2 else []
        seen += [item, *bad] if late else [*bad, item]
    assert verdicts(report(pcap(link, seen), name)) == verdicts(original(name))


def test_live_tells_a_session_once() -> None:
    name = "tcp-02a-cloud-wrong-devkey-brewskey"
    link, frames = genuine(name)
    desk = Desk(ring(name), end_after_s=1.0)
    capture = open_capture(io.BytesIO(pcap(link, both_sides(frames))), name="x")
    told = [session for packet in capture for session in desk.feed(packet)]
    told += desk.finish()
    assert [session.verdict.code for session in told] == [session.verdict.code for session in original(name).sessions]


def test_sessions_whose_checksums_are_all_wrong_stay() -> None:
    """One device's packets were rewritten without mending them, another's were not: both are told."""
    name = "tcp-01e-good-three-devices"
    link, frames = genuine(name)
    seen = []
    for item in frames:
        data = bytearray(item.data)
        if (
            item.protocol == TCP
            and item.ends[0][3:] + item.ends[2][3:] != b""
            and 0x33 in (item.ends[0][3], item.ends[2][3])
        ):
            data[item.l4 + 16] ^= 0x55
        seen.append(replace(item, data=bytes(data)))
    assert seen != list(frames)
    assert len(report(pcap(link, seen), name).sessions) == len(original(name).sessions)


def test_a_packet_whose_port_was_damaged_is_no_other_device() -> None:
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    data = bytearray(frames[10].data)
    data[frames[10].l4 + (1 if device_sends(frames[10]) else 3)] ^= 0x41
    stray = replace(frames[10], data=bytes(data), ns=frames[10].ns - 1000)
    found = report(pcap(link, [*frames[:10], stray, *frames[10:]]), name)
    assert verdicts(found) == verdicts(original(name))
    assert "damaged-packets" in [problem.code for problem in found.problems]
