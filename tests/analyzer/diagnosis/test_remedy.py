"""Remedies as the person who runs them reads them: the right cloud, the right names, what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import Code, Session
from analyzer.pipeline import analyze_paths


def session(captures: Path, name: str, *, keys: bool = True) -> Session:
    case = captures / name
    ring = load_keys([case / "keys"] if keys and (case / "keys").exists() else [])
    return analyze_paths([str(next(case.glob("capture.pcap*")))], ring).captures[0].sessions[0]


def commands(found: Session) -> list[str]:
    return [command for remedy in found.verdict.remedy for command in remedy.commands]


def texts(found: Session) -> str:
    return "\n".join(remedy.text for remedy in found.verdict.remedy)


def test_the_holder_of_the_clouds_key_is_not_sent_to_particle(captures: Path):
    found = session(captures, "tcp-03a-wrong-server-key-brewskey")
    assert "Particle cloud" not in texts(found)
    assert "particle keys server default_key.pub.der --host 203.0.113.10" in commands(found)


def test_particles_name_alone_leads_to_particles_commands(captures: Path):
    found = session(captures, "seed-001")
    # Something speaks against the key's being the wrong one, so nothing is written over it yet.
    assert commands(found)[0] == "particle keys save 1e0057001147343331323830.device.der"
    assert not any(
        command.startswith(("particle keys send", "particle keys load", "cp ")) for command in commands(found)
    )


def test_a_cloud_at_a_local_address_is_nobody_elses(captures: Path):
    found = session(captures, "dtls-03-wrong-server-key-on-device", keys=False)
    assert "Particle cloud" not in texts(found) and "particle keys doctor" not in " ".join(commands(found))


def test_an_unknown_cloud_gets_both_ways(captures: Path):
    found = session(captures, "tcp-02a-cloud-wrong-devkey-brewskey", keys=False)
    assert "Particle cloud: put Particle's own server key and address back" in texts(found)
    assert "Custom cloud: write nothing until it is known which key is wrong" in texts(found)


@pytest.mark.parametrize(
    ("name", "keys", "missing"),
    [
        ("tcp-02a-cloud-wrong-devkey-brewskey", False, "The cloud's private key is not in the key folder."),
        ("seed-001", False, "The device's private key is not in the key folder."),
        ("tcp-20b-snaplen96-wrong-server-key", True, "The packets are cut short (snap length)."),
        ("synth-one-direction", True, "The packets of one direction are not in the capture."),
        ("tcp-19-mid-session", True, "The capture starts in the middle of a session"),
        ("dtls-03-wrong-server-key-on-device", False, "What the device has stored as the cloud's key and address"),
    ],
)
def test_what_is_missing_is_said_once_with_how_to_get_it(captures: Path, name: str, keys: bool, missing: str):
    found = session(captures, name, keys=keys)
    assert texts(found).count(missing) == 1


def test_a_capture_that_cannot_tell_gets_no_repair(captures: Path):
    found = session(captures, "synth-one-direction")
    assert found.verdict.code is Code.CAPTURE_INCOMPLETE
    assert all(command.startswith("tcpdump ") for command in commands(found))
    assert len(found.verdict.remedy) == 1


def test_what_differs_with_older_tools_is_one_entry(captures: Path):
    for name in ("tcp-03a-wrong-server-key-brewskey", "seed-002", "tcp-11-no-synack"):
        older = [item for item in session(captures, name).verdict.remedy if item.text.startswith("With an older")]
        assert len(older) == 1


def test_no_remedy_is_said_twice(captures: Path):
    for case in sorted(captures.glob("*/case.toml")):
        capture = next(case.parent.glob("capture.pcap*"))
        for found in analyze_paths([str(capture)], load_keys([])).captures[0].sessions:
            told = [item.text for item in found.verdict.remedy]
            assert len(told) == len(set(told)), case.parent.name


def test_the_device_shows_what_fits_who_ended_it(captures: Path):
    # 384 bytes came and the device gave up: an orange flash, not the "-19" of a cloud that closes.
    shown = "\n".join(session(captures, "synth-core-restart").verdict.device_shows)
    assert "-19" not in shown and "orange" in shown
