#!/usr/bin/env python3
"""Cost against the number of keys: loading a folder, comparing it, and finding the key of a session; prints Markdown.

    tests/benchmarks/keys.py                       10, 100, 1,000 and 10,000 devices' private keys
    tests/benchmarks/keys.py --sizes 10 1000       other sizes
    tests/benchmarks/keys.py --files 10000         a folder of this many files of every kind, as a fleet's would be

A session that names its device (the identity opens, or the wire shows the public key) costs one look-up and one exact
trial. One that names nobody costs a quick look at every key, on every core, and an exact one at those that pass; here
the right key is the last in order. Keys are built from a pool of primes, so making them takes seconds.
Exit status 1 when a wrong key is found, or none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from analyzer.keys import Key, KeyRing, load_keys, may_open  # noqa: E402 - the path must be set first
from analyzer.keys.pairing import compare  # noqa: E402 - as above
from analyzer.model import Role  # noqa: E402 - as above
from captures.synth.keys import RsaKey, server_slot  # noqa: E402 - as above
from dissectors.lightssl.crypto import encrypt_session_key, open_session_key  # noqa: E402 - as above
from dissectors.lightssl.messages import Credentials  # noqa: E402 - as above

ROUNDS = 5


def device_keys(count: int) -> Iterator[RsaKey]:
    """``count`` different RSA-1024 keys from a pool of primes that grows with the square root of it."""
    rng = Random("benchmark keys")
    primes: list[int] = []
    made = 0
    while True:
        pair = RsaKey.generate(rng, 1024)
        for prime in (pair.p, pair.q):
            for other in primes:
                key = RsaKey(max(prime, other), min(prime, other))
                if key.n.bit_length() == 1024 and key.regular:
                    yield key
                    made += 1
                    if made == count:
                        return
            primes.append(prime)


def identifier(number: int) -> str:
    """The id of the n-th device."""
    return f"30{number:022x}"


def write_folder(folder: Path, devices: int, *, private_only: bool) -> list[RsaKey]:
    """A key folder of this many devices; with their public halves and server-key dumps unless ``private_only``."""
    cloud = RsaKey.generate(Random("benchmark cloud"), 2048)
    stored = server_slot(cloud.spki, bytes((203, 0, 113, 10)), 5683)
    keys = list(device_keys(devices))
    (folder / "default_key.pem").write_bytes(cloud.private_pem)
    for number, key in enumerate(keys):
        name = identifier(number)
        (folder / f"{name}.der").write_bytes(key.pkcs1)
        if not private_only:
            (folder / f"{name}.pub.pem").write_bytes(key.public_pem)
            (folder / f"{name}.server_key.der").write_bytes(stored)
    return keys


def timed(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds of ``rounds`` runs."""
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        spent.append(time.perf_counter() - start)
    return median(spent)


def credentials() -> Credentials:
    """What a cloud would send."""
    return Credentials.from_wire(Random("benchmark credentials").randbytes(40))


def named(ring: KeyRing, device_id: str, ciphertext: bytes) -> Key | None:
    """The key of a session that names its device."""
    for key in ring.for_device(device_id, Role.DEVICE_PRIVATE, "rsa"):
        if key.rsa is not None and isinstance(open_session_key(ciphertext, key.rsa.raw_private), Credentials):
            return key
    return None


def nameless(ring: KeyRing, ciphertext: bytes, jobs: int | None) -> Key | None:
    """The key of a session that names nobody."""
    order = ring.trial_order(Role.DEVICE_PRIVATE, "rsa")
    for key in may_open(order, ciphertext, (40,), jobs=jobs):
        if key.rsa is not None and isinstance(open_session_key(ciphertext, key.rsa.raw_private), Credentials):
            return key
    return None


def measure(devices: int) -> tuple[str, bool]:
    """One row of the table, and whether every answer was right."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = write_folder(folder, devices, private_only=True)
        load = timed(lambda: load_keys([folder]), 3)
        ring = load_keys([folder])
    last = ring.trial_order(Role.DEVICE_PRIVATE, "rsa")[-1]
    wanted = next(key for key in keys if key.spki == last.spki)
    padding = bytes(1 + byte % 255 for byte in Random("padding").randbytes(85))
    ciphertext = encrypt_session_key(credentials(), wanted.n, padding)
    assert last.device_id is not None
    right = all(
        found is last
        for found in (
            named(ring, last.device_id, ciphertext),
            nameless(ring, ciphertext, 1),
            nameless(ring, ciphertext, None),
        )
    )
    cells = (
        load,
        timed(lambda: named(ring, last.device_id or "", ciphertext)),
        timed(lambda: nameless(ring, ciphertext, 1)),
        timed(lambda: nameless(ring, ciphertext, None)),
    )
    return f"| {devices:,} | " + " | ".join(f"{cell * 1000:,.1f}" for cell in cells) + " |", right


def measure_folder(files: int) -> str:
    """Loading and comparing a folder of every kind of key."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder, (files - 1) // 3, private_only=False)
        start = time.perf_counter()
        ring = load_keys([folder])
        loaded = time.perf_counter()
        report = compare(ring)
        done = time.perf_counter()
    return f"{len(ring):,} files: loaded in {loaded - start:.2f} s, compared in {done - loaded:.2f} s ({len(report.devices):,} devices)"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    print(measure_folder(options.files))
    print(
        "\n| private keys | load (ms) | names its device (ms) | names nobody, 1 core (ms) | names nobody, all cores (ms) |"
    )
    print("|---:|---:|---:|---:|---:|")
    right = True
    for size in options.sizes:
        row, answered = measure(size)
        right = right and answered
        print(row, flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
