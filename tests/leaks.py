"""Did a secret get out? Plants known secrets in every form a key folder knows, and searches whatever was written for them.

    folder, secrets = plant(tmp_path / "keys")
    ... run a command, collect its output and every file it wrote ...
    assert find_leaks(secrets, output) == []
    assert find_leaks_in_folder(secrets, tmp_path / "cache") == []

How it works. A leak is any 8 bytes in a row of a secret, raw, as hexadecimal (any case, with or without separators) or as
base64 (at any alignment), or 20 decimal digits of a secret number. Fewer could be chance; a fingerprint of a public half
is no leak.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from zlib import crc32

from captures.synth.keys import EcKey, RsaKey, pem, server_slot, slot
from captures.zoo import forms

PASSPHRASE = b"Zq7-vK!mW2xR#9dL"
DEVICE, UDP_DEVICE = "54ff73066672524813250167", "3d002a001047343530333430"
#: Bytes in a row that count as a leak.
RUN = 8
_DIGITS = 20
_BASE64 = 12
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:,-]{0,2}){8,}")


@dataclass(frozen=True)
class Secret:
    """One secret: what it is called here, and its bytes."""

    name: str
    data: bytes = field(repr=False)


def _number(name: str, value: int) -> Secret:
    return Secret(name, value.to_bytes((value.bit_length() + 7) // 8, "big"))


@cache
def _keys() -> tuple[RsaKey, RsaKey, EcKey, EcKey]:
    rng = Random("planted secrets")
    return RsaKey.generate(rng, 1024), RsaKey.generate(rng, 2048), EcKey.generate(rng), EcKey.generate(rng)


@cache
def secrets() -> tuple[Secret, ...]:
    """Every secret that :func:`plant` puts into a folder."""
    device, cloud, ec, ec_cloud = _keys()
    found = [Secret("passphrase", PASSPHRASE), Secret("master secret", MASTER), Secret("dumped master secret", DUMPED)]
    for owner, key in (("device", device), ("cloud", cloud)):
        names = ("version", "n", "e", "d", "p", "q", "dp", "dq", "qinv")
        numbers = forms.rsa_numbers(key)
        found += [_number(f"{owner} {name}", number) for name, number in list(zip(names, numbers, strict=True))[3:]]
    found += [_number("ec device scalar", ec.d), _number("ec cloud scalar", ec_cloud.d)]
    return tuple(found)


_RNG = Random("planted session")
CLIENT, SERVER, MASTER, DUMPED = (_RNG.randbytes(size) for size in (32, 32, 48, 48))


def plant(folder: Path) -> tuple[Path, tuple[Secret, ...]]:
    """Write a key folder with every secret in every form; the passphrase that opens its encrypted files is PASSPHRASE."""
    device, cloud, ec, ec_cloud = _keys()
    flash = forms.placed(0x4000, {0x1000: server_slot(cloud.spki, b"\x7f\0\0\1"), 0x2000: device.pkcs1})
    dct = forms.placed(4258, {34: device.pkcs1, 3106: ec.sec1, 3618: bytes.fromhex(DEVICE)})
    checksum = crc32(b"".join(crc32(part).to_bytes(4, "little") for part in (ec_cloud.spki, ec.sec1)))
    session = forms.session(262, wide=False, client=SERVER, server=CLIENT, master=DUMPED, checksum=checksum)
    flipped = forms.rsa_numbers(device)
    flipped[1] ^= 0xFF00 << 600
    files = {
        f"{DEVICE}.der": device.pkcs1,
        f"{DEVICE}_new.der": device.pkcs8,
        f"{DEVICE}.pub.pem": device.private_pem,
        f"pre_{DEVICE}_new.der": slot(forms.rsa_private(flipped), 612),
        f"{DEVICE}.server_key.der": device.pkcs1,
        f"{UDP_DEVICE}.device.der": slot(ec.sec1, 192),
        f"{UDP_DEVICE}.session.bin": session,
        "default_key.pem": cloud.private_pem,
        "default_key.pkcs8.pem": pem("PRIVATE KEY", cloud.pkcs8),
        "server.der": ec_cloud.sec1,
        "locked.pem": forms.encrypted_pem("RSA PRIVATE KEY", cloud.pkcs1, PASSPHRASE),
        "locked_server.der": forms.encrypted_pkcs8(cloud.pkcs8, PASSPHRASE),
        "odd/cut.der": device.pkcs1[:500],
        "odd/slot.der": slot(device.pkcs1, 1024),
        "odd/header.der": b"\x31" + slot(device.pkcs1, 612)[1:],
        "odd/ec_in_rsa.der": slot(ec.sec1, 612),
        "odd/garbage_" + device.d.to_bytes(128, "big").hex()[:12] + ".der": device.pkcs1[100:],
        "odd/private.server_key.der": b"\x31" + cloud.pkcs1[1:],
        "odd/long.log": f"device key: {device.pkcs1.hex()[:800]}~\nserver key: {cloud.pkcs1.hex()[:1000]}~\n".encode(),
        "odd/flash.bin": flash,
        "odd/dct.bin": dct,
        "odd/ram.bin": bytes(700) + session + bytes(300),
        "odd/hex.txt": device.pkcs1.hex().encode(),
        "odd/broken_hex.txt": device.pkcs1.hex().encode()[7:],
        "odd/base64.txt": base64.encodebytes(ec.sec1 + bytes(20)),
        "odd/xxd.txt": forms.xxd(device.pkcs1),
        "odd/mail.pem": b"> " + device.private_pem.replace(b"\n", b"\n> "),
        "odd/no_end.pem": device.private_pem[:500],
        "odd/device.log": f"Device {DEVICE} started\ndevice key: {device.pkcs1.hex().upper()}\n".encode(),
        "odd/device2.log": f"device key: {ec.sec1.hex().upper()[:146]}~\n".encode(),
        "sslkeys.log": f"CLIENT_RANDOM {CLIENT.hex()} {MASTER.hex()}\n".encode(),
        "odd/damaged.keylog": f"CLIENT_RANDOM {CLIENT.hex()[:-1]} {MASTER.hex()}\n".encode(),
        "odd/keys.toml": f'"x" = "{device.d:x}"\n"'.encode(),
    }
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder, secrets()


@cache
def _windows(wanted: tuple[Secret, ...]) -> tuple[dict[bytes, str], dict[bytes, str], dict[bytes, str]]:
    """Every piece that gives a secret away: raw bytes, base64 text, decimal digits; each with the secret's name."""
    raw: dict[bytes, str] = {}
    coded: dict[bytes, str] = {}
    decimal: dict[bytes, str] = {}
    for secret in wanted:
        for start in range(len(secret.data) - RUN + 1):
            raw.setdefault(secret.data[start : start + RUN], secret.name)
        for shift in range(3):
            text = base64.b64encode(secret.data[shift : shift + (len(secret.data) - shift) // 3 * 3])
            for start in range(0, len(text) - _BASE64 + 1, 4):
                coded.setdefault(text[start : start + _BASE64], secret.name)
        digits = str(int.from_bytes(secret.data, "big")).encode()
        for start in range(len(digits) - _DIGITS + 1):
            decimal.setdefault(digits[start : start + _DIGITS], secret.name)
    return raw, coded, decimal


def find_leaks(wanted: Iterable[Secret], *outputs: str | bytes) -> list[str]:
    """The names of the secrets that show in ``outputs``, with the form they show in; empty when nothing got out."""
    wanted = tuple(wanted)
    names = {secret.name for secret in wanted}
    raw, coded, decimal = _windows(wanted)
    found: dict[str, None] = {}
    for output in outputs:
        data = output.encode("utf-8", "surrogateescape") if isinstance(output, str) else output
        _search(data, raw, RUN, "raw", names, found)
        _search(data, coded, _BASE64, "base64", names, found)
        _search(data, decimal, _DIGITS, "decimal", names, found)
        for match in _HEX.finditer(data):
            digits = re.sub(rb"[^0-9a-fA-F]", b"", match.group())
            for shift in (0, 1):
                piece = digits[shift : shift + (len(digits) - shift) // 2 * 2]
                _search(bytes.fromhex(piece.decode()), raw, RUN, "hex", names, found)
    return list(found)


def _search(
    data: bytes, windows: dict[bytes, str], size: int, form: str, names: set[str], found: dict[str, None]
) -> None:
    for start in range(len(data) - size + 1):
        name = windows.get(data[start : start + size])
        if name in names:
            found[f"{name} ({form})"] = None


def find_leaks_in_folder(wanted: Iterable[Secret], folder: Path) -> list[str]:
    """The same for every file below ``folder``: names, contents, and the text of what is compressed is not looked into."""
    leaks: dict[str, None] = {}
    for path in sorted(folder.rglob("*")):
        for leak in find_leaks(wanted, str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b""):
            leaks[f"{path.relative_to(folder)}: {leak}"] = None
    return list(leaks)
