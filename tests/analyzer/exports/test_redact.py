"""Redacted captures: the same verdicts, and nothing of the originals that names anybody."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from analyzer import conversations
from analyzer.capture import open_capture
from analyzer.conversations import UdpConversation
from analyzer.errors import InputError
from analyzer.exports.pcapng_writer import PcapngWriter
from analyzer.exports.redact import redact
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.keys import load_keys
from analyzer.model import CaptureReport
from analyzer.names import particle_name
from analyzer.pipeline import analyze_capture
from dissectors.dtls import crypto as dtls_crypto
from dissectors.dtls.handshake import Dtls
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import IdentityPlaintext

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
CASES = sorted(path.parent for path in CAPTURES.glob("*/case.toml"))
SALT = b"0123456789abcdef"
PSEUDONYMS = Pseudonyms(SALT)
NO_KEYS = load_keys([])
#: What a report notes of devices that have no session.
ALONE = {"internet-test-alone"}


def capture_of(case: Path) -> Path:
    return case / tomllib.loads((case / "case.toml").read_text())["capture"]


def report_on(path: Path) -> CaptureReport:
    return analyze_capture(path, NO_KEYS)


def without_secrets(source: Path, folder: Path) -> Path:
    """The packets of a capture and nothing else: secrets inside it would help the first verdict only."""
    capture = open_capture(source, name="source")
    records = list(capture.records())
    if not capture.secrets:
        return source
    writer, plain = PcapngWriter(), folder / "plain.pcapng"
    links = sorted({record[2] for record in records})
    data = writer.section() + b"".join(writer.interface(link) for link in links)
    plain.write_bytes(
        data + b"".join(writer.packet(links.index(link), time, packet, wire) for _, time, link, packet, wire in records)
    )
    return plain


def verdicts(report: CaptureReport) -> list[tuple]:
    return [
        (
            session.transport,
            session.protocol,
            session.verdict.code,
            session.verdict.certainty,
            session.verdict.stage,
            session.verdict.alternatives,
            session.history,
            session.duration_s,
            session.start_time,
            [(stage.stage, stage.status, stage.bytes, stage.time) for stage in session.stages],
            (session.ending.by, session.ending.how, session.ending.after_s),
            sorted((finding.code, finding.certainty) for finding in session.findings),
        )
        for session in report.sessions
    ]


# -- what must not be left -------------------------------------------------------------------------------------------


def identifiers(source: Path, case: Path | None, report: CaptureReport) -> Iterator[tuple[str, bytes]]:
    """(what it is, its bytes) of everything in the original that names somebody."""
    for session in report.sessions:
        for address in (session.device.address, session.cloud.address):
            if not address:
                continue  # a name that led nowhere has no cloud address
            packed = ip_address(address).packed
            if PSEUDONYMS.address(packed) != packed:
                yield "address", packed
    for _, _, link, data, _ in open_capture(source, name="source").records():
        if link == 1 and len(data) >= 12:
            for mac in (data[:6], data[6:12]):
                if mac not in (b"\xff" * 6, bytes(6)):
                    yield "mac", mac
    ids = {session.device.id for session in report.sessions if session.device.id}
    if case is not None:
        ids |= set(re.findall(r"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])", " ".join(map(str, case.rglob("*")))))
        ids |= set(re.findall(r"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])", (case / "case.toml").read_text()))
    for device_id in ids:
        yield "device id", bytes.fromhex(device_id)
    for session in report.sessions:
        if session.cloud.host and particle_name(session.cloud.host) is None:
            for label in session.cloud.host.split("."):
                if len(label) >= 4 and label not in ("device", "particle", "example", "invalid", "local"):
                    yield "name", label.encode()
    for spki in public_keys(source):
        yield "public key", dtls_crypto.point_of(spki)[1:33] if dtls_crypto.point_of(spki) else spki[-32:]


def public_keys(source: Path) -> Iterator[bytes]:
    table = conversations.Conversations(conversations.Options())
    found = [c for packet in open_capture(source, name="s") for c in table.feed(packet)] + list(table.finish())
    for conversation in found:
        if isinstance(conversation, UdpConversation):
            machine = Dtls(hint_port=True)
            for datagram in conversation.datagrams:
                machine.datagram(datagram.direction, datagram.data, datagram.mark, datagram.length)
            for attempt in machine.attempts():
                if attempt.device_certificate is not None and attempt.device_certificate.public_key is not None:
                    yield attempt.device_certificate.public_key


def forms(kind: str, thing: bytes) -> Iterator[bytes]:
    """Every way a thing may be written in a file."""
    if kind == "name":
        yield thing
        yield thing.upper()
        return
    for order in (thing, thing[::-1]):
        yield order
        if len(thing) > 4:
            yield order.hex().encode()
            yield order.hex().upper().encode()
            for separator in b":-":
                yield bytes((separator,)).join(order.hex()[at : at + 2].encode() for at in range(0, 2 * len(order), 2))
    if kind == "address":
        yield str(ip_address(thing)).encode()
        yield ip_address(thing).exploded.encode()


def assert_clean(output: Path, found: set[tuple[str, bytes]]) -> None:
    data = output.read_bytes()
    for kind, thing in sorted(found):
        for form in forms(kind, thing):
            assert form not in data, (kind, thing, form)


# -- the golden captures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_golden_capture_keeps_its_verdicts_and_loses_its_identifiers(case: Path, tmp_path: Path) -> None:
    source, output = without_secrets(capture_of(case), tmp_path), tmp_path / "redacted.pcapng"
    report = report_on(source)
    done = redact(report, source, output, salt=SALT)
    after = report_on(output)
    assert verdicts(after) == verdicts(report)
    assert [p.code for p in after.problems if p.code in ALONE] == [p.code for p in report.problems if p.code in ALONE]
    assert_clean(output, set(identifiers(source, case, report)))
    capture = open_capture(output, name="o")
    records = list(capture.records())
    assert not capture.secrets
    assert not capture.names
    before = {problem.code for problem in report.problems}
    assert {problem.code for problem in capture.problems} <= before & {"snap-length"}, "cut packets stay cut"
    assert len(records) - done.kept in (0, 1)
    originals = {
        (time, link, len(data), wire) for _, time, link, data, wire in open_capture(source, name="s").records()
    }
    for _, time, link, data, wire in records[: done.kept]:
        assert (time, link, len(data), wire) in originals
    times = [record[1] for record in open_capture(source, name="s").records()]
    if times:
        assert max(record[1] for record in records) == max(times)


STATUS = (
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
)


def statuses(tshark: str, path: Path) -> Counter[tuple[str, ...]]:
    """(time, checksum statuses) of each packet, as tshark sees them."""
    command = [tshark, "-r", str(path), "-T", "fields", "-e", "frame.time_epoch"]
    for protocol in ("ip", "tcp", "udp"):
        command += ["-o", f"{protocol}.check_checksum:TRUE"]
    for field in STATUS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "TZ": "UTC"})
    assert done.returncode == 0 or "cut short" in done.stderr, done.stderr
    return Counter(tuple(line.split("\t")) for line in done.stdout.splitlines())


@pytest.mark.tshark
def test_checksums_are_as_right_as_they_were(tshark: str, tmp_path: Path) -> None:
    """Of all golden captures at once: a start of tshark costs as much as a hundred of them."""
    sources, outputs, kept = [], [], 0
    for case in CASES:
        report = report_on(capture_of(case))
        if report.status == "ok":  # mergecap takes whole files only
            sources.append(capture_of(case))
            outputs.append(tmp_path / f"{case.name}.pcapng")
            kept += redact(report, sources[-1], outputs[-1], salt=SALT).kept
    assert len(sources) > 150
    for name, files in (("before", sources), ("after", outputs)):
        subprocess.run(["mergecap", "-a", "-F", "pcapng", "-w", tmp_path / name, *files], check=True)
    before, after = statuses(tshark, tmp_path / "before"), statuses(tshark, tmp_path / "after")
    blanks = sum(after.values()) - kept
    assert sum((after - before).values()) <= blanks


# -- one property at a time --------------------------------------------------------------------------------------------

PHOTON = CAPTURES / "synth-healthy-photon" / "capture.pcap"


def redacted(source: Path, output: Path, **options) -> bytes:
    redact(report_on(source), source, output, **{"salt": SALT, **options})
    return output.read_bytes()


def test_the_same_salt_gives_the_same_file_and_another_one_another(tmp_path: Path) -> None:
    one = redacted(PHOTON, tmp_path / "1")
    assert redacted(PHOTON, tmp_path / "2") == one
    assert redacted(PHOTON, tmp_path / "3", salt=b"another salt") != one


def test_dtls_files_are_reproducible_too(tmp_path: Path) -> None:
    case = CAPTURES / "dtls-04a-private-key-not-matching-silent"
    source = capture_of(case if case.exists() else next(c for c in CASES if "device-key-corrupt" in c.name))
    assert redacted(source, tmp_path / "1") == redacted(source, tmp_path / "2")


def test_pseudonyms_agree_between_files(tmp_path: Path) -> None:
    by_address: dict[str, set[str]] = {}
    for case in CASES[:20]:
        source = capture_of(case)
        report = report_on(source)
        redact(report, source, tmp_path / "r", salt=SALT)
        for before, after in zip(report.sessions, report_on(tmp_path / "r").sessions, strict=True):
            by_address.setdefault(before.device.address, set()).add(after.device.address)
            by_address.setdefault(before.cloud.address, set()).add(after.cloud.address)
            if before.device.id:
                expected = PSEUDONYMS.device_id(bytes.fromhex(before.device.id)).hex()
                assert after.device.id == expected
    assert by_address
    assert all(len(others) == 1 for others in by_address.values())


def test_ports_get_pseudonyms_when_asked(tmp_path: Path) -> None:
    report = report_on(PHOTON)
    redact(report, PHOTON, tmp_path / "r", salt=SALT, ports=True)
    after = report_on(tmp_path / "r")
    assert verdicts(after) == verdicts(report)
    assert after.sessions[0].device.port != report.sessions[0].device.port
    assert after.sessions[0].cloud.port == report.sessions[0].cloud.port
    redact(report, PHOTON, tmp_path / "r", salt=SALT)
    assert report_on(tmp_path / "r").sessions[0].device.port == report.sessions[0].device.port


def test_an_identity_under_a_blank_key_opens_as_somebody_elses(tmp_path: Path) -> None:
    case = CAPTURES / "synth-server-key-erased"
    source, output = capture_of(case), tmp_path / "r"
    report = report_on(source)
    redact(report, source, output, salt=SALT)
    for path, expected in ((source, True), (output, False)):
        opened = []
        for packet in open_capture(path, name="p"):
            if len(packet.payload) == 256:
                plain = crypto.open_with_blank_key(packet.payload)
                if isinstance(plain, IdentityPlaintext):
                    opened.append(plain)
        assert opened
        own = {session.device.id for session in report.sessions}
        assert all((plain.device_id in own) is expected for plain in opened)
    keys = [plain.tail.spki for plain in opened if plain.tail is not None]
    assert all(key not in source.read_bytes() for key in keys)


def test_comments_names_secrets_and_interfaces_are_gone(tmp_path: Path) -> None:
    writer = PcapngWriter()
    source, output = tmp_path / "s.pcapng", tmp_path / "r.pcapng"
    data = writer.section(("confidential section",), application="dumpcap on workstation-7")
    data += writer.secrets(b"CLIENT_RANDOM aa bb\n") + writer.names({bytes((192, 168, 1, 20)): "kitchen-device"})
    data += writer.interface(1, name="wlan-of-alice")
    for _, time_ns, _, packet, length in open_capture(PHOTON, name="p").records():
        data += writer.packet(0, time_ns, packet, length, comments=("confidential packet",))
    source.write_bytes(data)
    out = redacted(source, output)
    for word in (b"confidential", b"workstation", b"CLIENT_RANDOM", b"kitchen", b"alice"):
        assert word not in out


def test_other_traffic_is_left_out_and_time_goes_on(tmp_path: Path) -> None:
    writer = PcapngWriter()
    source, output = tmp_path / "s.pcapng", tmp_path / "r.pcapng"
    records = list(open_capture(PHOTON, name="p").records())
    other = bytes.fromhex("ffffffffffff0200000000010806") + b"arp of somebody else".ljust(28)
    data = writer.section() + writer.interface(1)
    for _, time_ns, _, packet, length in records:
        data += writer.packet(0, time_ns, packet, length) + writer.packet(0, time_ns + 1, other, len(other))
    last = records[-1][1] + 60_000_000_000
    data += writer.packet(0, last, other, len(other))
    source.write_bytes(data)
    report = report_on(source)
    done = redact(report, source, output, salt=SALT)
    assert done.dropped >= len(records) + 1
    after = list(open_capture(output, name="o").records())
    assert after[-1][1] == last
    assert b"somebody" not in output.read_bytes()
    assert verdicts(report_on(output)) == verdicts(report)


def test_a_capture_without_sessions_becomes_an_empty_one(tmp_path: Path) -> None:
    writer = PcapngWriter()
    source, output = tmp_path / "s.pcapng", tmp_path / "r.pcapng"
    source.write_bytes(writer.section() + writer.interface(1) + writer.packet(0, 5_000, b"nothing of ours" * 4, 60))
    done = redact(report_on(source), source, output, salt=SALT)
    assert (done.sessions, done.kept, done.dropped) == (0, 0, 1)
    ((_, time_ns, _, data, _),) = open_capture(output, name="o").records()
    assert time_ns == 5_000
    assert b"nothing" not in data


def test_what_is_no_capture_is_refused_and_the_input_never_overwritten(tmp_path: Path) -> None:
    report = report_on(PHOTON)
    (tmp_path / "x").write_bytes(b"this is no capture at all, but long enough")
    with pytest.raises(InputError):
        redact(report, tmp_path / "x", tmp_path / "r", salt=SALT)
    copy = tmp_path / "c.pcap"
    copy.write_bytes(PHOTON.read_bytes())
    with pytest.raises(InputError, match="is the capture that is read"):
        redact(report, copy, copy, salt=SALT)
    assert copy.read_bytes() == PHOTON.read_bytes()
    assert not (tmp_path / "r").exists()
