"""Capture files as bytes: pcap and pcapng in every byte order and resolution, and a gzip that is always the same.

Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng (IETF), RFC 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: https://www.tcpdump.org/linktypes.html
NULL, ETHERNET, RAW, LOOP, SLL, SLL2 = 0, 1, 101, 108, 113, 276
SNAPLEN = 262144


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured packet: when (ns since 1970), its bytes, its length on the wire, the pcapng interface."""

    time_ns: int
    data: bytes
    length: int
    interface: int = 0
    comment: str = ""

    def cut(self, snaplen: int) -> Frame:
        """The same packet as a capture with that snap length holds it."""
        return replace(self, data=self.data[:snaplen])


@dataclass(frozen=True, slots=True)
class Interface:
    """A pcapng interface: link type, ``digits`` of its clock (6 or 9), snap length."""

    link: int = ETHERNET
    digits: int = 6
    name: str = ""
    snaplen: int = SNAPLEN


def pcap(
    frames: Sequence[Frame], link: int = ETHERNET, *, nano: bool = False, order: str = "<", snaplen: int = SNAPLEN
) -> bytes:
    """A classic pcap file; ``order`` is ``<`` (little-endian) or ``>``."""
    parts = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)]
    unit = 1 if nano else 1000
    for frame in frames:
        seconds, rest = divmod(frame.time_ns, 1_000_000_000)
        parts += [struct.pack(order + "IIII", seconds, rest // unit, len(frame.data), frame.length), frame.data]
    return b"".join(parts)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + _padded(value)


def _block(order: str, kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def pcapng(
    frames: Sequence[Frame],
    interfaces: Sequence[Interface] = (Interface(),),
    *,
    order: str = "<",
    keylog: bytes = b"",
    names: Sequence[tuple[bytes, str]] = (),
) -> bytes:
    """A pcapng section.

    ``keylog`` becomes a TLS decryption secrets block, ``names`` (IPv4 address, host name) a name resolution block.
    """
    section = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(order, 4, b"captures/make.py") + bytes(4)
    parts = [_block(order, 0x0A0D0D0A, section)]
    for interface in interfaces:
        options = _option(order, 9, bytes((interface.digits,)))
        if interface.name:
            options = _option(order, 2, interface.name.encode()) + options
        head = struct.pack(order + "HHI", interface.link, 0, interface.snaplen)
        parts.append(_block(order, 1, head + options + bytes(4)))
    if names:
        records = b"".join(
            struct.pack(order + "HH", 1, len(value)) + _padded(value)
            for value in (packed + name.encode() + b"\0" for packed, name in names)
        )
        parts.append(_block(order, 4, records + bytes(4)))
    if keylog:
        parts.append(_block(order, 10, struct.pack(order + "II", 0x544C534B, len(keylog)) + _padded(keylog)))
    for frame in frames:
        ticks = frame.time_ns // 10 ** (9 - interfaces[frame.interface].digits)
        head = struct.pack(
            order + "IIIII", frame.interface, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.length
        )
        options = _option(order, 1, frame.comment.encode()) + bytes(4) if frame.comment else b""
        parts.append(_block(order, 6, head + _padded(frame.data) + options))
    return b"".join(parts)


def gzip(data: bytes) -> bytes:
    """gzip with stored blocks only: no compressor is involved, so every zlib gives the same bytes."""
    parts = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for start in range(0, max(len(data), 1), 0xFFFF):
        chunk = data[start : start + 0xFFFF]
        last = start + 0xFFFF >= len(data)
        parts += [struct.pack("<BHH", last, len(chunk), len(chunk) ^ 0xFFFF), chunk]
    return b"".join(parts) + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
