"""`--engine tshark`: the same report by way of tshark and pyshark, and clear refusals."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import struct
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest

from analyzer.capture import Limits, open_capture, tshark_reader
from analyzer.capture.records import NO_PACKET
from analyzer.capture.tshark_reader import TsharkCapture
from analyzer.errors import InputError
from analyzer.keys import load_keys
from analyzer.packet import Problem
from analyzer.pipeline import Options, analyze_capture
from analyzer.reports.json import plain
from captures.synth import capfile, wire
from tests.analyzer.capture.wrappings import WRAPPINGS, frames, radiotap, wrapped

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
#: One of each path to a payload; `tests/test_engines.py --all` style runs over everything are by hand.
CASES = (
    "tcp-02a-cloud-wrong-devkey-brewskey/capture.pcap", "tcp-21a-formats-good/capture_any_SLL.pcap", "tcp-21a-formats-good/capture_any_SLL2.pcap",
    "tcp-21a-formats-good/capture_pppoe.pcap", "tcp-21a-formats-good/capture_null.pcap", "tcp-21a-formats-good/capture.pcapng", "tcp-20b-snaplen96-wrong-server-key/capture.pcap",
    "synth-path-fragments/capture.pcap", "synth-path-ipv6-extensions/capture.pcap", "dtls-09-icmp-port-unreachable/capture.pcap",
    "dtls-30-engine-222e/capture.pcap", "tcp-12-syn-refused/capture.pcap",
)  # fmt: skip

pytestmark = pytest.mark.tshark


@pytest.mark.parametrize("case", CASES)
def test_same_report_as_our_own_reader(case: str, tshark: str) -> None:
    path = CAPTURES / case
    keys = path.parent / "keys"
    ring = load_keys([keys] if keys.exists() else [])
    own = analyze_capture(path, ring, name="c")
    theirs = analyze_capture(path, ring, Options(engine="tshark"), name="c")
    assert plain(theirs) == plain(own)


def test_a_format_only_wireshark_reads(tshark: str, tmp_path: Path) -> None:
    source = CAPTURES / "tcp-12-syn-refused" / "capture.pcap"
    snoop = tmp_path / "capture.snoop"
    subprocess.run(["editcap", "-F", "snoop", str(source), str(snoop)], check=True, capture_output=True)
    with pytest.raises(InputError):
        analyze_capture(snoop, load_keys([]), Options(engine="scapy"))
    report = analyze_capture(snoop, load_keys([]), Options(engine="tshark"))
    assert [session.verdict.code for session in report.sessions] == [
        session.verdict.code for session in analyze_capture(source, load_keys([])).sessions
    ]
    assert report.packets > 0


def test_a_cut_file_keeps_what_is_before(tshark: str) -> None:
    path = CAPTURES / "tcp-21a-formats-good" / "capture_cut_short.pcap"
    own, theirs = analyze_capture(path, load_keys([])), analyze_capture(path, load_keys([]), Options(engine="tshark"))
    assert theirs.status == own.status == "partial"
    assert [problem.frame for problem in theirs.problems] == [problem.frame for problem in own.problems]
    assert plain(theirs.sessions) == plain(own.sessions)


def test_no_capture_is_one_clear_line(tshark: str, tmp_path: Path) -> None:
    nothing = tmp_path / "x.pcap"
    nothing.write_bytes(struct.pack("<I", 7) * 40)
    with pytest.raises(InputError, match="tshark cannot read it"):
        list(TsharkCapture(nothing, name="x.pcap"))


def test_without_tshark_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="tshark is not installed"):
        TsharkCapture(CAPTURES / CASES[0], name="c")


def test_an_old_tshark_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tshark: str) -> None:
    monkeypatch.setattr("pyshark.tshark.tshark.get_tshark_version", lambda *_: "2.6.20")
    with pytest.raises(InputError, match="too old"):
        TsharkCapture(CAPTURES / CASES[0], name="c")


def test_a_tshark_that_does_not_tell_its_version_is_named(monkeypatch: pytest.MonkeyPatch, tshark: str) -> None:
    monkeypatch.setattr("pyshark.tshark.tshark.get_tshark_version", lambda *_: "unknown")
    with pytest.raises(InputError, match=r"does not tell its version \(ValueError\)"):
        TsharkCapture(CAPTURES / CASES[0], name="c")


@pytest.mark.parametrize(("name", "problem"), [("gone.pcap", "no such file"), ("folder", "is a folder")])
def test_a_path_that_is_no_file_is_one_clear_line(name: str, problem: str, tshark: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=problem):
        TsharkCapture(tmp_path / name, name=name)


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, to see what is left of them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_pipe_is_copied_for_tshark_and_the_copy_goes(tshark: str, left: Path) -> None:
    path = CAPTURES / "tcp-12-syn-refused" / "capture.pcap"
    capture = TsharkCapture(io.BytesIO(path.read_bytes()), name="-")
    (copy,) = left.iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    packets = list(capture)
    assert [packet.number for packet in packets] == [packet.number for packet in TsharkCapture(path, name="c")]
    assert packets
    assert list(left.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_copy_that_failed(error: BaseException, tshark: str, left: Path) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as end:
        TsharkCapture(Broken(), name="-")
    assert expected is KeyboardInterrupt or "cannot be copied for tshark: Input/output error" in str(end.value)
    assert list(left.iterdir()) == []


def test_a_capture_without_packets_is_read_to_its_end(tshark: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes((CAPTURES / "tcp-12-syn-refused" / "capture.pcap").read_bytes()[:24])
    capture = TsharkCapture(empty, name="c")
    assert list(capture) == []
    assert (capture.status, capture.packets, capture.problems) == ("ok", 0, [])


def test_limits_hold_for_tshark_too(tshark: str) -> None:
    path = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey" / "capture.pcap"
    first = list(TsharkCapture(path, name="c"))[:5]
    few = TsharkCapture(path, name="c", limits=Limits(packets=first[-1].number))
    assert list(few) == first
    assert (few.status, [problem.code for problem in few.problems]) == ("partial", ["limit-packets"])

    late = Problem("limit-time", "too long", None)
    asked: list[int] = []

    def stop() -> Problem | None:
        asked.append(1)
        return late if len(asked) > 10 else None

    slow = TsharkCapture(path, name="c", limits=Limits(stop=stop))
    assert len(list(slow)) <= 10
    assert slow.status == "partial"
    assert late in slow.problems


def test_headers_that_are_cut_are_no_packets(tshark: str, tmp_path: Path) -> None:
    """As with our own reader; tshark shows what there is of them."""
    segment = wire.tcp(bytes(4), bytes(4), 1000, 5683, 1, 0, 2, 100)
    datagram = wire.udp(bytes(4), bytes(4), 1000, 5684, b"abc")
    frames = []
    for protocol, data, sizes in ((wire.TCP, segment, (8, 15, 20)), (wire.UDP, datagram, (4, 7, 11))):
        whole = wire.ipv4(b"\1\1\1\1", b"\2\2\2\2", protocol, data)
        frames += [capfile.Frame(10**18, whole[: 20 + size], len(whole)) for size in sizes]
    path = tmp_path / "cut.pcap"
    path.write_bytes(capfile.pcap(frames, capfile.RAW))
    ours = [(packet.number, packet.protocol, packet.payload) for packet in open_capture(path, name="c")]
    theirs = [(packet.number, packet.protocol, packet.payload) for packet in TsharkCapture(path, name="c")]
    assert theirs == ours
    assert [number for number, *_ in theirs] == [3, 6]


def test_of_ip_in_ip_the_inner_one_counts(tshark: str, tmp_path: Path) -> None:
    four, six = [(b"\1\1\1\1", b"\2\2\2\2"), (bytes(15) + b"\1", bytes(15) + b"\2")]
    inner = wire.udp(*four, 1000, 5684, b"abc")
    inner_six = wire.udp(*six, 1000, 5684, b"abc")
    frames = [
        wire.ip(*six, 4, wire.ipv4(*four, wire.UDP, inner)),
        wire.ipv4(*four, 41, wire.ip(*six, wire.UDP, inner_six)),
    ]
    path = tmp_path / "inner.pcap"
    path.write_bytes(capfile.pcap([capfile.Frame(10**18, data, len(data)) for data in frames], capfile.RAW))
    ours = [(packet.source, packet.payload, packet.ttl) for packet in open_capture(path, name="c")]
    theirs = [(packet.source, packet.payload, packet.ttl) for packet in TsharkCapture(path, name="c")]
    assert theirs == ours
    assert [source for source, *_ in theirs] == [four[0], six[0]]


def dying(folder: Path, tshark: str, how: str) -> None:
    """A tshark in front of the real one on the PATH that writes the beginning of its output and dies."""
    script = folder / "tshark"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-r*) {tshark} "$@" | head -c 20000; {how};; *) exec {tshark} "$@";; esac\n'
    )
    script.chmod(0o755)


@pytest.mark.parametrize("how", ["exit 2", "kill -9 $$", "kill -TERM $$", "exit 0"])
def test_a_tshark_that_dies_half_way_leaves_a_partial_report(
    tshark: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(tmp_path, tshark, how)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = CAPTURES / "tcp-01a-good-brewskey-fw063" / "capture.pcap"
    report = analyze_capture(path, load_keys([]), Options(engine="tshark"))
    assert report.status == "partial"
    assert [problem.code for problem in report.problems] == ["read-error"]
    assert "tshark stopped after" in report.problems[0].message


def test_nothing_of_pysharks_event_loop_is_left_behind(captures: Path, tshark: str) -> None:
    """It would be woken by every child process of whoever uses the library, until its pipe is full."""
    import signal

    before = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before[1])
    for _ in range(2):
        assert len(list(TsharkCapture(captures / "seed-001" / "capture.pcap", name="seed-001"))) == 15
        after = signal.getsignal(signal.SIGCHLD), signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(after[1])
        assert after == before


def _packed(data: bytes, name: str) -> bytes:
    if name == "lzma":
        return lzma.compress(data, lzma.FORMAT_ALONE)
    if name == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("c.pcap", data)
        return out.getvalue()
    if name == "gz.gz":
        return gzip.compress(gzip.compress(data))
    half = 24 + 16 + int.from_bytes(data[32:36], "little")
    return data[:half] + data[:24] + data[half:]  # cat


@pytest.mark.parametrize("name", ["lzma", "zip", "gz.gz", "cat", "text"])
def test_what_only_our_own_reader_opens_it_reads_too(name: str, tshark: str, tmp_path: Path) -> None:
    case = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"
    path = tmp_path / "c.bin"
    if name == "text":
        shown = subprocess.run([tshark, "-r", str(case / "capture.pcap"), "-x"], check=True, capture_output=True)
        path.write_bytes(shown.stdout)
    else:
        path.write_bytes(_packed((case / "capture.pcap").read_bytes(), name))
    ring = load_keys([case / "keys"])
    own = analyze_capture(path, ring, name="c")
    theirs = analyze_capture(path, ring, Options(engine="tshark"), name="c")
    assert plain(theirs) == plain(own)
    assert {session.verdict.code.value for session in own.sessions} == {"device-key-mismatch"}


def test_frames_keep_their_numbers_and_times_in_what_tshark_gets(tmp_path: Path, tshark: str) -> None:
    """Records that are no packets count; link types stay apart."""
    data = wire.ipv4(b"\1\1\1\1", b"\2\2\2\2", wire.UDP, wire.udp(bytes(4), bytes(4), 1000, 5684, b"abc"))
    records = [(1, 10**18 + 1, 101, data, 90), (2, 0, NO_PACKET, b"", 7), (3, 10**18 + 5, 228, data, len(data))]
    path = tmp_path / "c.pcapng"
    path.write_bytes(b"".join(tshark_reader._pcapng(records)))
    fields = ["-e", "frame.number", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "udp.dstport"]
    shown = subprocess.run([tshark, "-n", "-r", str(path), "-T", "fields", *fields], check=True, capture_output=True, text=True)  # fmt: skip
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["1", "1000000000.000000001", "90", "5684"],
        ["2", "0.000000000", "7", ""],
        ["3", "1000000000.000000005", str(len(data)), "5684"],
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'<?xml version="1.0"?>\n<a><b c="d"/></a>\n' * 3, "text, not a capture file; tshark cannot read it either"),
        ("12 0.1 10.0.0.1 → 10.0.0.2 TCP 5683\r\n".encode("utf-16"), "tshark cannot read it"),
    ],
)
def test_what_is_no_capture_is_one_clear_line_with_what_helps(
    data: bytes, said: str, tshark: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said):
        list(TsharkCapture(path, name="c.txt"))


@pytest.mark.parametrize(
    "name",
    [
        "GTP-U",
        "GRE, IP",
        "ERSPAN II",
        "radiotap with A-MSDU",
        "MPLS pseudowire",
        "ESP without encryption",
    ],
)
def test_inside_a_tunnel_it_says_what_our_own_reader_says(name: str, tshark: str, tmp_path: Path) -> None:
    case = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"
    path = tmp_path / "c.pcap"
    path.write_bytes(wrapped(case / "capture.pcap", WRAPPINGS[name]))
    ring = load_keys([case / "keys"])
    own = analyze_capture(path, ring, name="c")
    theirs = analyze_capture(path, ring, Options(engine="tshark"), name="c")
    assert plain(theirs.sessions) == plain(own.sessions)
    assert own.sessions


def test_a_link_type_that_only_wireshark_reads_is_read_of_itself(tshark: str, tmp_path: Path) -> None:
    """ARCNET as Linux captures it (LINKTYPE 129), RFC 1201: addresses, offset, protocol, split flag, sequence."""
    case = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"
    path = tmp_path / "c.pcap"
    records = [
        (time_ns, bytes.fromhex("01020000d4000000") + data[14:]) for time_ns, data in frames(case / "capture.pcap")
    ]
    path.write_bytes(capfile.pcap([capfile.Frame(time_ns, data, len(data)) for time_ns, data in records], 129))
    ring = load_keys([case / "keys"])
    report = analyze_capture(path, ring, Options())
    assert {session.verdict.code.value for session in report.sessions} == {"device-key-mismatch"}
    assert (report.problems[0].code, report.status) == ("read-by-wireshark", "ok")
    alone = analyze_capture(path, ring, Options(engine="scapy"))
    assert [problem.code for problem in alone.problems] == ["unsupported-link-type"]
    assert (alone.status, alone.sessions) == ("partial", ())
    assert "install it" in alone.problems[0].message


def test_encrypted_802_11_is_counted_with_tshark_too(tshark: str, tmp_path: Path) -> None:
    path = tmp_path / "c.pcap"
    closed = radiotap() + bytes.fromhex("0841") + bytes(22) + bytes(range(64))
    path.write_bytes(capfile.pcap([capfile.Frame(1, closed, len(closed))] * 3, 127))
    for engine in ("auto", "tshark"):
        report = analyze_capture(path, load_keys([]), Options(engine=engine))
        assert [(problem.code, problem.packets) for problem in report.problems] == [("encrypted-wireless", 3)]
        assert report.status == "partial"
