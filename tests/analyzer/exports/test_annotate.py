"""Annotated captures: the packets of before, the remarks on the right ones, and Wireshark reads it all."""

from __future__ import annotations

import dataclasses
import gzip
import os
import stat
import struct
import subprocess
import tomllib
from pathlib import Path

import pytest

from analyzer.capture import open_capture
from analyzer.errors import InputError
from analyzer.exports.annotate import annotate
from analyzer.exports.blocks import Blocks
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.remarks import remarks, summary
from analyzer.exports.upper_pdu import Plaintext
from analyzer.keys import load_keys
from analyzer.model import CaptureReport, Endpoint
from analyzer.pipeline import analyze_capture
from dissectors.events import Direction

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
CASES = sorted(path.parent for path in CAPTURES.glob("*/case.toml"))
PHOTON = CAPTURES / "synth-healthy-photon" / "capture.pcap"


def capture_of(case: Path) -> Path:
    return case / tomllib.loads((case / "case.toml").read_text())["capture"]


def report_on(path: Path, *keys: Path) -> CaptureReport:
    return analyze_capture(path, load_keys(list(keys)))


def records(path: Path) -> list:
    return list(open_capture(path, name=str(path)).records())


def fields(tshark: str, path: Path, *names: str, options: tuple[str, ...] = ()) -> list[list[str]]:
    command = [tshark, *options, "-r", str(path), "-T", "fields", "-E", "aggregator=\x1e"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"})
    # A capture that is cut off stays cut off.
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.split("\n") if line]


@pytest.mark.tshark
def test_every_golden_capture_keeps_its_packets_and_passes_tshark(tshark: str, tmp_path: Path) -> None:
    """tshark reads them one behind the other: a start of it costs as much as a hundred of them."""
    expected: set[int] = set()
    outputs: list[Path] = []
    count = 0
    for case in CASES:
        source, output = capture_of(case), tmp_path / f"{case.name}.pcapng"
        report = report_on(source)
        done = annotate(report, source, output)
        before, after = records(source), records(output)
        assert after == before, case.name
        assert done.frames == len(before), case.name
        commented = remarks(report).frames & {record[0] for record in before}
        assert done.remarked == len(commented), case.name
        expected |= {count + number for number in commented}
        count += len(before)
        outputs.append(output)
    joined = tmp_path / "joined"
    subprocess.run(["mergecap", "-a", "-F", "pcapng", "-w", joined, *outputs], check=True)
    found = fields(tshark, joined, "frame.number", "frame.comment")
    assert len(found) == count
    assert {int(number) for number, comment in found if comment} == expected


@pytest.mark.tshark
def test_the_remarks_say_stage_proof_and_verdict(tshark: str, tmp_path: Path) -> None:
    case = CAPTURES / "synth-server-key-mismatch"
    source, output = capture_of(case), tmp_path / "a.pcapng"
    report = report_on(source, case / "keys")
    annotate(report, source, output)
    comments = {int(n): c.split("\x1e") for n, c in fields(tshark, output, "frame.number", "frame.comment") if c}
    (session, *_) = report.sessions
    stages = {stage.stage: stage for stage in session.stages}
    nonce = comments[stages["nonce"].frames[-1]]
    assert any("nonce from the cloud, 40 bytes" in text for text in nonce)
    identity = comments[stages["identity"].frames[-1]]
    assert any("does not fit" in text for text in identity)
    everything = [text for texts in comments.values() for text in texts]
    assert any(f"verdict: {session.verdict.code} ({session.verdict.certainty})" in text for text in everything)
    assert session.ending.frame is not None
    assert any("ended by the" in text for text in comments[session.ending.frame])
    info = subprocess.run(["capinfos", str(output)], capture_output=True, text=True, check=True).stdout
    assert session.verdict.code in info
    names = fields(tshark, output, "ip.src_host", options=("-N", "n"))
    assert [f"device-{session.device.id}"] in names if session.device.id else ["particle-device"] in names


@pytest.mark.tshark
def test_comments_that_are_there_stay(tshark: str, tmp_path: Path) -> None:
    source, output = tmp_path / "c.pcapng", tmp_path / "a.pcapng"
    writer = PcapngWriter(">")
    data = writer.section(("mine",), application="dumpcap") + writer.interface(1, name="eth7")
    for number, time_ns, _, packet, length in records(PHOTON):
        data += writer.packet(0, time_ns + 7, packet, length, comments=(f"note {number}",))
    source.write_bytes(data)
    report = report_on(source)
    annotate(report, source, output)
    rows = fields(tshark, output, "frame.number", "frame.comment", "frame.interface_name")
    for number, comment, interface in rows:
        texts = comment.split("\x1e")
        assert texts[0] == f"note {number}"
        assert tuple(texts[1:]) == remarks(report).of(int(number))
        assert interface == "eth7"
    info = subprocess.run(["capinfos", str(output)], capture_output=True, text=True, check=True).stdout
    assert "mine" in info
    assert "dumpcap" in info
    assert records(output) == records(source)


@pytest.mark.tshark
def test_decrypted_messages_are_coap_to_wireshark_and_do_not_move_frame_numbers(tshark: str, tmp_path: Path) -> None:
    output = tmp_path / "a.pcapng"
    device, cloud = Endpoint("192.168.1.20", 50000), Endpoint("2001:db8::5", 5683)
    hello = bytes.fromhex("50020102b168ff0006ffff00000006")
    told = [
        Plaintext(1_700_000_000_500_000_001, Direction.DOWN, device, cloud, 9, bytes.fromhex("50020304b168")),
        Plaintext(1_700_000_000_400_000_001, Direction.UP, device, cloud, 8, hello),
    ]
    count = len(records(PHOTON))
    done = annotate(report_on(PHOTON), PHOTON, output, plaintexts=told)
    assert done.plaintexts == 2
    names = ("frame.number", "frame.time_epoch", "frame.protocols", "coap.opt.uri_path", "exported_pdu.orig_fno")
    rows = fields(tshark, output, *names)
    assert rows[:count] == fields(tshark, PHOTON, *names)
    up, down = rows[count:]
    assert up[1:] == ["1700000000.400000001", "exported_pdu:coap:data", "h", "8"], "up to and with its payload"
    assert down[0] == str(count + 2)
    assert down[3:] == ["h", "9"]
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


@pytest.mark.tshark
def test_secrets_let_wireshark_decrypt_dtls(tshark: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if list(case.glob("**/*.keylog")) + list(case.glob("**/sslkeys*")))
    (log, *_) = [*case.glob("**/*.keylog"), *case.glob("**/sslkeys*")]
    source, output = capture_of(case), tmp_path / "a.pcapng"
    annotate(report_on(source), source, output)
    assert stat.S_IMODE(output.stat().st_mode) & 0o077
    assert ["CoAP"] not in fields(tshark, output, "_ws.col.Protocol")
    annotate(report_on(source), source, output, secrets=[log.read_bytes()])
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert ["CoAP"] in fields(tshark, output, "_ws.col.Protocol")


def test_secrets_that_were_in_the_capture_are_for_the_owner_only(tmp_path: Path) -> None:
    source, output = tmp_path / "s.pcapng", tmp_path / "a.pcapng"
    writer = PcapngWriter()
    source.write_bytes(writer.section() + writer.interface(1) + writer.secrets(b"CLIENT_RANDOM 0 0\n"))
    annotate(report_on(source), source, output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_gzip_file_and_several_sections(tmp_path: Path) -> None:
    little, big = PcapngWriter("<"), PcapngWriter(">")
    data = b""
    for writer in (little, big):
        data += writer.section() + writer.interface(1) + writer.interface(101)
        for _, time_ns, link, packet, length in records(PHOTON):
            data += writer.packet(0 if link == 1 else 1, time_ns, packet, length)
    source, output = tmp_path / "two.pcapng.gz", tmp_path / "a.pcapng"
    source.write_bytes(gzip.compress(data))
    report = report_on(source)
    plaintext = Plaintext(1, Direction.UP, Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2), 3, b"\x40\0\0\0")
    annotate(report, source, output, plaintexts=[plaintext])
    before, after = records(source), records(output)
    assert after[: len(before)] == before
    assert after[-1][2] == 252


def test_a_cut_file_is_copied_as_far_as_it_goes(tmp_path: Path) -> None:
    data = PHOTON.read_bytes()
    source, output = tmp_path / "cut.pcap", tmp_path / "a.pcapng"
    source.write_bytes(data[:-9])
    done = annotate(report_on(source), source, output)
    assert done.problem is not None
    assert records(output) == records(source)
    whole = output.read_bytes()
    for cut in range(len(whole) - 200, len(whole)):
        source = tmp_path / "cut.pcapng"
        source.write_bytes(whole[:cut])
        done = annotate(report_on(source), source, tmp_path / "b.pcapng")
        assert done.problem is not None
        assert records(tmp_path / "b.pcapng") == records(source)


def test_frames_are_counted_as_the_reader_counts_them(tmp_path: Path) -> None:
    writer = PcapngWriter()
    data = writer.section() + writer.interface(1)
    for kind in (2, 3, 6, 9, 0x204, 0x216, 0x221, 0xBAD, 0x40000BAD, 5, 7, 11):
        data += writer.block(kind, bytes(24))
    path = tmp_path / "kinds.pcapng"
    path.write_bytes(data)
    from analyzer.capture.records import Limits, Notes
    from analyzer.capture.source import Source

    with path.open("rb") as file:
        source = Source(file, Notes(), Limits())
        ours = [block.frame for block in Blocks(source, source.more(32)) if block.frame is not None]
    assert ours == [record[0] for record in records(path)]


def test_the_summary_of_a_large_capture_names_the_first_sessions_and_counts_the_rest() -> None:
    report = report_on(PHOTON)
    many = dataclasses.replace(report, sessions=report.sessions[:1] * 1000)
    lines = summary(many).splitlines()
    named = [line for line in lines if line.startswith("s1 frames")]
    assert lines[0] == "1000 device sessions in this capture."
    assert lines[-1] == f"... and {1000 - len(named)} more"
    assert 0 < len(named) < 1000
    assert "more" not in summary(report)


@pytest.mark.parametrize(
    "damage",
    [
        PcapngWriter().block(5, bytes(12))[:4] + b"\x08\0\0\0" + bytes(40),
        PcapngWriter().block(5, bytes(12))[:-4] + b"\x63\0\0\0",
        b"\x0a\x0d\x0d\x0a\x1c\0\0\0whatorder" + bytes(30),
        struct.pack("<II", 6, 65 << 20) + bytes(40),
    ],
    ids=["length", "second length", "order", "too long"],
)
def test_behind_damage_nothing_is_copied(damage: bytes, tmp_path: Path) -> None:
    writer = PcapngWriter()
    head = writer.section() + writer.interface(1)
    packets = [writer.packet(0, time_ns, data, length) for _, time_ns, _, data, length in records(PHOTON)]
    source, output = tmp_path / "d.pcapng", tmp_path / "a.pcapng"
    source.write_bytes(head + b"".join(packets[:5]) + damage + b"".join(packets[5:]))
    done = annotate(report_on(source), source, output)
    assert done.problem == "damaged behind frame 5"
    assert records(output) == records(source)
    assert len(records(output)) == 5


def test_remarks_are_bounded_and_printable() -> None:
    report = report_on(capture_of(CAPTURES / "synth-healthy-photon"))
    session = report.sessions[0]
    evil = "\x1b[2J\u202e" + "x" * 5000
    stages = tuple(dataclasses.replace(stage, stage=evil) for stage in session.stages)
    hostile = dataclasses.replace(report, sessions=(dataclasses.replace(session, stages=stages * 50),))
    found = remarks(hostile)
    for frame in found.frames:
        assert len(found.of(frame)) <= 24
        for text in found.of(frame):
            assert text.isprintable()
            assert len(text) <= 600


@pytest.mark.parametrize("content", [b"", b"not a capture, just text that is long enough to be read"])
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError):
        annotate(report_on(PHOTON), tmp_path / "x", tmp_path / "out")
    with pytest.raises(InputError):
        annotate(report_on(PHOTON), tmp_path / "missing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "c.pcap"
    source.write_bytes(PHOTON.read_bytes())
    with pytest.raises(InputError, match="is the capture that is read"):
        annotate(report_on(source), source, source)
    assert source.read_bytes() == PHOTON.read_bytes()


def test_plaintexts_do_not_show_when_printed() -> None:
    plaintext = Plaintext(1, Direction.UP, Endpoint("a", 1), Endpoint("b", 2), 3, b"secret")
    assert "secret" not in repr(plaintext)
