"""Halves that do not belong together."""

from __future__ import annotations

from captures.synth.keys import server_slot
from captures.zoo.base import (
    ADDRESS,
    CLOUD,
    DEVICE,
    EC,
    KEY,
    OTHER,
    OTHER_CLOUD,
    SECOND,
    Row,
    add,
    private,
    stored,
)
from captures.zoo.damaged import tampered


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
        tampered(1, 0xFF00 << 700),
        private(None, "damaged: N is not P times Q", "device-key-damaged", "slot-tail", device=DEVICE),
    )
    add(f"pairs/damaged-but-known/{DEVICE}.pub.pem", KEY.public_pem, Row("cloud-copy", KEY, device=DEVICE))
