"""The same few keys in every encoding, and behind a passphrase."""

from __future__ import annotations

import base64

from captures.synth.keys import pem
from captures.zoo import forms
from captures.zoo.base import (
    CLOUD,
    DEVICE,
    EC,
    EC_CLOUD,
    EC_SHORT,
    KEY,
    PASSPHRASE,
    SLOT,
    UDP_DEVICE,
    Row,
    add,
    private,
)


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
