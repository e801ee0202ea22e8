"""What surrounds a connection attempt: ARP, name resolution, the firmware's internet test, a clock query."""

from __future__ import annotations

from collections.abc import Sequence

from captures.synth import wire
from captures.synth.case import Lab
from captures.synth.talk import CLOUD, DEVICE, Host, TcpTalk, Trace, UdpTalk


def arp(lab: Lab, trace: Trace, host: Host | None = None) -> None:
    """The device asks for its gateway."""
    me, gateway = host or lab.device, lab.gateway
    question = wire.arp(1, me.mac, me.ip, bytes(6), gateway.ip)
    trace.frame(wire.ethernet(me.mac, b"\xff" * 6, wire.ETHERTYPE_ARP, question))
    trace.wait(0.00002)
    reply = wire.arp(2, gateway.mac, gateway.ip, me.mac, me.ip)
    trace.frame(wire.ethernet(gateway.mac, me.mac, wire.ETHERTYPE_ARP, reply))
    trace.wait(0.00003)


def resolve(
    lab: Lab,
    trace: Trace,
    name: str,
    addresses: Sequence[str],
    *,
    alias: str | None = None,
    rcode: int = 0,
    answer: bool = True,
    host: Host | None = None,
) -> None:
    """A DNS query over UDP to the gateway, and its answer."""
    talk = UdpTalk(trace, host or lab.device, lab.gateway, lab.rng.randrange(49152, 65536), 53)
    ident = lab.rng.getrandbits(16)
    kind = 28 if addresses and ":" in addresses[0] else 1
    talk.say(DEVICE, wire.dns_query(ident, name, kind))
    if answer:
        trace.wait(0.016, 0.01)
        packed = [wire.address(text) for text in addresses]
        talk.say(CLOUD, wire.dns_answer(ident, name, packed, alias=alias, rcode=rcode))
    trace.wait(0.001, 0.001)


def resolve_tcp(lab: Lab, trace: Trace, name: str, addresses: Sequence[str]) -> None:
    """The same over TCP (RFC 7766): a length before each message."""
    talk = TcpTalk(trace, lab.device, lab.gateway, cloud_port=53, rtt=0.0004)
    ident = lab.rng.getrandbits(16)
    talk.connect()
    query = wire.dns_query(ident, name)
    talk.say(DEVICE, len(query).to_bytes(2, "big") + query)
    trace.wait(0.014)
    answer = wire.dns_answer(ident, name, [wire.address(text) for text in addresses])
    talk.say(CLOUD, len(answer).to_bytes(2, "big") + answer, (2,))
    talk.close(DEVICE)
    trace.wait(0.001)


def internet_test(lab: Lab, trace: Trace, *, reachable: bool = True) -> None:
    """The firmware's probe after a failed connect: a TCP connection to 8.8.8.8:53, closed at once (tcp.md 2.4)."""
    google = Host.of("8.8.8.8", "02:00:5e:00:01:01", 115)
    talk = TcpTalk(trace, lab.device, google, cloud_port=53, rtt=0.021, modern=False)
    if not reachable:
        talk.segment(DEVICE, wire.SYN)
        trace.wait(1)
        talk.segment(DEVICE, wire.SYN, back=1)
        trace.wait(4)
        return
    talk.connect()
    trace.wait(0.0002)
    talk.close(DEVICE)
    trace.wait(0.001)


def clock(lab: Lab, trace: Trace) -> None:
    """The probe of device-os 2.0 and later: an NTP query to pool.ntp.org and its answer."""
    resolve(lab, trace, "pool.ntp.org", ["198.51.100.123"])
    server = Host.of("198.51.100.123", "02:00:5e:00:01:01", 54)
    talk = UdpTalk(trace, lab.device, server, lab.rng.randrange(49152, 65536), 123)
    talk.say(DEVICE, b"\x23" + bytes(39) + lab.rng.randbytes(8))
    trace.wait(0.024)
    seconds = trace.now // 10**9 + 2_208_988_800
    stamp = seconds.to_bytes(4, "big") + bytes(4)
    talk.say(CLOUD, b"\x24\x02\x06\xec" + bytes(8) + b"GPS\0" + stamp * 4)
    trace.wait(0.001)
