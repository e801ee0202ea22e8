"""tshark with the dissector, and small conversations to show it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from analyzer.wireshark import lua_path

DEVICE, CLOUD = "192.168.1.50", "203.0.113.10"


@dataclass(frozen=True)
class Frame:
    """What tshark says of one frame."""

    number: int
    protocol: str
    info: str
    stages: tuple[str, ...]
    protocols: str
    experts: str
    lua_error: str
    malformed: bool
    device_id: str
    nonce: str
    identity: str
    ciphertext: str
    signature: str
    record_lengths: tuple[int, ...]
    cid: str
    moved: str
    public_key: str
    verdicts: tuple[str, ...]


FIELDS = (
    "frame.number",
    "_ws.col.Protocol",
    "_ws.col.Info",
    "particle.stage",
    "frame.protocols",
    "_ws.expert.message",
    "_ws.lua.error",
    "_ws.malformed",
    "particle.device_id",
    "particle.nonce",
    "particle.identity",
    "particle.session_key.ciphertext",
    "particle.session_key.signature",
    "particle.record.length",
    "particle.udp.cid",
    "particle.moved",
    "particle.device_public_key",
    "particle.verdict",
)


def run_tshark(
    tshark: str, home: Path, capture: Path, *options: str, script: bool = True, lines: Iterable[str] = FIELDS
) -> str:
    """The fields of every frame, one frame a line. Fails on anything Lua complains about."""
    command = [tshark, *(("-X", f"lua_script:{lua_path()}") if script else ())]
    command += ["-r", str(capture), "-T", "fields", "-E", "separator=\x1f", "-E", "aggregator=\x1e"]
    for name in lines:
        command += ["-e", name]
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        # Neither the user's preferences nor the user's plug-ins.
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "TZ": "UTC"},
    )
    assert ".lua:" not in done.stderr, done.stderr
    # A cut file is data: what is there was read.
    assert done.returncode == 0 or "cut short" in done.stderr, done.stderr
    return done.stdout


def dissected(tshark: str, home: Path, capture: Path, *options: str, script: bool = True) -> dict[int, Frame]:
    """What tshark says of a capture: frame number -> Frame."""
    text = run_tshark(tshark, home, capture, *options, script=script)
    return {frame.number: frame for frame in map(_frame, filter(None, text.split("\n")))}


@pytest.fixture
def dissect(tshark: str, tmp_path: Path) -> Callable[..., dict[int, Frame]]:
    """Run tshark with the dissector over a capture: frame number -> Frame."""
    return partial(dissected, tshark, tmp_path)


def _frame(line: str) -> Frame:
    cells = dict(zip(FIELDS, line.split("\x1f"), strict=True))
    assert not cells["_ws.lua.error"], cells
    return Frame(
        number=int(cells["frame.number"]),
        protocol=cells["_ws.col.Protocol"],
        info=cells["_ws.col.Info"],
        stages=tuple(filter(None, cells["particle.stage"].split("\x1e"))),
        protocols=cells["frame.protocols"],
        experts=cells["_ws.expert.message"].replace("\x1e", " / "),
        lua_error=cells["_ws.lua.error"],
        malformed=bool(cells["_ws.malformed"]),
        device_id=cells["particle.device_id"],
        nonce=cells["particle.nonce"],
        identity=cells["particle.identity"],
        ciphertext=cells["particle.session_key.ciphertext"],
        signature=cells["particle.session_key.signature"],
        record_lengths=tuple(int(n) for n in cells["particle.record.length"].split("\x1e") if n),
        cid=cells["particle.udp.cid"],
        moved=cells["particle.moved"],
        public_key=cells["particle.device_public_key"],
        verdicts=tuple(filter(None, cells["particle.verdict"].split("\x1e"))),
    )


class Talk:
    """A TCP connection being written down frame by frame; every method returns the frame's number."""

    def __init__(self, port: int = 5683, handshake: bool = True) -> None:
        self.frames: list[Packet] = []
        self.port = port
        self.next = {"up": 1000, "down": 5000}
        if handshake:
            self._add("up", b"", "S", seq=999, ack=0)
            self._add("down", b"", "SA", seq=4999, ack=1000)
            self._add("up", b"", "A")

    def up(self, data: bytes, flags: str = "PA") -> int:
        return self._send("up", data, flags)

    def down(self, data: bytes, flags: str = "PA") -> int:
        return self._send("down", data, flags)

    def at(self, direction: str, offset: int, data: bytes) -> int:
        """A segment at a stream offset, out of turn."""
        first = 1000 if direction == "up" else 5000
        self.next[direction] = max(self.next[direction], first + offset + len(data))
        return self._add(direction, data, "PA", seq=first + offset)

    def skip(self, direction: str, length: int) -> None:
        """Bytes that were sent and not captured."""
        self.next[direction] += length

    def save(self, path: Path) -> Path:
        wrpcap(str(path), self.frames)
        return path

    def _send(self, direction: str, data: bytes, flags: str) -> int:
        seq = self.next[direction]
        self.next[direction] += len(data)
        return self._add(direction, data, flags, seq=seq)

    def _add(self, direction: str, data: bytes, flags: str, seq: int | None = None, ack: int | None = None) -> int:
        other = "down" if direction == "up" else "up"
        seq = self.next[direction] if seq is None else seq
        ack = self.next[other] if ack is None else ack
        if direction == "up":
            head = IP(src=DEVICE, dst=CLOUD) / TCP(sport=50000, dport=self.port, flags=flags, seq=seq, ack=ack)
        else:
            head = IP(src=CLOUD, dst=DEVICE) / TCP(sport=self.port, dport=50000, flags=flags, seq=seq, ack=ack)
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / head
        packet = packet / Raw(data) if data else packet
        packet.time = 1.7e9 + len(self.frames) * 0.05
        self.frames.append(packet)
        return len(self.frames)


class Datagrams:
    """UDP datagrams between a device and a cloud; every method returns the frame's number."""

    def __init__(self, port: int = 5684, local: int = 40000) -> None:
        self.frames: list[Packet] = []
        self.port, self.local = port, local

    def up(self, data: bytes) -> int:
        return self._add(IP(src=DEVICE, dst=CLOUD) / UDP(sport=self.local, dport=self.port) / Raw(data))

    def down(self, data: bytes) -> int:
        return self._add(IP(src=CLOUD, dst=DEVICE) / UDP(sport=self.port, dport=self.local) / Raw(data))

    def save(self, path: Path) -> Path:
        wrpcap(str(path), self.frames)
        return path

    def _add(self, packet: Packet) -> int:
        packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet
        packet.time = 1.7e9 + len(self.frames) * 0.05
        self.frames.append(packet)
        return len(self.frames)


@pytest.fixture
def talk() -> type[Talk]:
    return Talk


@pytest.fixture
def datagrams() -> type[Datagrams]:
    return Datagrams
