"""Names of every era, and the folders of servers."""

from __future__ import annotations

import json

from captures.zoo.base import (
    CLOUD,
    DEVICE,
    EC,
    KEY,
    OTHER,
    SECOND,
    Row,
    add,
    private,
    stored,
)


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
