"""A device whose own key is only written the wrong way keeps it; where that is not sure it gets a new one."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from analyzer.keys import load_keys
from analyzer.pipeline import analyze_paths
from captures.synth.keys import RsaKey

CASE = Path(__file__).resolve().parents[3] / "captures" / "tcp-27a-pkcs8-device-key-brewskey"
DEVICE = "3a0059001147343337303931"
KEPT = [
    f"openssl rsa -inform DER -in {DEVICE}.der -traditional -outform DER -out {DEVICE}.pkcs1.der",
    f"particle keys load {DEVICE}.pkcs1.der",
]
OTHER = RsaKey.generate(Random("kept pair"), 1024)


@pytest.fixture(autouse=True)
def _in_the_key_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASE / "keys")


def commands(folder: Path) -> list[str]:
    (report,) = analyze_paths([str(CASE / "capture.pcap")], load_keys([folder])).captures
    verdict = report.sessions[0].verdict
    assert verdict.code.value == "device-key-corrupt"
    return [line for step in verdict.remedy for line in step.commands]


def test_a_pkcs8_key_is_written_anew_and_kept() -> None:
    assert commands(CASE / "keys") == KEPT


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("der", lambda data: data[:612]),  # the slot, as it is read out of the device: the end is missing
        ("der", lambda data: OTHER.pkcs8),  # not the key that the device sends
        ("pub.pem", lambda data: OTHER.public_pem),  # the cloud would refuse it all the same
        ("der", None),
    ],
    ids=["cut", "another key", "another copy at the cloud", "no file"],
)
def test_where_keeping_it_is_not_sure_to_help_there_is_a_new_pair(tmp_path, file, change) -> None:
    shutil.copytree(CASE / "keys", tmp_path / "keys")
    target = tmp_path / "keys" / f"{DEVICE}.{file}"
    data = target.read_bytes()
    target.unlink()
    if change is not None:
        target.write_bytes(change(data))
    lines = commands(tmp_path / "keys")
    assert f"particle keys load {DEVICE}_rsa_new.der" in lines
    assert not any("pkcs1" in line for line in lines)
