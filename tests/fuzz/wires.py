"""What happens to a capture on its way to support, and what a network does to a session: each a change of a whole capture.

Issue 15's matrix: `cuts`, `one_way`, `withheld_up`, `withheld_down`, `flights_lost`. Issue 16's table: the rest; each takes
a seeded generator. Nothing here knows what the analyzer makes of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from tests.fuzz.frames import (
    ACK,
    ETHERNET,
    FIN,
    PSH,
    RAW,
    SECOND,
    SLL2,
    SYN,
    TCP,
    End,
    Frame,
    Packet,
    Pcap,
    Talk,
    ipv4,
    ipv6,
    link_to,
    quoting,
    remade,
    sums_up,
    talks,
    view,
)

#: The sizes of the handshake over TCP.
NONCE, IDENTITY, SESSION_KEY = 40, 256, 384
MILLI = SECOND // 1000
#: Pauses between retransmissions, as Linux doubles them.
PAUSES = (0.3, 0.6, 1.2, 2.4, 4.8)


def handshakes(pcap: Pcap, transport: str) -> list[Talk]:
    """The conversations of devices with their cloud (probes of one datagram and other traffic left out)."""
    wanted = TCP if transport == "tcp" else 17
    port = 5683 if transport == "tcp" else 5684
    return [talk for talk in talks(pcap) if talk.protocol == wanted and talk.cloud[1] == port]


def _offset(packet: Packet, first: int) -> int:
    return (packet.sequence - first) & 0xFFFFFFFF


def _first_byte(talk: Talk, up: bool) -> int | None:
    """The sequence number of the first payload byte of one side."""
    for _, packet in talk.packets:
        if talk.up(packet) is up:
            return (packet.sequence + bool(packet.flags & SYN)) & 0xFFFFFFFF
    return None


def _reaching(talk: Talk, up: bool, count: int) -> int | None:
    """Position in the talk of the segment with which this side has sent so many bytes."""
    first = _first_byte(talk, up)
    if first is None:
        return None
    for position, (_, packet) in enumerate(talk.packets):
        if talk.up(packet) is up and packet.size:
            end = _offset(packet, first) + packet.size
            if count <= end < 1 << 31:
                return position
    return None


# ---- issue 15: what a network or a capture leaves out ---------------------------------------------------------------


def cuts(pcap: Pcap, talk: Talk, most: int = 9) -> Iterator[tuple[str, Pcap]]:
    """The capture ends behind each of the first flights of this conversation."""
    for number, index in enumerate(talk.flights()[:most]):
        yield f"cut-{number}", pcap.having(pcap.frames[: index + 1])


def until_pause(pcap: Pcap, most: int) -> Pcap:
    """At most so many packets, and an end where there is a pause of a second."""
    frames = pcap.frames
    end = min(most, len(frames))
    while 1 < end < len(frames) and frames[end].time - frames[end - 1].time < SECOND:
        end -= 1
    return pcap.having(frames[:end])


def one_way(pcap: Pcap, transport: str, up: bool) -> Pcap:
    """Only what devices (or only what clouds) send to the other."""
    gone = {
        index for talk in handshakes(pcap, transport) for index, packet in talk.packets if talk.up(packet) is not up
    }
    return pcap.having([frame for index, frame in enumerate(pcap.frames) if index not in gone])


#: A capture of one conversation alone, and when (ns) in it begins what was made.
Made = tuple[Pcap, int]


def withheld_up(pcap: Pcap, talk: Talk, by_cloud: bool) -> Made | None:
    """The 256 bytes never arrive: sent again five times, never acknowledged; then the cloud's FIN after 10 s (acknowledging
    nothing of them), or the device's after 20 s."""
    at = _reaching(talk, True, IDENTITY)
    start = _first_byte(talk, True)
    if at is None or start is None:
        return None
    begin = next(p for p, (_, one) in enumerate(talk.packets) if talk.up(one) and one.size)
    head, lost = talk.packets[:begin], [one for _, one in talk.packets[begin : at + 1] if talk.up(one) and one.size]
    down = [one for _, one in head if not talk.up(one)]
    if not down or any(len(one.payload) < one.size for one in lost):
        return None
    last = down[-1]
    frames = [one.frame for _, one in head] + [one.frame for one in lost]
    now = lost[-1].frame.time
    for pause in PAUSES:
        now += round(pause * SECOND)
        frames += [remade(one, time=now, ident=(one.ident + 64) & 0xFFFF) for one in lost]
    after = (last.sequence + last.size + bool(last.flags & SYN)) & 0xFFFFFFFF
    end = (lost[-1].sequence + lost[-1].size) & 0xFFFFFFFF
    now = lost[0].frame.time + (10 if by_cloud else 20) * SECOND
    plain = {"payload": b"", "size": 0, "options": b""}
    cloud = replace(last, flags=FIN | ACK, sequence=after, acknowledged=start, **plain)
    device = replace(lost[-1], flags=FIN | ACK, sequence=end, acknowledged=after, **plain)
    if by_cloud:
        frames.append(remade(cloud, time=now, payload=b""))
        frames.append(remade(device, time=now + MILLI, flags=ACK, acknowledged=after + 1 & 0xFFFFFFFF, payload=b""))
    else:
        frames.append(remade(device, time=now, payload=b""))
    return pcap.having(frames), head[0][1].frame.time


def withheld_down(pcap: Pcap, talk: Talk) -> Made | None:
    """The 384 bytes never arrive, seen at the cloud: sent again five times, never acknowledged; the device gives up after
    20 s with a FIN that acknowledges the nonce only."""
    at = _reaching(talk, False, NONCE + SESSION_KEY)
    first = _first_byte(talk, False)
    asked = _reaching(talk, True, IDENTITY)
    if at is None or first is None or asked is None:
        return None
    packets = talk.packets[: at + 1]
    lost = [one for _, one in packets if not talk.up(one) and one.size and _offset(one, first) >= NONCE]
    if any(len(one.payload) < one.size for one in lost) or not lost:
        return None
    limit = (first + NONCE) & 0xFFFFFFFF
    frames = [one.frame for _, one in packets]
    for index, (_, one) in enumerate(packets):
        if talk.up(one) and one.flags & ACK and NONCE < ((one.acknowledged - first) & 0xFFFFFFFF) < 1 << 31:
            frames[index] = remade(one, acknowledged=limit)
    now = lost[-1].frame.time
    for pause in PAUSES:
        now += round(pause * SECOND)
        frames += [remade(one, time=now, ident=(one.ident + 64) & 0xFFFF) for one in lost]
    said = [one for _, one in packets if talk.up(one) and one.size][-1]
    gone = replace(
        said,
        sequence=(said.sequence + said.size) & 0xFFFFFFFF,
        acknowledged=limit,
        flags=FIN | ACK,
        payload=b"",
        size=0,
        options=b"",
    )
    frames.append(remade(gone, time=said.frame.time + 20 * SECOND, payload=b""))
    return pcap.having(_sorted(frames)), packets[0][1].frame.time


def flights_lost(pcap: Pcap, talk: Talk, up: bool) -> Made | None:
    """A flight of the DTLS handshake never arrives: sent again after 1, 2, 4 and 8 s, nothing comes back.

    ``up``: the device's flight with its key exchange, at the device. Otherwise the cloud's flight, at the cloud, where the
    device also asks again.
    """
    marks = _flight_marks(talk)
    if "cloud" not in marks or (up and "device" not in marks):
        return None
    stop = marks["device" if up else "cloud"][1]
    frames = [one.frame for _, one in talk.packets[: stop + 1]]
    parts = [marks["device"]] if up else [marks["hello"], marks["cloud"]]
    flight = [talk.packets[position][1] for begin, end in parts for position in range(begin, end + 1)]
    now = flight[-1].frame.time
    for number, pause in enumerate((1, 2, 4, 8), 1):
        now += pause * SECOND
        for step, one in enumerate(flight):
            frames.append(remade(one, time=now + step * MILLI // 4, payload=_again(one.payload, 32 * number)))
    return pcap.having(frames), _first_hello(talk, marks["hello"][0]).frame.time


def _first_hello(talk: Talk, answered: int) -> Packet:
    """The ClientHello that began this handshake: the first of those in a row before the one that is answered."""
    at = answered
    for position in range(answered, -1, -1):
        packet = talk.packets[position][1]
        if talk.up(packet):
            if handshake_type(packet.payload) != 1:
                break
            at = position
    return talk.packets[at][1]


def _flight_marks(talk: Talk) -> dict[str, tuple[int, int]]:
    """Positions (first, last) of the ClientHello that is answered, the cloud's flight and the device's."""
    kinds = [(talk.up(one), handshake_type(one.payload)) for _, one in talk.packets]
    found: dict[str, tuple[int, int]] = {}
    server = next((i for i, (up, kind) in enumerate(kinds) if not up and kind == 2), None)
    if server is None:
        return found
    hello = max((i for i, (up, kind) in enumerate(kinds[:server]) if up and kind == 1), default=None)
    if hello is None:
        return found
    found["hello"] = (hello, hello)
    end = server
    while end + 1 < len(kinds) and not kinds[end + 1][0]:
        end += 1
    found["cloud"] = (server, end)
    if end + 1 < len(kinds) and kinds[end + 1][1] in (11, 16):
        last = end + 1
        while last + 1 < len(kinds) and kinds[last + 1][0]:
            last += 1
        found["device"] = (end + 1, last)
    return found


def first_packet(packet: Packet) -> bool:
    """A SYN, or a ClientHello without a cookie: nothing in it tells that anything came back."""
    if packet.protocol == TCP:
        return packet.flags & (SYN | ACK) == SYN
    hello = packet.payload[25:]
    if handshake_type(packet.payload) != 1 or len(hello) < 36:
        return False
    return not any(hello[35 + hello[34] : 36 + hello[34]])


def handshake_type(payload: bytes) -> int | None:
    """The type of the plain DTLS handshake message that a datagram begins with."""
    return payload[13] if len(payload) > 13 and payload[0] == 22 and payload[3:5] == b"\0\0" else None


def _again(payload: bytes, more: int) -> bytes:
    """The records of a datagram sent again: later numbers where the epoch is 0 (an encrypted one stays as it is)."""
    out, at = bytearray(payload), 0
    while at + 13 <= len(out):
        if out[at + 3 : at + 5] == b"\0\0":
            number = int.from_bytes(out[at + 5 : at + 11], "big") + more
            out[at + 5 : at + 11] = number.to_bytes(6, "big")
        at += 13 + int.from_bytes(out[at + 11 : at + 13], "big")
    return bytes(out)


def _sorted(frames: list[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: frame.time)


# ---- issue 16: how captures arrive ----------------------------------------------------------------------------------

Wire = Callable[[Pcap, Random], bytes | Pcap | None]


def nat_both_sides(pcap: Pcap, rng: Random) -> Pcap | None:
    """Both sides of a NAT in one file: each packet with its LAN and its WAN address, the port kept or not."""
    return _twice(pcap, rng, source=bytes((198, 51, 100, rng.randrange(1, 255))), target=None)


def any_interface(pcap: Pcap, rng: Random) -> Pcap | None:
    """`tcpdump -i any` on a gateway: cooked frames, each packet on two or three interfaces; half of the time behind a NAT."""
    if pcap.link not in (ETHERNET, RAW):
        return None
    copies = rng.choice((2, 3))
    wan = bytes((198, 51, 100, rng.randrange(1, 255))) if rng.random() < 0.5 else None
    ports: dict[End, int] = {}
    ends = _devices(pcap)
    frames = []
    for frame in pcap.frames:
        packet = view(frame, pcap.link)
        head = 14 if pcap.link == ETHERNET else 0
        inner = frame.data[head:]
        if packet is None:
            if head == 0 or frame.data[12:14] in (b"\x08\x00", b"\x86\xdd"):
                frames.append(link_to(frame, inner, 0, 2))
            continue
        for number in range(copies):
            data = inner
            if wan is not None and number == (copies - 1 if packet.source in ends else 0):
                data = ipv4(_translated(packet, ends, wan, ports, rng))[: len(inner)]
            kind = 4 if number == copies - 1 else 0
            frames.append(link_to(replace(frame, time=frame.time + number * 4000), data, kind, 2 + number))
    return pcap.having(frames, SLL2)


def forwarded(pcap: Pcap, rng: Random) -> Pcap:
    """Taken on a server behind port forwarding: the cloud has a private address (and the device its NAT's)."""
    inside = bytes(rng.choice(((10, 0, 0), (172, 17, 0), (192, 168, 7))))
    outside = bytes((198, 51, rng.randrange(100, 120)))
    return _readdressed(pcap, lambda device: outside + device[-1:], lambda cloud: inside + cloud[-1:])


def nat64(pcap: Pcap, rng: Random) -> Pcap | None:
    """A network with IPv6 only: the cloud is 64:ff9b::/96 with its address, the device has an IPv6 address."""
    if pcap.link not in (ETHERNET, RAW):
        return None
    prefix = bytes.fromhex("0064ff9b") + bytes(8)
    host = bytes.fromhex("20010db8") + rng.randbytes(12)
    ends = _devices(pcap)
    frames = []
    for frame in pcap.frames:
        if quoting(frame, pcap.link, lambda end: end) is not None:
            return None  # an ICMP error would have to be one of ICMPv6
        packet = view(frame, pcap.link)
        if packet is None:
            continue
        if len(packet.payload) < packet.size:
            return None
        up = packet.source in ends
        own = host[:-1] + (packet.source if up else packet.target)[0][-1:]
        there = prefix + (packet.target if up else packet.source)[0]
        data = ipv6(packet, *((own, there) if up else (there, own)))
        if pcap.link == ETHERNET:
            data = frame.data[:12] + b"\x86\xdd" + data
        frames.append(Frame(frame.time, data, len(data)))
    return pcap.having(frames)


def proxied(pcap: Pcap, rng: Random) -> Pcap | None:
    """Between a balancer and the server: each TCP connection begins with a PROXY header, version 1 or 2."""
    second = rng.random() < 0.5
    frames = list(pcap.frames)
    added: list[Frame] = []
    found = False
    for talk in handshakes(pcap, "tcp"):
        start = _first_byte(talk, True)
        opened = next((p for p, (_, one) in enumerate(talk.packets) if one.flags & (SYN | ACK) == SYN | ACK), None)
        if start is None or opened is None or not talk.packets[0][1].flags & SYN:
            continue
        found = True
        header = _proxy_header(talk, second)
        for index, one in talk.packets:
            if talk.up(one) and not one.flags & SYN:
                frames[index] = remade(one, sequence=(one.sequence + len(header)) & 0xFFFFFFFF)
            elif not talk.up(one) and one.flags & ACK and _past(one.acknowledged, start):
                frames[index] = remade(one, acknowledged=(one.acknowledged + len(header)) & 0xFFFFFFFF)
        own = next(
            (one for _, one in talk.packets[opened + 1 :] if talk.up(one) and one.flags & ACK and not one.size), None
        )
        if own is None:
            continue
        frames[next(i for i, one in talk.packets if one is own)] = own.frame
        sent = remade(own, time=own.frame.time + 1000, payload=header, flags=PSH | ACK, sequence=start)
        added.append(sent)
    return pcap.having(_sorted([*frames, *added])) if found else None


def _past(number: int, start: int) -> bool:
    """Whether an acknowledgement may count the header: all but that of the SYN alone, which comes before it."""
    return (number - start) & 0xFFFFFFFF < 1 << 31 and number != start


def _proxy_header(talk: Talk, second: bool) -> bytes:
    source, target = (".".join(map(str, end[0])) for end in (talk.device, talk.cloud))
    if not second:
        return f"PROXY TCP4 {source} {target} {talk.device[1]} {talk.cloud[1]}\r\n".encode()
    ports = struct.pack(">HH", talk.device[1], talk.cloud[1])
    body = talk.device[0] + talk.cloud[0] + ports
    return b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack(">H", len(body)) + body


def damaged_copies(pcap: Pcap, rng: Random) -> Pcap | None:
    """Beside some packets with payload a copy with a few bytes changed and the old checksum: what no receiver takes."""
    frames: list[Frame] = []
    found = False
    for frame in pcap.frames:
        packet = view(frame, pcap.link)
        if (
            packet is None
            or len(packet.payload) < 8
            or len(packet.payload) < packet.size
            or not sums_up(frame, pcap.link)
            or rng.random() > 0.4
        ):
            frames.append(frame)
            continue
        found = True
        data = bytearray(frame.data)
        start = len(data) - len(packet.payload)
        for _ in range(rng.choice((1, 1, 2, 5))):
            data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
        while sums_up(Frame(0, bytes(data), frame.length), pcap.link):
            data[rng.randrange(start, len(data))] ^= 1 << rng.randrange(8)
        bad = Frame(frame.time, bytes(data), frame.length)
        frames += [bad, frame] if rng.random() < 0.5 else [frame, bad]
    return pcap.having(frames) if found else None


def late_start(pcap: Pcap, rng: Random) -> Pcap | None:
    """The capture begins with some later packet."""
    return pcap.having(pcap.frames[rng.randrange(1, len(pcap.frames)) :]) if len(pcap.frames) > 2 else None


def early_end(pcap: Pcap, rng: Random) -> Pcap | None:
    """The capture ends with some earlier packet."""
    return pcap.having(pcap.frames[: rng.randrange(1, len(pcap.frames))]) if len(pcap.frames) > 2 else None


def snapped(pcap: Pcap, rng: Random) -> Pcap:
    """Taken with a snap length of 42 to 400 bytes."""
    snap = rng.randint(42, 400)
    return pcap.having([replace(frame, data=frame.data[:snap]) for frame in pcap.frames])


def coarse_clock(pcap: Pcap, rng: Random) -> Pcap:
    """A clock of 10 or 15.6 ms, or one that stands still."""
    step = rng.choice((10 * MILLI, 15_600_000, 0))
    first = pcap.frames[0].time
    if not step:
        return pcap.having([replace(frame, time=first) for frame in pcap.frames])
    return pcap.having([replace(frame, time=frame.time // step * step) for frame in pcap.frames])


def duplicated(pcap: Pcap, rng: Random) -> Pcap:
    """A mirror port that shows some packets, or all, twice."""
    share = rng.choice((0.2, 1.0))
    frames: list[Frame] = []
    for frame in pcap.frames:
        frames += [frame, replace(frame, time=frame.time + 9000)] if rng.random() < share else [frame]
    return pcap.having(frames)


def _devices(pcap: Pcap) -> set[End]:
    """Ends that are the devices' (whoever began the conversation)."""
    return {talk.device for talk in talks(pcap)} | {
        packet.source
        for frame in pcap.frames
        if (packet := view(frame, pcap.link)) is not None and packet.target[1] == 53
    }


def _translated(packet: Packet, ends: set[End], wan: bytes, ports: dict[End, int], rng: Random) -> Packet:
    up = packet.source in ends
    own = packet.source if up else packet.target
    if own not in ports:
        port = own[1] if rng.random() < 0.5 else rng.randrange(1024, 49000)
        while port in ports.values():
            port = rng.randrange(1024, 49000)
        ports[own] = port
    port = ports[own]
    payload = packet.payload + bytes(packet.size - len(packet.payload))
    if up:
        return replace(packet, source=(wan, port), ttl=packet.ttl - 1, payload=payload)
    return replace(packet, target=(wan, port), payload=payload)


def _twice(pcap: Pcap, rng: Random, source: bytes, target: bytes | None) -> Pcap | None:
    if pcap.link != ETHERNET:
        return None
    ends = _devices(pcap)
    ports: dict[End, int] = {}
    frames: list[Frame] = []
    for frame in pcap.frames:
        packet = view(frame, pcap.link)
        if packet is None:
            frames.append(frame)
            continue
        other = _translated(packet, ends, source, ports, rng)
        data = frame.data[:14] + ipv4(other)
        data = data[: len(frame.data)]
        copy = Frame(frame.time, data, frame.length)
        gap = rng.randrange(20_000, 90_000)
        if packet.source in ends:
            frames += [frame, replace(copy, time=frame.time + gap)]
        else:
            frames += [copy, replace(frame, time=frame.time + gap)]
    return pcap.having(_sorted(frames))


def _readdressed(pcap: Pcap, device: Callable[[bytes], bytes], cloud: Callable[[bytes], bytes]) -> Pcap:
    frames: list[Frame] = list(pcap.frames)
    found: dict[End, End] = {}
    for talk in talks(pcap):
        if talk.cloud[1] not in (5683, 5684):
            continue
        found[talk.device] = (device(talk.device[0]), talk.device[1])
        found[talk.cloud] = (cloud(talk.cloud[0]), talk.cloud[1])
        for index, packet in talk.packets:
            frames[index] = remade(packet, source=found[packet.source], target=found[packet.target])
    for index, frame in enumerate(pcap.frames):
        frames[index] = quoting(frame, pcap.link, lambda end: found.get(end, end)) or frames[index]
    return pcap.having(frames)
