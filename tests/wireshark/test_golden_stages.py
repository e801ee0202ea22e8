"""tshark with the dissector on every golden capture: no Lua error, our stages, nothing of a handshake misread."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from struct import pack, unpack, unpack_from

import pytest

from tests.wireshark.conftest import dissected

ROOT = Path(__file__).resolve().parents[2] / "captures"
CASES = sorted(path.parent for path in ROOT.glob("*/case.toml"))
#: Stages the dissector names; `connect` and `name-resolution` are Wireshark's own business.
NOT_OURS = {"connect", "name-resolution"}
#: Stages whose records stock Wireshark may decrypt when the capture brings the secrets along.
PROTECTED = {"device-finished", "cloud-finished", "device-hello", "hello-ack", "session", "resumed"}


def capture_of(case: Path) -> Path:
    return case / tomllib.loads((case / "case.toml").read_text())["capture"]


@cache
def sessions_of(case: Path) -> list[dict]:
    """The sessions of the case's expected report without keys."""
    report = json.loads((case / "expected.without.json").read_text())
    return [session for capture in report["captures"] for session in capture["sessions"]]


#: Damaged on purpose: mergecap refuses the rest of them, so they are read alone.
ALONE = {"synth-file-cut"}


def addresses_of(case: Path, packets: list[bytes]) -> set[bytes]:
    """Every address that a capture's packets go from or to: of IPv4 headers, known by their checksum, and of sessions."""
    found = {
        ip_address(session[side]["address"]).packed
        for session in sessions_of(case)
        for side in ("device", "cloud")
        if session[side]["address"]
    }
    for packet in packets:
        for at in range(min(len(packet) - 20, 90)):
            if packet[at] == 0x45:
                total = sum(unpack_from("!10H", packet, at))
                if (total & 0xFFFF) + (total >> 16) == 0xFFFF:
                    found |= {packet[at + 12 : at + 16], packet[at + 16 : at + 20]}
    return {address for address in found if address.strip(b"\0\xff") and address[0] < 224 or len(address) == 16}


def merged(folder: Path) -> tuple[Path, dict[str, range]]:
    """All golden captures in one file, each with addresses of its own, and which frames are whose.

    One start of tshark costs more than a golden capture. mergecap joins them; the addresses are then replaced wherever
    they stand, also in what an ICMP message quotes and a DNS answer says.
    """
    cases = [case for case in CASES if case.name not in ALONE]
    whole = folder / "whole.pcapng"
    files = [str(capture_of(case)) for case in cases]
    subprocess.run(["mergecap", "-a", "-w", str(whole), *files], check=True, capture_output=True)
    table = subprocess.run(
        ["capinfos", "-T", "-r", "-B", "-M", "-c", *files], check=True, capture_output=True, text=True
    )
    counts = [int(line.split("\t")[1]) for line in table.stdout.splitlines()]
    data, blocks, at = whole.read_bytes(), [], 0
    while at < len(data):
        kind, length = unpack_from("<II", data, at)
        blocks.append((kind, data[at : at + length]))
        at += length
    packets = [number for number, (kind, _) in enumerate(blocks) if kind == 6]
    assert len(packets) == sum(counts)
    frames, start = {}, 0
    for number, (case, count) in enumerate(zip(cases, counts, strict=True)):
        mine = packets[start : start + count]
        frames[case.name] = range(start + 1, start + count + 1)
        start += count
        old = sorted(addresses_of(case, [blocks[place][1][28:] for place in mine]))
        new = {
            address: pack("!HBB", 0x0B00 + number, place % 250, address[-1])
            if len(address) == 4
            else address[:8] + pack("!HHI", number, place, 0) + address[16:]
            for place, address in enumerate(old)
        }
        if old:
            pattern = re.compile(b"|".join(map(re.escape, old)), re.DOTALL)
            for place in mine:
                kind, block = blocks[place]
                (size,) = unpack("<I", block[20:24])
                packet = pattern.sub(lambda match, new=new: new[match.group()], block[28 : 28 + size])
                blocks[place] = kind, block[:28] + packet + block[28 + size :]
    whole.write_bytes(b"".join(block for _, block in blocks))
    return whole, frames


@pytest.fixture(scope="module")
def golden(tshark: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What tshark says of every golden capture, from one run: case -> frame number in its own capture -> Frame."""
    if shutil.which("mergecap") is None or shutil.which("capinfos") is None:
        pytest.skip("mergecap and capinfos are not installed")
    folder = tmp_path_factory.mktemp("golden")
    capture, frames = merged(folder)
    read = dissected(tshark, folder, capture)
    told = {
        case: {number - mine.start + 1: read[number] for number in mine if number in read}
        for case, mine in frames.items()
    }
    for case in CASES:
        if case.name in ALONE:
            told[case.name] = dissected(tshark, folder, capture_of(case))
    return told


@pytest.mark.tshark
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_stages_equal_ours_and_no_frame_is_misread(case: Path, golden: dict[str, dict]) -> None:
    frames = golden[case.name]
    for frame in frames.values():
        assert not (frame.stages and frame.malformed), frame
        assert PROTECTED.intersection(frame.stages) or not frame.stages or "coap" not in frame.protocols, frame
    seen: dict[str, set[int]] = {}
    for number, frame in frames.items():
        for stage in frame.stages:
            seen.setdefault(stage, set()).add(number)
    expected: dict[str, set[int]] = {}
    loose: set[str] = {"session"}
    for session in sessions_of(case):
        for stage in session["stages"]:
            if stage["stage"] in NOT_OURS or not stage["frames"]:
                continue
            expected.setdefault(stage["stage"], set()).update(stage["frames"])
            if "answers" in stage["fields"] or "change_cipher_spec" in stage["fields"]:
                # The report shows the last answer of the cloud, or the next best record; tshark reads each as it comes.
                loose.add(stage["stage"])
    for stage, ours in expected.items():
        theirs = seen.get(stage, set())
        # Of `session` the report gives the first and the last frames.
        assert ours <= theirs if stage in loose else ours == theirs, (stage, sorted(ours), sorted(theirs))
    assert set(seen) - set(expected) <= {"session"}


#: What stands out without any key, by case: frame -> (what it looks like, how its sentence begins).
TOLD = {
    "dtls-06-no-answer": {2: ("connect-unanswered", "No answer from the cloud: the device asks for the 2nd time")},
    "dtls-03-wrong-server-key-on-device": {8: ("handshake-stalled", "The device began anew after the server's key")},
    "dtls-02c-unknown-device-key-at-hello-silent": {16: ("hello-unanswered", "The device's Hello is not acknowledged")},
    "dtls-04a-private-key-not-matching-silent": {13: ("handshake-stalled", "No answer from the cloud: the device sends its flight again")},
    "dtls-02a-unknown-device-key-alert": {9: ("handshake-rejected", "The cloud refuses the device's key")},
    "dtls-09-icmp-port-unreachable": {2: ("connect-refused", "The network says")},
    "dtls-11c-resumed-cloud-forgot": {2: ("session-lost", "The resumed session gets no answer, for 5 seconds now")},
    "dtls-17-gnutls-server-certificate-refused": {5: ("profile-mismatch", "The server shows a certificate")},
    "synth-dtls-profile-no-cid": {4: ("profile-mismatch", "The server gives no connection id of 8 bytes")},
    "synth-dtls-profile-x509": {4: ("profile-mismatch", "The server")},
    "synth-dtls-server-key-mismatch-alert": {5: ("server-key-mismatch", "The device cannot verify the server's signature")},
    "synth-identity-rejected": {8: ("identity-rejected", "The cloud closes after the device's 256 bytes")},
}  # fmt: skip


@pytest.mark.tshark
@pytest.mark.parametrize("case", TOLD)
def test_what_needs_no_key_is_said_where_it_shows(case: str, golden: dict[str, dict]) -> None:
    for number, (verdict, sentence) in TOLD[case].items():
        frame = golden[case][number]
        assert verdict in frame.verdicts, frame
        assert any(said.startswith(sentence) for said in frame.experts.split(" / ")), frame.experts


@pytest.mark.tshark
def test_a_healthy_session_looks_like_nothing_else(golden: dict[str, dict]) -> None:
    # tshark reads once: what is sent again because a packet was lost is known to be mended only later.
    healthy = [
        case.name
        for case in CASES
        if {s["verdict"]["code"] for s in sessions_of(case)} == {"healthy"}
        and "disorder" not in case.name
        and "loss" not in case.name
    ]
    loud = {
        case: [(number, frame.verdicts) for number, frame in golden[case].items() if frame.verdicts] for case in healthy
    }
    assert len(healthy) > 20
    assert {case: frames for case, frames in loud.items() if frames} == {}
