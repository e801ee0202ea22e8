"""What is fuzzed: every parser and every state machine, each with seeds, and the only exceptions it may raise.

A target takes bytes and returns nothing; an exception that is not in its list is a violation.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analyzer.capture import open_capture, quoted
from analyzer.capture.decode import Decoder
from analyzer.capture.records import Notes
from analyzer.conversations import Conversations
from analyzer.devicelog import judge_log, read_log
from analyzer.errors import InputError
from analyzer.explain import explain
from analyzer.keys import images, repair, rsa, sessions, texts
from analyzer.keys.contents import read_contents
from analyzer.keys.names import hint
from analyzer.keys.roles import Claim
from analyzer.names import NameLog
from analyzer.packet import ACK, FIN, RST, SYN, TCP, UDP, Packet
from analyzer.reports.csv import inert
from analyzer.reports.markdown import escape
from analyzer.safe import printable
from dissectors import coap, description, detect, particle
from dissectors.dtls import messages, record
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.persist import find_sessions
from dissectors.errors import WireError
from dissectors.events import Direction, How, Mark
from dissectors.lightssl.cipher import RecordCipher, open_records
from dissectors.lightssl.handshake import LightSsl
from dissectors.lightssl.messages import Credentials, IdentityPlaintext, SessionKeyMessage

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "captures"
Seeds = Callable[[], list[bytes]]


@dataclass(frozen=True)
class Target:
    """One thing under test; ``cost`` divides its share of the executions."""

    name: str
    run: Callable[[bytes], None]
    seeds: Seeds
    allowed: tuple[type[Exception], ...] = ()
    cost: int = 1


@cache
def _captures(suffix: str, limit: int) -> list[bytes]:
    found = [path.read_bytes() for path in sorted(CAPTURES.glob(f"*/capture*{suffix}")) if path.stat().st_size <= limit]
    return found or [b""]


@cache
def _packets() -> list[bytes]:
    """Captured bytes of packets of the small captures."""
    found: list[bytes] = []
    for data in _captures(".pcap", 12_000)[:60]:
        try:
            found += [item[3] for item in open_capture(io.BytesIO(data), name="seed").records()]
        except InputError:
            continue
    return found[:3000]


@cache
def _payloads(protocol: int) -> list[bytes]:
    found: list[bytes] = []
    for data in _captures(".pcap", 30_000):
        try:
            found += [
                item.payload
                for item in open_capture(io.BytesIO(data), name="seed")
                if item.protocol == protocol and item.payload
            ]
        except InputError:
            continue
    return list(dict.fromkeys(found))[:3000]


@cache
def _keys(*suffixes: str) -> list[bytes]:
    files = [
        path for path in sorted(CAPTURES.glob("*/keys/**/*")) + sorted(CAPTURES.glob("keys-zoo/**/*")) if path.is_file()
    ]
    return [
        path.read_bytes()
        for path in files
        if path.stat().st_size < 20_000 and (not suffixes or path.name.endswith(suffixes))
    ][:400]


def _text_seeds() -> list[bytes]:
    return [path.read_bytes()[:6000] for path in sorted(CAPTURES.glob("*/*.log"))[:40]] or [
        b"0000001306 [comm.lightssl] WARN: receive error -19\n"
    ]


def _capture(data: bytes) -> None:
    capture = open_capture(io.BytesIO(data), name="fuzz")
    for packet in capture:
        quoted(packet)


def _screened(data: bytes) -> None:
    from analyzer.capture import reader

    small, reader._SMALL = reader._SMALL, 24
    try:
        table = Conversations()
        for packet in open_capture(io.BytesIO(data), name="fuzz").screened(table):
            list(table.feed(packet))
        list(table.finish())
    finally:
        reader._SMALL = small


def _link(link_type: int) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        decoder = Decoder(Notes())
        packet = decoder.decode(1, 1, link_type, data, len(data))
        if packet is not None:
            quoted(packet)

    return run


def _segments(data: bytes) -> None:
    """Bytes as instructions: any sequence of segments between two ends."""
    table = Conversations()
    ends = ((b"\x0a\0\0\1", 40000), (b"\x0a\0\0\2", 5683))
    at, time_ns = 0, 0
    while at + 8 <= len(data):
        kind, flags, sequence, size, step = struct.unpack_from("!BBHHH", data, at)
        at += 8
        payload = data[at : at + (size & 0x1FF)]
        at += len(payload)
        (source, sport), (target, tport) = ends if kind & 1 else ends[::-1]
        time_ns += (step - 100) * 1_000_000
        flag = (
            (SYN if flags & 1 else 0)
            | (FIN if flags & 2 else 0)
            | (RST if flags & 4 else 0)
            | (ACK if flags & 8 else 0)
        )
        packet = Packet(
            at,
            time_ns,
            TCP,
            source,
            target,
            sport,
            tport,
            payload,
            len(payload) + (flags >> 6),
            64,
            kind,
            sequence << (kind & 16),
            sequence,
            flag,
            size,
            b"\0" * 20,
        )
        for _ in table.feed(packet):
            pass
    for conversation in table.finish():
        pieces = getattr(conversation, "pieces", ())
        reached = {Direction.UP: 0, Direction.DOWN: 0}
        for piece in pieces:
            if hasattr(piece, "offset"):
                assert piece.offset == reached[piece.direction], "a hole that is no gap"
                reached[piece.direction] += len(piece.data) if hasattr(piece, "data") else piece.length


def _datagrams(data: bytes) -> None:
    table = Conversations()
    at = 0
    while at + 2 <= len(data):
        size = data[at] << 1
        payload = data[at + 2 : at + 2 + size]
        up = data[at + 1] & 1
        at += 2 + size
        ends = (b"\x0a\0\0\1", b"\x0a\0\0\2", 5684, 5684) if up else (b"\x0a\0\0\2", b"\x0a\0\0\1", 5684, 5684)
        for _ in table.feed(Packet(at, at * 1_000_000, UDP, *ends, payload, len(payload))):
            pass
    list(table.finish())


def _lightssl(data: bytes) -> None:
    machine = LightSsl()
    at = 0
    while at + 2 <= len(data):
        kind, size = data[at] & 15, data[at + 1] << (data[at] >> 4 & 1)
        direction = Direction.UP if data[at] & 32 else Direction.DOWN
        mark = Mark((at,), at)
        at += 2
        if kind == 0:
            machine.gap(direction, size, mark, bool(data[at - 2] & 64))
        elif kind == 1:
            machine.close(direction, How.FIN if size & 1 else How.RST, mark)
        else:
            machine.receive(direction, data[at : at + size], mark)
            at += size
    transcript = machine.transcript()
    list(open_records(Credentials(b"k" * 16, b"i" * 16, b"s" * 8), transcript.records))


def _dtls(data: bytes) -> None:
    machine = Dtls(hint_port=True)
    at = 0
    while at + 2 <= len(data):
        size = data[at] << 1
        direction = Direction.UP if data[at + 1] & 1 else Direction.DOWN
        machine.datagram(direction, data[at + 2 : at + 2 + size], Mark((at,), at), size if data[at + 1] & 2 else None)
        if data[at + 1] & 4:
            machine.icmp(direction, 3, 3, Mark((at,), at))
        at += 2 + size
    for attempt in machine.attempts():
        assert attempt is not None


def _framed(payloads: list[bytes]) -> list[bytes]:
    """Payloads as the instruction streams of the machines above."""
    grouped = [payloads[at : at + 8] for at in range(0, min(len(payloads), 400), 8)]
    return [
        b"".join(
            bytes((min(len(item) // 2, 255), number & 1)) + item[: min(len(item) // 2, 255) * 2]
            for number, item in enumerate(group)
        )
        for group in grouped
    ]


def _handshake_bodies(data: bytes) -> None:
    kinds = (messages.ClientHello, messages.HelloVerifyRequest, messages.ServerHello, messages.Certificate, messages.ServerKeyExchange,
             messages.CertificateRequest, messages.ClientKeyExchange, messages.CertificateVerify, messages.Finished)  # fmt: skip
    for kind in kinds:
        try:
            found = kind.from_wire(data)
        except WireError:
            continue
        found.to_wire()


def _key_file(data: bytes) -> None:
    for name in ("300047001147343332373737.der", "default_key.pem", "dump.bin", "sslkeys.log"):
        read_contents(data, Claim(name, hint(name)))


def _log(data: bytes) -> None:
    judge_log(read_log(data.decode("utf-8", "replace").splitlines(), name="fuzz"))


def _names(data: bytes) -> None:
    log = NameLog()
    for answer in (False, True):
        ports = (53, 40000) if answer else (40000, 53)
        ends = (b"\x0a\0\0\2", b"\x0a\0\0\1") if answer else (b"\x0a\0\0\1", b"\x0a\0\0\2")
        log.observe(Packet(1, 1, UDP, *ends, *ports, data, len(data)))
        log.observe(
            Packet(
                1,
                1,
                TCP,
                *ends,
                *ports,
                len(data).to_bytes(2, "big", signed=False) + data if len(data) < 65536 else data,
                len(data),
            )
        )
    log.lookups({b"\x0a\0\0\1"})


def _output(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert printable(text).isprintable()
    assert not str(inert(text)).startswith(("=", "+", "-", "@"))
    escape(text)


def _identity(data: bytes) -> None:
    for kind in (IdentityPlaintext, SessionKeyMessage, Credentials):
        try:
            kind.from_wire(data).to_wire()
        except WireError:
            continue


def _cipher(data: bytes) -> None:
    cipher = RecordCipher(b"k" * 16, b"i" * 16)
    for at in range(0, len(data), 48):
        try:
            cipher.decrypt(data[at : at + 48])
        except WireError:
            continue


def _namer(data: bytes) -> None:
    namer = particle.Namer()
    for at in range(0, len(data), 24):
        namer.name(data[at : at + 24], Direction.UP if at % 48 else Direction.DOWN)
    particle.describe_bytes(data, Direction.UP)
    message = coap.parse(data)
    if isinstance(message, coap.Message):
        again = coap.parse(message.to_wire())
        assert isinstance(again, coap.Message)


def _slot(data: bytes) -> None:
    repair(data)
    for read in (rsa.read_slot, rsa.read_private, rsa.read_public, rsa.read_server_slot):
        try:
            read(data)
        except ValueError:
            continue


def _tcp() -> list[bytes]:
    return _payloads(TCP)


def _udp() -> list[bytes]:
    return _payloads(UDP)


TARGETS: tuple[Target, ...] = (
    Target("pcap", _capture, lambda: _captures(".pcap", 6000), (InputError,), 12),
    Target("pcapng", _capture, lambda: _captures(".pcapng", 12_000), (InputError,), 12),
    Target("gzip", _capture, lambda: _captures(".gz", 30_000), (InputError,), 12),
    Target("index", _screened, lambda: _captures(".pcap", 6000), (InputError,), 40),
    *(Target(f"link-{name}", _link(number), _packets) for name, number in
      (("ethernet", 1), ("null", 0), ("ppp", 9), ("raw", 101), ("sll", 113), ("sll2", 276), ("pppoe", 51))),
    Target("tcp-reassembly", _segments, lambda: _framed(_tcp()), (), 8),
    Target("udp-conversations", _datagrams, lambda: _framed(_udp()), (), 4),
    Target("lightssl-machine", _lightssl, lambda: _framed(_tcp()), (), 6),
    Target("lightssl-messages", _identity, _tcp),
    Target("lightssl-cipher", _cipher, _tcp, (), 3),
    Target("dtls-record", lambda data: void(record.read_datagram(data)), _udp),
    Target("dtls-messages", _handshake_bodies, lambda: [item[25:] for item in _udp()], (), 2),
    Target("dtls-machine", _dtls, lambda: _framed(_udp()), (), 10),
    Target("coap", lambda data: void(coap.parse(data)), _udp),
    Target("particle", _namer, _udp, (), 3),
    Target("describe", lambda data: void(description.summarise(data)), lambda: [b'{"f":["a"],"v":{"b":2},"p":6,"m":[{"s":1}]}']),
    Target("foreign", lambda data: void(detect.foreign(data)), lambda: [*_tcp(), b"HTTP/1.1 302 Found\r\nLocation: http://x\r\n\r\n<title>a</title>"]),
    Target("key-file", _key_file, _keys, (), 20),
    Target("flash-image", lambda data: void(images.blobs(data)), lambda: [*_keys(".bin", ".der"), bytes(4096)], (), 8),
    Target("device-slot", _slot, lambda: _keys(".der"), (), 10),
    Target("session-persist", lambda data: void(find_sessions(data)), lambda: [*_keys("session.bin"), bytes(262)]),
    Target("key-log", lambda data: void(sessions.read_key_log(data.decode("ascii", "replace"))), lambda: [b"CLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48 + b"\n"]),
    Target("pasted-text", lambda data: void(list(texts.blobs(data.decode("utf-8", "replace")))), lambda: [*_keys(".pem"), *_text_seeds()], (), 6),
    Target("device-log", _log, _text_seeds, (), 60),
    Target("dns", _names, lambda: [bytes.fromhex("123481800001000100000000066465766963650573706172 6b02696f0000010001c00c00010001000000780004cb00710a".replace(" ", ""))], (), 6),
    Target("explain", lambda data: void(explain(data[:400].decode("utf-8", "replace"))), lambda: [b"-19", b"fast cyan, one red", b"Unable to receive key -19"], (), 60),
    Target("output", _output, lambda: [b"=cmd|' /C calc'!A0", b"\x1b[31m<script>", "\u202egnp.exe".encode(), b"[x](javascript:1)"]),
)  # fmt: skip


def void(_: object) -> None:
    """Swallow a result."""
