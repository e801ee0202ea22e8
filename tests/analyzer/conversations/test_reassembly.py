"""TCP streams put together again: any order, loss, repetition, overlap and damage."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.conversations import Gap, Keepalive, Options, Reset
from analyzer.packet import ACK, FIN, PSH, RST, SYN
from tests.analyzer.conversations.talk import DOWN, MS, START, UP, Talk, brief, converse, one, session, streams


def test_a_session_reads_as_it_was_said() -> None:
    talk = Talk().open()
    talk.down(b"nonce")
    talk.up(b"identity")
    talk.down(b"key")
    talk.close()
    found = one(talk.packets)
    assert brief(found) == [("down", b"nonce"), ("up", b"identity"), ("down", b"key"), ("fin up",), ("fin down",)]
    assert [piece.mark.frames for piece in found.pieces] == [(4,), (5,), (6,), (7,), (8,)]
    assert [piece.mark.time_ns - START for piece in found.pieces] == [40 * MS, 50 * MS, 60 * MS, 70 * MS, 80 * MS]
    assert (found.first_frame, found.last_frame, found.finished, found.ended) == (1, 9, True, "closed")
    facts = found.facts
    assert [mark.frames for mark in facts.syn] == [(1,)]
    assert (facts.syn_ack.frames, facts.established.frames) == ((2,), (3,))
    assert facts.fins == ((7, UP), (8, DOWN))
    assert (facts.up.packets, facts.up.payload_bytes, facts.up.acked) == (5, 8, 8)
    assert (facts.down.packets, facts.down.payload_bytes, facts.down.acked) == (4, 8, 8)
    assert facts.retransmissions == facts.out_of_order == facts.keepalives == facts.conflicts == ()
    assert not facts.mid_stream
    assert not facts.one_direction_only
    assert found.notes == ()


def test_a_late_segment_delivers_what_waited_for_it() -> None:
    talk = Talk().open()
    talk.down(b"second", offset=5)
    talk.down(b"first", offset=0, after=5 * MS)
    found = one(talk.packets)
    assert brief(found) == [("down", b"first"), ("down", b"second")]
    assert [(piece.mark.frames, piece.mark.time_ns - START) for piece in found.pieces] == [
        ((5,), 45 * MS),
        ((4,), 45 * MS),
    ]
    assert found.facts.out_of_order == ((5, DOWN),)
    assert found.facts.retransmissions == ()


def test_a_segment_sent_again_after_a_loss_is_a_retransmission() -> None:
    talk = Talk().open()
    talk.down(b"second", offset=5)
    talk.down(b"first", offset=0, after=300 * MS)
    assert one(talk.packets).facts.retransmissions == ((5, DOWN),)
    talk = Talk().open()
    talk.down(b"first")
    talk.down(b"first", offset=0, after=300 * MS)
    found = one(talk.packets)
    assert brief(found) == [("down", b"first")]
    assert found.facts.retransmissions == ((5, DOWN),)
    assert found.facts.down.retransmitted_unacked
    talk.up(b"", ack=5)
    assert not one(talk.packets).facts.down.retransmitted_unacked


def test_a_segment_that_was_never_captured_is_a_gap_before_what_follows() -> None:
    talk = Talk().open()
    talk.down(b"nonce")
    talk.sent[UP] = 256
    talk.down(b"key")
    found = one(talk.packets)
    assert brief(found) == [("down", b"nonce"), ("gap up", 0, 256, "lost"), ("down", b"key")]
    assert found.pieces[1].mark.frames == (5,)


def test_a_gap_without_any_acknowledgement() -> None:
    talk = Talk().open()
    talk.down(b"one")
    talk.down(b"three", offset=10)
    assert brief(one(talk.packets)) == [("down", b"one"), ("gap down", 3, 7, "lost"), ("down", b"three")]


def test_a_gap_before_a_fin() -> None:
    talk = Talk().open()
    talk.down(b"one")
    talk.segment(DOWN, flags=FIN | ACK, offset=50)
    assert brief(one(talk.packets)) == [("down", b"one"), ("gap down", 3, 47, "lost"), ("fin down",)]


def test_what_the_snap_length_cut_is_a_gap_of_its_own_kind() -> None:
    talk = Talk().open()
    talk.down(bytes(40), keep=30)
    talk.up(bytes(256), keep=0)
    talk.down(b"abc", offset=50)
    assert brief(one(talk.packets)) == [
        ("down", bytes(30)),
        ("gap down", 30, 10, "cut"),
        ("gap up", 0, 256, "cut"),
        ("gap down", 40, 10, "lost"),
        ("down", b"abc"),
    ]


def test_the_first_data_wins_and_the_conflict_is_named() -> None:
    talk = Talk().open()
    talk.down(b"AAAA")
    talk.down(b"bbBB", offset=2)
    talk.down(b"AAbb", offset=0)
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"AAAABB"
    assert found.facts.conflicts == (5, 6)
    assert found.facts.retransmissions == ((5, DOWN), (6, DOWN))


def test_the_first_data_wins_among_those_that_wait() -> None:
    talk = Talk().open()
    talk.down(b"ZZZZ", offset=4)
    talk.down(b"yyyyyy", offset=2)
    talk.down(b"ab", offset=0)
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"abyyZZZZ"
    assert found.facts.conflicts == (5,)


def test_agreeing_overlaps_are_no_conflict() -> None:
    talk = Talk().open()
    talk.down(b"abcdef")
    talk.down(b"cdefgh", offset=2)
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"abcdefgh"
    assert found.facts.conflicts == ()


def test_a_damaged_copy_gives_way_to_a_good_one() -> None:
    talk = Talk().open()
    bad = talk.down(b"good data")
    talk.packets[-1] = bad._replace(payload=b"bad! data")
    talk.down(b"good data", offset=0, after=300 * MS)
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"good data"
    assert found.facts.checksum_bad == (4,)


def test_damaged_data_is_used_when_there_is_nothing_better() -> None:
    talk = Talk().open()
    bad = talk.down(b"good data")
    talk.packets[-1] = bad._replace(payload=b"bad! data")
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"bad! data"
    assert found.facts.checksum_bad == (4,)


def test_sequence_numbers_wrap() -> None:
    talk = Talk(isn={UP: 0xFFFFFFF0, DOWN: 0xFFFFFFFF})
    talk.open()
    for _ in range(5):
        talk.down(b"0123456789")
        talk.up(b"abcdefghij")
    talk.close()
    found = one(talk.packets)
    assert streams(found) == {UP: b"abcdefghij" * 5, DOWN: b"0123456789" * 5}
    assert not [piece for piece in found.pieces if isinstance(piece, Gap)]
    assert found.filter == "tcp.stream eq 0"


def test_data_on_the_syn() -> None:
    talk = Talk()
    talk.segment(UP, b"early", flags=SYN, offset=-1)
    talk.segment(DOWN, flags=SYN | ACK, offset=-1, ack=5)
    talk.sent[UP] = 5
    talk.up(b"late")
    assert streams(one(talk.packets))[UP] == b"earlylate"


def test_keepalives_are_no_data() -> None:
    talk = Talk().open()
    talk.down(b"nonce")
    talk.segment(UP)
    talk.segment(DOWN, offset=4, after=15_000 * MS)
    talk.segment(UP)
    talk.segment(DOWN, b"\0", offset=4, after=15_000 * MS)
    talk.segment(UP, offset=-1)
    found = one(talk.packets)
    assert brief(found) == [("down", b"nonce")]
    times = [packet.time_ns for packet in talk.packets]
    assert found.facts.keepalives == (
        Keepalive(6, times[5], DOWN), Keepalive(8, times[7], DOWN), Keepalive(9, times[8], UP)
    )  # fmt: skip
    assert found.facts.retransmissions == ()
    assert found.facts.conflicts == ()
    assert found.facts.down.last_payload_ns == times[3]


def test_zero_windows_and_resets() -> None:
    talk = Talk().open()
    talk.segment(UP, window=0)
    talk.segment(DOWN, flags=RST, window=0, ttl=250, ip_id=0)
    found = one(talk.packets)
    assert found.facts.zero_windows == ((4, UP),)
    assert found.facts.rsts == (Reset(5, talk.time_ns, DOWN, 250, 0, 0),)
    assert brief(found) == [("rst down",)]
    assert found.ended == "closed"


def test_a_start_in_the_middle_counts_from_the_first_byte_seen() -> None:
    talk = Talk()
    talk.sent = {UP: 9000, DOWN: 70_000}
    talk.up(b"question")
    talk.down(b"answer")
    found = one(talk.packets)
    assert brief(found) == [("up", b"question"), ("down", b"answer")]
    assert [piece.offset for piece in found.pieces] == [0, 0]
    assert found.facts.mid_stream
    assert found.facts.syn == ()
    assert found.role_source == "port"
    assert found.notes


def test_an_early_segment_that_arrives_late_is_the_first_byte() -> None:
    talk = Talk()
    talk.sent = {UP: 9000, DOWN: 70_000}
    talk.up(b"second", offset=9005)
    talk.up(b"first", offset=9000)
    assert streams(one(talk.packets))[UP] == b"firstsecond"


def test_one_direction_only() -> None:
    talk = Talk().open()
    talk.down(bytes(40))
    talk.up(bytes(256))
    talk.down(bytes(384))
    talk.segment(UP)
    device = one([p for p in talk.packets if p.source_port == 40000])
    assert brief(device) == [("gap down", 0, 40, "lost"), ("up", bytes(256)), ("gap down", 40, 384, "lost")]
    assert device.facts.one_direction_only
    assert device.role_source == "content"
    cloud = one([p for p in talk.packets if p.source_port == 5683])
    assert brief(cloud) == [("down", bytes(40)), ("gap up", 0, 256, "lost"), ("down", bytes(384))]
    assert cloud.facts.one_direction_only


def test_an_unanswered_syn_is_not_a_missing_direction() -> None:
    talk = Talk()
    for _ in range(3):
        talk.segment(UP, flags=SYN, offset=-1, after=1000 * MS)
    found = one(talk.packets)
    assert not found.facts.one_direction_only
    assert [mark.frames for mark in found.facts.syn] == [(1,), (2,), (3,)]
    assert found.facts.retransmissions == ((2, UP), (3, UP))
    assert (found.pieces, found.finished, found.ended) == ((), False, "capture-end")


def test_an_uncaptured_fin_is_no_byte() -> None:
    talk = Talk().open()
    talk.down(b"bye")
    talk.segment(UP, ack=4)
    assert brief(one(talk.packets)) == [("down", b"bye")]


def test_an_absurd_acknowledgement_shows_nothing() -> None:
    talk = Talk().open()
    talk.down(b"nonce")
    talk.segment(UP, ack=50_000_000)
    assert brief(one(talk.packets)) == [("down", b"nonce")]


def test_a_stray_segment_is_left_out() -> None:
    talk = Talk().open()
    talk.down(b"nonce")
    talk.down(b"forged", offset=1_000_000_000)
    talk.down(b" again")
    found = one(talk.packets)
    assert streams(found)[DOWN] == b"nonce again"
    assert found.notes == ("segments of another connection between the same ports were left out",)


def test_data_behind_a_fin_is_left_out() -> None:
    talk = Talk().open()
    talk.segment(DOWN, b"bye", flags=FIN | ACK)
    talk.down(b"and more", offset=3)
    found = one(talk.packets)
    assert brief(found) == [("down", b"bye"), ("fin down",)]
    assert found.notes == ("data behind a FIN was left out",)


def cuts(draw, size: int) -> list[tuple[int, int]]:
    edges = sorted({0, size, *draw(st.lists(st.integers(1, size - 1), max_size=12))})
    return list(zip(edges, edges[1:], strict=False))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_segmentation_order_and_repetition_gives_the_same_stream(data) -> None:
    said = {direction: data.draw(st.binary(min_size=2, max_size=200)) for direction in (UP, DOWN)}
    isn = {direction: data.draw(st.sampled_from([0, 5, 0xFFFFFFFF - 30, 0x7FFFFFFF])) for direction in (UP, DOWN)}
    segments = [(d, a, b) for d in (UP, DOWN) for a, b in cuts(data.draw, len(said[d]))]
    segments += data.draw(st.lists(st.sampled_from(segments), max_size=6))
    segments = data.draw(st.permutations(segments))
    talk = Talk(isn=isn).open()
    for direction, start, end in segments:
        # Nothing is acknowledged, so nothing is said about when the other side could read it.
        talk.segment(direction, said[direction][start:end], ACK | PSH, offset=start, ack=0)
    found = one(talk.packets)
    assert streams(found) == said
    assert not [piece for piece in found.pieces if isinstance(piece, Gap)]
    assert found.facts.conflicts == ()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_lost_is_a_gap_and_nothing_else_is(data) -> None:
    size = 120
    said = bytes(range(1, size + 1))
    segments = cuts(data.draw, size)
    kept = [piece for piece in segments if data.draw(st.booleans())] or segments[-1:]
    talk = Talk().open()
    for start, end in data.draw(st.permutations(kept)):
        talk.segment(DOWN, said[start:end], ACK | PSH, offset=start, ack=0)
    last = max(end for _, end in kept)
    found = one(talk.packets)
    model = bytearray(last)
    for start, end in kept:
        model[start:end] = said[start:end]
    assert streams(found)[DOWN] == bytes(model)
    missing = {
        byte
        for piece in found.pieces
        if isinstance(piece, Gap)
        for byte in range(piece.offset, piece.offset + piece.length)
    }
    assert missing == {byte for byte in range(last) if not model[byte]}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 2, 4, 16, 17, 18, 20, 24, 41]), st.integers(-3, 60),
                          st.integers(-3, 60), st.integers(0, 20), st.integers(0, 20), st.integers(-50, 400)),
                max_size=40))  # fmt: skip
def test_any_segments_give_contiguous_streams_in_time_order(rows) -> None:
    talk = Talk()
    for up, flags, offset, ack, size, keep, after in rows:
        talk.segment(UP if up else DOWN, bytes([size]) * size, flags, offset, ack, after * MS, keep)
    frames: set[int] = set()
    for found in converse(talk.packets):
        streams(found)
        for piece in found.pieces:
            frames.update(piece.mark.frames)
            assert found.first_frame <= piece.mark.frames[0] <= found.last_frame
    assert frames <= set(range(1, len(rows) + 1))


def test_a_file_in_reverse_order_is_put_in_order() -> None:
    forward = session(Talk()).close().packets
    backward = [packet._replace(number=number) for number, packet in enumerate(reversed(forward), 1)]
    expected, found = one(forward), one(backward)
    assert brief(found) == brief(expected)
    assert found.role_source == "content"
    assert found.facts.retransmissions == found.facts.out_of_order == ()
    assert [mark.time_ns for mark in found.facts.syn] == [mark.time_ns for mark in expected.facts.syn]


def test_a_clock_that_is_set_back_does_not_disorder_a_session() -> None:
    talk = Talk().open()
    talk.down(bytes(40))
    talk.up(bytes(256), after=-3600_000 * MS)
    talk.down(bytes(384))
    assert [row[0] for row in brief(one(talk.packets))] == ["down", "up", "down"]


def test_a_clock_that_is_set_forward_does_not_end_a_session() -> None:
    talk = Talk().open()
    talk.down(bytes(40))
    talk.up(bytes(256), after=50 * 365 * 86_400_000 * MS)
    other = Talk(port=40001, time_ns=talk.time_ns, number=100).open()
    talk.number = 200
    talk.down(bytes(384), after=100 * MS)
    packets = [*talk.packets[:-1], *other.packets, talk.packets[-1]]
    first = next(found for found in converse(packets) if found.device.port == 40000)
    assert [row[0] for row in brief(first)] == ["down", "up", "down"]


@pytest.mark.parametrize("shape", ["one-byte", "reversed", "overlapping", "covered", "alternating"])
def test_hostile_segments_stay_cheap(shape: str) -> None:
    """Seconds here would be hours on a real file: the work must follow the number of segments and bytes."""
    talk = Talk().open()
    count = 20_000
    rng = random.Random(1)
    if shape == "one-byte":
        for n in range(count):
            talk.down(b"x", offset=n)
    elif shape == "reversed":
        for n in reversed(range(count)):
            talk.down(b"x", offset=n)
    elif shape == "overlapping":
        for n in range(count):
            talk.down(b"x" * 40, offset=n)
    elif shape == "covered":
        for n in range(0, count, 2):
            talk.down(b"x", offset=n + 100_000)
        for _ in range(300):
            talk.down(b"x" * count, offset=100_000)
    else:
        for n in rng.sample(range(count), count):
            talk.down(b"x", offset=2 * n)
    started = time.process_time()
    one(talk.packets, Options(tcp_payload=1 << 23))
    assert time.process_time() - started < 8


def test_a_reset_is_not_taken_for_data() -> None:
    talk = Talk().open()
    talk.segment(DOWN, b"closed by firewall", flags=RST | ACK)
    assert brief(one(talk.packets)) == [("rst down",)]


def test_a_later_sequence_number_shows_what_was_not_captured() -> None:
    talk = Talk().open()
    talk.segment(DOWN, offset=40)
    assert brief(one(talk.packets)) == [("gap down", 0, 40, "lost")]
    talk.down(bytes(40), offset=0, after=300 * MS)
    found = one(talk.packets)
    assert brief(found) == [("down", bytes(40))]
    assert found.facts.retransmissions == ((5, DOWN),)


def test_an_uncaptured_fin_shows_in_no_later_sequence_number_either() -> None:
    talk = Talk().open()
    talk.down(b"bye")
    talk.segment(DOWN, offset=4)
    assert brief(one(talk.packets)) == [("down", b"bye")]
