"""Packets changed on purpose, with `struct` and nothing of the analyzer's or of `captures/synth`: the second opinion on bytes.

How it works. A :class:`Frame` is a time, bytes and the length on the wire. `view` finds addresses, ports, sequence numbers
and payload in it (Ethernet or raw IP, IPv4, TCP or UDP: what the genuine captures hold); `remade` writes a packet anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

ETHERNET: Final = 1
RAW: Final = 101
SLL2: Final = 276
TCP: Final = 6
UDP: Final = 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SECOND: Final = 1_000_000_000
#: An address and a port.
End = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet: nanoseconds since 1970, the bytes kept, the length on the wire."""

    time: int
    data: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Pcap:
    """A classic capture: its link type and packets."""

    link: int
    frames: tuple[Frame, ...]

    def having(self, frames: Sequence[Frame], link: int | None = None) -> Pcap:
        """The same kind of file with other packets."""
        return Pcap(self.link if link is None else link, tuple(frames))


def parsed(data: bytes) -> Pcap:
    """A little-endian microsecond pcap. Raises ValueError for any other file."""
    if data[:4] != b"\xd4\xc3\xb2\xa1":
        raise ValueError("not a little-endian pcap")
    (link,) = struct.unpack_from("<I", data, 20)
    frames, at = [], 24
    while at + 16 <= len(data):
        seconds, micros, size, length = struct.unpack_from("<IIII", data, at)
        frames.append(Frame(seconds * SECOND + micros * 1000, data[at + 16 : at + 16 + size], length))
        at += 16 + size
    return Pcap(link, tuple(frames))


def written(pcap: Pcap, snap: int = 262144) -> bytes:
    """The file: little-endian, microseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap, pcap.link)]
    for frame in pcap.frames:
        seconds, rest = divmod(frame.time, SECOND)
        parts += [struct.pack("<IIII", seconds, rest // 1000, len(frame.data), frame.length), frame.data]
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Packet:
    """What a frame holds: IPv4 with TCP or UDP. ``payload`` may be cut (`Frame.length` tells)."""

    frame: Frame
    head: int
    """Bytes before the IP header."""
    protocol: int
    source: End
    target: End
    payload: bytes
    size: int
    """Payload bytes on the wire."""
    sequence: int = 0
    acknowledged: int = 0
    flags: int = 0
    options: bytes = b""
    window: int = 0
    ttl: int = 64
    ident: int = 0

    @property
    def pair(self) -> frozenset[End]:
        """Both ends, in no order."""
        return frozenset((self.source, self.target))


def view(frame: Frame, link: int) -> Packet | None:
    """The packet in a frame; None for anything but whole headers of IPv4 with TCP or UDP, in one piece."""
    head = {ETHERNET: 14, RAW: 0}.get(link)
    data = frame.data
    if head is None or len(data) < head + 28 or (head and data[12:14] != b"\x08\x00") or data[head] >> 4 != 4:
        return None
    size = (data[head] & 15) * 4
    total, ident, fragment, ttl, protocol = struct.unpack_from(">HHHBB", data, head + 2)
    at = head + size
    if fragment & 0x3FFF or protocol not in (TCP, UDP) or len(data) < at + (20 if protocol == TCP else 8):
        return None
    source, target = data[head + 12 : head + 16], data[head + 16 : head + 20]
    one, two = struct.unpack_from(">HH", data, at)
    if protocol == UDP:
        body, end = at + 8, head + total
        ends = (source, one), (target, two)
        return Packet(frame, head, protocol, *ends, data[body:end], total - size - 8, ttl=ttl, ident=ident)
    sequence, acknowledged, offset, flags, window = struct.unpack_from(">IIBBH", data, at + 4)
    body, end = at + (offset >> 4) * 4, head + total
    if len(data) < body:
        return None
    return Packet(
        frame,
        head,
        protocol,
        (source, one),
        (target, two),
        data[body:end],
        head + total - body,
        sequence,
        acknowledged,
        flags,
        data[at + 20 : body],
        window,
        ttl,
        ident,
    )


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(packet: Packet, source: bytes, target: bytes) -> bytes:
    """The TCP segment or UDP datagram between these addresses (4 or 16 bytes), with a right checksum."""
    ports = struct.pack(">HH", packet.source[1], packet.target[1])
    if packet.protocol == UDP:
        size = 8 + len(packet.payload)
        parts = [ports + struct.pack(">H", size), b"", packet.payload]
    else:
        offset = (20 + len(packet.options)) // 4 << 4
        numbers = struct.pack(">IIBBH", packet.sequence, packet.acknowledged, offset, packet.flags, packet.window)
        parts = [ports + numbers, b"\0\0" + packet.options, packet.payload]
        size = sum(len(part) for part in parts) + 2
    pseudo = source + target + struct.pack(">IBBBB", size, 0, 0, 0, packet.protocol)
    found = checksum(pseudo + parts[0] + b"\0\0" + parts[1] + parts[2])
    if packet.protocol == UDP:
        found = found or 0xFFFF
    return parts[0] + struct.pack(">H", found) + parts[1] + parts[2]


def sums_up(frame: Frame, link: int) -> bool:
    """Whether the checksum of a whole TCP segment or UDP datagram is right."""
    packet = view(frame, link)
    if packet is None:
        return False
    made = transport(packet, packet.source[0], packet.target[0])
    return frame.data[packet.head :].find(made) >= 0


def ipv4(packet: Packet) -> bytes:
    """The IPv4 packet."""
    body = transport(packet, packet.source[0], packet.target[0])
    head = struct.pack(
        ">BBHHHBBH", 0x45, 0, 20 + len(body), packet.ident, 0x4000, max(1, packet.ttl), packet.protocol, 0
    )
    head += packet.source[0] + packet.target[0]
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def ipv6(packet: Packet, source: bytes, target: bytes) -> bytes:
    """The same packet between two IPv6 addresses (RFC 7915, without fragments)."""
    body = transport(packet, source, target)
    return struct.pack(">IHBB", 6 << 28, len(body), packet.protocol, packet.ttl) + source + target + body


def remade(packet: Packet, **changes: object) -> Frame:
    """The frame of this packet with changes: any field of :class:`Packet`, and ``time``.

    A packet that was cut stays cut to the same number of bytes (its missing ones count as zero in the checksum).
    """
    time = changes.pop("time", packet.frame.time)
    new = replace(packet, **changes)  # type: ignore[arg-type]
    cut = 0
    if "payload" not in changes and len(packet.payload) < packet.size:
        cut = packet.size - len(packet.payload)
        new = replace(new, payload=packet.payload + bytes(cut))
    data = packet.frame.data[: packet.head] + ipv4(new)
    return Frame(int(time), data[: len(data) - cut], len(data))  # type: ignore[call-overload]


def quoting(frame: Frame, link: int, translate: Callable[[End], End]) -> Frame | None:
    """An ICMP error with the addresses and ports in it (outer and quoted) translated; None when the frame is none.

    The quoted checksums are left as they are, as they are by many a NAT.
    """
    head = {ETHERNET: 14, RAW: 0}.get(link)
    data = bytearray(frame.data)
    if head is None or len(data) < head + 56 or (head and data[12:14] != b"\x08\x00") or data[head] != 0x45:
        return None
    inner = head + 28
    if data[head + 9] != 1 or data[head + 20] not in (3, 4, 11) or data[inner] != 0x45 or len(data) < frame.length:
        return None
    one, two = struct.unpack_from(">HH", data, inner + 20)
    ends = (bytes(data[inner + 12 : inner + 16]), one), (bytes(data[inner + 16 : inner + 20]), two)
    source, target = (translate(end) for end in ends)
    for at in (head + 12, head + 16):
        address = bytes(data[at : at + 4])
        for end, other in zip(ends, (source, target), strict=True):
            if address == end[0]:
                data[at : at + 4] = other[0]
                break
    data[inner + 12 : inner + 20] = source[0] + target[0]
    struct.pack_into(">HH", data, inner + 20, source[1], target[1])
    data[head + 10 : head + 12] = bytes(2)
    struct.pack_into(">H", data, head + 10, checksum(bytes(data[head : head + 20])))
    (total,) = struct.unpack_from(">H", data, head + 2)
    data[head + 22 : head + 24] = bytes(2)
    struct.pack_into(">H", data, head + 22, checksum(bytes(data[head + 20 : head + total])))
    return Frame(frame.time, bytes(data), frame.length)


def link_to(frame: Frame, data: bytes, kind: int, interface: int) -> Frame:
    """An IP packet in Linux cooked mode, version 2 (`tcpdump -i any`)."""
    ethertype = 0x0800 if data[0] >> 4 == 4 else 0x86DD
    head = struct.pack(">HHIHBB", ethertype, 0, interface, 1, kind, 6) + bytes(8)
    return Frame(frame.time, head + data, len(head) + len(data))


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation between a device and a cloud: indices of its frames, who is who."""

    protocol: int
    device: End
    cloud: End
    packets: tuple[tuple[int, Packet], ...]

    def up(self, packet: Packet) -> bool:
        """Whether the device sent it."""
        return packet.source == self.device

    def flights(self) -> list[int]:
        """Indices of frames with which one side ends what it says before the other speaks (or the capture ends)."""
        said = [(index, self.up(packet)) for index, packet in self.packets if packet.size or packet.flags & SYN]
        ends = [index for (index, up), (_, then) in zip(said, said[1:], strict=False) if up != then]
        return [*ends, *(index for index, _ in said[-1:])]


def talks(pcap: Pcap) -> list[Talk]:
    """Conversations with a cloud (ports 5683, 5684 and the laboratory's others), in order of appearance."""
    found: dict[frozenset[End], list[tuple[int, Packet]]] = {}
    order: list[list[tuple[int, Packet]]] = []
    for index, frame in enumerate(pcap.frames):
        packet = view(frame, pcap.link)
        if packet is None or 53 in (packet.source[1], packet.target[1]):
            continue
        fresh = packet.protocol == TCP and packet.flags & (SYN | ACK) == SYN
        now = found.get(packet.pair)
        if now is None or (fresh and any(one.size or one.flags & (FIN | RST) for _, one in now)):
            now = found[packet.pair] = []
            order.append(now)
        now.append((index, packet))
    return [_talk(packets) for packets in order]


def _talk(packets: list[tuple[int, Packet]]) -> Talk:
    first = packets[0][1]
    device, cloud = first.source, first.target
    if first.protocol == TCP:
        answered = first.flags & (SYN | ACK) == SYN | ACK
        swap = answered or (not first.flags & SYN and first.source[1] in (5683, 5684))
    else:
        swap = first.source[1] == 5684 and first.target[1] != 5684
    return Talk(first.protocol, *((cloud, device) if swap else (device, cloud)), tuple(packets))
