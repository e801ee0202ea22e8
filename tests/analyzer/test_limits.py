"""Every limit is hit once: it stops what it should, and the report says so. What costs more must cost in proportion."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
from pathlib import Path

import pytest

from analyzer import limits
from analyzer.capture import records
from analyzer.capture.decode import Decoder
from analyzer.conversations import Conversations
from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.limits import Limits, Watch
from analyzer.model import CaptureReport
from analyzer.packet import ACK, FIN, SYN, TCP, Packet, Problem
from analyzer.pipeline import Options, analyze_capture
from analyzer.reports.json import plain
from captures.synth import capfile, wire

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
TCP_GOOD, UDP_GOOD = CAPTURES / "tcp-01a-good-brewskey-fw063", CAPTURES / "dtls-01-good"
A, B = wire.address("192.0.2.1"), wire.address("198.51.100.2")
START = 1_700_000_000_000_000_000


def report(source: Path | bytes, given: Limits, keys: Path | None = None) -> CaptureReport:
    opened = source if isinstance(source, Path) else io.BytesIO(source)
    ring = load_keys([keys]) if keys else load_keys([])
    return analyze_capture(opened, ring, Options(jobs=1, limits=given), name="x.pcap")


def codes(found: CaptureReport) -> list[str]:
    return [problem.code for problem in found.problems]


def pcap(packets: list[bytes], step: int = 1_000_000) -> bytes:
    frames = [capfile.Frame(START + at * step, data, len(data)) for at, data in enumerate(packets)]
    return capfile.pcap(frames, capfile.RAW, nano=True)


def tcp(port: int, flags: int, sequence: int = 1, payload: bytes = b"") -> bytes:
    return wire.ipv4(A, B, wire.TCP, wire.tcp(A, B, port, 5683, sequence, 0, flags, 1024, payload=payload))


# -- the table -----------------------------------------------------------------------------------------------------------


def test_the_table_is_the_fields() -> None:
    rows = re.findall(r"^ANALYZE_(\w+) +(\S+) +([\w-]+)", limits.__doc__ or "", re.MULTILINE)
    given = Limits.from_environment({f"ANALYZE_{name}": default for name, default, _ in rows})
    assert [name.lower() for name, _, _ in rows] == list(Limits.__dataclass_fields__)
    assert given == Limits()
    starred = set(re.findall(r"([\w-]+) \*", limits.__doc__ or ""))
    assert starred == limits.PARTIAL | {"limit-packets", "limit-bytes"}
    assert starred <= limits.PARTIAL | records.FATAL


@pytest.mark.parametrize(("text", "value"), [("7", 7), (" 64K ", 64 << 10), ("2m", 2 << 20), ("1G", 1 << 30), ("0", 0)])
def test_values(text: str, value: int) -> None:
    assert Limits.from_environment({"ANALYZE_SECONDS": text}).seconds == value


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "1T", "٣", "9" * 40, "K", "0x10"])
def test_what_is_no_limit_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="ANALYZE_REPORT"):
        Limits.from_environment({"ANALYZE_REPORT": text})
    with pytest.raises(InputError, match="ANALYZE_PACKETS"):
        Limits.from_environment({"ANALYZE_PACKETS": "0"})


# -- one test that hits each ---------------------------------------------------------------------------------------------


def test_packets() -> None:
    found = report(UDP_GOOD / "capture.pcap", Limits(packets=10))
    assert (found.packets, found.status, codes(found)) == (10, "partial", ["limit-packets"])
    assert found.problems[0].frame == 11
    assert found.sha256 is not None


def test_packets_of_a_large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.capture.reader._SMALL", 64)
    indexed = report(UDP_GOOD / "capture.pcap", Limits(packets=10))
    monkeypatch.undo()
    assert plain(indexed) == plain(report(UDP_GOOD / "capture.pcap", Limits(packets=10)))


def test_time() -> None:
    ticks = iter(range(0, 10_000_000, 100))
    watch = Watch(Limits(seconds=150), clock=lambda: next(ticks))
    assert watch.over() is None
    problem = watch.over()
    assert problem is not None and problem.code == "limit-time"


@pytest.mark.parametrize("small", [64, 2 << 20], ids=["in blocks", "record by record"])
def test_reading_stops_when_time_is_up(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.capture.reader._SMALL", small)
    monkeypatch.setattr("analyzer.capture.reader._BLOCK", 256)
    monkeypatch.setattr("analyzer.capture.source.CHUNK", 256)
    monkeypatch.setattr("analyzer.capture.reader._LOOK", 3)
    asked: list[int] = []

    def over(_: Watch) -> Problem | None:
        asked.append(1)
        return Problem("limit-time", "time is up") if len(asked) > 2 else None

    monkeypatch.setattr(Watch, "over", over)
    found = report(UDP_GOOD / "capture.pcap", Limits())
    assert found.status == "partial" and codes(found) == ["limit-time"]
    assert 0 < found.packets < 40
    assert found.sessions


def test_memory() -> None:
    assert limits.resident() > 1 << 20
    found = report(UDP_GOOD / "capture.pcap", Limits(memory=1))
    assert found.status == "partial" and codes(found) == ["limit-memory"]
    assert "ANALYZE_MEMORY" in found.problems[0].message


def test_gzip_expansion() -> None:
    bomb = gzip.compress(pcap([tcp(1, SYN)]) + bytes(4 << 20))
    found = report(bomb, Limits(expanded=1 << 20))
    assert found.status == "partial" and codes(found)[0] in ("limit-bytes", "damaged-record")
    capture = gzip.compress(pcap([tcp(1000 + n % 50_000, ACK, payload=bytes(1200)) for n in range(2000)]))
    found = report(capture, Limits(expanded=1 << 20))
    assert codes(found) == ["limit-bytes"] and 500 < found.packets < 2000


def test_open_conversations_and_flows() -> None:
    packets = [tcp(1000 + n, SYN) for n in range(60)]
    found = report(pcap(packets), Limits(conversations=20))
    assert "too-many-conversations" in codes(found)
    assert len(found.sessions) == 60
    found = report(pcap(packets), Limits(flows=20))
    assert codes(found) == ["too-many-flows"]
    assert all(problem.message for problem in found.problems)


def test_bytes_of_a_conversation() -> None:
    found = report(TCP_GOOD / "capture.pcap", Limits(conversation=400), TCP_GOOD / "keys")
    assert found.status == "partial" and codes(found) == ["limit-conversation"]
    assert found.problems[0].frame == found.sessions[0].first_frame
    found = report(UDP_GOOD / "capture.pcap", Limits(conversation=200), UDP_GOOD / "keys")
    assert found.status == "partial" and codes(found) == ["limit-conversation"]


def test_fragments() -> None:
    whole = [wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5684, 5684, bytes(900)), ident=n) for n in range(40)]
    first_halves = [next(iter(wire.ipv4_fragments(data, 512))) for data in whole]
    found = report(pcap(first_halves), Limits(fragments=16))
    assert found.status == "partial" and codes(found) == ["limit-fragments"]
    assert codes(report(pcap(first_halves), Limits())) == []
    # Those that are too old to be completed make room without a word.
    assert codes(report(pcap(first_halves, step=120 * 10**9), Limits(fragments=16))) == []


def test_handshake_size() -> None:
    data = bytearray((UDP_GOOD / "capture.pcap").read_bytes())
    at = next(found.start() + 13 for found in re.finditer(rb"\x16\xfe\xfd", data) if data[found.start() + 13] == 12)
    data[at + 1 : at + 4] = b"\xff\xff\xff"  # a ServerKeyExchange of 16 MB, of which this is a fragment
    data[at - 15 : at - 13] = bytes(2)  # UDP without a checksum: no receiver takes a datagram whose checksum is wrong
    found = report(bytes(data), Limits())
    assert "limit-handshake" in codes(found) and found.status == "partial"


def test_report_size() -> None:
    path, keys = TCP_GOOD / "capture.pcap", TCP_GOOD / "keys"
    whole, cut = report(path, Limits(), keys), report(path, Limits(report=1000), keys)
    assert cut.status == "partial" and codes(cut) == ["limit-report"]
    assert whole.sessions[0].messages and not cut.sessions[0].messages
    assert cut.sessions[0].verdict == whole.sessions[0].verdict
    rows = json.dumps(plain(whole.sessions[0].messages))
    estimate = sum(limits.ROW_COST + len(row.summary) for row in whole.sessions[0].messages)
    assert len(rows) < 2 * estimate


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYZE_PACKETS", "5")
    assert analyze_capture(UDP_GOOD / "capture.pcap", load_keys([])).packets == 5


# -- attacks stay linear: counted in operations of the interpreter, not in seconds ---------------------------------------


def steps(action) -> int:  # noqa: ANN001
    """How many lines of our code ``action`` runs: a measure that no other load on the machine changes."""
    import sys

    count = 0

    def local(frame, event, arg):  # noqa: ANN001, ANN202
        nonlocal count
        count += 1
        return local

    def trace(frame, event, arg):  # noqa: ANN001, ANN202
        return local if "/analyzer/" in frame.f_code.co_filename or "/dissectors/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def linear(make, small: int) -> None:  # noqa: ANN001
    """Four times the input may cost at most six times the steps."""
    few, many = make(small), make(4 * small)
    few()  # imports and caches
    assert steps(many) <= 6 * steps(few) + 2000


def segments(packets: list[Packet]):  # noqa: ANN201
    def run() -> None:
        table = Conversations()
        for packet in packets:
            list(table.feed(packet))
        list(table.finish())

    return run


def segment(number: int, sequence: int, payload: bytes, flags: int = ACK, port: int = 40000) -> Packet:
    return Packet(number, START + number * 1000, TCP, A, B, port, 5683, payload, len(payload), 64, number & 0xFFFF,
                  sequence, 1, flags, 1024, wire.tcp(A, B, port, 5683, sequence, 1, flags, 1024, payload=payload)[:20])  # fmt: skip


def test_one_byte_segments() -> None:
    linear(lambda n: segments([segment(1, 0, b"", SYN), *(segment(i + 2, 1 + i, b"x") for i in range(n))]), 400)


def test_one_byte_segments_backwards_with_holes() -> None:
    linear(
        lambda n: segments([segment(1, 0, b"", SYN), *(segment(i + 2, 1 + 2 * (n - i), b"x") for i in range(n))]), 400
    )


def test_overlapping_segments() -> None:
    linear(lambda n: segments([segment(1, 0, b"", SYN), *(segment(i + 2, 1 + i, bytes(50)) for i in range(n))]), 400)


def test_floods_of_syns() -> None:
    linear(lambda n: segments([segment(i + 1, i * 77, b"", SYN, 1024 + i) for i in range(n)]), 500)


def turned_away(port: int) -> list[bytes]:
    """A session in which the cloud hangs up on the device's 256 bytes: no two of them alike, as they are one session seen
    twice otherwise."""
    there, back = (A, B, port, 5683), (B, A, 5683, port)
    nonce, blob = (random.Random(port).randbytes(length) for length in (40, 256))
    said = ((there, 1, 0, SYN, b""), (back, 1, 2, SYN | ACK, b""), (there, 2, 2, ACK, b""), (back, 2, 2, ACK, nonce),
            (there, 2, 42, ACK, blob), (back, 42, 258, FIN | ACK, b""), (there, 258, 43, FIN | ACK, b""))  # fmt: skip
    return [
        wire.ipv4(ends[0], ends[1], wire.TCP, wire.tcp(*ends, sequence, acknowledged, flags, 1024, payload=payload))
        for ends, sequence, acknowledged, flags, payload in said
    ]


@pytest.mark.parametrize(
    "session", [turned_away, lambda port: [tcp(port, SYN), tcp(port, SYN)]], ids=["rejected", "no answer"]
)
def test_one_device_that_tries_and_tries(session) -> None:  # noqa: ANN001
    """Each session asks what the others of the device say: the answer is found once."""

    def make(n: int):  # noqa: ANN202
        data = pcap([packet for port in range(n) for packet in session(20000 + port)])
        return lambda: report(data, Limits())

    assert {found.code for found in make(4)().sessions[0].findings} >= {"retry-loop"}
    linear(make, 60)


def test_flows_are_not_ordered_by_a_hash_that_a_sender_can_choose() -> None:
    # Python's hash of bytes is keyed (PEP 456); ours are dicts with bytes keys, so colliding flows cannot be made.
    import subprocess
    import sys

    told = {
        subprocess.run([sys.executable, "-c", "print(hash(b'\\x0a\\0\\0\\1'))"], capture_output=True, check=True).stdout
        for _ in range(3)
    }
    assert len(told) == 3


def test_overlapping_fragments() -> None:
    def make(n: int):  # noqa: ANN202
        whole = wire.ipv4(A, B, wire.UDP, wire.udp(A, B, 5684, 5684, bytes(8000)), ident=9)
        header, body = whole[:20], whole[20:]
        pieces = []
        for i in range(n):
            offset = (i * 3) % 900
            data = body[offset * 8 : offset * 8 + 400] or bytes(8)
            head = header[:2] + struct.pack(">H", 20 + len(data)) + header[4:6] + struct.pack(">H", 0x2000 | offset)
            pieces.append(head + header[8:] + data)

        def run() -> None:
            decoder = Decoder(records.Notes())
            for number, piece in enumerate(pieces, 1):
                decoder.decode(number, START + number, capfile.RAW, piece, len(piece))

        return run

    linear(make, 200)


def test_der_bombs() -> None:
    from analyzer.keys.contents import read_contents
    from analyzer.keys.names import hint
    from analyzer.keys.roles import Claim

    def nested(n: int):  # noqa: ANN202
        data = b"\x30\x80" * n + b"\x02\x01\x01"
        return lambda: read_contents(data, Claim("a.der", hint("a.der")))

    def tiny_integers(n: int):  # noqa: ANN202
        body = b"\x02\x01\x01" * n
        data = b"\x30\x82" + struct.pack(">H", len(body) & 0xFFFF) + body
        return lambda: read_contents(data, Claim("a.der", hint("a.der")))

    linear(nested, 300)
    linear(tiny_integers, 1000)


@pytest.mark.parametrize(
    "line",
    [
        "device key: {x}",
        "{x}",
        "0000000001 [{x}] INFO: a",
        "{d} [comm] WARN: {x}",
        "connection to {d}.{d}.{d}",
        "<{x}",
        "{s}error {s}",
    ],
)
def test_log_lines_built_against_regular_expressions(line: str) -> None:
    import time

    from analyzer.devicelog import judge_log, read_log

    def seconds(n: int) -> float:
        text = line.format(x="a" * n, d="1" * n, s=" " * n)
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            judge_log(read_log([text] * 3, name="x"))
            best = min(best, time.process_time() - start)
        return best

    # A regular expression is one step for the interpreter, so this one is measured in CPU time, generously.
    assert seconds(16_000) <= 12 * seconds(4_000) + 0.2
