"""The known-answer vector, its keys as numbers, and openssl as the second implementation."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tests.lightssl_play import vector


@dataclass(frozen=True)
class Pair:
    """An RSA key as numbers."""

    n: int
    d: int
    der: bytes

    def raw(self, number: int) -> int:
        return pow(number, self.d, self.n)


def pair(der: bytes) -> Pair:
    """A PKCS#1 key; what follows its end (a flash slot) is left out."""
    length = 4 + int.from_bytes(der[2:4], "big")
    key = load_der_private_key(der[:length], None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    return Pair(numbers.public_numbers.n, numbers.d, der[:length])


class Vector:
    """The vector's entries as bytes, its keys as numbers."""

    def __init__(self) -> None:
        self.entries = vector()
        self.cloud = pair(self["server_private_pkcs1_der"])
        self.device = pair(self["device_private_slot_612"])

    def __getitem__(self, name: str) -> bytes:
        return bytes.fromhex(str(self.entries[name]))

    @property
    def records(self) -> list[tuple[str, bytes, bytes]]:
        """(D or S, plaintext, wire) of each record."""
        entries = self.entries["records"]
        assert isinstance(entries, list)
        return [(e["dir"], bytes.fromhex(e["plain"]), bytes.fromhex(e["wire"])) for e in entries]


@pytest.fixture(scope="session", name="vector")
def vector_fixture() -> Vector:
    """The known-answer vector."""
    return Vector()


Openssl = Callable[..., bytes]


@pytest.fixture(scope="session")
def openssl() -> Openssl:
    """Run openssl with arguments and input; skips when it is not installed."""
    path = shutil.which("openssl")
    if path is None:
        pytest.skip("openssl is not installed")

    def run(*arguments: str | Path, data: bytes = b"") -> bytes:
        done = subprocess.run([path, *map(str, arguments)], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run
