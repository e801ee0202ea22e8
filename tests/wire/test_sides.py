"""A ticket with the device's capture and the server's: each session is told once, by whichever clock and through a NAT."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analyzer import load_keys
from analyzer.model import Report
from analyzer.pipeline import analyze_inputs
from analyzer.tickets import Ticket, gather
from tests.wire.frames import Frame, device_sends, pcap, rewritten, translated_alone
from tests.wire.handed import CAPTURES, genuine, original, verdicts

#: One way between the two captures, and by how much the server's clock is wrong (ns).
WAY, WRONG = 11_000_000, -3_600_000_000_000
CASES = [
    ("tcp-02a-cloud-wrong-devkey-brewskey", True, 0),
    ("tcp-02a-cloud-wrong-devkey-brewskey", False, WRONG),
    ("tcp-11-no-synack", True, WRONG),
    ("dtls-01-good", True, WRONG),
    ("dtls-02a-unknown-device-key-alert", False, 0),
]


def at_the_server(frames: tuple[Frame, ...], nat: bool, wrong: int) -> list[Frame]:
    """What is captured there: later what the device sends, earlier what it receives, three routers on."""
    if nat:
        seen = translated_alone(frames)
    else:
        told = [item for item in frames if device_sends(item) is not None]
        seen = [rewritten(item, hops=3 if device_sends(item) else -3) for item in told]
    return [item.at(item.ns + wrong + (WAY if device_sends(item) else -WAY)) for item in seen]


def judged(folder: Path, name: str, **files: bytes) -> Report:
    shutil.copytree(CAPTURES / name / "keys", folder / "keys")
    for secrets in (CAPTURES / name).glob("sslkeys*"):
        shutil.copy(secrets, folder)
    for stem, data in files.items():
        (folder / f"{stem}.pcap").write_bytes(data)
    ((place, inside),) = gather([str(folder)])
    return analyze_inputs([Ticket.read(Path(place), inside)], load_keys([]))


@pytest.mark.parametrize(("name", "nat", "wrong"), CASES)
def test_both_ends(tmp_path: Path, name: str, nat: bool, wrong: int) -> None:
    link, frames = genuine(name)
    cloud = pcap(link, at_the_server(frames, nat, wrong))
    # The server's comes first in the folder: the device's is the one that stays all the same.
    (capture,) = judged(tmp_path, name, a_cloud=cloud, b_device=pcap(link, frames)).captures
    assert verdicts(capture) == verdicts(original(name))
    assert (Path(capture.path).name, [Path(path).name for path in capture.joined]) == (
        "b_device.pcap",
        ["a_cloud.pcap"],
    )
    assert "seen-from-two-sides" in [problem.code for problem in capture.problems]
    for session in capture.sessions:
        (other,) = session.also_seen
        assert Path(other.capture).name == "a_cloud.pcap"
        assert 1 <= other.first_frame <= other.last_frame <= len(frames), "its own frame numbers"
        assert (other.device.address != session.device.address) is nat


def test_what_one_lacks_the_other_fills_in(tmp_path: Path) -> None:
    """The device's capture is cut to 100 bytes; the server's has all of them."""
    name = "tcp-02a-cloud-wrong-devkey-brewskey"
    link, frames = genuine(name)
    cloud = pcap(link, at_the_server(frames, True, WRONG))
    (capture,) = judged(tmp_path, name, device=pcap(link, frames, snap=100), cloud=cloud).captures
    assert verdicts(capture) == verdicts(original(name))


def test_a_session_that_only_one_holds_stays(tmp_path: Path) -> None:
    name = "tcp-02a-cloud-wrong-devkey-brewskey"
    link, frames = genuine(name)
    ports = sorted({item.ends[1] for item in frames if device_sends(item)})
    first = tuple(item for item in frames if ports[0] in (item.ends[1], item.ends[3]))
    report = judged(tmp_path, name, device=pcap(link, first), cloud=pcap(link, at_the_server(frames, True, WRONG)))
    assert len(ports) == 2
    assert [len(capture.sessions) for capture in report.captures] == [1, 1]
    assert [verdict for capture in report.captures for verdict in verdicts(capture)] == verdicts(original(name))
