"""Whole capture files: every packet tshark sees, whatever the format; what is wrong with a file is said."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import Limits, open_capture
from analyzer.errors import InputError
from analyzer.packet import TCP, UDP
from captures.synth import capfile, wire

A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
MAC = bytes(6)
START = 1_700_000_000_000_000_000


def segment(number: int, payload: bytes = b"payload") -> bytes:
    return wire.ipv4(
        A, B, wire.TCP, wire.tcp(A, B, 1000, 5683, number, 7, wire.ACK, 1024, payload=payload), ident=number
    )


def frames(count: int) -> list[capfile.Frame]:
    made = []
    for number in range(1, count + 1):
        data = wire.ethernet(MAC, MAC, wire.ETHERTYPE_IPV4, segment(number, bytes([number & 255]) * (number % 50)))
        made.append(capfile.Frame(START + number * 1_000_000, data, len(data)))
    return made


def read(data: bytes, **limits):
    capture = open_capture(io.BytesIO(data), name="test", limits=Limits(**limits))
    return capture, list(capture)


def tshark_packets(tshark: str, path: Path) -> list[tuple]:
    fields = ["frame.number", "frame.time_epoch", "ip.src", "ip.dst", "ip.ttl", "ip.id"]
    fields += ["tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "tcp.window_size_value"]
    fields += ["tcp.payload", "udp.srcport", "udp.dstport", "udp.payload"]
    command = [tshark, "-r", str(path), "-Y", "tcp or (udp and not icmp)", "-T", "fields"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [tuple(line.split("\t")) for line in done.stdout.splitlines()]


@pytest.mark.tshark
@pytest.mark.parametrize(
    "name",
    [
        "capture.pcap", "capture.pcap.gz", "capture.pcapng", "capture_any_SLL.pcap", "capture_any_SLL2.pcap",
        "capture_bigendian.pcap", "capture_cut_short.pcap", "capture_ipv4.pcap", "capture_nano.pcap",
        "capture_nsec_editcap.pcap", "capture_null.pcap", "capture_ppp.pcap", "capture_pppoe.pcap", "capture_qinq.pcap",
        "capture_rawip.pcap", "capture_reversed_order.pcap", "capture_vlan.pcap",
    ],
)  # fmt: skip
def test_every_field_of_every_packet_is_as_tshark_has_it(name: str, captures: Path, tshark: str) -> None:
    path = captures / "tcp-21a-formats-good" / name
    mine = []
    for p in open_capture(path, name=name):
        common = [str(p.number), f"{p.time_ns // 10**9}.{p.time_ns % 10**9:09d}"]
        common += [".".join(map(str, p.source)), ".".join(map(str, p.destination)), str(p.ttl), f"0x{p.ip_id:04x}"]
        ports = [str(p.source_port), str(p.destination_port)]
        if p.protocol == TCP:
            tcp = [str(p.sequence), str(p.acknowledgement), f"0x{p.flags:04x}", str(p.window), p.payload.hex()]
            mine.append((*common, *ports, *tcp, "", "", ""))
        elif p.protocol == UDP:
            mine.append((*common, *[""] * 7, *ports, p.payload.hex()))
    assert mine == tshark_packets(tshark, path)
    assert len(mine) >= 37


def test_the_intact_file_is_ok_and_counted(captures: Path) -> None:
    path = captures / "tcp-21a-formats-good" / "capture.pcap"
    capture = open_capture(path, name="capture.pcap")
    list(capture)
    assert (capture.format, capture.status, capture.problems) == ("pcap", "ok", [])
    assert (capture.packets, capture.bytes, capture.link_types, capture.digits) == (42, 3883, ["ETHERNET"], 6)
    assert capture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (capture.first_ns, capture.last_ns) == (1795221215967838000, 1795221236389890000)


def test_the_first_and_last_time_do_not_depend_on_file_order(captures: Path) -> None:
    capture = open_capture(captures / "tcp-21a-formats-good" / "capture_reversed_order.pcap", name="x")
    list(capture)
    assert (capture.first_ns, capture.last_ns) == (1795221215967838000, 1795221236389890000)


def test_gzip_is_known_by_content_and_hashed_as_stored(tmp_path: Path) -> None:
    plain = capfile.pcap(frames(300))
    path = tmp_path / "no-suffix"
    path.write_bytes(gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]) + bytes(512))
    capture = open_capture(path, name="no-suffix")
    assert len(list(capture)) == 300
    assert capture.status == "ok"
    assert capture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_pcap_in_both_orders_and_resolutions(order: str, nano: bool) -> None:
    sent = [capfile.Frame(START + 123_456_789, frame.data, frame.length) for frame in frames(3)]
    capture, packets = read(capfile.pcap(sent, nano=nano, order=order))
    assert [p.number for p in packets] == [1, 2, 3]
    assert {p.time_ns for p in packets} == {START + (123_456_789 if nano else 123_456_000)}
    assert capture.digits == (9 if nano else 6)


def test_a_pipe_is_read_once_through() -> None:
    data = capfile.pcapng(frames(50))
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            for start in range(0, len(data), 7):
                pipe.write(data[start : start + 7])
                pipe.flush()

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        capture = open_capture(pipe, name="-")
        assert len(list(capture)) == 50
    thread.join()
    assert capture.status == "ok"
    assert capture.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "cut off: a pcap file header has 24 bytes, this file 6"),
        (b"hello, this is a text file and no capture at all", "text, not a capture file"),
        (b"0000005313 [system] INFO: Read Server\r\n", "text, not a capture file"),
        (b"\x00\x01 neither text nor a capture, of whatever kind it is", "not a capture file"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nMIIE", "a key or certificate, not a capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(60), "a damaged pcapng file: no section header"),
        (gzip.compress(b"", mtime=0), "empty file"),
        (gzip.compress(b"no capture either", mtime=0), "text, not a capture file"),
    ],
)
def test_what_is_no_capture_is_one_clear_line(data: bytes, problem: str) -> None:
    with pytest.raises(InputError) as raised:
        read(data)
    assert raised.value.problem == problem


def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "absent.pcap", "no such file or directory"), (tmp_path, "is a folder")):
        with pytest.raises(InputError) as raised:
            open_capture(path, name=path.name)
        assert raised.value.problem == problem


def test_a_damaged_record_ends_the_reading_there() -> None:
    data = bytearray(capfile.pcap(frames(10)))
    at = 24
    for _ in range(6):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    data[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    capture, packets = read(bytes(data))
    assert [p.number for p in packets] == [1, 2, 3, 4, 5, 6]
    assert capture.status == "partial"
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("damaged-record", 7)]
    assert capture.sha256 == hashlib.sha256(data).hexdigest()


def pcap_ends(data: bytes) -> set[int]:
    ends, at = {24}, 24
    while at < len(data):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        ends.add(at)
    return ends


def pcapng_ends(data: bytes) -> set[int]:
    ends, at = set(), 0
    while at < len(data):
        at += int.from_bytes(data[at + 4 : at + 8], "little")
        ends.add(at)
    return ends


@pytest.mark.parametrize(
    ("make", "ends"),
    [(capfile.pcap, pcap_ends), (capfile.pcapng, pcapng_ends), (lambda f: gzip.compress(capfile.pcap(f)), None)],
)
def test_every_truncation_keeps_what_is_before_it_and_says_so(make, ends) -> None:
    whole = make(frames(4))
    intact = read(whole)[1]
    clean = ends(whole) if ends else {len(whole)}
    for size in range(len(whole)):
        try:
            capture, packets = read(whole[:size])
        except InputError:
            assert size < 200
            continue
        assert packets == intact[: len(packets)]
        assert capture.status == ("ok" if size in clean else "partial")
        assert [problem.code for problem in capture.problems] == ([] if size in clean else ["cut-short"])
        for problem in capture.problems:
            assert problem.frame in (None, len(packets), len(packets) + 1)


def test_a_file_cut_inside_a_packet_names_the_frame() -> None:
    whole = capfile.pcap(frames(4))
    capture, packets = read(whole[:-1])
    assert len(packets) == 3
    assert capture.problems == [
        ("cut-short", "the file ends in the middle of frame 4; everything before it was used", 4, None)
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_never_raise(data) -> None:
    whole = bytearray(data.draw(st.sampled_from([capfile.pcap(frames(5)), capfile.pcapng(frames(5))])))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        capture, _ = read(bytes(whole))
    except InputError:
        return
    assert capture.packets <= len(whole)


class Failing(io.BytesIO):
    """A disk that gives up at some point."""

    def __init__(self, data: bytes, at: int) -> None:
        super().__init__(data)
        self.at = at

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.at:
            raise OSError(5, "Input/output error")
        return super().read(min(size or 0, self.at - self.tell()))


def test_a_read_error_keeps_what_was_read() -> None:
    data = capfile.pcap(frames(10))
    capture = open_capture(Failing(data, 500), name="broken disk")
    packets = list(capture)
    assert 0 < len(packets) < 10
    assert capture.status == "partial"
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("read-error", len(packets) + 1)]
    assert capture.sha256 is None


def test_a_read_error_at_once_is_an_input_error() -> None:
    with pytest.raises(InputError, match="Input/output error"):
        open_capture(Failing(b"", 0), name="broken disk")


def test_limits_are_said_when_they_are_reached() -> None:
    capture, packets = read(capfile.pcap(frames(10)), packets=4)
    assert (len(packets), capture.packets, capture.status) == (4, 4, "partial")
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("limit-packets", 5)]
    capture, packets = read(capfile.pcap(frames(10)), packets=10)
    assert (len(packets), capture.status) == (10, "ok")


def test_a_gzip_bomb_costs_no_memory_and_ends_at_the_limit() -> None:
    bomb = gzip.compress(capfile.pcap(frames(3)) + bytes(50_000_000))
    assert len(bomb) < 60_000
    capture, packets = read(bomb, expanded=1_000_000)
    assert len(packets) == 3
    assert capture.packets < 70_000
    assert "limit-bytes" in [problem.code for problem in capture.problems]
    assert capture.status == "partial"


def test_damaged_gzip_data_keeps_what_came_out() -> None:
    packed = bytearray(capfile.gzip(capfile.pcap(frames(2000))))
    second_block = 10 + 5 + 0xFFFF
    packed[second_block + 1] ^= 0x40
    capture, packets = read(bytes(packed))
    assert [(problem.code, problem.frame) for problem in capture.problems] == [("damaged-gzip", len(packets) + 1)]
    assert capture.status == "partial"
    assert 500 < len(packets) < 2000


def test_leaving_early_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(capfile.pcap(frames(5)))
    capture = open_capture(path, name="a.pcap")
    packets = iter(capture)
    assert next(packets).number == 1
    packets.close()
    assert capture.packets == 1
    assert capture.sha256 is None
    with pytest.raises(ValueError, match="closed"):
        capture._file.read(1)


def test_secrets_are_not_shown(captures: Path) -> None:
    capture = open_capture(captures / "dtls-14a-good-pcapng-dsb" / "capture.pcapng", name="x")
    list(capture)
    assert len(capture.secrets) == 1
    assert capture.secrets[0].startswith((b"CLIENT_RANDOM", b"#"))
    assert b"CLIENT_RANDOM" in capture.secrets[0]
    assert "CLIENT_RANDOM" not in repr(capture._notes)
