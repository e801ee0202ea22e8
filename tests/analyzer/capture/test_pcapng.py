"""pcapng block by block: frames and times as tshark has them; names, secrets and damage."""

from __future__ import annotations

import io
import struct
import subprocess
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from captures.synth import wire

A, B = wire.address("10.0.0.1"), wire.address("10.0.0.2")
RAW, ETHERNET = 101, 1


def datagram(number: int) -> bytes:
    return wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 1000 + number, 5684, b"abc"))


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = RAW, snap: int = 0, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(data: bytes, ticks: int = 0, number: int = 0, order: str = "<", comment: bytes = b"") -> bytes:
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    options = option(1, comment, order) + bytes(4) if comment else b""
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def read(data: bytes):
    capture = open_capture(io.BytesIO(data), name="test")
    return capture, list(capture)


def tshark_frames(tshark: str, path: Path, data: bytes) -> list[tuple[int, str, str]]:
    path.write_bytes(data)
    fields = ["-e", "frame.number", "-e", "frame.time_epoch", "-e", "udp.srcport"]
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", *fields], capture_output=True, text=True, check=False
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [(int(row[0]), row[1], row[2]) for row in rows]


OTHER_BLOCKS = {
    "names": block(4, struct.pack("<HH", 1, 6) + A + b"a\0" + bytes(2) + bytes(4)),
    "statistics": block(5, bytes(12)),
    "irig": block(7, b"abcd"),
    "arinc": block(8, b"abcd"),
    "journal": block(9, b"__REALTIME_TIMESTAMP=1467039600000000\nMESSAGE=x\n"),
    "secrets": block(10, struct.pack("<II", 0x544C534B, 4) + b"abcd"),
    "sysdig-machine": block(0x201, b"abcdabcd"),
    "sysdig-event": block(0x204, struct.pack("<HQQIHH", 0, 1000, 5, 30, 7, 0) + bytes(8)),
    "sysdig-event-flags": block(0x208, struct.pack("<HIQQIH", 0, 0, 1000, 5, 30, 7) + bytes(8)),
    "sysdig-event-2": block(0x216, struct.pack("<HQQIHII", 0, 1000, 5, 30, 7, 0, 0)),
    "sysdig-event-2-large": block(0x221, struct.pack("<HQQIHI", 0, 1000, 5, 30, 7, 0) + bytes(8)),
    "sysdig-event-2-flags": block(0x217, bytes(40)),
    "custom": block(0xBAD, struct.pack("<I", 32473) + b"hello"),
    "custom-no-copy": block(0x40000BAD, struct.pack("<I", 32473) + b"hello"),
    "unknown": block(0x77, b"zzzz"),
    "local": block(0x80000001, b"abcd"),
    "empty": block(0x99, b""),
    "simple": block(3, struct.pack("<I", len(datagram(5))) + datagram(5)),
    "old": block(2, struct.pack("<HHIIII", 0, 0, 0, 7, len(datagram(6)), len(datagram(6))) + datagram(6)),
    "section": section(">") + interface(order=">") + enhanced(datagram(7), 9, order=">") + section() + interface(),
}


@pytest.mark.tshark
@pytest.mark.parametrize("name", OTHER_BLOCKS)
def test_frame_numbers_are_wiresharks_whatever_lies_between(name: str, tshark: str, tmp_path: Path) -> None:
    data = section() + interface() + enhanced(datagram(1), 1) + OTHER_BLOCKS[name] + enhanced(datagram(2), 2)
    theirs = [(number, port) for number, _, port in tshark_frames(tshark, tmp_path / "t.pcapng", data) if port]
    capture, packets = read(data)
    assert [(p.number, str(p.source_port)) for p in packets] == theirs
    assert capture.status == "ok"
    assert capture.packets == max(number for number, *_ in tshark_frames(tshark, tmp_path / "t.pcapng", data))


@pytest.mark.tshark
@pytest.mark.parametrize("resolution", [0, 3, 6, 7, 9, 10, 12, 0x80 | 10, 0x80 | 20, 0x80 | 32, 0x80])
def test_times_in_every_resolution(resolution: int, tshark: str, tmp_path: Path) -> None:
    options = option(9, bytes([resolution])) + option(14, struct.pack("<q", 100)) + bytes(4)
    # tshark 4.0 multiplies the fraction in 64 bits: picoseconds of more than 18 ms overflow there.
    ticks = {0: 1_234_567, 0x80: 1_234_567, 12: 123_012_345_678_901}.get(resolution, 123_456_789_012_345)
    data = section() + interface(options=options) + enhanced(datagram(1), ticks)
    ((_, theirs, _),) = tshark_frames(tshark, tmp_path / "t.pcapng", data)
    _, (packet,) = read(data)
    assert f"{packet.time_ns // 10**9}.{packet.time_ns % 10**9:09d}" == theirs


@pytest.mark.parametrize(("resolution", "digits"), [(3, 6), (6, 6), (7, 9), (9, 9), (0x80 | 10, 6), (0x80 | 30, 9)])
def test_the_precision_of_the_capture(resolution: int, digits: int) -> None:
    capture, _ = read(section() + interface(options=option(9, bytes([resolution]))))
    assert capture.digits == digits


def test_a_negative_offset_and_a_time_beyond_every_calendar() -> None:
    back = option(14, struct.pack("<q", -10))
    capture, (packet,) = read(section() + interface(options=back) + enhanced(datagram(1), 11_000_000))
    assert packet.time_ns == 1_000_000_000
    assert not capture.problems
    data = section() + interface(options=option(9, b"\0"))
    data += enhanced(datagram(1), 77) + enhanced(datagram(2), 1 << 60)
    capture, packets = read(data)
    assert [p.time_ns for p in packets] == [77_000_000_000, 77_000_000_000]
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("absurd-time", 2)]


@pytest.mark.parametrize("order", "<>")
def test_several_interfaces_of_different_link_types(order: str) -> None:
    frame = wire.ethernet(bytes(6), bytes(6), wire.ETHERTYPE_IPV4, datagram(2))
    data = section(order) + interface(RAW, order=order) + interface(ETHERNET, order=order)
    data += (
        enhanced(datagram(1), 1, 0, order, b"a comment")
        + enhanced(frame, 2, 1, order)
        + enhanced(datagram(3), 3, 0, order)
    )
    capture, packets = read(data)
    assert [(p.number, p.source_port, p.time_ns) for p in packets] == [
        (1, 1001, 1000),
        (2, 1002, 2000),
        (3, 1003, 3000),
    ]
    assert capture.link_types == ["RAW", "ETHERNET"]
    assert capture.format == "pcapng"


def test_a_new_section_forgets_the_interfaces() -> None:
    data = section() + interface(RAW) + enhanced(datagram(1)) + section(">") + enhanced(datagram(2), order=">")
    capture, packets = read(data)
    assert [p.number for p in packets] == [1]
    assert capture.packets == 2
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("unknown-interface", 2)]


def test_a_simple_packet_is_cut_at_the_snap_length_and_has_the_time_before_it() -> None:
    data = section() + interface(snap=40) + enhanced(datagram(1), 5)
    data += block(3, struct.pack("<I", 1000) + datagram(2)[:40])
    capture, packets = read(data)
    assert [(p.number, p.time_ns, p.payload) for p in packets] == [(1, 5000, b"abc"), (2, 5000, b"abc")]
    assert [problem.code for problem in capture.problems] == ["no-time", "snap-length"]


def test_a_first_packet_without_a_time_has_the_next_one_s_and_that_is_said_once() -> None:
    data = section() + interface() + block(3, struct.pack("<I", len(datagram(1))) + datagram(1))
    data += b"".join(enhanced(datagram(number), 1_700_000_000_000_000 + number) for number in range(2, 9))
    capture, packets = read(data)
    assert [p.number for p in packets] == list(range(1, 9))
    assert packets[0].time_ns // 10**9 == 1_700_000_000
    assert [problem.code for problem in capture.problems] == ["no-time"]


def test_a_file_of_simple_packets_has_no_times() -> None:
    capture, packets = read(section() + interface() + block(3, struct.pack("<I", 31) + datagram(2)))
    assert len(packets) == 1
    assert (capture.first_ns, capture.last_ns) == (None, None)


def test_names_and_secrets() -> None:
    six = wire.address("2001:db8::1")
    names = struct.pack("<HH", 1, 4 + 18) + A + b"device.spark.io\0x\0" + bytes(3)
    names = names[:-1] + struct.pack("<HH", 2, 16 + 3) + six + b"ab\0" + bytes(1) + struct.pack("<HH", 9, 3) + bytes(4)
    data = section() + block(4, names) + block(10, struct.pack("<II", 0x544C534B, 5) + b"KEYLO")
    data += block(10, struct.pack("<II", 0x57474B4C, 4) + b"wire")
    capture, _ = read(data)
    assert capture.names == {A: "device.spark.io", six: "ab"}
    assert capture.secrets == [b"KEYLO"]
    assert "KEYLO" not in repr(capture._notes)


def test_secrets_are_bounded() -> None:
    big = block(10, struct.pack("<II", 0x544C534B, 6 << 20) + bytes(6 << 20))
    capture, _ = read(section() + big * 4)
    assert sum(map(len, capture.secrets)) <= 16 << 20


def old(data: bytes, interface: int = 0, ticks: int = 0, captured: int | None = None) -> bytes:
    """An obsolete packet block."""
    size = len(data) if captured is None else captured
    head = struct.pack("<HHIIII", interface, 0, ticks >> 32, ticks & 0xFFFFFFFF, size, len(data))
    return block(2, head + data + bytes(-len(data) % 4))


@pytest.mark.tshark
def test_old_packets_read_as_tshark_reads_them(tshark: str, tmp_path: Path) -> None:
    data = section() + interface() + old(datagram(1), ticks=7_000_001) + old(datagram(2), ticks=8_000_002)
    capture, packets = read(data)
    assert capture.problems == []
    theirs = tshark_frames(tshark, tmp_path / "old.pcapng", data)
    assert [(p.number, f"{p.time_ns / 1e9:.9f}", str(p.source_port)) for p in packets] == theirs


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (old(datagram(1), interface=1), "unknown-interface"),
        (old(datagram(1), ticks=2**63), "absurd-time"),
        (old(datagram(1), captured=1000), "damaged-record"),
    ],
)
def test_what_is_wrong_with_an_old_packet_is_said(packet: bytes, code: str) -> None:
    capture, packets = read(section() + interface() + enhanced(datagram(7), 5) + packet + enhanced(datagram(8), 6))
    assert [(problem.code, problem.frame) for problem in capture.problems] == [(code, 2)]
    kept = {"damaged-record": [1], "unknown-interface": [1, 3], "absurd-time": [1, 2, 3]}[code]
    assert [p.number for p in packets] == kept
    if code == "absurd-time":
        assert packets[1].time_ns == packets[0].time_ns, "the time before it"


def test_a_simple_packet_before_any_interface_is_counted() -> None:
    simple = block(3, struct.pack("<I", len(datagram(2))) + datagram(2))
    capture, packets = read(section() + simple + interface() + enhanced(datagram(1)))
    assert [p.number for p in packets] == [2]
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("unknown-interface", 1)]


def test_an_interface_that_is_cut_keeps_its_number() -> None:
    """Its packets are of no link type; those of the interface behind it are what they were."""
    capture, packets = read(
        section() + block(1, b"cut!") + interface() + enhanced(datagram(1)) + enhanced(datagram(2), number=1)
    )
    assert [p.number for p in packets] == [2]
    assert capture.packets == 2


def test_secrets_that_are_cut_are_none() -> None:
    capture, packets = read(section() + interface() + block(10, b"cut!") + enhanced(datagram(1)))
    assert (capture.secrets, capture.status, len(packets)) == ([], "ok", 1)


def test_a_long_unknown_block_is_passed_over() -> None:
    capture, packets = read(section() + interface() + block(0x99, bytes(20 << 20)) + enhanced(datagram(1)))
    assert [p.number for p in packets] == [1]
    assert capture.status == "ok"


@pytest.mark.parametrize(
    ("damage", "code", "frame"),
    [
        (struct.pack("<II", 6, 8) + bytes(40), "damaged-record", 2),
        (struct.pack("<II", 6, 17 << 20) + bytes(40), "damaged-record", 2),
        (struct.pack("<II", 5, 4) + bytes(40), "damaged-record", 2),
        (enhanced(datagram(2))[:-4] + b"\x01\x00\x00\x00", "damaged-record", 2),
        (enhanced(datagram(2))[:20] + b"\xff\xff\x00\x00" + enhanced(datagram(2))[24:], "damaged-record", 2),
        (block(2, bytes(4)), "damaged-record", 2),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "damaged-record", 2),
        (enhanced(datagram(2))[:-1], "cut-short", 2),
        (block(5, bytes(12))[:-1], "cut-short", 1),
        (b"\x06\x00", "cut-short", 1),
    ],
)
def test_damage_ends_the_reading_there(damage: bytes, code: str, frame: int) -> None:
    capture, packets = read(section() + interface() + enhanced(datagram(1)) + damage)
    assert [p.number for p in packets] == [1]
    assert capture.status == "partial"
    assert [(problem.code, problem.frame) for problem in capture.problems] == [(code, frame)]


def test_interfaces_are_bounded() -> None:
    capture, packets = read(section() + interface() * 70_000 + enhanced(datagram(1), number=69_999))
    assert packets == []
    assert [problem.code for problem in capture.problems] == ["unknown-interface"]
