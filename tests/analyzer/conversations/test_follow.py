"""The oracle: `tshark -z follow` puts the same bytes together, on genuine sessions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.conversations import Gap, TcpConversation
from analyzer.packet import TCP
from tests.analyzer.conversations.talk import converse

INTACT = [
    "tcp-01a-good-brewskey-fw063", "tcp-01h-good-core-style", "tcp-07b-captive-portal-html", "tcp-12-syn-refused",
    "tcp-13a-truncated-session-key-fin", "tcp-15a-segmented-good", "tcp-17-gateway-mixed", "tcp-19-mid-session",
    "tcp-24-same-id-twice",
]  # fmt: skip


def follow(tshark: str, path: Path, stream: int) -> dict[str, bytes]:
    """Both directions of a stream as tshark's Follow has them, by the sender's address."""
    done = subprocess.run(
        [tshark, "-r", str(path), "-q", "-z", f"follow,tcp,raw,{stream}"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    nodes = [line.split(": ")[1] for line in lines if line.startswith("Node ")]
    found = dict.fromkeys(nodes, b"")
    for line in lines[lines.index(f"Node 1: {nodes[1]}") + 1 : -1]:
        found[nodes[1] if line.startswith("\t") else nodes[0]] += bytes.fromhex(line.strip())
    return found


@pytest.mark.tshark
@pytest.mark.parametrize("name", INTACT)
def test_the_bytes_are_those_tshark_follows(name: str, captures: Path, tshark: str) -> None:
    path = captures / name / "capture.pcap"
    found = [c for c in converse(open_capture(path, name=name)) if isinstance(c, TcpConversation)]
    assert found
    for conversation in found[:6]:
        assert conversation.stream is not None
        theirs = follow(tshark, path, conversation.stream)
        for end in (conversation.device, conversation.cloud):
            direction = [
                p for p in conversation.pieces if (p.direction == "device-to-cloud") == (end is conversation.device)
            ]
            assert not [piece for piece in direction if isinstance(piece, Gap)]
            assert b"".join(getattr(piece, "data", b"") for piece in direction) == theirs.get(str(end), b"")


FORMATS = [
    "capture.pcap.gz", "capture.pcapng", "capture_any_SLL.pcap", "capture_any_SLL2.pcap", "capture_bigendian.pcap",
    "capture_ipv4.pcap", "capture_nano.pcap", "capture_null.pcap", "capture_ppp.pcap", "capture_pppoe.pcap",
    "capture_qinq.pcap", "capture_rawip.pcap", "capture_reversed_order.pcap", "capture_vlan.pcap",
]  # fmt: skip


def said(path: Path) -> list[tuple]:
    """A capture's only TCP session without what depends on the file: directions, offsets, bytes, roles."""
    (conversation,) = [c for c in converse(open_capture(path, name=path.name)) if isinstance(c, TcpConversation)]
    rows: list[tuple] = [(str(conversation.device), str(conversation.cloud), conversation.role_source)]
    for piece in conversation.pieces:
        rows.append((type(piece).__name__, piece.direction, getattr(piece, "data", None)))
    facts = conversation.facts
    rows.append((len(facts.syn), facts.retransmissions, facts.out_of_order, facts.keepalives, facts.conflicts))
    return rows


@pytest.mark.parametrize("name", FORMATS)
def test_one_session_in_many_formats_reads_the_same(name: str, captures: Path) -> None:
    folder = captures / "tcp-21a-formats-good"
    assert said(folder / name) == said(folder / "capture.pcap")


def test_packets_seen_on_three_interfaces_are_duplicates(captures: Path) -> None:
    path = captures / "tcp-21a-formats-good" / "capture_any_SLL2.pcap"
    packets = [p for p in open_capture(path, name="any") if p.protocol == TCP]
    (conversation,) = [c for c in converse(packets) if isinstance(c, TcpConversation)]
    assert len(packets) == 3 * 37
    assert len(conversation.facts.duplicates) == 2 * 37
    assert conversation.facts.retransmissions == ()


def tshark_frames(tshark: str, path: Path, display_filter: str) -> set[int]:
    done = subprocess.run(
        [tshark, "-r", str(path), "-Y", display_filter, "-T", "fields", "-e", "frame.number"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {int(line) for line in done.stdout.split()}


@pytest.mark.tshark
@pytest.mark.parametrize(
    "name", ["tcp-15a-segmented-good", "tcp-01a-good-brewskey-fw063", "tcp-14a-corrupt-record-to-cloud"]
)
def test_what_tcp_tells_is_what_tshark_finds(name: str, captures: Path, tshark: str) -> None:
    path = captures / name / "capture.pcap"
    found = [c for c in converse(open_capture(path, name=name)) if isinstance(c, TcpConversation)]
    again = {frame for c in found for frame, _ in c.facts.retransmissions + c.facts.out_of_order}
    again |= {frame for c in found for frame in c.facts.duplicates}
    # tshark tells these apart by round-trip times, which we do not measure, and knows no duplicates.
    assert again == tshark_frames(
        tshark, path, "tcp.port == 5683 and (tcp.analysis.retransmission or tcp.analysis.out_of_order)"
    )
    alive = {note.frame for c in found for note in c.facts.keepalives}
    assert alive == tshark_frames(tshark, path, "tcp.port == 5683 and tcp.analysis.keep_alive")


@pytest.mark.tshark
@pytest.mark.parametrize("name", ["tcp-17-gateway-mixed", "tcp-15c-message2-split-breaks-server"])
def test_each_filter_selects_exactly_its_session(name: str, captures: Path, tshark: str) -> None:
    path = captures / name / "capture.pcap"
    packets = list(open_capture(path, name=name))
    for conversation in converse(packets)[:8]:
        ends = {str(conversation.device), str(conversation.cloud)}
        mine = {
            p.number for p in packets
            if p.protocol == TCP
            and {f"{'.'.join(map(str, p.source))}:{p.source_port}", f"{'.'.join(map(str, p.destination))}:{p.destination_port}"} == ends
        }  # fmt: skip
        assert tshark_frames(tshark, path, conversation.filter) == mine
