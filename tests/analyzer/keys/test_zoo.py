"""Every odd file of captures/keys-zoo gets the row that was stated when it was made; openssl agrees on every public half."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.keys import load_keys

ROOT = Path(__file__).resolve().parents[3]
ZOO = ROOT / "captures" / "keys-zoo"
EXPECTED = json.loads((ZOO / "expected.json").read_text())
PASSPHRASE = b"correct horse"


def ticket(file: str) -> tuple[Path, str]:
    """The folder of the ticket a file belongs to, and the file's name inside it."""
    parts = Path(file).parts
    return ZOO.joinpath(*parts[:2]), "/".join(parts[2:])


def rows(file: str, passphrases: tuple[bytes, ...] = ()) -> list[dict]:
    folder, inside = ticket(file)
    ring = load_keys([folder], passphrases=passphrases)
    found = [key for key in ring.keys if key.file == inside]
    if not found:
        assert inside in {item.file for item in ring.skipped}
    return [
        {
            "role": key.role.value,
            "device_id": key.device_id,
            "fingerprint": key.fingerprint,
            "problem": key.problem,
            "findings": sorted({found.code for found in key.findings}),
            "server_address": str(key.server_address) if key.server_address else None,
            "part": key.part,
        }
        for key in found
    ]


@pytest.mark.parametrize("file", sorted(EXPECTED))
def test_file_gets_its_row(file):
    passphrases = (b"wrong", PASSPHRASE) if file.startswith("encrypted/") and "absurd" not in file else ()
    got = rows(file, passphrases)
    wanted = EXPECTED[file]
    assert len(got) == len(wanted)
    for found, row in zip(got, wanted, strict=True):
        problem = None if passphrases else row["problem"]
        if problem is None:
            assert found["problem"] is None
        else:
            assert found["problem"].startswith(problem)
        # Files copied here are readable by all, or not: that depends on who checked them out.
        codes = set(found["findings"]) - {"world-readable", "server-port-default"}
        assert codes == set(row["findings"]) - {"server-port-default"} | ({"encrypted"} if passphrases else set())
        for name in ("role", "device_id", "fingerprint", "server_address", "part"):
            assert found[name] == row[name], name


@pytest.mark.parametrize("file", [name for name in sorted(EXPECTED) if name.startswith("encrypted/")])
def test_encrypted_file_says_so_without_its_passphrase(file):
    for passphrases in ((), (b"wrong",)):
        (row,) = rows(file, passphrases)
        assert row["problem"].startswith("encrypted")
        assert row["fingerprint"] is None


def openssl_fingerprint(path: Path) -> str | None:
    """What openssl makes of a file, if it reads it at all."""
    for form in ("DER", "PEM"):
        for kind in ((), ("-pubin",)):
            command = [
                "openssl",
                "pkey",
                "-inform",
                form,
                *kind,
                "-in",
                str(path),
                "-passin",
                f"pass:{PASSPHRASE.decode()}",
            ]
            done = subprocess.run([*command, "-pubout", "-outform", "DER"], capture_output=True, check=False)
            if done.returncode == 0:
                return hashlib.sha256(done.stdout).hexdigest()
    done = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-pubkey"], capture_output=True, check=False
    )
    if done.returncode == 0:
        der = subprocess.run(
            ["openssl", "pkey", "-pubin", "-outform", "DER"], input=done.stdout, capture_output=True, check=True
        ).stdout
        return hashlib.sha256(der).hexdigest()
    return None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees_on_every_fingerprint():
    agreed = 0
    for file, wanted in EXPECTED.items():
        if "absurd" in file:  # openssl would count to 2^31
            continue
        theirs = openssl_fingerprint(ZOO / file)
        if theirs is None or len(wanted) != 1 or wanted[0]["fingerprint"] is None:
            continue
        (row,) = rows(file, (PASSPHRASE,))
        assert row["fingerprint"] == theirs, file
        agreed += 1
    assert agreed > 80


def test_zoo_is_what_its_script_writes():
    done = subprocess.run(
        [sys.executable, str(ROOT / "captures" / "make_keys_zoo.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
