"""A folder of another ticket: what no key fits is not proven where anything speaks against the folder, and the premise is said."""

from __future__ import annotations

import shutil
from ipaddress import ip_address
from pathlib import Path

import pytest

from analyzer import analyze_capture, load_keys
from analyzer.model import Certainty, Code, Session
from captures.synth.keys import server_slot

WRONG_SERVER_KEY = "tcp-03a-wrong-server-key-brewskey"


def judged(captures: Path, case: str, keys: Path) -> Session:
    return analyze_capture(captures / case / "capture.pcap", load_keys(keys)).captures[0].sessions[0]


def said(session: Session) -> str:
    return " | ".join(item.text for item in session.verdict.evidence)


def test_the_premise_is_said_where_nothing_speaks_against_it(captures: Path):
    session = judged(captures, WRONG_SERVER_KEY, captures / WRONG_SERVER_KEY / "keys")
    assert (session.verdict.code, session.verdict.certainty) == (Code.SERVER_KEY_MISMATCH, Certainty.PROVEN)
    assert session.verdict.premises[0] == "default_key.pem is the key of the cloud at 203.0.113.10:5683"
    assert session.findings == () or "keys-for-another-device" not in {item.code for item in session.findings}


@pytest.mark.parametrize("address", ["198.51.100.9", "device.other.example"])
def test_a_stored_address_elsewhere_weakens_it(captures: Path, tmp_path: Path, address: str):
    """The name counts only where the capture shows which name was asked for; here it does not, the number does."""
    keys = tmp_path / "keys"
    shutil.copytree(captures / WRONG_SERVER_KEY / "keys", keys)
    slot = next(keys.glob("*.server_key.der"))
    spki = slot.read_bytes()[:294]
    number = address[0].isdigit()
    slot.write_bytes(server_slot(spki, ip_address(address).packed if number else address))
    session = judged(captures, WRONG_SERVER_KEY, keys)
    assert session.verdict.code is Code.SERVER_KEY_MISMATCH
    assert session.verdict.certainty is (Certainty.INFERRED if number else Certainty.PROVEN)
    assert ("keys-for-another-device" in {item.code for item in session.findings}) is number
    assert (f"says that its device goes to {address}" in said(session)) is number


def test_devices_that_all_have_this_key_stored_sent_nothing_it_does_not_open(captures: Path):
    session = judged(captures, "tcp-02a-cloud-wrong-devkey-brewskey", captures / "tcp-01e-good-three-devices" / "keys")
    assert (session.verdict.code, session.verdict.certainty) == (Code.IDENTITY_REJECTED, Certainty.UNDETERMINED)
    assert "keys-for-another-device" in {item.code for item in session.findings}
    assert "none of them sent this" in said(session)
    assert session.verdict.would_settle


def test_a_cloud_that_answers_what_its_file_does_not_open_has_another_key(captures: Path):
    """Damaged device key, and the folder of a device whose copy at the cloud is wrong: the story fits, the bytes do not."""
    folder = captures / "tcp-02a-cloud-wrong-devkey-brewskey" / "keys"
    session = judged(captures, "tcp-05-tail-devkey-sparkprotocol", folder)
    assert session.verdict.certainty is Certainty.UNDETERMINED
    assert "the cloud answers an identity that default_key.pem does not open" in said(session)


@pytest.mark.parametrize("case", ["tcp-01a-good-brewskey-fw063", "tcp-01c-good-sparkprotocol-fw063"])
def test_a_device_that_went_on_with_another_key_is_not_the_folders(captures: Path, case: str):
    session = judged(captures, case, captures / "tcp-02a-cloud-wrong-devkey-brewskey" / "keys")
    assert session.verdict.code is Code.HEALTHY
    assert session.device.id is None
