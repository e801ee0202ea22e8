"""A device that made itself a new key, and a folder with the old one: the repair must not use the old one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from analyzer import analyze_capture, load_keys
from analyzer.model import Certainty, Code

CASES = {
    "tcp-02a-cloud-wrong-devkey-brewskey": (lambda: rsa.generate_private_key(65537, 1024), ".der", ".pub.pem"),
    "synth-dtls-device-key-mismatch-alert": (
        lambda: ec.generate_private_key(ec.SECP256R1()),
        ".device.der",
        ".cloud.pub.der",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_repair_reads_the_key_out_of_the_device_first(captures: Path, tmp_path: Path, case: str):
    """The old pair fits itself and the cloud's copy: sending its public half once more would change nothing."""
    make, private, copy = CASES[case]
    keys = tmp_path / "keys"
    shutil.copytree(captures / case / "keys", keys)
    old = make()
    own = next(
        path for path in keys.iterdir() if path.name.endswith(private) and path.name.count(".") == private.count(".")
    )
    own.write_bytes(old.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    form = Encoding.PEM if copy.endswith("pem") else Encoding.DER
    on_file = next(keys.glob(f"*{copy}"))
    on_file.unlink()
    if copy == ".pub.pem":  # beside the key whose half it is, its name alone would not make it the cloud's
        on_file = keys / "core_keys" / on_file.name
        on_file.parent.mkdir()
    on_file.write_bytes(old.public_key().public_bytes(form, PublicFormat.SubjectPublicKeyInfo))

    session = analyze_capture(captures / case / "capture.pcap", load_keys(keys)).captures[0].sessions[0]

    assert session.verdict.code is Code.DEVICE_KEY_MISMATCH
    commands = [command for step in session.verdict.remedy for command in step.commands]
    assert commands[0].startswith("particle keys save ")
    assert not any(f" {own.name}" in command and "keys save" not in command for command in commands), commands
    stale = [finding for finding in session.findings if finding.code == "stale-key-file"]
    assert stale or own.name in session.verdict.summary + " ".join(item.text for item in session.verdict.evidence)
    if case.startswith("tcp"):
        assert [finding.certainty for finding in stale] == [Certainty.PROVEN]
