"""The keys of the zoo, and how a file is put into it together with what is to be said of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from captures.synth.keys import EcKey, RsaKey, slot
from captures.zoo import forms

PASSPHRASE = b"correct horse"
DEVICE = "54ff73066672524813250167"
OTHER = "54ff73066672524813250168"
UDP_DEVICE = "3d002a001047343530333430"


def _regular(seed: str, bits: int, wanted: Callable[[RsaKey], bool] = lambda key: key.regular) -> RsaKey:
    rng = Random(seed)
    while True:
        key = RsaKey.generate(rng, bits)
        if wanted(key):
            return key


def _ec(seed: str) -> EcKey:
    return EcKey.generate(Random(seed))


def _short_qinv() -> RsaKey:
    """A sound key whose QINV has 63 bytes: one in 400. Pairs of a pool of primes are tried, not new primes."""
    rng = Random("zoo short qinv")
    pool = [RsaKey.generate(rng, 1024) for _ in range(24)]
    primes = [prime for key in pool for prime in (key.p, key.q)]
    for p in primes:
        for q in primes:
            if p > q and (p * q).bit_length() == 1024 and pow(q, -1, p).bit_length() <= 503:
                key = RsaKey(p, q)
                numbers = forms.rsa_numbers(key)
                if key.d.bit_length() > 1016 and all(number.bit_length() > 504 for number in numbers[6:8]):
                    return key
    raise AssertionError("no such pair in the pool")


KEY = _regular("zoo device", 1024)
SECOND = _regular("zoo second device", 1024)
CLOUD = _regular("zoo cloud", 2048)
OTHER_CLOUD = _regular("zoo other cloud", 2048)
SMALL_CLOUD = _regular("zoo small cloud", 1024)
SHORT = _short_qinv()
EC = _ec("zoo ec device")
EC_SECOND = _ec("zoo ec second")
EC_CLOUD = _ec("zoo ec cloud")
EC_SHORT = EcKey(Random("zoo short scalar").getrandbits(246) | 1 << 246)
ADDRESS = bytes((203, 0, 113, 10))
SLOT = slot(KEY.pkcs1, 612)
#: What DTLS left behind in every SessionPersist dump of the zoo.
CLIENT, SERVER = (hashlib.sha256(name).digest() for name in (b"zoo client random", b"zoo server random"))
MASTER = hashlib.sha384(b"zoo master secret").digest()


@dataclass
class Row:
    """What one key of a file is. ``of`` is the key whose public half its fingerprint must be."""

    role: str
    of: RsaKey | EcKey | None = None
    problem: str | None = None
    device: str | None = None
    findings: tuple[str, ...] = ()
    address: str | None = None
    part: str = ""


@dataclass
class Item:
    """A file of the zoo: path, bytes, the rows expected of it (none: passed over)."""

    path: str
    data: bytes
    rows: tuple[Row, ...]


ITEMS: list[Item] = []


def add(path: str, data: bytes, *rows: Row) -> None:
    """Put a file into the zoo."""
    ITEMS.append(Item(path, data, rows))


def private(
    of: RsaKey | EcKey | None = KEY,
    problem: str | None = None,
    *findings: str,
    device: str | None = None,
    part: str = "",
) -> Row:
    return Row("device-private", of, problem, device, findings, None, part)


def stored(
    of: RsaKey | EcKey | None,
    problem: str | None = None,
    *findings: str,
    address: str | None = None,
    device: str | None = None,
    part: str = "",
) -> Row:
    return Row("device-server-key", of, problem, device, findings, address, part)
