"""What is fuzzed: every parser and every state machine, each with seeds, and the only exceptions it may raise.

A target takes bytes and returns nothing; an exception that is not in its list is a violation.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from analyzer.capture import open_capture, quoted, wireless
from analyzer.capture.decode import Decoder
from analyzer.capture.encapsulation import ETHERTYPES, PROTOCOLS, UDP_PORTS
from analyzer.capture.rarelinks import RARE
from analyzer.capture.records import Notes
from analyzer.conversations import Conversations
from analyzer.devicelog import LogLimits, judge_log, read_log
from analyzer.errors import InputError
from analyzer.explain import explain
from analyzer.exports.annotate import annotate
from analyzer.exports.redact import redact
from analyzer.keys import der, images, load_keys, repair, rsa, sessions, texts
from analyzer.keys.address import read as read_address
from analyzer.keys.contents import read_contents
from analyzer.keys.names import hint
from analyzer.keys.protected import open_der, open_pem
from analyzer.keys.roles import Claim
from analyzer.keys.structure import classify
from analyzer.model import CaptureReport
from analyzer.names import NameLog
from analyzer.packet import ACK, FIN, RST, SYN, TCP, UDP, Packet
from analyzer.pipeline import Options, analyze_capture
from analyzer.reports.csv import inert
from analyzer.reports.markdown import escape
from analyzer.safe import printable
from dissectors import coap, description, detect, particle
from dissectors.dtls import messages, record
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.persist import find_sessions
from dissectors.errors import WireError
from dissectors.events import Direction, How, Mark
from dissectors.hello import Hello
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


def _packed(data: bytes) -> None:
    """From a file: zip archives are read from one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.bin"
        path.write_bytes(data)
        for packet in open_capture(path, name="fuzz", foreign=False):
            assert 0 <= len(packet.payload) <= max(packet.length, 0)


def _packed_seeds() -> list[bytes]:
    """Captures in archives and compressions of the standard library."""
    found = []
    for data in _captures(".pcap", 3000)[:6]:
        tarred, zipped = io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=tarred, mode="w") as tar:
            info = tarfile.TarInfo("c.pcap")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("readme.txt", "about it")
            archive.writestr("c.pcap", data)
        found += [tarred.getvalue(), zipped.getvalue(), bz2.compress(tarred.getvalue()), lzma.compress(data)]
        found.append(lzma.compress(data, lzma.FORMAT_ALONE))
    return found


def _dump_seeds() -> list[bytes]:
    """Packets as text: tcpdump -xx, tshark -x, hexdump -C, tshark -T json -x, UTF-16 too."""
    found = []
    for data in _packets()[:8]:
        lines = [data[at : at + 16] for at in range(0, len(data), 16)]
        told = "12:00:00.000001 IP 192.168.1.50.49704 > 203.0.113.10.5683: Flags [P.]\n"
        pairs = ["".join(f" {line[at : at + 2].hex()}" for at in range(0, len(line), 2)) for line in lines]
        tcpdump = told + "".join(f"\t0x{16 * at:04x}: {pair}\n" for at, pair in enumerate(pairs))
        tshark = "".join(f"{16 * at:04x}  {line.hex(' ')}   ....\n" for at, line in enumerate(lines))
        hexdump = "".join(f"{16 * at:08x}  {line.hex(' ')}  |....|\n" for at, line in enumerate(lines))
        layers = f'{{"frame": {{"frame.time_epoch": "1.5"}}, "frame_raw": ["{data.hex()}", 0, {len(data)}, 0, 1]}}'
        texts = (tcpdump * 2, tshark + "\n" + tshark, hexdump, f'[{{"_source": {{"layers": {layers}}}}}]')
        found += [text.encode() for text in texts] + [tcpdump.encode("utf-16")]
    return found


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
    read_log(io.BytesIO(data), name="fuzz", limits=LogLimits(bytes=1 << 20))


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


_ETHERNET_HEADER = 14
#: Link type and a header of it before an IPv4 packet.
_LINKS = {
    "ethernet": (1, bytes(12) + b"\x08\0"),
    "vlan-mpls": (1, bytes(12) + bytes.fromhex("88a80001810000028847000101ff")),
    "null": (0, b"\x02\0\0\0"),
    "ppp": (9, b"\xff\x03\0\x21"),
    "raw": (101, b""),
    "sll": (113, bytes(14) + b"\x08\0"),
    "sll2": (276, b"\x08\0" + bytes(18)),
    "pppoe": (51, bytes.fromhex("110000010020") + b"\0\x21"),
    "radiotap": (127, bytes.fromhex("000008000000000008020000") + bytes(20) + bytes.fromhex("aaaa030000000800")),
    "802.11": (105, bytes.fromhex("08020000") + bytes(20) + bytes.fromhex("aaaa030000000800")),
}


@cache
def _ip_packets() -> list[bytes]:
    """IP packets out of Ethernet captures, the usual ones first."""
    return [item[_ETHERNET_HEADER:] for item in _packets() if item[12:14] in (b"\x08\0", b"\x86\xdd")] or [b"\x45"]


def _behind(header: bytes) -> Seeds:
    return lambda: [header + item for item in _ip_packets()[::4]]


def _fragments(data: bytes) -> None:
    """Bytes as instructions: fragments of a few IPv4 and IPv6 datagrams, in any order, overlapping as they like."""
    decoder = Decoder(Notes(), 8)
    at = number = 0
    while at + 6 <= len(data):
        kind, ident, offset, size = struct.unpack_from("!BBHH", data, at)
        at += 6
        payload = data[at : at + (size & 0x3FF)]
        at += len(payload)
        number += 1
        ends = bytes((10, 0, 0, ident & 1)), bytes((10, 0, 0, 2))
        if kind & 1:
            head = struct.pack("!IHBB", 6 << 28, 8 + len(payload), 44, 64) + ends[0] * 4 + ends[1] * 4
            head += struct.pack("!BBHI", 17 if kind & 2 else 6, 0, offset & 0xFFF9, ident & 7)
        else:
            head = struct.pack(
                "!BBHHHBBH", 0x45, 0, 20 + len(payload), ident & 7, offset & 0x3FFF, 64, 17 if kind & 2 else 6, 0
            )
            head += ends[0] + ends[1]
        packet = decoder.decode(number, number * 1000, 101, head + payload, len(head) + len(payload))
        if packet is not None:
            quoted(packet)


def _fragment_seeds() -> list[bytes]:
    whole = (_udp() + _tcp())[:200]
    found = []
    for item in whole:
        udp = struct.pack("!HHHH", 5684, 5684, 8 + len(item), 0) + item
        pieces = [udp[at : at + 64] for at in range(0, len(udp), 64)]
        found.append(
            b"".join(
                struct.pack("!BBHH", 2, 1, (number * 8) | (0x2000 if number + 1 < len(pieces) else 0), len(piece))
                + piece
                for number, piece in enumerate(pieces)
            )
        )
    return found


def _tunnel(data: bytes) -> None:
    """Bytes as what every UDP tunnel, every IP protocol and every EtherType that carries others has inside."""
    decoder = Decoder(Notes())
    ends = b"\x0a\0\0\1\x0a\0\0\2"
    for port in UDP_PORTS:
        size = 28 + len(data)
        head = (
            struct.pack("!BBHHHBBH", 0x45, 0, size & 0xFFFF, 1, 0, 64, 17, 0)
            + ends
            + struct.pack("!HHHH", 5000, port, (size - 20) & 0xFFFF, 0)
        )
        decoder.decode(1, 1, 101, head + data, len(head) + len(data))
    for protocol in PROTOCOLS:
        head = struct.pack("!BBHHHBBH", 0x45, 0, (20 + len(data)) & 0xFFFF, 1, 0, 64, protocol, 0) + ends
        decoder.decode(1, 1, 101, head + data, len(head) + len(data))
    for kind in ETHERTYPES:
        decoder.decode(1, 1, 1, bytes(12) + struct.pack("!H", kind) + data, 14 + len(data))
    for link in (*RARE, *wireless.LINKS):
        decoder.decode(1, 1, link, data, len(data))
    decoder.taken()


def _tunnel_seeds() -> list[bytes]:
    packets, framed = _ip_packets()[::6], _packets()[::6]
    return [
        *(bytes.fromhex("0800000000000100") + item for item in framed),
        *(bytes.fromhex("0000655800000100") + item for item in framed),
        *(bytes.fromhex("00000800") + item for item in packets),
        *packets,
    ]


def _requests(data: bytes) -> None:
    """Every message both ways, whatever its letter: the table of requests, with answers to them."""
    namer = particle.Namer()
    for direction in Direction:
        for code in (1, 2, 3, 0x45):
            for letter in b"ehkvdtucs":
                message = bytes((0x41, code, 1, 2, data[0] if data else 0, 0xB1, letter)) + data[1:]
                namer.name(message, direction)
                particle.describe_bytes(message, direction)


#: Messages whose data the table of requests looks into.
_EVENTS = tuple(
    bytes.fromhex("50020001b145") + b"".join(bytes((len(part),)) + part for part in path.split(b"/")) + b"\xff" + text
    for path, text in (
        (b"spark/device/key/error", b"5"),
        (b"spark/device/reset", b"panic"),
        (b"spark/flash/status", b"success"),
    )
)


def _keys_toml(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "keys.toml").write_bytes(data)
        (Path(folder) / "a.der").write_bytes(b"\xff" * 300)
        load_keys([Path(folder)]).rows()


def _toml_seeds() -> list[bytes]:
    return [
        b'[files]\n"a.der" = "device-private"\n"*.bin" = { role = "device-server-key", device = "300047001147343332373737" }\n',
        b'[[key]]\nfile = "a.der"\nrole = "cloud-copy"\ndevice = "300047001147343332373737"\n[roles]\ncloud-private = ["a.der"]\n',
        b"a = " + b"9" * 5000,
        *(path.read_bytes() for path in sorted(CAPTURES.glob("**/keys.toml"))[:50]),
    ]


def _der(data: bytes) -> None:
    with suppress(WireError):
        classify(data)
    with suppress(WireError):
        found = der.element(data)
        for item in der.children(data, found):
            if item.tag == der.INTEGER:
                der.integer(data, item)
            der.content(data, item)
    der.declared_size(data)
    read_address(data, "tcp")
    read_address(data, "udp")


def _encrypted(data: bytes) -> None:
    open_pem(data, (b"secret",))
    open_der(data, (b"secret",))


@cache
def _encrypted_seeds() -> list[bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    kinds = serialization.Encoding, serialization.PrivateFormat
    return [
        key.private_bytes(encoding, layout, serialization.BestAvailableEncryption(b"secret"))
        for encoding in (kinds[0].PEM, kinds[0].DER)
        for layout in (kinds[1].PKCS8, kinds[1].TraditionalOpenSSL)
        if (encoding, layout) != (kinds[0].DER, kinds[1].TraditionalOpenSSL)
    ]


def annotated(report: CaptureReport, source: Path, output: Path) -> None:
    """Write an annotated copy."""
    annotate(report, source, output)


def redacted(report: CaptureReport, source: Path, output: Path) -> None:
    """Write a redacted copy."""
    redact(report, source, output, salt=b"s" * 16)


def _exported(write: Callable[[CaptureReport, Path, Path], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source, output = Path(folder) / "in.pcap", Path(folder) / "out.pcapng"
            source.write_bytes(data)
            write(analyze_capture(source, load_keys([]), Options(jobs=1)), source, output)
            for _ in open_capture(output, name="out"):  # what was written can be read again
                pass

    return run


TARGETS: tuple[Target, ...] = (
    Target("pcap", _capture, lambda: _captures(".pcap", 6000), (InputError,), 3),
    Target("pcapng", _capture, lambda: _captures(".pcapng", 12_000), (InputError,), 3),
    Target("gzip", _capture, lambda: _captures(".gz", 30_000), (InputError,), 3),
    Target("packed", _packed, _packed_seeds, (InputError,), 5),
    Target("text-dumps", _capture, _dump_seeds, (InputError,), 3),
    Target("index", _screened, lambda: [*_captures(".pcap", 6000), *_captures(".pcapng", 12_000)], (InputError,), 20),
    *(Target(f"link-{name}", _link(number), _behind(header), (), 1) for name, (number, header) in _LINKS.items()),
    Target("ip-fragments", _fragments, _fragment_seeds, (), 2),
    Target("tunnels", _tunnel, _tunnel_seeds),
    Target("tcp-reassembly", _segments, lambda: _framed(_tcp()), (), 3),
    Target("udp-conversations", _datagrams, lambda: _framed(_udp()), (), 2),
    Target("lightssl-machine", _lightssl, lambda: _framed(_tcp()), (), 3),
    Target("lightssl-messages", _identity, _tcp),
    Target("lightssl-cipher", _cipher, _tcp, (), 2),
    Target("dtls-record", lambda data: void(record.read_datagram(data)), _udp),
    Target("dtls-messages", _handshake_bodies, lambda: [item[25:] for item in _udp()], (), 2),
    Target("dtls-machine", _dtls, lambda: _framed(_udp()), (), 3),
    Target("coap", lambda data: void(coap.parse(data)), _udp),
    Target("particle", _namer, lambda: [*_EVENTS, *_udp()], (), 2),
    Target("describe", lambda data: void(description.summarise(data)), lambda: [b'{"f":["a"],"v":{"b":2},"p":6,"m":[{"s":1}]}']),
    Target("foreign", lambda data: void(detect.foreign(data)), lambda: [*_tcp(), b"HTTP/1.1 302 Found\r\nLocation: http://x\r\n\r\n<title>a</title>"]),
    Target("hello", lambda data: void(Hello.from_wire(data)), lambda: [bytes(12), bytes(range(60)), *_udp()], (WireError,)),
    Target("requests", _requests, lambda: [*_EVENTS, *_udp()], (), 10),
    Target("keys-toml", _keys_toml, _toml_seeds, (), 10),
    Target("der", _der, _keys, (), 1),
    Target("encrypted-key", _encrypted, _encrypted_seeds, (WireError,), 4),
    Target("annotate", _exported(annotated), lambda: [*_captures(".pcap", 3000), *_captures(".pcapng", 6000)], (InputError,), 50),
    Target("redact", _exported(redacted), lambda: [*_captures(".pcap", 3000), *_captures(".pcapng", 6000)], (InputError,), 50),
    Target("key-file", _key_file, _keys, (), 10),
    Target("flash-image", lambda data: void(images.blobs(data)), lambda: [*_keys(".bin", ".der"), bytes(4096)], (), 4),
    Target("device-slot", _slot, lambda: _keys(".der"), (), 10),
    Target("session-persist", lambda data: void(find_sessions(data)), lambda: [*_keys("session.bin"), bytes(262)]),
    Target("key-log", lambda data: void(sessions.read_key_log(data.decode("ascii", "replace"))), lambda: [b"CLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48 + b"\n"]),
    Target("pasted-text", lambda data: void(list(texts.blobs(data.decode("utf-8", "replace")))), lambda: [*_keys(".pem"), *_text_seeds()], (), 4),
    Target("device-log", _log, lambda: [*_text_seeds(), *map(gzip.compress, _text_seeds())], (), 30),
    Target("dns", _names, lambda: [bytes.fromhex("123481800001000100000000066465766963650573706172 6b02696f0000010001c00c00010001000000780004cb00710a".replace(" ", ""))], (), 2),
    Target("explain", lambda data: void(explain(data[:400].decode("utf-8", "replace"))), lambda: [b"-19", b"fast cyan, one red", b"Unable to receive key -19"], (), 10),
    Target("output", _output, lambda: [b"=cmd|' /C calc'!A0", b"\x1b[31m<script>", "\u202egnp.exe".encode(), b"[x](javascript:1)"]),
)  # fmt: skip


def void(_: object) -> None:
    """Swallow a result."""
