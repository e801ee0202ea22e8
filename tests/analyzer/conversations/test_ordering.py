"""Time order, clocks that are set, and where one connection ends and the next begins."""

from __future__ import annotations

import random

from analyzer.conversations.ordering import connections, in_order
from analyzer.packet import SYN
from tests.analyzer.conversations.talk import MS, UP, Talk, session


def test_any_file_order_is_brought_into_time_order() -> None:
    packets = session(Talk()).close().packets
    shuffled = packets[:]
    random.Random(5).shuffle(shuffled)
    renumbered = [packet._replace(number=number) for number, packet in enumerate(shuffled, 1)]
    assert [packet.time_ns for packet in in_order(renumbered)] == [packet.time_ns for packet in packets]


def test_the_file_order_counts_when_the_clock_was_set_back() -> None:
    packets = session(Talk()).close().packets
    moved = [p if p.number < 5 else p._replace(time_ns=p.time_ns - 3600_000 * MS) for p in packets]
    assert in_order(moved) == moved


def test_connections_are_split_at_a_new_syn_only() -> None:
    first = session(Talk()).close()
    second = Talk(isn={UP: 77, **{d: n for d, n in first.isn.items() if d is not UP}}, time_ns=first.time_ns)
    second.segment(UP, flags=SYN, offset=-1)
    second.segment(UP, flags=SYN, offset=-1)
    session(second)
    assert [len(found) for found in connections(first.packets + second.packets)] == [11, 10]
    assert connections([]) == []


def test_a_simultaneous_open_is_one_connection() -> None:
    talk = Talk()
    up = talk.segment(UP, flags=SYN, offset=-1)
    down = talk.segment(UP.other, flags=SYN, offset=-1)
    assert connections([up, down]) == [[up, down]]
