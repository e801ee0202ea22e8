"""UDP conversations: datagrams in time order, duplicates marked, cut ones with their length."""

from __future__ import annotations

from analyzer.conversations import Datagram, UdpConversation
from analyzer.packet import UDP, Packet
from captures.synth import wire
from dissectors.events import Direction, Mark
from tests.analyzer.conversations.talk import MS, converse

DEVICE, CLOUD = wire.address("192.0.2.50"), wire.address("2001:db8::5")[:4]
START = 1_700_000_000_000_000_000


def datagram(number: int, up: bool, payload: bytes, at: int, **changes) -> Packet:
    ends = [(DEVICE, 5784), (CLOUD, 5684)]
    (source, source_port), (destination, destination_port) = ends if up else ends[::-1]
    return Packet(
        number, START + at * MS, UDP, source, destination, source_port, destination_port, payload, len(payload), 64, number
    )._replace(**changes)  # fmt: skip


def test_datagrams_are_in_time_order_with_their_marks() -> None:
    packets = [
        datagram(1, True, b"hello", 10),
        datagram(2, False, b"late", 30),
        datagram(3, True, b"mid", 20, length=99),
    ]
    (found,) = converse(packets)
    assert isinstance(found, UdpConversation)
    assert found.datagrams == (
        Datagram(Direction.UP, b"hello", 5, Mark((1,), START + 10 * MS)),
        Datagram(Direction.UP, b"mid", 99, Mark((3,), START + 20 * MS)),
        Datagram(Direction.DOWN, b"late", 4, Mark((2,), START + 30 * MS)),
    )
    assert (found.first_frame, found.last_frame, found.start_ns, found.end_ns) == (
        1,
        3,
        START + 10 * MS,
        START + 30 * MS,
    )
    assert (found.stream, found.filter, found.ended, found.finished) == (0, "udp.stream eq 0", "capture-end", False)


def test_the_same_datagram_on_another_interface_is_marked() -> None:
    first = datagram(1, True, b"hello", 10)
    (found,) = converse(
        [first, first._replace(number=2, time_ns=first.time_ns + 1000), datagram(3, True, b"hello", 900)]
    )
    assert [made.duplicate for made in found.datagrams] == [False, True, False]


def test_both_directions_are_one_conversation_and_ports_tell_them_apart() -> None:
    other = datagram(3, True, b"x", 3, source_port=5785)
    found = converse([datagram(1, True, b"a", 1), datagram(2, False, b"b", 2), other])
    assert [(len(c.datagrams), c.stream, c.device.port) for c in found] == [(2, 0, 5784), (1, 1, 5785)]


def test_ipv6_addresses_and_filters() -> None:
    six = {"source": wire.address("2001:db8::1"), "destination": wire.address("2001:db8::2")}
    (found,) = converse([datagram(1, True, b"a", 1, **six)])
    assert str(found.device) == "[2001:db8::1]:5784"
