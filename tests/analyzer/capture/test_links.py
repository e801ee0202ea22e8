"""Where the IP header starts, for every link layer; the layouts come from the LINKTYPE registry and the RFCs."""

from __future__ import annotations

import struct

import pytest

from analyzer.capture import links

IP4 = bytes.fromhex("4500001400000000401100000a0000010a000002")
IP6 = b"\x60" + bytes(39)
MACS = bytes(12)
PPPOE = struct.pack(">BBHH", 0x11, 0, 1, 22)
SNAP = bytes.fromhex("aaaa03000000")


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, MACS + b"\x08\x00"),
        (1, MACS + b"\x81\x00\x00\x2a\x08\x00"),
        (1, MACS + b"\x88\xa8\x00\x01\x81\x00\x00\x2a\x08\x00"),
        (1, MACS + b"\x91\x00\x00\x01\x81\x00\x00\x2a\x08\x00"),
        (1, MACS + b"\x88\x64" + PPPOE + b"\x00\x21"),
        (1, MACS + b"\x00\x1c" + SNAP + b"\x08\x00"),
        (1, MACS + b"\x88\x47" + b"\x00\x01\x00\x40" + b"\x00\x01\x01\x40"),
        (9, b"\xff\x03\x00\x21"),
        (9, b"\x00\x21"),
        (9, b"\x21"),
        (51, PPPOE + b"\x00\x21"),
        (12, b""),
        (14, b""),
        (101, b""),
        (228, b""),
        (0, b"\x02\x00\x00\x00"),
        (0, b"\x00\x00\x00\x02"),
        (108, b"\x00\x00\x00\x02"),
        (113, bytes(14) + b"\x08\x00"),
        (113, bytes(14) + b"\x81\x00\x00\x2a\x08\x00"),
        (276, b"\x08\x00" + bytes(18)),
        (276, b"\x81\x00" + bytes(18) + b"\x00\x2a\x08\x00"),
    ],
)
def test_the_ip_header_is_found(link: int, head: bytes) -> None:
    assert links.LINKS[link](head + IP4) == len(head)


@pytest.mark.parametrize(
    ("link", "head"),
    [
        (1, MACS + b"\x86\xdd"),
        (1, MACS + b"\x88\x64" + PPPOE + b"\x00\x57"),
        (9, b"\xff\x03\x00\x57"),
        (9, b"\x57"),
        (229, b""),
        (0, b"\x1e\x00\x00\x00"),
        (0, b"\x18\x00\x00\x00"),
        (0, b"\x00\x00\x00\x1c"),
        (276, b"\x86\xdd" + bytes(18)),
    ],
)
def test_ipv6_is_found(link: int, head: bytes) -> None:
    assert links.LINKS[link](head + IP6) == len(head)


@pytest.mark.parametrize(
    ("link", "data"),
    [
        (1, MACS + b"\x08\x06" + bytes(28)),
        (1, MACS + b"\x81\x00\x00\x01" * 20),
        (1, MACS + b"\x88\x47" + b"\x00\x01\x00\x40" * 20),
        (1, MACS + b"\x88\x47" + b"\x00\x01\x01\x40" + b"\x90"),
        (9, b"\xff\x03\xc0\x21\x01"),
        (0, b"\x07\x00\x00\x00\x45"),
        (228, IP6),
        (229, IP4),
        (113, bytes(14) + b"\x08\x06"),
        (276, b"\x08\x06" + bytes(18)),
    ],
)
def test_no_ip_no_offset(link: int, data: bytes) -> None:
    assert links.LINKS[link](data) < 0


@pytest.mark.parametrize("link", sorted(links.LINKS))
def test_every_truncation_gives_an_offset_or_none(link: int) -> None:
    head = {1: MACS + b"\x88\x64" + PPPOE + b"\x00\x21", 276: b"\x81\x00" + bytes(18) + b"\x00\x2a\x08\x00"}.get(link)
    data = (head or bytes(14) + b"\x81\x00\x00\x2a\x08\x00") + IP4
    for size in range(len(data)):
        assert links.LOOK <= links.LINKS[link](data[:size]) <= size + 8


def test_names() -> None:
    assert [links.name(number) for number in (1, 113, 276, 101, 147)] == [
        "ETHERNET", "LINUX_SLL", "LINUX_SLL2", "RAW", "LINKTYPE_147",
    ]  # fmt: skip
