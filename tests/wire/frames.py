"""Genuine captures as somebody else would have seen them: rewritten with nothing but ``struct``, none of our own code.

Only what the captures hold: Ethernet or raw IPv4, TCP, UDP, ICMP errors. Checksums are mended as a NAT does, by difference, so
that a wrong one stays wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from socket import inet_aton

TCP, UDP, ICMP = 6, 17, 1
ETHERNET, RAW, SLL2 = 1, 101, 276
#: Ports a server listens on in the captures.
SERVED = frozenset({53, 67, 80, 123, 443, 5683, 5684})


@dataclass(frozen=True)
class Frame:
    """One record: nanoseconds, bytes, length on the wire; ``ip``: where the IP header is, -1 for none."""

    ns: int
    data: bytes
    wire: int
    ip: int = -1

    @property
    def protocol(self) -> int:
        return self.data[self.ip + 9] if self.ip >= 0 and self.data[self.ip] >> 4 == 4 else 0

    @property
    def l4(self) -> int:
        return self.ip + ((self.data[self.ip] & 15) << 2)

    @property
    def ends(self) -> tuple[bytes, int, bytes, int]:
        """Source and destination, each as address and port."""
        source, destination = self.data[self.ip + 12 : self.ip + 16], self.data[self.ip + 16 : self.ip + 20]
        ports = struct.unpack_from("!HH", self.data, self.l4) if self.protocol in (TCP, UDP) else (0, 0)
        return source, ports[0], destination, ports[1]

    @property
    def payload(self) -> int:
        """Where the payload of TCP or UDP begins."""
        return self.l4 + (8 if self.protocol == UDP else (self.data[self.l4 + 12] >> 4) << 2)

    @property
    def end(self) -> int:
        """Where the IP packet ends."""
        return self.ip + int.from_bytes(self.data[self.ip + 2 : self.ip + 4], "big")

    def at(self, ns: int) -> Frame:
        return replace(self, ns=ns)


def read(path: Path) -> tuple[int, list[Frame]]:
    """The link type and all records of a little-endian pcap file, micro- or nanosecond."""
    data = path.read_bytes()
    unit = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[int.from_bytes(data[:4], "little")]
    link = int.from_bytes(data[20:24], "little")
    found, at = [], 24
    while at < len(data):
        seconds, ticks, captured, wire = struct.unpack_from("<IIII", data, at)
        at += 16
        found.append(frame(seconds * 10**9 + ticks * unit, data[at : at + captured], wire, link))
        at += captured
    return link, found


def frame(ns: int, data: bytes, wire: int, link: int) -> Frame:
    if link == RAW:
        return Frame(ns, data, wire, 0)
    return Frame(ns, data, wire, 14 if data[12:14] == b"\x08\0" and len(data) >= 34 else -1)


def pcap(link: int, frames: Iterable[Frame], *, snap: int = 262144) -> bytes:
    """A nanosecond pcap file of these, in this order."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snap, link)]
    for item in frames:
        kept = item.data[:snap]
        parts += [struct.pack("<IIII", *divmod(item.ns, 10**9), len(kept), item.wire), kept]
    return b"".join(parts)


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _mended(old: bytes, before: bytes, after: bytes) -> bytes:
    """A checksum field after these words of what it covers changed (RFC 1624)."""
    total = ~int.from_bytes(old, "big") & 0xFFFF
    for one, other in zip(
        struct.unpack(f"!{len(before) // 2}H", before), struct.unpack(f"!{len(after) // 2}H", after), strict=True
    ):
        total += (~one & 0xFFFF) + other
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def rewritten(
    item: Frame, *, source: tuple[bytes, int] | None = None, destination: tuple[bytes, int] | None = None, hops: int = 0
) -> Frame:
    """The same packet with other ends, ``hops`` routers further on."""
    data = bytearray(item.data)
    ip, l4, protocol = item.ip, item.l4, item.protocol
    before = bytes(data[ip + 12 : ip + 20])
    ports = bytes(data[l4 : l4 + 4])
    if source is not None:
        data[ip + 12 : ip + 16] = source[0]
    if destination is not None:
        data[ip + 16 : ip + 20] = destination[0]
    place = {TCP: 16, UDP: 6}.get(protocol)
    if place is not None:
        if source is not None:
            data[l4 : l4 + 2] = source[1].to_bytes(2, "big")
        if destination is not None:
            data[l4 + 2 : l4 + 4] = destination[1].to_bytes(2, "big")
        old = bytes(data[l4 + place : l4 + place + 2])
        if len(old) == 2 and (protocol == TCP or old != b"\0\0"):
            after = bytes(data[ip + 12 : ip + 20]) + bytes(data[l4 : l4 + 4])
            data[l4 + place : l4 + place + 2] = _mended(old, before + ports, after)
    data[ip + 8] = max(1, data[ip + 8] - hops)
    data[ip + 10 : ip + 12] = b"\0\0"
    data[ip + 10 : ip + 12] = checksum(bytes(data[ip:l4])).to_bytes(2, "big")
    return replace(item, data=bytes(data))


def device_sends(item: Frame) -> bool | None:
    """Whether the end that opens connections sent it; None when that cannot be told from the ports."""
    if item.protocol not in (TCP, UDP):
        return None
    _, source, _, destination = item.ends
    if (source in SERVED) == (destination in SERVED):
        return None
    return destination in SERVED


def translated(item: Frame, outside: bytes) -> Frame | None:
    """The packet on the other side of a NAT whose outer address is ``outside``; None for what it does not pass on."""
    up = device_sends(item)
    if up is None:
        return None
    source, port, destination, to = item.ends
    if up:
        return rewritten(item, source=(_outer(outside, source), _moved(port)), hops=1)
    return rewritten(item, destination=(_outer(outside, destination), _moved(to)), hops=-1)


def _moved(port: int) -> int:
    return 20000 + port % 40000


def _outer(outside: bytes, inside: bytes) -> bytes:
    """One outer address for each inner one, so that ports cannot clash."""
    return outside[:3] + bytes((100 + inside[3] % 100,))


def both_sides(frames: Iterable[Frame], outside: str = "198.51.100.7", apart: int = 8_000) -> list[Frame]:
    """What ``tcpdump -i any`` on a NAT gateway sees: each packet with its LAN and with its WAN address."""
    return [each for item in frames for each in _seen_twice(item, inet_aton(outside), apart)]


def _seen_twice(item: Frame, outside: bytes, apart: int) -> Iterator[Frame]:
    other = translated(item, outside)
    if other is None:
        yield item
    elif device_sends(item):
        yield item
        yield other.at(item.ns + apart)
    else:
        yield other
        yield item.at(item.ns + apart)


def merged(*captures: Iterable[Frame]) -> list[Frame]:
    """What mergecap makes of captures: all records by time."""
    return sorted((item for frames in captures for item in frames), key=lambda item: item.ns)


def translated_alone(frames: Iterable[Frame], outside: str = "198.51.100.7") -> list[Frame]:
    """What a capture on the WAN side of the NAT sees."""
    found = (translated(item, inet_aton(outside)) for item in frames)
    return [item for item in found if item is not None]


def forwarded(frames: Iterable[Frame], inside: str = "172.17.0.2", apart: int = 9_000) -> list[Frame]:
    """What ``tcpdump -i any`` sees on a host that forwards its port to a container: the cloud has two addresses."""
    found = []
    for item in frames:
        up = device_sends(item)
        source, port, destination, to = item.ends
        if up:
            found += [item, rewritten(item, destination=(inet_aton(inside), to), hops=1).at(item.ns + apart)]
        elif up is None:
            found.append(item)
        else:
            found += [rewritten(item, source=(inet_aton(inside), port), hops=-1).at(item.ns - apart), item]
    return found
