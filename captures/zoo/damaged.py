"""Keys that a device cannot use, each in its own way."""

from __future__ import annotations

import hashlib

from captures.synth.keys import ec_private, server_slot, slot
from captures.zoo import forms
from captures.zoo.base import (
    ADDRESS,
    CLOUD,
    DEVICE,
    EC,
    EC_CLOUD,
    EC_SECOND,
    KEY,
    SHORT,
    SLOT,
    SMALL_CLOUD,
    UDP_DEVICE,
    Row,
    add,
    private,
    stored,
)


def tampered(index: int, flip: int) -> bytes:
    """The device's slot with one of its nine numbers changed."""
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
    add("damaged/n/device.der", tampered(1, 0xFF00 << 700), private(None, "damaged: N is not P times Q", *fits))
    add(
        "damaged/p/device.der",
        tampered(4, 1 << 300),
        private(None, "damaged: N is not P times Q, and DP, QINV do not fit either", *fits),
    )
    add("damaged/dp/device.der", tampered(6, 1 << 300), private(KEY, "damaged: DP not of this key", *fits))
    add("damaged/qinv/device.der", tampered(8, 1 << 300), private(KEY, "damaged: QINV not of this key", *fits))
    add("damaged/d/device.der", tampered(3, 1 << 300), private(KEY, None, "private-exponent-damaged", "slot-tail"))
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
