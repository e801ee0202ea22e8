#!/usr/bin/env python3
"""Builds captures/keys-zoo/: every odd key file that arrives in a ticket, with the row it should get.

    captures/make_keys_zoo.py            write the zoo
    captures/make_keys_zoo.py --check    verify that what is here equals what would be written; exit status 1 if not

Each folder is one ticket. `expected.json` holds what each file really is, stated here and not computed by the analyzer;
the fingerprints are SHA-256 of public keys that `captures.synth.keys` wrote, and openssl agrees with them (a test asks).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from captures.zoo import damaged, dumps, encodings, folders, pairs, sessions  # noqa: E402 - the path must be set first
from captures.zoo.base import ITEMS, Row  # noqa: E402 - as above

ZOO = HERE / "keys-zoo"
README = """\
# Key files as they arrive

One folder is one ticket. `expected.json` says what each file really is: role, device, fingerprint of the public half, problem,
findings. `captures/make_keys_zoo.py` writes everything here byte for byte, `--check` compares; all keys were made for it.

| folder | holds |
|---|---|
| `forms/` | the same few keys in every encoding: PEM, DER, SEC1 of 120 to 122 bytes, certificate, hex, base64, mail, log lines |
| `encrypted/` | PKCS#8 and older PEM with a passphrase (`correct horse`); `absurd` claims 2^31 - 1 rounds and must not be tried |
| `slots/`, `images/` | dumps of single slots, of a Spark Core's flash, of a DCT, with 0xFF and 0x00 behind the keys |
| `damaged/`, `server/` | private keys and stored server keys that a device cannot use, each in its own way |
| `names/`, `folders/` | names of every era, server folders, `keys.toml` |
| `secrets/` | key logs, SessionPersist dumps of every layout |
| `pairs/` | halves that do not belong together |
"""
RECIPES = (
    encodings.clean_forms,
    encodings.encrypted_forms,
    dumps.slots,
    dumps.images,
    damaged.damaged_private,
    damaged.damaged_server,
    folders.names,
    folders.folders,
    sessions.secrets,
    pairs.pairs,
)


def files() -> dict[str, bytes]:
    """Every file of the zoo by path, `expected.json` among them."""
    ITEMS.clear()
    for recipe in RECIPES:
        recipe()
    built = {item.path: item.data for item in ITEMS}
    assert len(built) == len(ITEMS), "two files of one name"
    expected = {item.path: [_row(row) for row in item.rows] for item in ITEMS if not item.path.endswith("keys.toml")}
    built["README.md"] = README.encode()
    built["expected.json"] = json.dumps(expected, indent=1, sort_keys=True).encode() + b"\n"
    return built


def _row(row: Row) -> dict[str, object]:
    return {
        "role": row.role,
        "device_id": row.device,
        "fingerprint": None if row.of is None else hashlib.sha256(row.of.spki).hexdigest(),
        "problem": row.problem,
        "findings": sorted(row.findings),
        "server_address": row.address,
        "part": row.part,
    }


def main(arguments: list[str]) -> int:
    """Write the zoo, or check it."""
    wanted = files()
    there = {path.relative_to(ZOO).as_posix(): path for path in ZOO.rglob("*") if path.is_file()}
    if arguments == ["--check"]:
        bad = [
            name
            for name in sorted({*wanted, *there})
            if name not in there or wanted.get(name) != there[name].read_bytes()
        ]
        print("\n".join(f"{name}: differs" for name in bad) or "the zoo is as it would be written", file=sys.stderr)
        return 1 if bad else 0
    for name, path in there.items():
        if name not in wanted:
            path.unlink()
    for name, data in wanted.items():
        (ZOO / name).parent.mkdir(parents=True, exist_ok=True)
        (ZOO / name).write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
