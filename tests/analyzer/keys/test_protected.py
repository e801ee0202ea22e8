"""Encrypted private keys, made by openssl: opened with the right passphrase, and never at an absurd price."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from analyzer.keys import load_keys, protected
from analyzer.model import Role
from captures.synth.keys import RsaKey
from dissectors.errors import Malformed

KEY = RsaKey.generate(Random("protected"), 1024)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def encrypted(*how: str) -> bytes:
    command = ["openssl", "pkcs8", "-topk8", "-outform", "DER", "-passout", "pass:secret", *how]
    return subprocess.run(command, input=KEY.private_pem, capture_output=True, check=True).stdout


PBKDF2, SCRYPT = ("-v2", "aes256"), ("-scrypt", "-scrypt_N", "16384", "-scrypt_r", "8", "-scrypt_p", "1")


@pytest.mark.parametrize("how", [PBKDF2, SCRYPT], ids=["pbkdf2", "scrypt"])
def test_the_right_passphrase_opens_it(how: tuple[str, ...]) -> None:
    data = encrypted(*how)
    plain = subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], input=KEY.private_pem, capture_output=True, check=True
    ).stdout  # fmt: skip
    assert protected.open_der(data, [b"wrong", b"secret"]) == plain
    assert protected.open_der(data, [b"wrong"]) is None
    assert protected.open_der(data, []) is None


def absurd(how: tuple[str, ...], *changes: tuple[str, str]) -> bytes:
    data = encrypted(*how)
    for old, new in changes:
        assert data.count(bytes.fromhex(old)) >= 1
        data = data.replace(bytes.fromhex(old), bytes.fromhex(new), 1)
    return data


def test_a_locked_key_of_a_device_is_its_key_and_says_what_opens_it(tmp_path: Path) -> None:
    file = tmp_path / "54ff73066672524813250167.der"
    file.write_bytes(encrypted(*PBKDF2))
    for given, problem in (
        (b"", "give its passphrase with --passphrase-file"),
        (b"wrong", "none of the passphrases opens it"),
    ):
        (key,) = load_keys([file], passphrases=(given,) if given else ()).keys
        assert (key.role, key.status, key.problem) == (Role.DEVICE_PRIVATE, "unusable", f"encrypted: {problem}")
    (key,) = load_keys([file], passphrases=(b"secret",)).keys
    assert key.spki == KEY.spki


def test_an_absurd_work_factor_is_refused_before_the_work() -> None:
    # N, r and p of scrypt: none is large by itself.
    data = absurd(SCRYPT, ("02024000020108020101", "02027fff02017f02017f"))
    with pytest.raises(Malformed, match="work factor is absurd"):
        protected.open_der(data, [b"secret"])
    assert protected.open_der(data, []) is None, "without a passphrase there is nothing to try"


def test_an_odd_number_of_elements_is_not_followed_for_ever() -> None:
    """Sequences in sequences: looking at them ends, and what is found so far counts."""
    nested = b"\x02\x01\x05"
    for _ in range(60):
        nested = b"\x30" + (bytes((len(nested),)) if len(nested) < 128 else b"\x81" + bytes((len(nested),))) + nested
    assert not protected._costs_too_much(nested)
