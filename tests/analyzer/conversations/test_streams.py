"""Stream numbers: every packet's, exactly as tshark counts them, on random traffic."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.conversations import streams
from analyzer.packet import ACK, SYN
from captures.synth import capfile, wire

A, B = wire.address("10.0.0.1"), wire.address("10.0.0.2")
FLAGS = (0x02, 0x02, 0x12, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14, 0x00)
NUMBERS = (100, 101, 102, 5000)


@pytest.mark.tshark
@pytest.mark.parametrize("seed", range(6))
def test_random_segments_get_tsharks_numbers(seed: int, tshark: str, tmp_path: Path) -> None:
    """Few ports and few sequence numbers, so that every rule about reused ports is met."""
    rng = random.Random(seed)
    frames, mine = [], []
    states: dict[int, int] = {}
    counter = streams.Counter()
    for number in range(600):
        side, flow = rng.randrange(2), rng.randrange(40)
        flags, sequence, acknowledgement = rng.choice(FLAGS), rng.choice(NUMBERS), rng.choice((*NUMBERS, 0))
        ends = [(A, 1000 + flow), (B, 443)]
        (source, source_port), (destination, destination_port) = ends if side == 0 else ends[::-1]
        segment = wire.tcp(source, destination, source_port, destination_port, sequence, acknowledgement, flags, 1000)
        data = wire.ipv4(source, destination, wire.TCP, segment)
        frames.append(capfile.Frame(number * 1_000_000, data, len(data)))
        states[flow] = streams.follow(
            states[flow] if flow in states else counter.new(), counter, side, flags, sequence, acknowledgement
        )
        mine.append(streams.number(states[flow]))
    path = tmp_path / "random.pcap"
    path.write_bytes(capfile.pcap(frames, capfile.RAW))
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", "-e", "tcp.stream"], capture_output=True, text=True, check=True
    )
    assert [int(line) for line in done.stdout.splitlines()] == mine
    assert len(set(mine)) > 60


def test_a_lost_count_gives_no_numbers() -> None:
    counter = streams.Counter()
    first = counter.new()
    counter.lose()
    second = counter.new()
    assert (streams.number(first), streams.number(second)) == (0, None)
    later = streams.follow(first, counter, 0, SYN, 7, 0)
    assert streams.number(later) == 0
    reused = streams.follow(later, counter, 0, SYN, 8, 0)
    assert streams.number(reused) is None


def test_a_retransmitted_syn_is_the_same_stream() -> None:
    counter = streams.Counter()
    state = streams.follow(counter.new(), counter, 1, SYN, 7, 0)
    assert not streams.starts_anew(state, 1, SYN, 7)
    assert streams.starts_anew(state, 1, SYN, 8)
    assert not streams.starts_anew(state, 1, SYN | ACK, 8)
    assert not streams.starts_anew(state, 0, SYN, 8)


def extents(tshark: str, path: Path, field: str) -> dict[int, tuple[int, int]]:
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", "-e", "frame.number", "-e", field],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[int, list[int]] = {}
    for line in done.stdout.splitlines():
        frame, _, numbers = line.partition("\t")
        for number in filter(None, numbers.split(",")):
            found.setdefault(int(number), []).append(int(frame))
    return {number: (frames[0], frames[-1]) for number, frames in found.items()}


@pytest.mark.tshark
@pytest.mark.parametrize(
    "name", ["tcp-17-gateway-mixed", "tcp-24-same-id-twice", "dtls-13-several-devices", "dtls-09-icmp-port-unreachable"]
)
def test_every_conversation_of_a_capture_has_tsharks_number(name: str, captures: Path, tshark: str) -> None:
    """All ports declared the cloud's, so that every flow is held and can be compared."""
    from analyzer.conversations import Conversations, Options, TcpConversation

    path = captures / name / "capture.pcap"
    every = frozenset(range(65536))
    table = Conversations(Options(tcp_ports=every, udp_ports=every))
    found = [made for packet in open_capture(path, name=name) for made in table.feed(packet)]
    found += table.finish()
    theirs = {"tcp": extents(tshark, path, "tcp.stream"), "udp": extents(tshark, path, "udp.stream")}
    assert found
    for conversation in found:
        kind = "tcp" if isinstance(conversation, TcpConversation) else "udp"
        assert theirs[kind][conversation.stream] == (conversation.first_frame, conversation.last_frame)
    tcp = [conversation for conversation in found if isinstance(conversation, TcpConversation)]
    assert len(tcp) == len(theirs["tcp"])


def icmp_quoting(quoted: bytes) -> bytes:
    return wire.ipv4(B, A, wire.ICMP, struct.pack(">BBHI", 3, 3, 0, 0) + quoted)


@pytest.mark.tshark
def test_what_icmp_errors_quote_is_counted_too(tshark: str, tmp_path: Path) -> None:
    def udp(port: int) -> bytes:
        return wire.ipv4(A, B, wire.UDP, wire.udp(A, B, port, 5684, b"abc"))

    def tcp(port: int, flags: int = ACK, sequence: int = 1, cloud: int = 5683) -> bytes:
        return wire.ipv4(A, B, wire.TCP, wire.tcp(A, B, port, cloud, sequence, 1, flags, 1000))

    packets = [
        icmp_quoting(udp(1000)), udp(1000), udp(1001),
        icmp_quoting(tcp(1)), tcp(1), tcp(3),
        icmp_quoting(tcp(5)[:28]), tcp(5), tcp(7),
        icmp_quoting(tcp(9, SYN, 55)), tcp(9, SYN, 66), tcp(9, SYN, 66), icmp_quoting(tcp(9, SYN, 77)), tcp(11),
        # Of a flow that is only counted, and of a datagram of which too little is quoted.
        tcp(1, SYN, 55, 53), icmp_quoting(tcp(1, SYN, 55, 53)), icmp_quoting(tcp(1, SYN, 77, 53)), tcp(13),
        icmp_quoting(udp(1002)[:26]), udp(1003),
    ]  # fmt: skip
    path = tmp_path / "icmp.pcap"
    path.write_bytes(capfile.pcap([capfile.Frame(n * 10**9, data, len(data)) for n, data in enumerate(packets)], 101))
    from analyzer.conversations import Conversations

    table = Conversations()
    found = [made for packet in open_capture(path, name="icmp") for made in table.feed(packet)]
    found += table.finish()
    mine = [(type(made).__name__[:3].lower(), made.stream, made.first_frame, made.last_frame) for made in found]
    # Frame 7 quotes 8 bytes of TCP only: it belongs to the flow of frame 8, but Wireshark gives it no number.
    assert sorted(mine) == [
        ("tcp", 0, 4, 5), ("tcp", 1, 6, 6), ("tcp", 2, 7, 8), ("tcp", 3, 9, 9), ("tcp", 4, 10, 13), ("tcp", 6, 14, 14),
        ("tcp", 9, 18, 18), ("udp", 0, 1, 2), ("udp", 1, 3, 3), ("udp", 2, 20, 20),
    ]  # fmt: skip
    theirs = {"tcp": extents(tshark, path, "tcp.stream"), "udp": extents(tshark, path, "udp.stream")}
    assert theirs["udp"] == {0: (1, 2), 1: (3, 3), 2: (20, 20)}
    assert theirs["tcp"] == {
        0: (4, 5), 1: (6, 6), 2: (8, 8), 3: (9, 9), 4: (10, 12), 5: (13, 13), 6: (14, 14), 7: (15, 16), 8: (17, 17), 9: (18, 18),
    }  # fmt: skip
