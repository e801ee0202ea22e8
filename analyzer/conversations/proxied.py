"""The header of the PROXY protocol in front of a connection's bytes: a balancer tells its server who the client is.

Format: haproxy's proxy-protocol.txt, section 2.1 (version 1: one line of text of at most 107 bytes) and 2.2 (version 2:
twelve fixed bytes, version and command, family, length of what follows).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from analyzer.conversations.reassembly import Part
from analyzer.model import Endpoint

_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN[ -~]*|TCP[46] ([0-9A-Fa-f.:]+) [0-9A-Fa-f.:]+ ([0-9]{1,5}) [0-9]{1,5})\r\n"
)
_LONGEST_LINE: Final = 107
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
#: Behind the addresses come further fields; nobody sends more than this (a certificate's name is the longest).
_LONGEST: Final = _FIXED + 2048
#: Bytes of an address by the family in version 2: IPv4, IPv6.
_ADDRESS: Final = {1: 4, 2: 16}


class ProxyHeader(NamedTuple):
    """What stood before the device's bytes; ``client`` is who it names (None: nobody), ``frame`` holds its first byte."""

    version: int
    length: int
    client: Endpoint | None
    frame: int

    def without_names(self) -> bytes:
        """A header of the same version and length that names nobody."""
        if self.version == 1:
            return b"PROXY UNKNOWN".ljust(self.length - 2) + b"\r\n"
        return _SIGNATURE + b"\x20\0" + (self.length - _FIXED).to_bytes(2, "big") + bytes(self.length - _FIXED)


def without_header(parts: Sequence[Part]) -> tuple[list[Part], int | None, ProxyHeader | None]:
    """The parts without a header, the side whose bytes it stood before, and what it said; nothing changes without one.

    Offsets then count from the first byte behind it.
    """
    for side in (0, 1):
        data, frame = _beginning(parts, side)
        found = _parsed(data)
        if found is not None:
            version, length, client = found
            return _behind(parts, side, length), side, ProxyHeader(version, length, client, frame)
    return list(parts), None, None


def _beginning(parts: Sequence[Part], side: int) -> tuple[bytes, int]:
    """What this side sent first, as far as it can matter, and the frame it began in."""
    data, frame = bytearray(), 0
    for part in parts:
        if part.side != side or part.how is not None:
            continue
        if part.data is None or part.offset != len(data):
            break
        frame = frame or part.frame
        data += part.data[:_LONGEST]
        if len(data) >= _LONGEST or not _may_be(bytes(data[:_FIXED])):
            break
    return bytes(data), frame


def _may_be(data: bytes) -> bool:
    return any(mark[: len(data)] == data[: len(mark)] for mark in (b"PROXY ", _SIGNATURE))


def _parsed(data: bytes) -> tuple[int, int, Endpoint | None] | None:
    """Version, length and client of the header that ``data`` begins with; None when it is none, or not all of one."""
    line = _LINE.match(data[:_LONGEST_LINE])
    if line is not None:
        return 1, line.end(), _endpoint(line[1].decode(), int(line[2])) if line[1] else None
    if not data.startswith(_SIGNATURE) or len(data) < _FIXED or data[12] >> 4 != 2:
        return None
    length = _FIXED + int.from_bytes(data[14:16], "big")
    if length > min(len(data), _LONGEST):
        return None
    size = _ADDRESS.get(data[13] >> 4, 0)
    if data[12] & 15 != 1 or not size or length < _FIXED + 2 * size + 4:
        return 2, length, None
    at = _FIXED + 2 * size
    address = ip_address(data[_FIXED : _FIXED + size])
    return 2, length, _endpoint(str(address), int.from_bytes(data[at : at + 2], "big"))


def _endpoint(address: str, port: int) -> Endpoint | None:
    try:
        return Endpoint(str(ip_address(address)), port) if port < 1 << 16 else None
    except ValueError:
        return None


def _behind(parts: Sequence[Part], side: int, length: int) -> list[Part]:
    """The parts without the first bytes of one side."""
    kept: list[Part] = []
    for part in parts:
        if part.side != side:
            kept.append(part)
            continue
        cut = max(0, length - part.offset) if part.how is None else 0
        if cut and cut >= part.length:
            continue
        data = part.data[cut:] if part.data is not None else None
        kept.append(part._replace(offset=max(0, part.offset - length), data=data, length=part.length - cut))
    return kept
