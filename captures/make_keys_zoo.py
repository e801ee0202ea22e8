#!/usr/bin/env python3
"""Builds captures/keys-zoo/: every odd key file that arrives in a ticket, with the row it should get.

    captures/make_keys_zoo.py            write the zoo
    captures/make_keys_zoo.py --check    verify that what is here equals what would be written; exit status 1 if not

Each folder is one ticket. `expected.json` holds what each file really is, stated here and not computed by the analyzer;
the fingerprints are SHA-256 of public keys that `captures.synth.keys` wrote, and openssl agrees with them (a test asks).
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zlib import crc32

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from captures import zooforms as forms  # noqa: E402 - the path must be set first
from captures.synth.keys import EcKey, RsaKey, ec_private, pem, server_slot, slot  # noqa: E402 - as above

ZOO = HERE / "keys-zoo"
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


# ---- clean forms ---------------------------------------------------------------------------------------------------


def clean_forms() -> None:
    add("forms/rsa-pkcs1/device.der", KEY.pkcs1, private())
    add("forms/rsa-pkcs1-pem/device.pem", KEY.private_pem, private())
    add("forms/rsa-pkcs8-pem/device.pem", pem("PRIVATE KEY", KEY.pkcs8), private())
    add("forms/rsa-spki/device.pub.der", KEY.spki, Row("device-public", KEY))
    add(f"forms/rsa-spki-pem/{DEVICE}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))
    add(
        f"forms/rsa-pkcs1-public/{DEVICE}.pub.pem",
        pem("RSA PUBLIC KEY", forms.pkcs1_public(KEY)),
        Row("cloud-copy", KEY, device=DEVICE),
    )
    add("forms/sec1-121/device.der", EC.sec1, private(EC))
    add(
        "forms/sec1-122/device.der",
        forms.sec1(EC, b"\0" + EC.d.to_bytes(32, "big")),
        private(EC, None, "scalar-length"),
    )
    add(
        "forms/sec1-120/device.der",
        forms.sec1(EC_SHORT, EC_SHORT.d.to_bytes(31, "big")),
        private(EC_SHORT, None, "scalar-length"),
    )
    add(
        "forms/ec-pem-parameters/device.pem",
        pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107")) + pem("EC PRIVATE KEY", EC.sec1),
        private(EC),
    )
    add("forms/ec-pkcs8/device.der", forms.ec_pkcs8(EC), private(EC, None, "pkcs8-ec-key"))
    add("forms/ec-spki/device.pub.der", EC.spki, Row("device-public", EC))
    add("forms/der-named-cer/cloud.cer", CLOUD.spki, Row("cloud-public", CLOUD))
    add("forms/certificate/cloud.crt", forms.certificate(CLOUD), Row("cloud-public", CLOUD))
    add("forms/crlf-pem/default_key.pem", CLOUD.private_pem.replace(b"\n", b"\r\n"), Row("cloud-private", CLOUD))
    add("forms/utf16-pem/default_key.pub.pem", CLOUD.public_pem.decode().encode("utf-16"), Row("cloud-public", CLOUD))
    add("forms/hex/device.txt", KEY.pkcs1.hex().encode() + b"\n", private(KEY, None, "pasted-hex"))
    add("forms/hex-colons/device.txt", forms.colons(KEY.pkcs1), private(KEY, None, "pasted-hex"))
    add("forms/xxd/device.txt", forms.xxd(SLOT), private(KEY, None, "pasted-hex", "slot-tail"))
    add("forms/base64/device.txt", base64.encodebytes(KEY.pkcs1), private(KEY, None, "pasted-base64"))
    quoted = (
        b"> my key is\n" + b"".join(b"> " + line + b"\n" for line in KEY.private_pem.splitlines()) + b"> please help\n"
    )
    add("forms/quoted-in-mail/device.pem", quoted, private())
    log = f"0000001000 [system] INFO: Device {DEVICE} started\n0000001001 [hal] INFO: device key: {KEY.pkcs1.hex().upper()}\n"
    add(
        "forms/log-whole/device.log",
        log.encode(),
        private(KEY, None, "private-key-in-log", device=DEVICE, part="line 2: device key"),
    )
    cut = log[: log.index("device key: ") + 12 + 146] + "~\n"
    add(
        "forms/log-cut/device.log",
        cut.encode(),
        private(None, "cut off: DER says", "private-key-in-log", "piece", device=DEVICE, part="line 2: device key"),
    )
    ec_log = f"Device {UDP_DEVICE} started\n[hal] INFO: device key: {EC.sec1.hex().upper()[:146]}~\n"
    add(
        "forms/log-cut-ec/device.log",
        ec_log.encode(),
        private(EC, None, "private-key-in-log", "piece", "rebuilt", device=UDP_DEVICE, part="line 2: device key"),
    )


def encrypted_forms() -> None:
    add(
        "encrypted/pem/default_key.pem",
        forms.encrypted_pem("RSA PRIVATE KEY", CLOUD.pkcs1, PASSPHRASE),
        Row("cloud-private", CLOUD, "encrypted"),
    )
    add(
        "encrypted/pkcs8-pem/default_key.pem",
        pem("ENCRYPTED PRIVATE KEY", forms.encrypted_pkcs8(CLOUD.pkcs8, PASSPHRASE)),
        Row("cloud-private", CLOUD, "encrypted"),
    )
    add(
        "encrypted/pkcs8-der/server.der",
        forms.encrypted_pkcs8(CLOUD.pkcs8, PASSPHRASE),
        Row("cloud-private", CLOUD, "encrypted"),
    )
    add(
        "encrypted/ec-pem/server.pem",
        forms.encrypted_pem("EC PRIVATE KEY", EC_CLOUD.sec1, PASSPHRASE),
        Row("cloud-private", EC_CLOUD, "encrypted"),
    )
    add(
        "encrypted/absurd/server.der",
        forms.encrypted_pkcs8(CLOUD.pkcs8, PASSPHRASE, claimed=(1 << 31) - 1),
        Row("cloud-private", None, "encrypted"),
    )


# ---- slots and images ----------------------------------------------------------------------------------------------


def slots() -> None:
    for size in (612, 1024):
        core = ("core-era-key",) if size == 1024 else ()
        add(f"slots/rsa-{size}-ff/device.der", slot(KEY.pkcs1, size), private(KEY, None, "slot-tail", *core))
        add(f"slots/rsa-{size}-00/device.der", slot(KEY.pkcs1, size, 0), private(KEY, None, "slot-tail", *core))
    add("slots/ec-192/device.der", slot(EC.sec1, 192), private(EC, None, "slot-tail"))
    add("slots/ec-192-generated/device.der", forms.generated_ec_slot(EC.sec1), private(EC, None, "trailing-bytes"))
    add(f"slots/server-294/{DEVICE}.server.pub.der", CLOUD.spki, stored(CLOUD, device=DEVICE))
    for size in (512, 768, 1024, 2048):
        data = slot(server_slot(CLOUD.spki, ADDRESS, 5683), size)
        core = ("core-era-key",) if size == 2048 else ()
        add(f"slots/server-{size}/server_key_dump.der", data, stored(CLOUD, None, *core, address="203.0.113.10:5683"))
    udp = server_slot(EC_CLOUD.spki, "$id.udp.example.org", 5684, 320)
    add("slots/server-320/server_key_dump.der", udp, stored(EC_CLOUD, address="$id.udp.example.org:5684"))
    add(
        "slots/cli-server-new/default_key.pub-203.0.113.10-rsa.der",
        server_slot(CLOUD.spki, ADDRESS, 5683),
        stored(CLOUD, address="203.0.113.10:5683"),
    )
    add(
        "slots/cli-server-old/default_key.pub203.0.113.10.der",
        server_slot(CLOUD.spki, ADDRESS),
        stored(CLOUD, None, "server-port-default", address="203.0.113.10"),
    )
    add(
        "slots/server-port-ffff/server_key_dump.der",
        server_slot(CLOUD.spki, "cloud.example.org"),
        stored(CLOUD, None, "server-port-default", address="cloud.example.org"),
    )
    add(
        "slots/server-type-255/server_key_dump.der",
        server_slot(CLOUD.spki, None),
        stored(CLOUD, None, "server-address-unset", address="unset"),
    )
    bad = bytearray(server_slot(CLOUD.spki, ADDRESS))
    bad[384:386] = b"\x07\x04"
    add(
        "slots/server-address-damaged/server_key_dump.der",
        bytes(bad),
        stored(CLOUD, None, "server-address-invalid", address="invalid"),
    )


def images() -> None:
    server = server_slot(CLOUD.spki, ADDRESS, 5683)
    flash = forms.placed(2 * 1024 * 1024, {0x1000: server, 0x2000: KEY.pkcs1, 0x6000: b"factory firmware" * 64})
    core = (
        stored(CLOUD, None, "core-era-key", address="203.0.113.10:5683", part="Core flash: server key at 4096"),
        private(KEY, None, "slot-tail", "core-era-key", part="Core flash: private key at 8192"),
    )
    add(f"images/core-2mb/{DEVICE}_flash.bin", flash, *(Row(**{**vars(row), "device": DEVICE}) for row in core))
    add(
        "images/core-no-size/core_private.der",
        flash[0x2000:0x20000],
        private(KEY, None, "core-era-key", "slot-tail", part="Core flash: private key at 0"),
    )
    dct = {34: KEY.pkcs1, 1250: KEY.spki, 2082: server, 3618: bytes.fromhex(DEVICE)}
    part = "DCT: TCP {} at {}"
    photon = (
        private(KEY, None, "slot-tail", device=DEVICE, part=part.format("private key", 34)),
        Row("device-public", KEY, device=DEVICE, findings=("slot-tail",), part=part.format("public key", 1250)),
        stored(CLOUD, address="203.0.113.10:5683", device=DEVICE, part=part.format("server key", 2082)),
    )
    add("images/dct-photon/dct.bin", forms.placed(4258, dct), *photon)
    sector = forms.placed(0x4000, {offset + 7548: data for offset, data in dct.items()})
    moved = tuple(Row(**{**vars(row), "part": _moved(row.part, 7548)}) for row in photon)
    add("images/dct-flash-sector/sector.bin", sector, *moved)
    udp = {
        3106: EC.sec1,
        3298: server_slot(EC_CLOUD.spki, "$id.udp.particle.io", None, 320),
        3618: bytes.fromhex(UDP_DEVICE),
    }
    part = "DCT: UDP {} at {}"
    electron = (
        private(EC, None, "slot-tail", device=UDP_DEVICE, part=part.format("private key", 3106)),
        stored(
            EC_CLOUD,
            None,
            "server-port-default",
            address="$id.udp.particle.io",
            device=UDP_DEVICE,
            part=part.format("server key", 3298),
        ),
    )
    add("images/dct-electron/dct.bin", forms.placed(4258, udp), *electron)
    tcp_electron = forms.placed(4258, {**udp, 2977: b"\0", 34: KEY.pkcs1})
    add(
        "images/dct-electron-on-tcp/dct.bin",
        tcp_electron,
        private(KEY, None, "slot-tail", device=UDP_DEVICE, part="DCT: TCP private key at 34"),
        stored(
            None,
            "blank flash: all 0xFF",
            "blank-server-key",
            "server-address-unset",
            address="unset",
            device=UDP_DEVICE,
            part="DCT: TCP server key at 2082",
        ),
        *electron,
    )


def _moved(part: str, by: int) -> str:
    head, _, offset = part.rpartition(" ")
    return f"{head} {int(offset) + by}"


# ---- what breaks ---------------------------------------------------------------------------------------------------


def _tampered(index: int, flip: int) -> bytes:
    numbers = forms.rsa_numbers(KEY)
    numbers[index] ^= flip
    return slot(forms.rsa_private(numbers), 612)


def damaged_private() -> None:
    add(
        f"damaged/blank-612/{DEVICE}.der",
        b"\xff" * 612,
        private(None, "blank flash: all 0xFF", "blank-device-key", device=DEVICE),
    )
    add(
        f"damaged/blank-1024/{DEVICE}.der",
        b"\xff" * 1024,
        private(None, "blank flash: all 0xFF", "blank-device-key", "core-era-key", device=DEVICE),
    )
    add(
        f"damaged/blank-192/{UDP_DEVICE}.der",
        b"\xff" * 192,
        private(None, "blank flash: all 0xFF", "blank-device-key", device=UDP_DEVICE),
    )
    add(
        f"damaged/zeroed/{DEVICE}.der",
        bytes(612),
        private(None, "zeroed: all 0x00", "zeroed-device-key", device=DEVICE),
    )
    add("damaged/blank-nameless/dump.bin", b"\xff" * 612, private(None, "blank flash: all 0xFF", "blank-device-key"))
    size = len(KEY.pkcs1)
    add(
        "damaged/cut-512/device.der",
        KEY.pkcs1[:512],
        private(KEY, f"cut off: DER says {size} bytes, file has 512", "cut-off", "rebuilt"),
    )
    add(
        "damaged/cut-200/device.der",
        KEY.pkcs1[:200],
        private(None, f"cut off: DER says {size} bytes, file has 200", "cut-off"),
    )
    add(
        "damaged/cut-ec/device.der",
        EC.sec1[:60],
        private(EC, "cut off: DER says 121 bytes, file has 60", "cut-off", "rebuilt"),
    )
    fits = ("device-key-damaged", "slot-tail")
    add("damaged/n/device.der", _tampered(1, 0xFF00 << 700), private(None, "damaged: N is not P times Q", *fits))
    add(
        "damaged/p/device.der",
        _tampered(4, 1 << 300),
        private(None, "damaged: N is not P times Q, and DP, QINV do not fit either", *fits),
    )
    add("damaged/dp/device.der", _tampered(6, 1 << 300), private(KEY, "damaged: DP not of this key", *fits))
    add("damaged/qinv/device.der", _tampered(8, 1 << 300), private(KEY, "damaged: QINV not of this key", *fits))
    add("damaged/d/device.der", _tampered(3, 1 << 300), private(KEY, None, "private-exponent-damaged", "slot-tail"))
    tail = bytearray(SLOT)
    tail[320:] = b"\xff" * (612 - 320)
    add(
        "damaged/tail-erased/device.der",
        bytes(tail),
        private(None, "partly erased: 0xFF from byte 320 on", "device-key-damaged"),
    )
    head = bytearray(SLOT)
    head[:16] = b"\xff" * 16
    add("damaged/head-erased/device.der", bytes(head), private(None, "damaged: begins with ff", "device-key-damaged"))
    add(
        "damaged/ec-scalar/device.der",
        slot(ec_private(EC_SECOND.d, EC.point), 192),
        private(EC, "the private scalar does not belong", "device-key-damaged", "slot-tail"),
    )
    header = bytearray(forms.generated_ec_slot(EC.sec1))
    header[5] = 0x7F
    add("damaged/ec-header/device.der", bytes(header), private(None, "damaged: ", "device-key-damaged"))
    add("damaged/pkcs8/device.der", KEY.pkcs8, private(KEY, "PKCS#8: a TCP device reads PKCS#1", "pkcs8-in-tcp-device"))
    add(
        "damaged/pkcs8-in-612/device.der",
        KEY.pkcs8[:612],
        private(KEY, "PKCS#8: a TCP device reads PKCS#1", "pkcs8-in-tcp-device"),
    )
    add("damaged/rsa-2048/device.der", CLOUD.pkcs1, private(CLOUD, "wrong size: RSA-2048", "device-key-unfit"))
    add(
        "damaged/short-qinv/device.der",
        SHORT.pkcs1,
        private(SHORT, "a number shorter than usual", "device-key-shifted"),
    )
    add(
        "damaged/ec-in-rsa-slot/device.der",
        slot(EC.sec1, 612),
        private(EC, "an EC key in the RSA (TCP) slot", "wrong-algorithm", "slot-tail"),
    )
    add(
        "damaged/garbage/device.der",
        hashlib.sha512(b"garbage").digest() * 10,
        private(None, "damaged: begins with", "device-key-damaged"),
    )
    add("damaged/empty/device.der", b"", private(None, "empty"))


def damaged_server() -> None:
    blank = slot(b"", 384) + server_slot(CLOUD.spki, ADDRESS)[384:]
    add(
        "server/blank-address-intact/server_key_dump.der",
        blank,
        stored(None, "blank flash: all 0xFF", "blank-server-key", "server-port-default", address="203.0.113.10"),
    )
    add(
        "server/blank/server_key_dump.der",
        b"\xff" * 512,
        stored(None, "blank flash: all 0xFF", "blank-server-key", "server-address-unset", address="unset"),
    )
    add(
        "server/zeroed/server_key_dump.der",
        bytes(294) + b"\xff" * 218,
        stored(None, "zeroed: all 0x00", "zeroed-server-key", "server-address-unset", address="unset"),
    )
    header = bytearray(server_slot(CLOUD.spki, ADDRESS, 5683))
    header[0] ^= 0x40
    add(
        "server/header-damaged/server_key_dump.der",
        bytes(header),
        stored(CLOUD, None, "server-key-header-damaged", address="203.0.113.10:5683"),
    )
    partly = bytearray(header)
    partly[200:384] = b"\xff" * 184
    add(
        "server/partly-erased/server_key_dump.der",
        bytes(partly),
        stored(None, "partly erased: 0xFF from byte 200 on", "server-key-damaged", address="203.0.113.10:5683"),
    )
    even = bytearray(header)
    even[288] &= 0xFE
    add(
        "server/even/server_key_dump.der",
        bytes(even),
        stored(None, "damaged: the modulus is even", "server-key-damaged", address="203.0.113.10:5683"),
    )
    add(
        f"server/private-in-slot/{DEVICE}.server_key.der",
        CLOUD.pkcs1,
        Row("cloud-private", CLOUD, findings=("private-key-named-public",)),
    )
    add(
        f"server/rsa-1024/{DEVICE}.server_key.der",
        slot(SMALL_CLOUD.spki, 512),
        stored(
            SMALL_CLOUD,
            "RSA-1024: the device reads",
            "server-key-unfit",
            "server-address-unset",
            address="unset",
            device=DEVICE,
        ),
    )
    add(
        f"server/ec-in-rsa-slot/{DEVICE}.server_key.der",
        slot(EC_CLOUD.spki, 512),
        stored(
            EC_CLOUD,
            "an EC key in the RSA (TCP) server slot",
            "server-key-unfit",
            "server-address-unset",
            address="unset",
            device=DEVICE,
        ),
    )
    add(
        f"server/rsa-in-ec-slot/{DEVICE}.server_key.der",
        slot(CLOUD.spki, 320),
        stored(
            CLOUD,
            "an RSA key in the EC (UDP) server slot",
            "server-key-unfit",
            "server-address-invalid",
            address="invalid",
            device=DEVICE,
        ),
    )
    add(
        f"server/pkcs1-public/{DEVICE}.server_key.der",
        slot(forms.pkcs1_public(CLOUD), 512),
        stored(
            CLOUD,
            "RSA public key (PKCS#1): the modulus is not where",
            "server-key-unfit",
            "server-address-unset",
            address="unset",
            device=DEVICE,
        ),
    )
    add(
        f"server/cut/{DEVICE}.server_key.der",
        CLOUD.spki[:200],
        stored(None, "cut off: DER says 294 bytes, file has 200", "cut-off", device=DEVICE),
    )
    add(
        "server/cloud-1024/default_key.pem",
        SMALL_CLOUD.private_pem,
        Row("cloud-private", SMALL_CLOUD, findings=("cloud-key-size",)),
    )


# ---- names and folders ---------------------------------------------------------------------------------------------


def names() -> None:
    for folder, name in (("id", DEVICE), ("id-new", f"{DEVICE}_new"), ("id-rsa-new", f"{DEVICE}_rsa_new"),
                         ("id-device", f"{DEVICE}.device"), ("id-upper", DEVICE.upper())):  # fmt: skip
        add(f"names/{folder}/{name}.der", KEY.pkcs1, private(device=DEVICE))
    for name in (f"pre_{DEVICE}_new.der", f"backup_rsa_{DEVICE}_rsa_new.der"):
        add(
            f"names/{name.split(DEVICE)[0].strip('_')}/{name}",
            KEY.pkcs1,
            private(KEY, None, "cli-backup", device=DEVICE),
        )
    add(f"names/id-pub-new/{DEVICE}_rsa_new.pub.pem", KEY.public_pem, Row("device-public", KEY, device=DEVICE))
    add(f"names/id-device-pub/{DEVICE}.device.pub.der", KEY.spki, Row("device-public", KEY, device=DEVICE))
    add(f"names/id-cloud-pub/{DEVICE}.cloud.pub.der", KEY.spki, Row("cloud-copy", KEY, device=DEVICE))
    add(
        f"names/private-named-pub/{DEVICE}.pub.pem",
        KEY.private_pem,
        private(KEY, None, "private-key-named-public", device=DEVICE),
    )
    add(
        f"names/public-named-private/{DEVICE}.der",
        KEY.spki,
        Row("device-public", KEY, device=DEVICE, findings=("role-contradicted",)),
    )
    add("names/core-private/core_private.der", KEY.pkcs1, private())
    add(f"names/folder-of-device/{DEVICE}/device.der", KEY.pkcs1, private(device=DEVICE))
    add("names/second-cloud/server2_default_key.pem", CLOUD.private_pem, Row("cloud-private", CLOUD))
    add("names/nothing-said/a.der", KEY.pkcs1, private())
    add("names/nothing-said/b.der", CLOUD.pkcs1, Row("cloud-private", CLOUD))
    add("names/nothing-said/c.der", CLOUD.spki, Row("cloud-public", CLOUD))
    add("names/nothing-said/d.der", EC.sec1, private(EC))
    add("names/nothing-said/e.der", EC.spki, Row("device-public", EC))
    add("names/nothing-said/notes.txt", b"The device is in the basement.\n")
    add("names/nothing-said/capture.pcap", bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))


def folders() -> None:
    spark = "folders/spark-server"
    add(f"{spark}/default_key.pem", CLOUD.private_pem, Row("cloud-private", CLOUD))
    add(f"{spark}/default_key.pub.pem", CLOUD.public_pem, Row("cloud-public", CLOUD))
    add(f"{spark}/core_keys/{DEVICE}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))
    add(f"{spark}/core_keys/{DEVICE}_handshake.pub.pem", SECOND.public_pem, Row("device-public", SECOND, device=DEVICE))
    add(f"{spark}/core_keys/{DEVICE}.json", json.dumps({"coreID": DEVICE, "name": "zoo"}).encode())
    brewskey = "folders/brewskey/data"
    add(f"{brewskey}/default_key.pem", CLOUD.private_pem, Row("cloud-private", CLOUD))
    add(f"{brewskey}/default_key.pub.pem", CLOUD.public_pem, Row("cloud-public", CLOUD))
    add(f"{brewskey}/deviceKeys/{DEVICE}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))
    add(f"{brewskey}/deviceKeys/{DEVICE}.json", json.dumps({"deviceID": DEVICE}).encode())
    record = {"deviceID": DEVICE, "key": KEY.public_pem.decode(), "algorithm": "rsa"}
    other = {"deviceID": OTHER, "key": SECOND.public_pem.decode(), "algorithm": "rsa"}
    database = "\n".join(json.dumps(item) for item in (record, other)).encode() + b"\n"
    add(
        "folders/nedb/deviceKeys/deviceKeys.db",
        database,
        Row("cloud-copy", KEY, device=DEVICE),
        Row("cloud-copy", SECOND, device=OTHER, part="block 2 (PUBLIC KEY)"),
    )
    manifest = (
        f'[files]\n"one.der" = "device-private"\n"two.bin" = {{ role = "device-server-key", device = "{DEVICE}" }}\n'
    )
    manifest += f'\n[[key]]\nfile = "three.pem"\nrole = "cloud-copy"\ndevice = "{DEVICE}"\n\n[roles]\ncloud-public = ["one.pem"]\ndevice-public = "four.der"\n'
    add("folders/manifest/keys.toml", manifest.encode())
    add("folders/manifest/one.der", KEY.pkcs1, private())
    add("folders/manifest/two.bin", CLOUD.spki, stored(CLOUD, device=DEVICE))
    add("folders/manifest/three.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))
    add("folders/manifest/one.pem", CLOUD.public_pem, Row("cloud-public", CLOUD))
    add("folders/manifest/four.der", SECOND.pkcs1, private(SECOND, None, "role-contradicted"))


def secrets() -> None:
    line = f"CLIENT_RANDOM {CLIENT.hex()} {MASTER.hex()}\n".encode()
    row = Row("session-secrets")
    add("secrets/keylog/sslkeys.log", b"# a comment\n" + line, row)
    add("secrets/keylog-any-name/notes.txt", line, row)
    add(
        "secrets/keylog-tls13/tls.keylog",
        f"CLIENT_TRAFFIC_SECRET_0 {CLIENT.hex()} {SERVER.hex()}\n".encode(),
        Row("session-secrets", problem="a key log without TLS 1.2 secrets"),
    )
    parts = crc32(EC_CLOUD.spki).to_bytes(4, "little") + crc32(EC.sec1).to_bytes(4, "little")
    for size in (208, 220, 228, 238, 262):
        for wide in (False, True):
            dump = forms.session(size, wide=wide, client=CLIENT, server=SERVER, master=MASTER, checksum=crc32(parts))
            add(f"secrets/persist-{size}{'-64bit' if wide else ''}/session.bin", dump, row)
    ram = forms.placed(4096, {1000: dump}, 0)
    add("secrets/persist-in-ram/backup_ram.bin", ram, row)
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.session.bin", dump, Row("session-secrets", device=UDP_DEVICE))
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.device.der", EC.sec1, private(EC, device=UDP_DEVICE))
    add(f"secrets/persist-with-keys/{UDP_DEVICE}.server.pub.der", EC_CLOUD.spki, stored(EC_CLOUD, device=UDP_DEVICE))
    add("secrets/persist-erased/session.bin", b"\xff" * 262, Row("session-secrets", problem="no saved session"))


def pairs() -> None:
    add(f"pairs/two-keys/{DEVICE}.der", KEY.pkcs1, private(device=DEVICE))
    add(f"pairs/two-keys/{DEVICE}.pem", SECOND.private_pem, private(SECOND, device=DEVICE))
    add(f"pairs/cloud-copy-differs/{DEVICE}.der", KEY.pkcs1, private(device=DEVICE))
    add(f"pairs/cloud-copy-differs/{DEVICE}.pub.pem", SECOND.public_pem, Row("cloud-copy", SECOND, device=DEVICE))
    add(f"pairs/swapped/{DEVICE}.der", KEY.pkcs1, private(device=DEVICE))
    add(f"pairs/swapped/{OTHER}.der", SECOND.pkcs1, private(SECOND, device=OTHER))
    add(f"pairs/swapped/{DEVICE}.pub.pem", SECOND.public_pem, Row("cloud-copy", SECOND, device=DEVICE))
    add(f"pairs/swapped/{OTHER}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=OTHER))
    add(f"pairs/shared/{DEVICE}.der", KEY.pkcs1, private(device=DEVICE))
    add(f"pairs/shared/{OTHER}.der", KEY.pkcs1, private(device=OTHER))
    add(
        f"pairs/other-cloud/{DEVICE}.server_key.der",
        server_slot(OTHER_CLOUD.spki, ADDRESS, 5683),
        stored(OTHER_CLOUD, address="203.0.113.10:5683", device=DEVICE),
    )
    add("pairs/other-cloud/default_key.pem", CLOUD.private_pem, Row("cloud-private", CLOUD))
    add(f"pairs/ec-copy-of-rsa-device/{DEVICE}.der", KEY.pkcs1, private(device=DEVICE))
    add(f"pairs/ec-copy-of-rsa-device/{DEVICE}.pub.pem", EC.public_pem, Row("cloud-copy", EC, device=DEVICE))
    add(
        f"pairs/ec-copy-of-rsa-device/{DEVICE}.server_key.der",
        server_slot(CLOUD.spki, ADDRESS, 5683),
        stored(CLOUD, address="203.0.113.10:5683", device=DEVICE),
    )
    add("pairs/cloud-halves/default_key.pem", CLOUD.private_pem, Row("cloud-private", CLOUD))
    add("pairs/cloud-halves/default_key.pub.pem", OTHER_CLOUD.public_pem, Row("cloud-public", OTHER_CLOUD))
    add(
        f"pairs/damaged-but-known/{DEVICE}.der",
        _tampered(1, 0xFF00 << 700),
        private(None, "damaged: N is not P times Q", "device-key-damaged", "slot-tail", device=DEVICE),
    )
    add(f"pairs/damaged-but-known/{DEVICE}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))


RECIPES = (clean_forms, encrypted_forms, slots, images, damaged_private, damaged_server, names, folders, secrets, pairs)


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
