"""Slots and whole images of flash."""

from __future__ import annotations

from captures.synth.keys import server_slot, slot
from captures.zoo import forms
from captures.zoo.base import (
    ADDRESS,
    CLOUD,
    DEVICE,
    EC,
    EC_CLOUD,
    KEY,
    UDP_DEVICE,
    Row,
    add,
    private,
    stored,
)


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
