"""TCP: the same good handshake over every kind of path and in every kind of file; reassembly must not mind."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from captures.synth import capfile, talk, wire
from captures.synth.capfile import Frame, Interface
from captures.synth.case import Case, Lab, case, expect, in_order, pcap
from captures.synth.names import arp, internet_test, resolve, resolve_tcp
from captures.synth.recipes.tcp_keys import HEALTHY, LOOKS_HEALTHY, REJECTED
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import CLOUD, DEVICE, Host, Link, TcpTalk, Trace
from captures.synth.wire import ACK, PSH, SYN


def good(
    lab: Lab,
    truth: str,
    script: Callable[[Scene], object],
    *,
    link: Link | None = None,
    kind: int = capfile.ETHERNET,
    sequences: tuple[int, int] | None = None,
    write: Callable[[list[Frame]], bytes] | None = None,
    filename: str = "capture.pcap",
) -> Case:
    """A sound device and cloud; ``script`` plays the connection, ``write`` makes the file."""
    device, server, key = sound(lab)
    trace = lab.trace(link)
    connection = TcpTalk(trace, lab.device, lab.cloud, sequences=sequences)
    scene = Scene(lab, device, server, key.n, trace=trace, talk=connection)
    script(scene)
    frames = in_order(trace.frames)
    capture = capfile.pcap(frames, kind) if write is None else write(frames)
    return Case(truth, capture, ticket(device, server.key, key), HEALTHY, LOOKS_HEALTHY, filename)


@case("synth-path-segments", "Every message comes in pieces.")
def segments(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        scene.connect().nonce([1] * 39).identity([1, 31, 64, 100]).session_key([7, 121, 2, 250])
        session = scene.begin()
        scene.talk.say(DEVICE, session.device_hello(), [1, 1, 7])
        scene.talk.say(CLOUD, session.cloud_hello("bp"), [2])
        scene.chatter()

    return good(lab, "all messages are segmented, down to single bytes; nothing is wrong", script)


@case("synth-path-disorder", "Segments arrive out of order.")
def disorder(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        scene.connect().nonce()
        first = len(scene.trace.frames)
        scene.identity([128])
        scene.trace.swap(first, first + 1)
        first = len(scene.trace.frames)
        scene.session_key([100, 150])
        scene.trace.swap(first, first + 2)
        scene.hellos().chatter()

    return good(lab, "the identity and the session key arrive out of order; nothing is wrong", script)


@case("synth-path-retransmissions", "A lossy link.")
def retransmissions(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        link, trace = scene.talk, scene.trace
        link.segment(DEVICE, SYN)
        trace.wait(1)
        link.segment(DEVICE, SYN, back=1)
        trace.wait(link.rtt)
        link.segment(CLOUD, SYN | ACK)
        link.segment(DEVICE, ACK)
        scene.nonce()
        scene.identity(ack=False)
        message = trace.frames[-1]
        for pause in (0.3, 0.6):
            trace.wait(pause)
            trace.frames.append(replace(message, time_ns=trace.now))
        link.acknowledge(CLOUD)
        scene.session_key([200], ack=False)
        # The first half is lost before the capture and comes again.
        lost = trace.frames.pop(-2)
        trace.wait(0.0001)
        link.segment(DEVICE, ACK, ack=(link.ends[CLOUD].sequence - 384) & 0xFFFFFFFF)
        trace.wait(0.07)
        trace.frames.append(replace(lost, time_ns=trace.now))
        trace.wait(0.0001)
        link.acknowledge(DEVICE)
        scene.hellos().chatter()

    return good(lab, "SYN and identity are sent again, half of the session key was lost once; nothing is wrong", script)


@case("synth-path-overlap", "Retransmissions that overlap what was there.")
def overlap(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        link = scene.talk
        scene.connect().nonce().identity()
        scene.session_key([300], ack=False)
        scene.trace.frames.pop()
        session = scene.begin()
        # What is repeated covers the last 184 bytes of the session key and, in the same segment, the records behind.
        scene.trace.wait(0.3)
        link.segment(CLOUD, PSH | ACK, scene.sealed[200:], back=184)
        link.acknowledge(DEVICE)
        link.say(DEVICE, session.device_hello())
        records = session.cloud_hello("bp") + session.describe_request()
        link.segment(CLOUD, PSH | ACK, records[:18])
        scene.trace.wait(0.2)
        link.segment(CLOUD, PSH | ACK, scene.sealed[-30:] + records, back=48)
        link.acknowledge(DEVICE)
        scene.kind = "sp"
        scene.chatter()

    return good(lab, "repeated segments begin earlier and end later than the first ones; nothing is wrong", script)


@case("synth-path-wrap", "Sequence numbers pass 2^32.")
def wrap(lab: Lab) -> Case:
    truth = "both sequence numbers wrap in the middle of a message; nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(), sequences=(2**32 - 100, 2**32 - 141))


@case("synth-path-syn-data", "The nonce comes with the SYN-ACK.")
def syn_data(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        link = scene.talk
        link.segment(DEVICE, SYN)
        scene.trace.wait(link.rtt)
        link.segment(CLOUD, SYN | ACK, scene.challenge)
        scene.trace.wait(0.0001)
        link.segment(DEVICE, ACK)
        scene.identity().session_key().hellos().chatter()

    return good(lab, "data in the SYN-ACK (RFC 9293 allows it); nothing is wrong", script)


@case("synth-path-port-reuse", "Two sessions on one four-tuple.")
def reuse(lab: Lab) -> Case:
    device, server, key = sound(lab)
    first = Scene(lab, device, server, key.n).connect().nonce().identity().rejected()
    port = first.talk.ends[DEVICE].port
    first.trace.wait(1)
    again = TcpTalk(first.trace, lab.device, lab.cloud, port)
    Scene(lab, device, server, key.n, trace=first.trace, talk=again).whole()
    truth = "the server, about to restart, closes on a good identity; the second attempt, on the same ports, is good"
    keys = ticket(device, server.key, key)
    refused = expect("server-fault identity-rejected")
    unseen = expect("identity-rejected")
    return Case(truth, pcap(first.trace), keys, [refused, HEALTHY], [unseen, LOOKS_HEALTHY])


@case("synth-path-idle", "Keep-alives and a closed window.")
def idle(lab: Lab) -> Case:
    def script(scene: Scene) -> None:
        link = scene.talk
        scene.whole(pings=0)
        session = scene.session
        assert session is not None
        for side in (CLOUD, DEVICE):
            scene.trace.wait(7)
            link.keep_alive(side)
        scene.trace.wait(1)
        # A keep-alive of the older kind carries one byte of garbage.
        link.segment(CLOUD, ACK, b"\0", back=1, advance=False)
        link.acknowledge(DEVICE)
        link.segment(DEVICE, ACK, window=0)
        scene.trace.wait(1)
        probe = session.event(CLOUD, "spark/hello", "there")
        link.segment(CLOUD, ACK, probe[:1])
        scene.trace.wait(0.01)
        link.segment(DEVICE, ACK)
        link.say(CLOUD, probe[1:])
        scene.trace.wait(2)
        link.say(DEVICE, session.ping())
        link.say(CLOUD, session.ack(CLOUD))

    return good(lab, "keep-alives with and without a byte, a zero window and its probe; nothing is wrong", script)


@case("synth-path-any", "tcpdump -i any on the gateway: every packet three times.")
def anywhere(lab: Lab) -> Case:
    truth = "each packet was captured on three interfaces; nothing is wrong"
    script = lambda scene: scene.whole(pings=0)  # noqa: E731 - a one-word script
    return good(lab, truth, script, link=talk.sll2_forwarded, kind=capfile.SLL2)


@case("synth-path-sll", "Linux cooked capture v1.")
def cooked(lab: Lab) -> Case:
    return good(lab, "nothing is wrong", lambda scene: scene.whole(pings=0), link=talk.sll, kind=capfile.SLL)


@case("synth-path-vlan", "A trunk port.")
def vlan(lab: Lab) -> Case:
    return good(lab, "802.1Q; nothing is wrong", lambda scene: scene.whole(pings=0), link=talk.ethernet(0x2064))


@case("synth-path-qinq", "A provider's port.")
def qinq(lab: Lab) -> Case:
    truth = "802.1ad, two tags, short frames padded to 60 bytes; nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(pings=0), link=talk.ethernet(7, 0x2064, pad=True))


@case("synth-path-raw", "A tunnel without a link layer.")
def unframed(lab: Lab) -> Case:
    return good(lab, "raw IP; nothing is wrong", lambda scene: scene.whole(pings=0), link=talk.raw, kind=capfile.RAW)


@case("synth-path-null", "A BSD loopback.")
def null(lab: Lab) -> Case:
    truth = "BSD loopback, written on a big-endian host; nothing is wrong"
    write = lambda frames: capfile.pcap(frames, capfile.NULL, order=">")  # noqa: E731 - a one-word writer
    return good(lab, truth, lambda scene: scene.whole(pings=0), link=talk.null(">"), write=write)


def over_ipv6(lab: Lab) -> None:
    lab.device = Host.of("2001:db8:1::50", "e0:4f:43:00:01:50", 64)
    lab.gateway = Host.of("2001:db8:1::1", "02:00:5e:00:01:01")
    lab.cloud = Host.of("2001:db8:cafe::10", "02:00:5e:00:01:01", 52)


@case("synth-path-ipv6", "A cloud reached over IPv6.")
def sixth(lab: Lab) -> Case:
    over_ipv6(lab)

    def script(scene: Scene) -> None:
        resolve(lab, scene.trace, "cloud.example.net", ["2001:db8:cafe::10"])
        scene.whole(pings=0)

    return good(lab, "nothing is wrong", script)


@case("synth-path-ipv6-extensions", "IPv6 with hop-by-hop and destination options, and fragments.")
def extensions(lab: Lab) -> Case:
    over_ipv6(lab)
    plain = talk.ethernet()
    router_alert = wire.HOP_BY_HOP, bytes((0, 5, 2, 0, 0, 1, 0))
    padding = wire.DESTINATION_OPTIONS, bytes((0, 1, 4, 0, 0, 0, 0))

    def link(source: Host, destination: Host, packet: bytes) -> list[bytes]:
        if len(packet) > 300:
            parts = wire.ipv6_fragments(packet, 128, identification(packet))
            return [frame for part in parts for frame in plain(source, destination, part)]
        protocol, body = packet[6], packet[40:]
        whole = wire.ipv6(source.ip, destination.ip, protocol, body, hops=packet[7], extensions=[router_alert, padding])
        return list(plain(source, destination, whole))

    truth = "extension headers before TCP, the long segments in fragments; nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(pings=0), link=link)


def identification(packet: bytes) -> int:
    """A fragment identification that differs from packet to packet."""
    return int.from_bytes(packet[44:48], "big")


@case("synth-path-fragments", "IPv4 fragments, the last one first.")
def fragments(lab: Lab) -> Case:
    plain = talk.ethernet()

    def link(source: Host, destination: Host, packet: bytes) -> list[bytes]:
        parts = [packet] if len(packet) < 300 else list(wire.ipv4_fragments(packet, 104))[::-1]
        return [frame for part in parts for frame in plain(source, destination, part)]

    truth = "identity and session key arrive as IP fragments in reverse order; nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(pings=0), link=link)


@case("synth-path-custom-port", "A private cloud on port 8443, by name.")
def custom_port(lab: Lab) -> Case:
    device, server, key = sound(lab)
    device.server = device.server[:384] + b"\1\x0fiot.example.com\0".ljust(66, b"\xff") + struct.pack(">H", 8443)
    device.server = device.server.ljust(512, b"\xff")
    trace = lab.trace()
    resolve_tcp(lab, trace, "iot.example.com", ["203.0.113.10"])
    scene = Scene(lab, device, server, key.n, trace=trace, port=8443).whole()
    truth = "nothing is wrong; the port is the custom cloud's, the name was looked up over TCP"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), HEALTHY, LOOKS_HEALTHY)


@case("synth-file-pcapng", "Two interfaces of different kinds in one file, nanoseconds, big-endian.")
def sections(lab: Lab) -> Case:
    def write(frames: list[Frame]) -> bytes:
        # What the device sends was taken on a tunnel (raw IP, nanoseconds), the rest on Ethernet (microseconds).
        mixed = [
            replace(frame, data=frame.data[14:], length=frame.length - 14, interface=1, time_ns=frame.time_ns + 789)
            if frame.data[26:30] == lab.device.ip
            else frame
            for frame in frames
        ]
        interfaces = Interface(name="eth0"), Interface(capfile.RAW, 9, "tun0")
        return capfile.pcapng(mixed, interfaces, order=">", names=[(lab.cloud.ip, "cloud.example.net")])

    truth = "nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(pings=0), write=write, filename="capture.pcapng")


@case("synth-file-nanoseconds", "A big-endian nanosecond pcap.")
def nanoseconds(lab: Lab) -> Case:
    def write(frames: list[Frame]) -> bytes:
        finer = [replace(frame, time_ns=frame.time_ns + index * 37 % 1000) for index, frame in enumerate(frames)]
        return capfile.pcap(finer, nano=True, order=">")

    return good(lab, "nothing is wrong", lambda scene: scene.whole(pings=0), write=write)


@case("synth-file-gzip", "A compressed capture.")
def compressed(lab: Lab) -> Case:
    def write(frames: list[Frame]) -> bytes:
        return capfile.gzip(capfile.pcap(frames))

    truth = "nothing is wrong"
    return good(lab, truth, lambda scene: scene.whole(pings=0), write=write, filename="capture.pcap.gz")


@case("synth-file-cut", "The capture ends in the middle of a packet.")
def cut(lab: Lab) -> Case:
    def write(frames: list[Frame]) -> bytes:
        return capfile.pcap(frames)[:-41]

    return good(lab, "nothing is wrong; the file is cut in its last packet", lambda scene: scene.whole(), write=write)


@case("synth-gateway", "Forty seconds of a gateway with everything on it.")
def gateway(lab: Lab) -> Case:
    traces: list[Trace] = []
    keys: dict[str, bytes] = {}

    def add(number: int, at: float) -> tuple[Scene, Trace]:
        device, server, _ = sound(lab)
        key = lab.rsa(f"device {number}")
        device.slot = key.pkcs1.ljust(612, b"\xff")
        host = Host.of(f"192.168.1.{60 + number}", f"e0:4f:43:00:03:{60 + number:02x}", 128)
        trace = lab.trace(at=at)
        arp(lab, trace, host)
        resolve(lab, trace, "device.spark.io", ["203.0.113.10"], host=host)
        on_file = lab.rsa("another") if number == 1 else key
        keys.update(ticket(device, server.key, None if number == 2 else on_file))
        traces.append(trace)
        return Scene(lab, device, server, on_file.n, trace=trace, host=host), trace

    add(0, 0.0)[0].whole()
    add(1, 2.0)[0].connect().nonce().identity().rejected()
    add(2, 3.0)[0].connect().nonce().identity().rejected()
    add(3, 5.0)[0].whole(27, pings=0)
    noise = lab.trace(at=1.0)
    web = TcpTalk(noise, Host.of("192.168.1.9", "02:00:00:00:00:09"), lab.cloud, cloud_port=443)
    web.connect()
    web.say(DEVICE, bytes.fromhex("1603010200010001fc0303") + lab.rng.randbytes(300))
    web.say(CLOUD, bytes.fromhex("160303007a020000760303") + lab.rng.randbytes(900))
    web.close(DEVICE)
    internet_test(lab, noise)
    traces.append(noise)
    answers = [
        HEALTHY,
        expect("device-key-mismatch", "proven"),
        expect("device-unknown"),
        HEALTHY,
    ]
    blind = [LOOKS_HEALTHY, REJECTED, REJECTED, LOOKS_HEALTHY]
    return Case("four devices, two of them unknown in one way or another", pcap(*traces), keys, answers, blind)
