"""The classic pcap format and its variants."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import time
from pathlib import Path

import pytest

from analyzer.capture import open_capture, pcap
from analyzer.capture import source as source_module
from analyzer.capture.records import Limits, Notes
from analyzer.capture.source import Source
from captures.synth import capfile, wire

A, B = wire.address("10.0.0.1"), wire.address("10.0.0.2")


def datagram(number: int) -> bytes:
    return wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 1000 + number, 5684, b"abc"))


def file(order: str, magic: int, records: list[bytes], link: int = 101, minor: int = 4) -> bytes:
    return struct.pack(order + "IHHiIII", magic, 2, minor, 0, 0, 65535, link) + b"".join(records)


def record(order: str, data: bytes, extra: int = 0, swap: bool = False, wire_length: int | None = None) -> bytes:
    lengths = [len(data), len(data) if wire_length is None else wire_length]
    return struct.pack(order + "IIII", 1000, 5, *(lengths[::-1] if swap else lengths)) + bytes(extra) + data


def read(data: bytes):
    capture = open_capture(io.BytesIO(data), name="test")
    return capture, [(p.number, p.time_ns, p.source_port, p.payload) for p in capture]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("magic", "extra", "time_ns"),
    [
        (0xA1B2C3D4, 0, 1_000_000_005_000),
        (0xA1B23C4D, 0, 1_000_000_000_005),
        (0xA1B2CD34, 8, 1_000_000_005_000),
    ],
)
def test_every_magic_number(order: str, magic: int, extra: int, time_ns: int) -> None:
    data = file(order, magic, [record(order, datagram(n), extra) for n in (1, 2)])
    _, packets = read(data)
    assert packets == [(1, time_ns, 1001, b"abc"), (2, time_ns, 1002, b"abc")]


@pytest.mark.tshark
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
def test_tshark_reads_the_same(magic: int, tshark: str, tmp_path: Path) -> None:
    extra = 8 if magic == 0xA1B2CD34 else 0
    data = file(">", magic, [record(">", datagram(n), extra) for n in (1, 2)])
    path = tmp_path / "t.pcap"
    path.write_bytes(data)
    done = subprocess.run(
        [tshark, "-r", str(path), "-T", "fields", "-e", "frame.time_epoch", "-e", "udp.srcport"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    mine = [f"{t // 10**9}.{t % 10**9:09d}\t{port}" for _, t, port, _ in read(data)[1]]
    assert done.stdout.splitlines() == mine


def test_the_upper_bits_of_the_link_type_are_not_the_link_type() -> None:
    capture, packets = read(file("<", 0xA1B2C3D4, [record("<", datagram(1))], link=101 | 0x54000000))
    assert len(packets) == 1
    assert capture.link_types == ["RAW"]


def test_very_old_files_swap_the_lengths() -> None:
    data = file("<", 0xA1B2C3D4, [record("<", datagram(1), swap=True, wire_length=900)], minor=2)
    _, packets = read(data)
    assert packets == [(1, 1_000_000_005_000, 1001, b"abc")]


def test_a_file_without_packets_is_a_capture() -> None:
    capture, packets = read(file("<", 0xA1B2C3D4, []))
    assert (packets, capture.status, capture.packets) == ([], "ok", 0)
    assert (capture.first_ns, capture.last_ns) == (None, None)


def test_a_long_packet_of_a_link_type_that_may_have_them_is_passed_over() -> None:
    big = struct.pack("<IIII", 0, 0, 3_000_000, 3_000_000) + bytes(3_000_000)
    capture, packets = read(file("<", 0xA1B2C3D4, [big, big], link=231))
    assert (packets, capture.packets, capture.status) == ([], 2, "partial")
    capture, packets = read(file("<", 0xA1B2C3D4, [big[:-1]], link=231))
    assert [problem.code for problem in capture.problems] == ["cut-short"]
    capture, packets = read(file("<", 0xA1B2C3D4, [big, big], link=1))
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("damaged-record", 1)]


def test_nothing_moves_while_it_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash is the file's however late its thread comes to look at a window (a busy machine)."""
    hashing, late = source_module._hash, []

    def slow(*given: object) -> None:
        late.append(time.sleep(0.05))
        hashing(*given)

    monkeypatch.setattr(source_module, hashing.__name__, slow)
    sent = [capfile.Frame(1_000_000_000 * number, bytes([number % 251]) * 1000, 1000) for number in range(3000)]
    data = capfile.pcap(sent)
    notes = Notes()
    source = Source(io.BytesIO(data), notes, Limits())
    head = source.more(1)
    header = pcap.read_header(head)
    assert header is not None
    blocks = list(pcap.read_blocks(source, head, header, notes, size=1 << 18))
    source.drain()
    assert len(blocks) > 5 and len(late) > 5
    assert source.sha256() == hashlib.sha256(data).hexdigest()
