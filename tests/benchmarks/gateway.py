#!/usr/bin/env python3
"""Writes a gateway capture of any size from a fixed seed: everything a site has on the wire, and devices among it.

    tests/benchmarks/gateway.py --packets 2000000 --sessions 2000 --output DIR

makes DIR/gateway.pcap, DIR/keys/ (for every device) and DIR/truth.json (how often which verdict is due). The traffic
around the devices is one template of 20,000 packets, written again and again under other addresses and times, with
its checksums kept right: 2 million packets (800 MB) take seconds.

What the other connections carry is random bytes: the kindest case for the tools we are compared with. With `--tls` it is
framed as TLS records, which costs ssldump three times as long. With `--mix uplink` it is the unkindest for us, after a
provider's capture: half of the packets DNS, many NTP, QUIC and MQTT, thousands of flows of which one direction is there
only, and first payloads of 40, 256 and 384 bytes.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from captures.synth import capfile, talk, wire  # noqa: E402 - the path must be set first
from captures.synth.case import EPOCH, in_order  # noqa: E402 - as above
from captures.synth.talk import CLOUD, DEVICE, SECOND, Host, TcpTalk, Trace, UdpTalk  # noqa: E402 - as above
from tests.benchmarks.population import Population  # noqa: E402 - as above

#: Packets per second of the traffic around; a template therefore lasts 5 s.
RATE = 4000
TEMPLATE = 20_000


@dataclass(frozen=True)
class Template:
    """Traffic to repeat: pcap records one behind the other, and where to patch each of them."""

    data: bytes
    #: Start of each record (16-byte header), and of the end.
    offsets: np.ndarray
    #: Nanoseconds since the template's start.
    times: np.ndarray
    #: The two 16-bit words of the client's address that change; and the words that make up for it in the IP header's
    #: checksum and in the transport's (0 = none). Absolute offsets.
    client: np.ndarray
    ident: np.ndarray
    balance: np.ndarray
    clients: int


def _flows(rng: Random, packets: int, *, tls: bool, mix: str) -> Iterator[Trace]:
    """One conversation after the other, until there are enough packets: mostly HTTPS, some QUIC, DNS, ARP."""
    made, number = 0, 0
    plain, tagged = talk.ethernet(), talk.ethernet(0x0064)
    server_names = [f"198.51.100.{host}" for host in range(10, 200)]
    while made < packets:
        number += 1
        trace = Trace(rng.randrange(4 * SECOND) // 1000 * 1000, rng, tagged if rng.random() < 0.06 else plain)
        six = rng.random() < 0.12
        client = f"2001:db8:10::{number:x}" if six else f"10.16.{number >> 8}.{number & 255}"
        peer = "2001:db8:ffff::5" if six else rng.choice(server_names)
        one = Host.of(client, f"02:10:00:00:{number >> 8:02x}:{number & 255:02x}")
        other = Host.of(peer, "02:00:5e:00:01:01", 57)
        kind = rng.random()
        if mix == "uplink":
            _uplink(rng, trace, one, other, kind)
        elif kind < 0.62:
            _https(rng, trace, one, other, tls=tls)
        elif kind < 0.74:
            _datagrams(rng, trace, UdpTalk(trace, one, other, rng.randrange(49152, 65536), 443), 1232)
        elif kind < 0.80:
            _datagrams(
                rng, trace, UdpTalk(trace, one, other, rng.randrange(1024, 65536), rng.choice((123, 161, 3478))), 90
            )
        elif kind < 0.97:
            _lookup(rng, trace, one, other)
        elif not six:
            question = wire.arp(1, one.mac, one.ip, bytes(6), other.ip)
            trace.frame(wire.ethernet(one.mac, b"\xff" * 6, wire.ETHERTYPE_ARP, question, pad=True))
        made += len(trace.frames)
        yield trace


def _framed(head: str, data: bytes, *, tls: bool) -> bytes:
    return (bytes.fromhex(head) if tls else bytes(byte ^ 0x5A for byte in bytes.fromhex(head))) + data


def _https(rng: Random, trace: Trace, one: Host, other: Host, *, tls: bool) -> None:
    flow = TcpTalk(trace, one, other, cloud_port=rng.choice((443, 443, 443, 8883, 80)), rtt=0.02)
    flow.connect()
    flow.say(DEVICE, _framed("1603010200010001fc0303", rng.randbytes(506), tls=tls))
    flow.say(CLOUD, _framed("160303007a020000760303", rng.randbytes(1300), tls=tls))
    flow.say(DEVICE, _framed("1403030001011703030045", rng.randbytes(69), tls=tls))
    for _ in range(rng.randrange(1, 24)):
        if trace.now > 4.9 * SECOND:
            return
        size = rng.choice((60, 120, 300, 700, 1400, 1400))
        side = DEVICE if rng.random() < 0.35 else CLOUD
        flow.say(side, _framed(f"170303{size:04x}", rng.randbytes(size), tls=tls), ack=rng.random() < 0.8)
        trace.wait(0.02, 0.05)
    if rng.random() < 0.7:
        flow.close(DEVICE)


def _uplink(rng: Random, trace: Trace, one: Host, other: Host, kind: float) -> None:
    """A flow of the unkind mix."""
    if kind < 0.79:
        _lookup(rng, trace, one, other)
    elif kind < 0.87:
        flow = UdpTalk(trace, one, other, rng.choice((123, rng.randrange(1024, 65536))), 123)
        flow.say(DEVICE, b"\x23" + rng.randbytes(47))
        flow.say(CLOUD, b"\x24" + rng.randbytes(47))
    elif kind < 0.90:
        _datagrams(rng, trace, UdpTalk(trace, one, other, rng.randrange(49152, 65536), 443), 1232)
    elif kind < 0.93:
        mqtt = TcpTalk(trace, one, other, cloud_port=rng.choice((1883, 8883)), rtt=0.02)
        mqtt.connect()
        mqtt.say(DEVICE, b"\x10\x2a\x00\x04MQTT\x04\x02\x00\x3c" + rng.randbytes(32))
        mqtt.say(CLOUD, b"\x20\x02\x00\x00")
        for _ in range(rng.randrange(1, 8)):
            mqtt.say(DEVICE, b"\x30\x1c" + rng.randbytes(28))
            trace.wait(0.02, 0.05)
    else:
        side = rng.choice((DEVICE, CLOUD))
        flow = TcpTalk(
            trace, one, other, cloud_port=rng.choice((443, 8443, 9000, rng.randrange(1024, 65536))), rtt=0.02
        )
        began = len(trace.frames)
        flow.connect()
        for size in (rng.choice((40, 256, 384)), *(rng.randrange(20, 1400) for _ in range(rng.randrange(3)))):
            flow.say(side, rng.randbytes(size), ack=False)
        wanted = one.mac if side == DEVICE else other.mac
        trace.frames[began:] = [frame for frame in trace.frames[began:] if frame.data[6:12] == wanted]


def _datagrams(rng: Random, trace: Trace, flow: UdpTalk, limit: int) -> None:
    for index in range(rng.randrange(2, 14)):
        size = rng.randrange(40, limit) if index > 1 else limit
        flow.say(int(rng.random() < 0.6), b"\x4b" + rng.randbytes(size) + bytes(2))
        trace.wait(0.004, 0.03)


def _lookup(rng: Random, trace: Trace, one: Host, other: Host) -> None:
    flow = UdpTalk(trace, one, other, rng.randrange(49152, 65536), 53)
    ident, name = rng.getrandbits(16), f"host{rng.randrange(9999)}.example.com"
    flow.say(DEVICE, wire.dns_query(ident, name))
    trace.wait(0.012, 0.02)
    flow.say(CLOUD, wire.dns_answer(ident, name, [rng.randbytes(4)]))


def template(seed: int, packets: int = TEMPLATE, *, tls: bool = False, mix: str = "site") -> Template:
    """The traffic that is repeated."""
    rng = Random(f"around/{seed}")
    frames = in_order([frame for trace in _flows(rng, packets, tls=tls, mix=mix) for frame in trace.frames])[:packets]
    parts, offsets, client, ident, balance = [], [0], [], [], []
    highest = 0
    for frame in frames:
        base = offsets[-1] + 16
        where = _patch_points(frame.data)
        client.append(base + where[0])
        ident.append(base + where[1] if where[1] else 0)
        balance.append(base + where[2] if where[2] else 0)
        highest = max(highest, int.from_bytes(frame.data[where[0] + 2 : where[0] + 4], "big"))
        parts.append(struct.pack("<IIII", 0, 0, len(frame.data), frame.length) + frame.data)
        offsets.append(offsets[-1] + len(parts[-1]))
    times = np.arange(len(frames), dtype=np.int64) * (SECOND // RATE)
    arrays = [np.array(values, dtype=np.int64) for values in (offsets, client, ident, balance)]
    return Template(b"".join(parts), arrays[0], times, *arrays[1:], clients=highest + 1)


def _patch_points(frame: bytes) -> tuple[int, int, int]:
    """Where the client's address (last two words), the IP identification and a spare transport word are."""
    offset = 14
    while frame[offset - 2 : offset] in (b"\x81\x00", b"\x88\xa8"):
        offset += 4
    ethertype = int.from_bytes(frame[offset - 2 : offset], "big")
    if ethertype == wire.ETHERTYPE_ARP:
        return offset + 14, 0, 0
    if ethertype == wire.ETHERTYPE_IPV6:
        outward = frame[offset + 8 : offset + 14] == wire.address("2001:db8:10::")[:6]
        return offset + (20 if outward else 36), 0, _spare(frame, offset + 40, frame[offset + 6])
    outward = frame[offset + 12 : offset + 14] == b"\x0a\x10"
    return offset + (12 if outward else 16), offset + 4, _spare(frame, offset + 20, frame[offset + 9])


def _spare(frame: bytes, offset: int, protocol: int) -> int:
    """A 16-bit word that may take any value: the low half of TSval, a DNS id, the last bytes of a datagram."""
    if protocol == wire.TCP:
        return offset + (30 if frame[offset + 13] & wire.SYN else 26)
    if b"\0\x35" in (frame[offset : offset + 2], frame[offset + 2 : offset + 4]):
        return offset + 8
    return offset + (len(frame) - offset - 2) // 2 * 2


def repeat(form: Template, turn: int) -> bytearray:
    """The template's bytes for the ``turn``-th time: other clients, later times, right checksums."""
    data = bytearray(form.data)
    view = np.frombuffer(data, dtype=np.uint8)
    ticks = form.times + (EPOCH + turn * 5) * SECOND
    starts = form.offsets[:-1]
    _put32(view, starts, ticks // SECOND)
    _put32(view, starts + 4, ticks % SECOND // 1000)
    high, low = _word(view, form.client), _word(view, form.client + 2)
    shifted = low + turn * form.clients
    new_high, new_low = high + (shifted >> 16), shifted & 0xFFFF
    delta = (new_high - high + new_low - low) % 65535
    for points in (form.ident, form.balance):
        there = points > 0
        _put16(view, points[there], (_word(view, points[there]) - delta[there]) % 65535)
    _put16(view, form.client, new_high)
    _put16(view, form.client + 2, new_low)
    return data


def _word(view: np.ndarray, at: np.ndarray) -> np.ndarray:
    return view[at].astype(np.int64) << 8 | view[at + 1]


def _put16(view: np.ndarray, at: np.ndarray, value: np.ndarray) -> None:
    view[at], view[at + 1] = value >> 8, value & 0xFF


def _put32(view: np.ndarray, at: np.ndarray, value: np.ndarray) -> None:
    for index in range(4):
        view[at + index] = value >> 8 * index & 0xFF


def write(
    folder: Path, *, packets: int, sessions: int, seed: int = 1, tls: bool = False, mix: str = "site"
) -> dict[str, int]:
    """Writes gateway.pcap, keys/ and truth.json into ``folder``; returns the verdicts due with all keys."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    population = Population(sessions, packets / RATE, seed)
    for name, data in population.key_files():
        (keys / name).write_bytes(data)
    records: list[tuple[int, bytes]] = []
    with (keys / "sslkeys.log").open("wb") as keylog:
        for attempt in population.attempts():
            keylog.write(attempt.keylog)
            records += [
                (frame.time_ns, struct.pack("<IIII", frame.time_ns // SECOND, frame.time_ns % SECOND // 1000,
                                            len(frame.data), frame.length) + frame.data)
                for frame in attempt.frames
            ]  # fmt: skip
    records.sort(key=lambda record: record[0])
    _merge(folder / "gateway.pcap", template(seed, tls=tls, mix=mix), records, packets)
    verdicts = dict(sorted(population.verdicts().items()))
    truth = {"packets": packets, "sessions": sessions, "seed": seed, "verdicts": verdicts}
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return verdicts


def _merge(path: Path, form: Template, records: list[tuple[int, bytes]], packets: int) -> None:
    """The template over and over, with the devices' packets where their time is, ``packets`` in all."""
    around = packets - len(records)
    if around < 0:
        raise ValueError(f"{len(records)} packets of device sessions do not fit into {packets}")
    times = form.times.tolist()
    offsets = form.offsets.tolist()
    next_record, turn = 0, 0
    with path.open("wb") as stream:
        stream.write(capfile.pcap([]))
        while around > 0 or next_record < len(records):
            count = min(around, len(times))
            data = memoryview(repeat(form, turn)) if count else memoryview(b"")
            begin = (EPOCH + turn * 5) * SECOND
            done = 0
            end = begin + 5 * SECOND if count == len(times) else records[-1][0] + 1 if records else begin
            while next_record < len(records) and records[next_record][0] < end:
                moment, record = records[next_record]
                index = min(bisect_right(times, moment - begin), count)
                stream.write(data[done : offsets[index]])
                stream.write(record)
                done = max(done, offsets[index])
                next_record += 1
            stream.write(data[done : offsets[count]])
            around -= count
            turn += 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Write a gateway capture from a fixed seed.")
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--sessions", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true", help="frame what other connections carry as TLS records")
    parser.add_argument("--mix", choices=("site", "uplink"), default="site", help="which traffic is around the devices")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    asked = {name: value for name, value in vars(arguments).items() if name != "output"}
    verdicts = write(arguments.output, **asked)
    print(json.dumps(verdicts), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
