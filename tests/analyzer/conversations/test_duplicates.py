"""One packet seen twice against a packet sent twice."""

from __future__ import annotations

import pytest

from analyzer.conversations.duplicates import Sightings
from analyzer.packet import SYN, UDP
from tests.analyzer.conversations.talk import MS, UP, Talk, one, session


def test_the_same_packet_on_another_interface_is_a_duplicate() -> None:
    sightings = Sightings()
    packet = Talk().open().up(b"data")
    assert not sightings.again(packet)
    assert sightings.again(packet._replace(number=9, time_ns=packet.time_ns + 20_000))
    assert sightings.again(packet._replace(number=10, time_ns=packet.time_ns - 20_000))


@pytest.mark.parametrize(
    ("changes", "later", "again"),
    [
        ({"ttl": 63}, 900 * MS, True),
        ({"ttl": 63}, 1100 * MS, False),
        ({}, 100 * MS, True),
        ({}, 200 * MS, False),
        ({"ip_id": 7}, 1 * MS, False),
        ({"sequence": 7}, 1 * MS, False),
        ({"acknowledgement": 7}, 1 * MS, False),
        ({"flags": 0x11}, 1 * MS, False),
        ({"length": 7}, 1 * MS, False),
    ],
)
def test_what_makes_it_another_packet(changes: dict, later: int, again: bool) -> None:
    sightings = Sightings()
    packet = Talk().open().up(b"data")
    sightings.again(packet)
    assert sightings.again(packet._replace(time_ns=packet.time_ns + later, **changes)) is again


def test_without_an_identification_only_a_moment_counts() -> None:
    packet = Talk().open().up(b"data", ip_id=0)
    for later, again in ((10 * MS, True), (50 * MS, False)):
        sightings = Sightings()
        sightings.again(packet)
        assert sightings.again(packet._replace(time_ns=packet.time_ns + later)) is again


def test_another_checksum_is_another_packet_but_for_a_clamped_syn() -> None:
    talk = Talk()
    syn = talk.segment(UP, flags=SYN, offset=-1)
    clamped = syn._replace(header=syn.header[:16] + b"\x11\x11" + syn.header[18:], ttl=63)
    sightings = Sightings()
    assert not sightings.again(syn)
    assert sightings.again(clamped)
    data = talk.up(b"data")
    other = data._replace(header=data.header[:16] + b"\x11\x11" + data.header[18:])
    assert not sightings.again(data)
    assert not sightings.again(other)


def test_datagrams_are_told_apart_by_their_payload() -> None:
    packet = Talk().open().up(b"data")._replace(protocol=UDP, header=b"")
    sightings = Sightings()
    assert not sightings.again(packet)
    assert not sightings.again(packet._replace(payload=b"dat2"))
    assert sightings.again(packet)


def test_only_so_many_are_remembered() -> None:
    sightings = Sightings()
    talk = Talk()
    packets = [talk.up(b"data") for _ in range(100)]
    for packet in packets:
        sightings.again(packet)
    assert len(sightings._seen) == 32
    assert sightings.again(packets[-1])
    assert not sightings.again(packets[0])


def test_a_session_captured_three_times_is_said_once() -> None:
    packets = session(Talk()).close().packets
    thrice = [p._replace(ttl=64 - hop, time_ns=p.time_ns + hop * 30_000) for p in packets for hop in range(3)]
    thrice = [p._replace(number=number) for number, p in enumerate(thrice, 1)]
    found, expected = one(thrice), one(packets)
    assert [type(piece) for piece in found.pieces] == [type(piece) for piece in expected.pieces]
    assert found.facts.retransmissions == ()
    assert len(found.facts.duplicates) == 2 * len(packets)
    assert (found.first_frame, found.last_frame) == (1, 3 * len(packets))
