"""What others put before, or into the beginning of, a connection: a load balancer's header, data in the SYN."""

from __future__ import annotations

import io
import random
import struct
from dataclasses import replace
from socket import inet_aton

import pytest

from analyzer.exports.redact import redact
from analyzer.keys import load_keys
from analyzer.model import Code
from analyzer.pipeline import analyze_capture
from tests.wire.frames import TCP, Frame, checksum, pcap
from tests.wire.handed import GENUINE, genuine, original, report, verdicts

TEXT = b"PROXY TCP4 198.51.100.77 203.0.113.10 56324 5683\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BINARY = (
    SIGNATURE
    + b"\x21\x11\0\x0c"
    + inet_aton("198.51.100.77")
    + inet_aton("203.0.113.10")
    + struct.pack("!HH", 56324, 5683)
)
ADDED = b"\x21\x11\0\x14" + BINARY[16:] + b"\x04\0\x05hello"  # an addition (TLV) behind the addresses
LOCAL = SIGNATURE + b"\x20\0\0\0"
SIX = SIGNATURE + b"\x21\x21\0\x24" + bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 1, 2)
HEADERS = {
    "v1": TEXT,
    "v2": BINARY,
    "v2 with more": SIGNATURE + ADDED,
    "v2 of its own": LOCAL,
    "v2 for IPv6": SIX,
    "v1 unknown": b"PROXY UNKNOWN\r\n",
}


def _segment(item: Frame, sequence: int, data: bytes, flags: int) -> Frame:
    """A packet like ``item`` with that sequence number and payload."""
    head = bytearray(item.data[: item.payload])
    head[item.ip + 2 : item.ip + 4] = (item.payload - item.ip + len(data)).to_bytes(2, "big")
    head[item.ip + 10 : item.ip + 12] = b"\0\0"
    head[item.ip + 10 : item.ip + 12] = checksum(bytes(head[item.ip : item.l4])).to_bytes(2, "big")
    head[item.l4 + 4 : item.l4 + 8] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    head[item.l4 + 13] = flags
    return _summed(replace(item, data=bytes(head) + data, wire=len(head) + len(data)))


def _summed(item: Frame) -> Frame:
    data = bytearray(item.data[: item.end])
    data[item.l4 + 16 : item.l4 + 18] = b"\0\0"
    pseudo = bytes(data[item.ip + 12 : item.ip + 20]) + struct.pack("!BBH", 0, TCP, len(data) - item.l4)
    data[item.l4 + 16 : item.l4 + 18] = checksum(pseudo + bytes(data[item.l4 :])).to_bytes(2, "big")
    return replace(item, data=bytes(data), wire=len(data))


def behind_a_load_balancer(frames: tuple[Frame, ...], header: bytes, port: int = 5683) -> list[Frame]:
    """The same connections with ``header`` before the device's first byte: later numbers move on by its length."""
    found: list[Frame] = []
    begun: dict[tuple[bytes, int], int] = {}
    for item in frames:
        if item.protocol != TCP:
            found.append(item)
            continue
        source, at, destination, to = item.ends
        flags = item.data[item.l4 + 13]
        sequence = int.from_bytes(item.data[item.l4 + 4 : item.l4 + 8], "big")
        ack = item.l4 + 8
        if to == port and flags & 2:
            begun[source, at] = sequence + 1
            found.append(item)
        elif to == port:
            data = item.data[item.payload : item.end]
            later = len(header) if sequence != begun.get((source, at)) or data or flags & 1 else 0
            first = (source, at) in begun and sequence == begun[source, at] and not flags & 5
            if first and not data:
                found.append(item)
                found.append(_segment(item.at(item.ns + 1000), sequence, header, 0x18))
                begun[source, at] = -1
            else:
                found.append(_segment(item, sequence + later, data, flags))
        else:
            old = bytearray(item.data)
            if not flags & 2 and flags & 16 and (destination, to) in begun:
                value = int.from_bytes(old[ack : ack + 4], "big") + len(header)
                old[ack : ack + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")
            found.append(_summed(replace(item, data=bytes(old))))
    return sorted(found, key=lambda item: item.ns)


CASES = [
    name for name in GENUINE
    if name.startswith("tcp-0") and name[4:7] not in {"05-", "07a", "07b", "08a", "09a"} or name in {"tcp-15a-segmented-good", "tcp-26a-blank-server-key-brewskey"}
]  # fmt: skip


#: Every case with one kind of header, the first with all.
PAIRS = [(CASES[0], kind) for kind in HEADERS] + [
    (name, list(HEADERS)[number % len(HEADERS)]) for number, name in enumerate(CASES) if number
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_load_balancers_header_is_named_and_the_verdict_stays(name: str, kind: str) -> None:
    link, frames = genuine(name)
    seen = behind_a_load_balancer(frames, HEADERS[kind])
    found = report(pcap(link, seen), name)
    assert verdicts(found) == verdicts(original(name))
    for session in found.sessions:
        finding = next(finding for finding in session.findings if finding.code == "proxy-header")
        assert ("198.51.100.77:56324" in finding.summary) is (b"TCP4" in HEADERS[kind] or b"\x21\x11" in HEADERS[kind])
        sizes = {stage.stage: stage.bytes for stage in session.stages}
        assert sizes.get("identity", 256) == 256


def test_a_redacted_capture_names_nobody_in_the_header(tmp_path) -> None:
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    for kind in ("v1", "v2"):
        capture, output = tmp_path / f"{kind}.pcap", tmp_path / f"{kind}.pcapng"
        capture.write_bytes(pcap(link, behind_a_load_balancer(frames, HEADERS[kind])))
        before = analyze_capture(capture, load_keys([]))
        redact(before, capture, output, salt=b"salt" * 8)
        data = output.read_bytes()
        assert b"198.51.100.77" not in data
        assert inet_aton("198.51.100.77") not in data
        after = analyze_capture(output, load_keys([]))
        assert [session.verdict.code for session in after.sessions] == [
            session.verdict.code for session in before.sessions
        ]
        assert any(finding.code == "proxy-header" for session in after.sessions for finding in session.findings)


@pytest.mark.parametrize("size", [1, 40, 255, 256, 257, 517, 1200])
@pytest.mark.parametrize("answer", [40, 256, 384, 1400])
def test_tcp_fast_open_is_no_device(size: int, answer: int) -> None:
    """Data in the SYN on port 443, taken by the server: the client speaks first, so that no cloud can be meant."""
    draw = random.Random(size * 4001 + answer)
    client, server = (inet_aton("192.168.1.9"), 50_000), (inet_aton("93.184.216.34"), 443)
    i, j = draw.getrandbits(31), draw.getrandbits(31)
    talk = [
        (client, i, 0, 2, size),
        (server, j, i + 1 + size, 18, 0),
        (client, i + 1 + size, j + 1, 16, 0),
        (server, j + 1, i + 1 + size, 24, answer),
        (client, i + 1 + size, j + 1 + answer, 24, 256),
        (server, j + 1 + answer, i + 257 + size, 16, 0),
    ]
    frames = []
    for number, (sender, sequence, ack, flags, length) in enumerate(talk):
        other = server if sender == client else client
        tcp = struct.pack("!HHIIBBHHH", sender[1], other[1], sequence, ack, 0x50, flags, 64240, 0, 0) + draw.randbytes(
            length
        )
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), number + 1, 0x4000, 64, TCP, 0) + sender[0] + other[0]
        data = bytes(12) + b"\x08\0" + ip + tcp
        frames.append(_summed(Frame(10**18 + number * 10**7, data, len(data), 14)))
    assert analyze_capture(io.BytesIO(pcap(1, frames)), load_keys([]), name="x").sessions == ()


def test_a_healthy_session_behind_a_load_balancer_is_healthy() -> None:
    name = "tcp-01a-good-brewskey-fw063"
    link, frames = genuine(name)
    (session,) = report(pcap(link, behind_a_load_balancer(frames, BINARY)), name).sessions
    assert session.verdict.code is Code.HEALTHY
