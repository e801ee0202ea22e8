"""Conversations with times: who sends which segment or datagram when, seen from one place on the path.

A :class:`Trace` has a clock that scripts move forward; :class:`TcpTalk` and :class:`UdpTalk` put packets on it. What a
script says is what is captured: losses, repeats and disorder are made by the script, segment by segment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from captures.synth import wire
from captures.synth.capfile import Frame
from captures.synth.wire import ACK, FIN, PSH, RST, SYN

MICRO, MILLI, SECOND = 1_000, 1_000_000, 1_000_000_000
#: The two sides of a conversation.
DEVICE, CLOUD = 0, 1


@dataclass(frozen=True, slots=True)
class Host:
    """A network address with its MAC and the TTL its packets have where the capture is taken."""

    ip: bytes
    mac: bytes
    ttl: int = 64

    @classmethod
    def of(cls, ip: str, mac: str, ttl: int = 64) -> Host:
        return cls(wire.address(ip), bytes.fromhex(mac.replace(":", "")), ttl)


#: Puts a link-layer header on an IP packet: (source, destination, packet) -> one or more frames.
Link = Callable[[Host, Host, bytes], Sequence[bytes]]


def ethernet(*vlans: int, pad: bool = False) -> Link:
    """Ethernet, with VLAN tags."""

    def put(source: Host, destination: Host, packet: bytes) -> Sequence[bytes]:
        ethertype = wire.ETHERTYPE_IPV4 if packet[0] >> 4 == 4 else wire.ETHERTYPE_IPV6
        return (wire.ethernet(source.mac, destination.mac, ethertype, packet, vlans, pad=pad),)

    return put


def raw(source: Host, destination: Host, packet: bytes) -> Sequence[bytes]:
    """No link layer (LINKTYPE_RAW)."""
    return (packet,)


def null(order: str = "<") -> Link:
    """BSD loopback: the address family in the capturing host's byte order (LINKTYPE_NULL; ``>`` for LINKTYPE_LOOP)."""

    def put(source: Host, destination: Host, packet: bytes) -> Sequence[bytes]:
        return (struct.pack(order + "I", 2 if packet[0] >> 4 == 4 else 30) + packet,)

    return put


def sll(source: Host, destination: Host, packet: bytes) -> Sequence[bytes]:
    """Linux cooked capture v1, seen by the receiving host."""
    ethertype = wire.ETHERTYPE_IPV4 if packet[0] >> 4 == 4 else wire.ETHERTYPE_IPV6
    return (struct.pack(">HHH", 0, 1, 6) + source.mac + bytes(2) + struct.pack(">H", ethertype) + packet,)


def sll2_forwarded(source: Host, destination: Host, packet: bytes) -> Sequence[bytes]:
    """Linux cooked capture v2 with ``-i any`` on a gateway: in on one interface, through the bridge, out on another."""
    ethertype = wire.ETHERTYPE_IPV4 if packet[0] >> 4 == 4 else wire.ETHERTYPE_IPV6
    return tuple(
        struct.pack(">HHIHBB", ethertype, 0, interface, 1, kind, 6) + source.mac + bytes(2) + packet
        for interface, kind in ((3, 0), (5, 0), (2, 4))
    )


class Trace:
    """The capture being made: frames, a clock (ns since 1970) and the seeded generator that gives the jitter."""

    def __init__(self, start: int, rng: Random, link: Link | None = None) -> None:
        self.start = start
        self.now = start
        self.rng = rng
        self.link = ethernet() if link is None else link
        self.frames: list[Frame] = []

    def wait(self, seconds: float, jitter: float = 0.0) -> None:
        """Move the clock forward, by up to ``jitter`` more."""
        self.now += round((seconds + jitter * self.rng.random()) * SECOND) // MICRO * MICRO

    def until(self, seconds: float) -> None:
        """Move the clock to that many seconds after the start (never backwards)."""
        self.now = max(self.now, self.start + round(seconds * SECOND))

    def packet(self, source: Host, destination: Host, packet: bytes, interface: int = 0) -> None:
        """An IP packet, at the clock's time."""
        for index, data in enumerate(self.link(source, destination, packet)):
            self.frames.append(Frame(self.now + index * 3 * MICRO, data, len(data), interface))

    def frame(self, data: bytes, interface: int = 0) -> None:
        """A whole frame, at the clock's time."""
        self.frames.append(Frame(self.now, data, len(data), interface))

    def drop(self, *indices: int) -> None:
        """Take frames out of the capture (0-based, negative from the end): lost on the way to it."""
        gone = {index % len(self.frames) for index in indices}
        self.frames = [frame for index, frame in enumerate(self.frames) if index not in gone]

    def swap(self, first: int, second: int) -> None:
        """Two frames arrive in the other order, each at the other's time."""
        a, b = self.frames[first], self.frames[second]
        self.frames[first], self.frames[second] = replace(b, time_ns=a.time_ns), replace(a, time_ns=b.time_ns)


@dataclass(slots=True)
class _End:
    host: Host
    port: int
    sequence: int
    window: int
    ident: int
    stamp: int
    acknowledged: int = 0
    modern: bool = True


class TcpTalk:
    """A TCP connection seen at the device's end: it is seen at once, the cloud's answer one round trip later."""

    def __init__(
        self,
        trace: Trace,
        device: Host,
        cloud: Host,
        device_port: int | None = None,
        cloud_port: int = 5683,
        *,
        rtt: float = 0.064,
        sequences: tuple[int, int] | None = None,
        modern: bool = True,
    ) -> None:
        rng = trace.rng
        if sequences is None:
            sequences = rng.getrandbits(32), rng.getrandbits(32)
        if device_port is None:
            device_port = rng.randrange(49152, 65536)
        self.trace = trace
        self.rtt = rtt
        # A Photon's or a CC3000's stack offers an MSS and nothing else; ``modern`` is a Linux one.
        window = 64240 if modern else 5840
        self.ends = (
            _End(device, device_port, sequences[0], window, rng.getrandbits(16), rng.getrandbits(32), modern=modern),
            _End(cloud, cloud_port, sequences[1], 65160, rng.getrandbits(16), rng.getrandbits(32), modern=modern),
        )

    def segment(
        self,
        side: int,
        flags: int,
        data: bytes = b"",
        *,
        back: int = 0,
        window: int | None = None,
        ack: int | None = None,
        advance: bool = True,
        ttl: int | None = None,
        corrupt: int | None = None,
    ) -> None:
        """One segment at the clock's time.

        ``back`` repeats from so many bytes before the next one; ``corrupt`` flips a byte of ``data`` on the wire, the
        checksum corrected as a middlebox would. ``ack`` overrides the acknowledgement number.
        """
        me, peer = self.ends[side], self.ends[1 - side]
        sequence = me.sequence - back
        if flags & ACK:
            me.acknowledged = peer.sequence if ack is None else ack
        sent = data
        if corrupt is not None:
            sent = data[:corrupt] + bytes((data[corrupt] ^ 0x20,)) + data[corrupt + 1 :]
        payload = wire.tcp(
            me.host.ip,
            peer.host.ip,
            me.port,
            peer.port,
            sequence,
            me.acknowledged if flags & ACK else 0,
            flags,
            (me.window >> (7 if me.modern and not flags & SYN else 0)) if window is None else window,
            self._options(me, peer, flags),
            sent,
        )
        self._emit(me, peer, payload, ttl)
        if advance:
            end = sequence + len(data) + bool(flags & SYN) + bool(flags & FIN)
            if (end - me.sequence) & 0xFFFFFFFF < 0x80000000:
                me.sequence = end & 0xFFFFFFFF

    def _options(self, me: _End, peer: _End, flags: int) -> bytes:
        if flags & RST:
            return b""
        if not me.modern:
            return b"\2\4\5\xb4" if flags & SYN else b""
        now = (self.trace.now - self.trace.start) // MILLI
        echo = (peer.stamp + now) & 0xFFFFFFFF if flags & ACK else 0
        stamps = struct.pack(">BBII", 8, 10, (me.stamp + now) & 0xFFFFFFFF, echo)
        return b"\2\4\5\xb4\4\2" + stamps + b"\1\3\3\7" if flags & SYN else b"\1\1" + stamps

    def _emit(self, me: _End, peer: _End, payload: bytes, ttl: int | None) -> None:
        me.ident = me.ident + 1 & 0xFFFF
        hops = me.host.ttl if ttl is None else ttl
        packet = wire.ip(me.host.ip, peer.host.ip, wire.TCP, payload, ttl=hops, ident=me.ident)
        self.trace.packet(me.host, peer.host, packet)

    # ---- the usual exchanges -------------------------------------------------------------------------------------

    def connect(self) -> None:
        """SYN, SYN-ACK a round trip later, ACK."""
        self.segment(DEVICE, SYN)
        self.trace.wait(self.rtt, 0.004)
        self.segment(CLOUD, SYN | ACK)
        self.trace.wait(0.00004)
        self.segment(DEVICE, ACK)

    def say(self, side: int, data: bytes, sizes: Sequence[int] = (), *, ack: bool = True) -> None:
        """``data`` in segments of ``sizes`` (what is left in one more), acknowledged by the other side."""
        start = 0
        for size in (*sizes, len(data)):
            part = data[start : start + size]
            if not part:
                break
            start += len(part)
            self.segment(side, PSH | ACK, part)
            self.trace.wait(0.0001, 0.0002)
        if ack:
            self.acknowledge(1 - side)

    def acknowledge(self, side: int) -> None:
        """A pure ACK: at once by the device, a round trip later by the cloud."""
        if side == CLOUD:
            self.trace.wait(self.rtt, 0.004)
        else:
            self.trace.wait(0.00003, 0.00002)
        self.segment(side, ACK)
        self.trace.wait(0.00005, 0.0001)

    def fin(self, side: int) -> None:
        self.segment(side, FIN | ACK)

    def reset(self, side: int, *, ttl: int | None = None) -> None:
        self.segment(side, RST | ACK, ttl=ttl)

    def close(self, side: int, *, later: float = 0.0) -> None:
        """FIN by ``side``, acknowledged; the other side's FIN ``later`` seconds after that, acknowledged."""
        self.fin(side)
        if later:
            self.acknowledge(1 - side)
            self.trace.wait(later)
        elif side == DEVICE:
            self.trace.wait(self.rtt, 0.004)
        self.fin(1 - side)
        self.acknowledge(side)

    def keep_alive(self, side: int) -> None:
        """A probe (one byte back, no data) and its answer."""
        self.segment(side, ACK, back=1, advance=False)
        self.acknowledge(1 - side)


class UdpTalk:
    """A UDP exchange between two ports."""

    def __init__(self, trace: Trace, device: Host, cloud: Host, device_port: int, cloud_port: int) -> None:
        self.trace = trace
        self.ends = ((device, device_port), (cloud, cloud_port))
        self.ident = trace.rng.getrandbits(16)

    def say(self, side: int, data: bytes) -> bytes:
        """One datagram at the clock's time; returns the IP packet (an ICMP error may quote it)."""
        (me, port), (peer, peer_port) = self.ends[side], self.ends[1 - side]
        self.ident = self.ident + 1 & 0xFFFF
        datagram = wire.udp(me.ip, peer.ip, port, peer_port, data)
        packet = wire.ip(me.ip, peer.ip, wire.UDP, datagram, ttl=me.ttl, ident=self.ident)
        self.trace.packet(me, peer, packet)
        return packet
