"""Which flows become conversations, where one ends and the next begins, and that memory stays bounded."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.capture.decode import Decoder
from analyzer.capture.records import Notes
from analyzer.conversations import Conversations, Options, TcpConversation, UdpConversation
from analyzer.conversations.table import Conversations as Table
from analyzer.packet import ACK, FIN, PSH, RST, SYN, TCP, UDP, Packet
from captures.synth import wire
from dissectors.events import Direction
from tests.analyzer.conversations.talk import (
    CLOUD,
    DEVICE,
    DOWN,
    IDENTITY,
    MS,
    NONCE,
    SESSION_KEY,
    UP,
    Talk,
    brief,
    converse,
    one,
    pcap,
    session,
)

SECOND = 1000 * MS
HTTPS = b"\x16\x03\x01" + bytes(200)


def selected(tshark: str, path: Path, packets: list[Packet], display_filter: str) -> list[int]:
    """The frames a display filter selects."""
    path.write_bytes(pcap(packets))
    done = subprocess.run(
        [tshark, "-r", str(path), "-Y", display_filter, "-T", "fields", "-e", "frame.number"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [int(line) for line in done.stdout.split()]


# -- candidates ---------------------------------------------------------------------------------------


def test_a_flow_on_the_clouds_port_is_kept_whatever_it_says() -> None:
    silent = Talk().open().packets
    portal = Talk()
    portal.open()
    portal.up(b"GET / HTTP/1.1")
    portal.down(b"HTTP/1.1 302 Found")
    refused = Talk()
    refused.segment(UP, flags=SYN, offset=-1)
    refused.segment(DOWN, flags=RST | ACK)
    for packets in (silent, portal.packets, refused.packets):
        found = one(packets)
        assert (found.device.port, found.cloud.port, found.role_source) == (40000, 5683, "syn")


def test_a_session_on_any_port_is_known_by_its_content() -> None:
    found = one(session(Talk(cloud_port=8443)).packets)
    assert (found.role_source, str(found.device), str(found.cloud)) == (
        "content", "192.0.2.50:40000", "203.0.113.10:8443",
    )  # fmt: skip
    assert len(found.pieces) == 5


@pytest.mark.parametrize("sizes", [[1] * 40, [39, 1], [20, 20]])
@pytest.mark.parametrize("answer", [[256], [1, 255], [100, 100, 56]])
def test_a_session_on_any_port_in_any_segmentation(sizes: list[int], answer: list[int]) -> None:
    talk = Talk(cloud_port=8443).open()
    at = 0
    for size in sizes:
        talk.down(NONCE[at : at + size])
        at += size
    at = 0
    for size in answer:
        talk.up(IDENTITY[at : at + size])
        at += size
    talk.down(SESSION_KEY)
    assert one(talk.packets).role_source == "content"


def test_a_session_on_any_port_cut_by_the_snap_length() -> None:
    talk = Talk(cloud_port=8443).open()
    talk.down(NONCE, keep=30)
    talk.up(IDENTITY, keep=30)
    assert one(talk.packets).role_source == "content"


def test_a_session_on_any_port_with_segments_out_of_order_or_repeated() -> None:
    talk = Talk(cloud_port=8443).open()
    talk.down(NONCE[20:], offset=20)
    talk.down(NONCE[:20], offset=0)
    talk.down(NONCE, offset=0)
    talk.sent[DOWN] = 40
    talk.up(IDENTITY[:200])
    talk.up(IDENTITY[100:], offset=100)
    talk.sent[UP] = 256
    talk.down(SESSION_KEY)
    assert one(talk.packets).role_source == "content"
    backward = [packet._replace(number=n) for n, packet in enumerate(reversed(talk.packets), 1)]
    assert one(backward).role_source == "content"


@pytest.mark.parametrize("start", [1, 3])
def test_a_session_on_any_port_whose_handshake_was_missed(start: int) -> None:
    assert one(session(Talk(cloud_port=8443)).packets[start:]).role_source == "content"


def irrelevant() -> dict[str, Talk]:
    talks = {name: Talk(cloud_port=443) for name in ("https", "ssh", "text", "big", "short", "early", "empty")}
    for talk in talks.values():
        talk.open()
    talks["https"].up(HTTPS)
    talks["https"].down(bytes(1400))
    talks["ssh"].down(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")
    talks["ssh"].up(bytes(256))
    talks["text"].down(b"220 mail.example.org ESMTP ready for youuu")
    talks["text"].up(bytes(256))
    talks["big"].down(NONCE + b"x")
    talks["big"].up(IDENTITY)
    talks["short"].down(NONCE)
    talks["short"].up(IDENTITY[:255])
    talks["short"].down(SESSION_KEY)
    talks["early"].up(IDENTITY)
    talks["early"].down(NONCE)
    talks["early"].down(SESSION_KEY)
    return talks


@pytest.mark.parametrize("name", list(irrelevant()))
@pytest.mark.parametrize("start", [0, 3])
def test_other_flows_are_dropped(name: str, start: int) -> None:
    talk = irrelevant()[name].close()
    assert converse(talk.packets[start:]) == []
    assert converse([p._replace(number=n) for n, p in enumerate(reversed(talk.packets), 1)]) == []


def test_a_nonce_is_random() -> None:
    talk = Talk(cloud_port=443).open()
    talk.down(b"0123456789012345678901234567890123456789")
    talk.up(IDENTITY)
    assert converse(talk.packets) == []


def test_other_flows_hold_nothing() -> None:
    table = Table()
    for port in range(1000):
        talk = Talk(port=1000 + port, cloud_port=443).open()
        talk.up(HTTPS)
        for packet in talk.packets:
            assert not list(table.feed(packet))
    assert not table._undecided
    assert len(table._holding) == 0
    assert all(isinstance(entry, int) for entry in table._tcp.values())


def test_the_users_ports_count() -> None:
    talk = Talk(cloud_port=9999).open()
    talk.up(b"anything")
    assert converse(talk.packets) == []
    assert one(talk.packets, Options(tcp_ports=frozenset({9999}))).cloud.port == 9999


def datagram(number: int, payload: bytes, up: bool = True, port: int = 5684, **changes) -> Packet:
    ends = [(DEVICE, 5784), (CLOUD, port)]
    (source, source_port), (destination, destination_port) = ends if up else ends[::-1]
    return Packet(
        number, 10**18 + number * SECOND, UDP, source, destination, source_port, destination_port, payload, len(payload),
        64, number,
    )._replace(**changes)  # fmt: skip


CLIENT_HELLO = b"\x16\xfe\xfd\0\0" + bytes(6) + b"\0\x0c" + b"\x01" + bytes(11)
SERVER_HELLO = b"\x16\xfe\xfd\0\0" + bytes(6) + b"\0\x0c" + b"\x02" + bytes(11)


@pytest.mark.parametrize("port", [5684, 4500, 5683])
def test_udp_on_the_clouds_ports_is_kept(port: int) -> None:
    (found,) = converse([datagram(1, b"?", port=port)])
    assert isinstance(found, UdpConversation)
    assert (found.cloud.port, found.role_source) == (port, "port")


@pytest.mark.parametrize("kind", [20, 21, 22, 23, 25, 253, 254])
@pytest.mark.parametrize("version", [b"\xfe\xfd", b"\xfe\xff"])
def test_dtls_on_any_port_is_kept(kind: int, version: bytes) -> None:
    record = bytes([kind]) + version + bytes(11)
    assert len(converse([datagram(1, b"noise", port=999), datagram(2, record, port=999)])) == 1
    assert converse([datagram(1, record[:12], port=999), datagram(2, b"\x16\x03\x03" + record[3:], port=999)]) == []


def test_multicast_is_nobodys_session() -> None:
    group = wire.address("224.0.1.187")
    assert converse([datagram(1, b"\x50\x01", port=5683, destination=group)]) == []
    six = {"source": wire.address("fe80::1"), "destination": wire.address("ff02::fd")}
    assert converse([datagram(1, b"\x50\x01", port=5683, **six)]) == []


def test_names_and_times_go_to_the_other_stage() -> None:
    others: list[Packet] = []
    packets = [
        datagram(1, b"query", port=53),
        datagram(2, b"answer", up=False, port=53),
        datagram(3, b"time", port=123),
        datagram(4, b"mdns", port=5353),
        *Talk(cloud_port=53, number=4).open().packets,
        *Talk(cloud_port=443, number=10).open().packets,
    ]
    assert converse(packets, on_other=others.append) == []
    assert [packet.number for packet in others] == [1, 2, 3, 5, 6, 7]


# -- roles ------------------------------------------------------------------------------------------


def test_content_outweighs_the_opener() -> None:
    """The cloud's port on the device's side: what is said decides."""
    talk = Talk(port=5683, cloud_port=40000).open()
    talk.down(NONCE)
    talk.up(IDENTITY)
    assert one(talk.packets).cloud.port == 40000


def test_in_the_middle_the_port_decides() -> None:
    talk = Talk()
    talk.sent = {UP: 700, DOWN: 900}
    talk.down(b"x" * 18)
    found = one(talk.packets)
    assert (found.role_source, found.cloud.port) == ("port", 5683)


def test_a_syn_ack_alone_tells_the_cloud() -> None:
    talk = Talk(port=5683, cloud_port=5683)
    talk.segment(DOWN, flags=SYN | ACK, offset=-1)
    found = one(talk.packets)
    assert (str(found.cloud), found.role_source) == ("203.0.113.10:5683", "syn")


def test_the_client_hello_tells_the_device() -> None:
    (found,) = converse([datagram(1, b"\0", up=False), datagram(2, CLIENT_HELLO, up=False)])
    assert (found.device.address, found.role_source) == ("203.0.113.10", "content")
    (found,) = converse([datagram(1, SERVER_HELLO, up=False, source_port=5784, destination_port=5784)])
    assert (found.cloud.address, found.role_source) == ("203.0.113.10", "content")
    same = {"source_port": 5684, "destination_port": 5684}
    (found,) = converse([datagram(1, b"\0", **same), datagram(2, b"\0", up=False, **same)])
    assert (found.device.address, found.role_source) == ("192.0.2.50", "first")


# -- where a conversation ends ----------------------------------------------------------------------


def later(first: list[Packet], talk: Talk) -> list[Packet]:
    return [*first, *talk.packets]


@pytest.mark.tshark
def test_a_reused_port_is_another_conversation(tshark: str, tmp_path: Path) -> None:
    first = session(Talk())
    second = Talk(isn={UP: 99_000, DOWN: 7}, time_ns=first.time_ns, number=first.number, ip_id=900)
    second.open()
    second.down(NONCE)
    packets = later(first.packets, second)
    found = converse(packets)
    assert [(c.stream, c.ended, c.finished, c.first_frame, c.last_frame) for c in found] == [
        (0, "reused", True, 1, 8), (1, "capture-end", False, 9, 12),
    ]  # fmt: skip
    assert [c.filter for c in found] == ["tcp.stream eq 0", "tcp.stream eq 1"]
    for conversation in found:
        frames = selected(tshark, tmp_path / "a.pcap", packets, conversation.filter)
        assert frames == list(range(conversation.first_frame, conversation.last_frame + 1))


@pytest.mark.tshark
def test_a_device_that_starts_with_the_same_numbers_again(tshark: str, tmp_path: Path) -> None:
    """A restarted device may repeat port and initial sequence number: one stream to Wireshark, two sessions to us."""
    first = session(Talk())
    second = Talk(time_ns=first.time_ns + 9 * SECOND, number=first.number, ip_id=900)
    second.open()
    second.down(NONCE)
    packets = later(first.packets, second)
    found = converse(packets)
    assert [(c.stream, c.first_frame, c.last_frame) for c in found] == [(0, 1, 8), (0, 9, 12)]
    for conversation in found:
        frames = selected(tshark, tmp_path / "a.pcap", packets, conversation.filter)
        assert frames == list(range(conversation.first_frame, conversation.last_frame + 1))


def test_a_retransmitted_syn_is_no_new_conversation() -> None:
    talk = Talk()
    talk.segment(UP, flags=SYN, offset=-1)
    talk.segment(UP, flags=SYN, offset=-1, after=3 * SECOND)
    talk.segment(DOWN, flags=SYN | ACK, offset=-1)
    talk.segment(UP)
    assert [mark.frames for mark in one(talk.packets).facts.syn] == [(1,), (2,)]


@pytest.mark.tshark
def test_a_file_in_reverse_order_with_a_reused_port(tshark: str, tmp_path: Path) -> None:
    first = session(Talk()).close()
    second = session(Talk(isn={UP: 99_000, DOWN: 7}, time_ns=first.time_ns, ip_id=900)).close()
    packets = [p._replace(number=n) for n, p in enumerate(reversed([*first.packets, *second.packets]), 1)]
    found = converse(packets)
    assert [(c.first_frame, c.last_frame, c.role_source) for c in found] == [(12, 22, "content"), (1, 11, "content")]
    for conversation in found:
        assert [row[0] for row in brief(conversation)] == ["down", "up", "down", "up", "down", "fin up", "fin down"]
        frames = selected(tshark, tmp_path / "a.pcap", packets, conversation.filter)
        assert frames == list(range(conversation.first_frame, conversation.last_frame + 1))


def tick(number: int, time_ns: int) -> Packet:
    """Some other packet, to make time pass."""
    return Packet(number, time_ns, UDP, CLOUD, DEVICE, 7, 7, b"", 0)


def pass_time(table: Conversations, start_ns: int, seconds: int) -> list:
    found = []
    for second in range(0, seconds, 30):
        found += table.feed(tick(1000 + second, start_ns + second * SECOND))
    return found


def test_a_closed_conversation_is_handed_out_soon() -> None:
    table = Conversations()
    talk = session(Talk()).close()
    for packet in talk.packets:
        assert list(table.feed(packet)) == []
    (found,) = pass_time(table, talk.time_ns, 120)
    assert (found.ended, found.filter) == ("closed", "tcp.stream eq 0")
    # What trickles in afterwards makes no second conversation, a SYN does.
    talk.segment(UP, flags=FIN | ACK)
    assert list(table.feed(talk.packets[-1])) == []
    again = Talk(isn={UP: 5, DOWN: 6}, time_ns=talk.time_ns, number=2000, ip_id=500).open()
    for packet in again.packets:
        table.feed(packet)
    assert [c.first_frame for c in table.finish()] == [2001]


@pytest.mark.tshark
def test_a_silent_conversation_is_handed_out_and_may_go_on(tshark: str, tmp_path: Path) -> None:
    talk = session(Talk())
    packets = list(talk.packets)
    packets += [tick(9 + n, talk.time_ns + n * 60 * SECOND) for n in range(40)]
    talk.number = len(packets)
    talk.up(b"still here", after=41 * 60 * SECOND)
    packets.append(talk.packets[-1])
    (whole,) = [c for c in converse(packets) if isinstance(c, TcpConversation)]
    assert (whole.first_frame, whole.last_frame, whole.filter) == (1, 49, "tcp.stream eq 0")
    live = Options(tcp_idle_ns=1800 * SECOND)
    found = [c for c in converse(packets, live) if isinstance(c, TcpConversation)]
    assert [(c.ended, c.stream, c.first_frame, c.last_frame) for c in found] == [
        ("idle", 0, 1, 8), ("capture-end", 0, 49, 49),
    ]  # fmt: skip
    assert found[1].facts.mid_stream
    for conversation in found:
        frames = selected(tshark, tmp_path / "a.pcap", packets, conversation.filter)
        assert frames == list(range(conversation.first_frame, conversation.last_frame + 1))


def test_a_straggler_is_one_whether_or_not_other_packets_tell_the_time() -> None:
    talk = session(Talk()).close()
    talk.segment(UP, flags=FIN | ACK, after=3600 * SECOND)
    between = [tick(1000 + n, talk.packets[-2].time_ns + n * 30 * SECOND) for n in range(100)]
    alone = converse(talk.packets)
    among = converse([*talk.packets[:-1], *between, talk.packets[-1]])
    assert [c.last_frame for c in alone] == [c.last_frame for c in among] == [11]


def test_a_straggler_that_comes_before_the_next_look_is_one_too() -> None:
    talk = session(Talk()).close()
    straggler = talk.segment(UP, flags=FIN | ACK, after=500 * MS)
    again = Talk(number=straggler.number, time_ns=straggler.time_ns, isn={UP: 90_000, DOWN: 70_000})
    session(again)
    found = converse([*talk.packets, *again.packets], Options(closed_ns=400 * MS))
    assert [(c.ended, c.last_frame, c.stream) for c in found] == [
        ("closed", straggler.number - 1, 0), ("capture-end", again.number, 1),
    ]  # fmt: skip
    (whole, _) = converse([*talk.packets, *again.packets], Options(closed_ns=600 * MS))
    assert whole.last_frame == straggler.number


def test_a_straggler_of_a_flow_nobody_wants_changes_nothing() -> None:
    talk = Talk(cloud_port=443).open().close()
    talk.segment(UP, flags=FIN | ACK, after=3600 * SECOND)
    assert converse(talk.packets) == []


def test_time_can_be_told_without_packets() -> None:
    table = Conversations()
    talk = session(Talk()).close()
    for packet in talk.packets:
        table.feed(packet)
    found = [c for second in range(0, 120, 10) for c in table.expire(talk.time_ns + second * SECOND)]
    assert [c.ended for c in found] == ["closed"]


# -- ICMP -------------------------------------------------------------------------------------------


def unreachable(number: int, about: Packet, short: bool = False, sender: bytes = CLOUD) -> Packet:
    body = about.header if about.protocol == TCP else wire.udp(
        about.source, about.destination, about.source_port, about.destination_port, about.payload
    )  # fmt: skip
    quoted = wire.ip(about.source, about.destination, about.protocol, body[:8] if short else body)
    data = wire.icmp_error(3, 3, quoted)[:8] + quoted
    return Packet(number, about.time_ns + 1, 1, sender, DEVICE, 0, 0, data, len(data))


@pytest.mark.tshark
@pytest.mark.parametrize("short", [False, True])
def test_icmp_errors_belong_to_the_flow_they_quote(short: bool, tshark: str, tmp_path: Path) -> None:
    talk = Talk()
    syn = talk.segment(UP, flags=SYN, offset=-1)
    hello = datagram(3, CLIENT_HELLO)
    router = wire.address("10.0.0.1")
    packets = [syn, unreachable(2, syn, short, router), hello, unreachable(4, hello), tick(5, hello.time_ns + 9)]
    tcp, udp = sorted(converse(packets), key=lambda c: c.first_frame)
    assert [(n.frame, n.kind, n.code, n.sender, n.about) for n in tcp.facts.icmp] == [
        (2, 3, 3, "10.0.0.1", Direction.UP)
    ]
    assert [(n.frame, n.kind, n.code, n.sender, n.about) for n in udp.icmp] == [(4, 3, 3, "203.0.113.10", Direction.UP)]
    assert (tcp.last_frame, udp.last_frame) == (2, 4)
    assert selected(tshark, tmp_path / "a.pcap", packets, tcp.filter) == [1, 2]
    assert selected(tshark, tmp_path / "a.pcap", packets, udp.filter) == [3, 4]


def test_an_icmp_error_before_the_first_packet_waits_for_it() -> None:
    hello = datagram(2, CLIENT_HELLO)
    (found,) = converse([unreachable(1, hello), hello])
    assert [note.frame for note in found.icmp] == [1]
    assert found.first_frame == 1
    assert found.filter == "udp.stream eq 0"


def test_a_redirect_is_no_error() -> None:
    """The gateway names a better way; the packet it quotes went on to the cloud."""
    hello = datagram(1, CLIENT_HELLO)
    told = unreachable(2, hello)
    redirect = told._replace(payload=b"\x05\x01" + told.payload[2:])
    (found,) = converse([hello, redirect])
    assert found.icmp == ()
    (found,) = converse([hello, told])
    assert [note.frame for note in found.icmp] == [2]


def test_what_wireshark_numbers_and_we_left_out_ends_the_stream_numbers() -> None:
    table = Conversations()
    table.lose()
    talk = session(Talk(number=1))
    found = [done for packet in talk.packets for done in table.feed(packet)] + list(table.finish())
    assert [(item.stream, "tcp.stream" in item.filter) for item in found] == [(None, False)]


# -- bounds -----------------------------------------------------------------------------------------


def test_payload_beyond_the_limit_becomes_a_gap() -> None:
    talk = Talk().open()
    for _ in range(10):
        talk.down(bytes(1000))
    talk.close()
    found = one(talk.packets, Options(tcp_payload=4000))
    assert brief(found)[-3:] == [("gap down", 4000, 6000, "cut"), ("fin up",), ("fin down",)]
    assert found.notes == ("the payload of 6 packets was too much to keep",)


def test_segments_beyond_the_limit_leave_the_ending_known() -> None:
    talk = Talk().open()
    for _ in range(50):
        talk.down(b"x")
        talk.segment(UP)
    talk.close()
    found = one(talk.packets, Options(tcp_segments=20))
    assert brief(found)[-2:] == [("fin up",), ("fin down",)]
    assert found.ended == "closed"
    assert (found.first_frame, found.last_frame) == (1, 106)
    assert sum(row[2] for row in brief(found) if row[0] == "gap down") + 9 == 50


def test_datagrams_beyond_the_limit_are_counted_only() -> None:
    packets = [datagram(n, b"x" * 10) for n in range(1, 31)]
    (found,) = converse(packets, Options(udp_datagrams=20))
    assert (len(found.datagrams), found.last_frame) == (20, 30)
    assert found.notes == ("10 datagrams were too many to keep and are counted only",)
    (found,) = converse(packets, Options(udp_payload=100))
    assert len(found.datagrams) == 10


def test_millions_of_syns_hold_no_more_than_the_limit() -> None:
    table = Table(Options(conversations=100, undecided=50, flows=1000))
    rng = random.Random(7)
    handed_out = 0
    for number in range(1, 5001):
        talk = Talk(port=rng.randrange(65536), cloud_port=rng.choice((5683, 443)), number=number)
        syn = talk.segment(UP, flags=SYN, offset=-1)._replace(source=rng.randbytes(4))
        handed_out += len(list(table.feed(syn)))
        assert len(table._holding) <= 100
        assert len(table._undecided) <= 50
        assert len(table._tcp) <= 1000 + 150
    assert handed_out > 2000
    assert [problem.code for problem in table.problems] == ["too-many-conversations", "too-many-flows"]
    assert len(list(table.finish())) == 100


def test_beyond_the_flow_limit_there_are_no_stream_numbers_but_filters_still_select(tmp_path: Path) -> None:
    noise = [Talk(port=port, cloud_port=443).segment(UP, flags=SYN, offset=-1) for port in range(50)]
    talk = session(Talk(number=50))
    (found,) = converse([*noise, *talk.packets], Options(flows=10))
    assert found.stream is None
    assert found.filter == (
        "ip.addr eq 192.0.2.50 and ip.addr eq 203.0.113.10 and tcp.port eq 40000 and tcp.port eq 5683"
    )


def test_beyond_the_flow_limit_only_what_may_be_a_session_is_begun() -> None:
    table = Table(Options(flows=4))
    key = b"%d"
    assert [table.count_udp(key % n) for n in (0, 0, 1, 2, 3, 4)] == [True, False, True, True, True, False]
    assert [table.count_tcp(key % n, 0, 1, 1) for n in (0, 0, 1, 2, 3, 4)] == [True, False, True, True, True, False]
    assert not table.knows(UDP, key % 4)
    assert not table.knows(TCP, key % 4)
    middle, other = Talk(), Talk(port=40001, cloud_port=443)
    assert list(table.feed(other.up(b"in the middle of something"))) == []
    assert len(table._tcp) == 4, "neither an opening nor the cloud's port: not even looked at"
    table.feed(middle.up(b"in the middle of a session"))
    table.feed(datagram(7, b"something", port=9999))
    assert len(table._udp) == 4
    table.feed(datagram(8, CLIENT_HELLO, port=9998))
    found = list(table.finish())
    assert [(type(c).__name__, c.stream) for c in found] == [("TcpConversation", None), ("UdpConversation", None)]
    assert [problem.code for problem in table.problems] == ["too-many-flows"]


def test_the_bytes_held_are_bounded() -> None:
    table = Table(Options(held=200_000))
    found = []
    for port in range(50):
        talk = Talk(port=1000 + port).open()
        talk.down(bytes(10_000))
        for packet in talk.packets:
            found += table.feed(packet)
        assert table._holding._bytes <= 200_000 + 20_000
    assert len(found) > 30
    assert {conversation.ended for conversation in found} == {"evicted"}


def test_the_books_balance() -> None:
    """What is taken in is given back: no bytes stay counted when nothing is held."""
    table = Table(Options(conversations=20))
    rng = random.Random(3)
    talks = [Talk(port=1000 + n, cloud_port=rng.choice((5683, 8443, 443))) for n in range(60)]
    packets = []
    for talk in talks:
        session(talk).close()
        packets += talk.packets
    rng.shuffle(packets)
    for packet in packets:
        table.feed(packet)
    list(table.finish())
    assert len(table._holding) == 0
    assert (table._holding._bytes, table._undecided_bytes) == (0, 0)


def test_any_order_of_any_segments_never_raises() -> None:
    rng = random.Random(11)
    for _ in range(60):
        table = Table(Options(conversations=3, undecided=3, flows=5, tcp_segments=6, tcp_payload=100, udp_datagrams=3))
        talks = [Talk(port=rng.choice((1, 2)), cloud_port=rng.choice((5683, 443, 53))) for _ in range(4)]
        for number in range(120):
            talk = rng.choice(talks)
            talk.number = number
            packet = talk.segment(
                rng.choice((UP, DOWN)), rng.randbytes(rng.choice((0, 0, 1, 40, 256))),
                rng.choice((SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, 0, 0xFF)),
                rng.choice((None, -1, 0, 40, 10**9)), after=rng.choice((1, -1, 10**6)) * MS,
            )  # fmt: skip
            for conversation in table.feed(packet):
                assert conversation.first_frame <= conversation.last_frame
            if rng.random() < 0.2:
                table.feed(unreachable(number, packet, rng.random() < 0.5))
            if rng.random() < 0.2:
                table.feed(datagram(number, rng.randbytes(20), rng.random() < 0.5, rng.choice((5684, 9, 53))))
        list(table.finish())


# -- captures ---------------------------------------------------------------------------------------


def test_a_mixed_gateway_capture_gives_the_devices_only(captures: Path) -> None:
    others: list[Packet] = []
    packets = list(open_capture(captures / "tcp-17-gateway-mixed" / "capture.pcap", name="17"))
    found = converse(packets, on_other=others.append)
    assert {c.device.address for c in found} == {f"192.168.1.{n}" for n in range(50, 57)}
    assert len(found) == 12
    assert len(others) == 86 + 38
    assert {c.role_source for c in found} == {"content", "syn"}


def in_vxlan(packet: Packet, times: int = 1) -> Packet:
    """The packet as a cloud provider mirrors it."""
    for _ in range(times):
        body = packet.header + packet.payload
        if packet.protocol == UDP:
            body = wire.udp(
                packet.source, packet.destination, packet.source_port, packet.destination_port, packet.payload
            )
        inner = wire.ip(packet.source, packet.destination, packet.protocol, body, ident=packet.ip_id)
        payload = b"\x08" + bytes(7) + wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, inner)
        packet = Packet(
            packet.number, packet.time_ns, UDP, CLOUD, DEVICE, 50000, 4789, payload, len(payload), 64, packet.number
        )  # fmt: skip
    return packet


def opened(packets: Sequence[Packet]) -> list[Packet]:
    """The packets with what the decoder finds inside them."""
    decoder, found = Decoder(Notes()), []
    for packet in packets:
        body = wire.udp(packet.source, packet.destination, packet.source_port, packet.destination_port, packet.payload)
        data = wire.ip(packet.source, packet.destination, UDP, body)
        first = decoder.decode(packet.number, packet.time_ns, 101, data, len(data))
        assert first is not None
        found += [first, *decoder.taken()]
    return found


@pytest.mark.tshark
@pytest.mark.parametrize("times", [1, 2])
def test_a_mirrored_session_is_found_inside_its_tunnel(times: int, tshark: str, tmp_path: Path) -> None:
    talk = session(Talk()).close()
    packets = [in_vxlan(packet, times) for packet in talk.packets]
    found = one(opened(packets))
    assert brief(found) == brief(one(talk.packets))
    assert (found.stream, found.filter) == (0, "tcp.stream eq 0")
    assert selected(tshark, tmp_path / "a.pcap", packets, found.filter) == list(range(1, 12))
    mixed = [*opened(packets), datagram(99, CLIENT_HELLO)]
    assert [c.stream for c in converse(mixed) if isinstance(c, UdpConversation)] == [1]


def test_tunnels_in_tunnels_end_somewhere() -> None:
    deep = in_vxlan(datagram(1, CLIENT_HELLO), 40)
    assert converse(opened([deep])) == []
