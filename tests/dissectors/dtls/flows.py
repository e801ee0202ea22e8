"""The UDP flows of a small Ethernet/IPv4 pcap, read without the program under test."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.handshake import Dtls
from dissectors.events import Direction, Mark

CAPTURES = Path(__file__).resolve().parents[3] / "captures"


class Datagram(NamedTuple):
    frame: int
    time_ns: int
    device: tuple[str, int]
    direction: Direction
    data: bytes


def packets(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Frame number, time (ns) and the IPv4 packet of every packet of a little-endian pcap, Ethernet or raw IP."""
    raw = path.read_bytes()
    scale = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[struct.unpack_from("<I", raw)[0]]
    link = {1: 14, 101: 0, 228: 0}[struct.unpack_from("<I", raw, 20)[0]]
    offset, number = 24, 0
    while offset < len(raw):
        seconds, fraction, held, _ = struct.unpack_from("<IIII", raw, offset)
        number += 1
        yield number, seconds * 10**9 + fraction * scale, raw[offset + 16 + link : offset + 16 + held]
        offset += 16 + held


def datagrams(case: str) -> list[Datagram]:
    """Every UDP datagram of a case; the cloud is the side on port 5684 whose address ends in .0.1."""
    found = []
    for number, time_ns, ip in packets(CAPTURES / f"dtls-{case}" / "capture.pcap"):
        if ip[0] >> 4 != 4 or ip[9] != 17:
            continue
        header = (ip[0] & 15) * 4
        source, target = ".".join(map(str, ip[12:16])), ".".join(map(str, ip[16:20]))
        sport, dport, length = struct.unpack_from(">HHH", ip, header)
        up = target.endswith(".0.1") and dport == 5684
        device = (source, sport) if up else (target, dport)
        data = ip[header + 8 : header + length]
        found.append(Datagram(number, time_ns, device, Direction.UP if up else Direction.DOWN, data))
    return found


def feed(sent: list[Datagram], *, hint_port: bool = True) -> tuple[DtlsAttempt, ...]:
    """The attempts of one flow."""
    machine = Dtls(hint_port=hint_port)
    for datagram in sent:
        machine.datagram(datagram.direction, datagram.data, Mark((datagram.frame,), datagram.time_ns))
    return machine.attempts()


def attempts(case: str) -> list[DtlsAttempt]:
    """The attempts of all flows of a case, flow by flow."""
    everything = datagrams(case)
    devices = dict.fromkeys(datagram.device for datagram in everything)
    return [
        attempt
        for device in devices
        for attempt in feed([datagram for datagram in everything if datagram.device == device])
    ]


def key_log(case: str) -> dict[bytes, bytes]:
    """Client random to master secret, from the NSS key log of a case."""
    lines = (CAPTURES / f"dtls-{case}" / "sslkeys.log").read_text().split("\n")
    return {
        bytes.fromhex(words[1]): bytes.fromhex(words[2])
        for line in lines
        if (words := line.split()) and words[0] == "CLIENT_RANDOM"
    }
