"""Blocks as Wireshark reads them, and as our own reader does."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import open_capture
from analyzer.exports.pcapng_writer import ENHANCED, SECTION, UPPER_PDU, PcapngWriter

ORDERS = pytest.mark.parametrize("order", ["<", ">"])


def records(data: bytes, *, cut: bool = False):
    capture = open_capture(io.BytesIO(data), name="test")
    found = list(capture.records())
    assert [problem.code for problem in capture.problems] == (["snap-length"] if cut else [])
    return capture, found


@ORDERS
@given(
    start=st.integers(0, 2**63 // 2),
    # Times as one capture has them, within a year: the reader mends others.
    packets=st.lists(
        st.tuples(
            st.integers(0, 365 * 86_400 * 10**9), st.binary(max_size=70), st.integers(0, 2000), st.text(max_size=30)
        ),
        max_size=5,
    ),
)
def test_packets_come_back_as_they_were(order: str, start: int, packets) -> None:
    writer = PcapngWriter(order)
    data = writer.section() + writer.interface(1)
    for after_ns, packet, more, comment in packets:
        data += writer.packet(0, start + after_ns, packet, len(packet) + more, comments=(comment,))
    _, found = records(data, cut=any(more for _, _, more, _ in packets))
    assert found == [
        (number, start + after_ns, 1, packet, len(packet) + more)
        for number, (after_ns, packet, more, _) in enumerate(packets, 1)
    ]


@ORDERS
def test_microseconds_stay_microseconds(order: str) -> None:
    writer = PcapngWriter(order)
    data = (
        writer.section()
        + writer.interface(1, digits=6)
        + writer.packet(0, 1_700_000_000_123_456_000, b"x", 1, digits=6)
    )
    capture, found = records(data)
    assert capture.digits == 6
    assert found[0][1] == 1_700_000_000_123_456_000


@ORDERS
def test_names_and_secrets_are_found_by_the_reader(order: str) -> None:
    writer = PcapngWriter(order)
    names = {bytes((10, 0, 0, 1)): "device-a", bytes(15) + b"\1": "cloud.example"}
    capture, _ = records(writer.section() + writer.secrets(b"CLIENT_RANDOM 00 11\n") + writer.names(names))
    assert capture.names == names
    assert capture.secrets == [b"CLIENT_RANDOM 00 11\n"]


@ORDERS
def test_a_comment_is_added_behind_the_options_there_are(order: str) -> None:
    writer = PcapngWriter(order)
    block = writer.packet(0, 5, b"abcde", 9, comments=("first",))
    body = block[8:-4]
    again = writer.commented(ENHANCED, body, ("second", "third"))
    options = list(writer.read_options(again[8:-4], 28))
    assert options == [(1, b"first"), (1, b"second"), (1, b"third")]
    assert again[8 : 8 + 25] == body[:25]


@ORDERS
def test_a_section_with_a_length_loses_it_when_it_grows(order: str) -> None:
    writer = PcapngWriter(order)
    body = bytearray(writer.section()[8:-4])
    body[8:16] = (1234).to_bytes(8, "little" if order == "<" else "big")
    again = writer.commented(SECTION, bytes(body), ("x",))
    assert again[16:24] == b"\xff" * 8
    assert list(writer.read_options(again[8:-4], 16)) == [(1, b"x")]


def test_options_that_run_over_the_end_stop_there() -> None:
    writer = PcapngWriter()
    assert list(writer.read_options(b"\1\0\2\0ok\0\0\1\0\xff\0x", 0)) == [(1, b"ok")]
    assert list(writer.read_options(b"\1\0", 0)) == []


def test_a_comment_too_long_for_an_option_is_cut_at_a_character() -> None:
    writer = PcapngWriter()
    block = writer.packet(0, 0, b"", 0, comments=("ü" * 40_000,))
    ((code, value),) = writer.read_options(block[8:-4], 20)
    assert code == 1
    assert len(value) == 65_534
    assert value.decode() == "ü" * 32_767


@pytest.mark.tshark
@ORDERS
def test_wireshark_reads_comments_names_and_times(tshark: str, tmp_path: Path, order: str) -> None:
    writer = PcapngWriter(order)
    packet = bytes.fromhex("0200000000010200000000020800") + bytes.fromhex(
        "45000021000100004011f96c0a0000010a0000021633163300" + "0d0000" + "68656c6c6f"
    )
    data = writer.section(("of the file",), application="test")
    data += writer.names({bytes((10, 0, 0, 1)): "device-a"})
    data += writer.interface(1, name="lan")
    data += writer.packet(0, 1_700_000_000_123_456_789, packet, len(packet), comments=("one", "two – ü"))
    path = tmp_path / "w.pcapng"
    path.write_bytes(data)
    fields = ("frame.comment", "frame.time_epoch", "ip.src_host", "frame.interface_name")
    command = [tshark, "-N", "n", "-r", str(path), "-T", "fields", *(part for f in fields for part in ("-e", f))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n").split("\t") == ["one,two – ü", "1700000000.123456789", "device-a", "lan"]


def test_the_link_type_of_exported_pdus_is_the_registered_one() -> None:
    assert UPPER_PDU == 252
