"""Dumps of every kind decrypt the same session as the clean key: a session measured on the firmware's protocol."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.keys.images import CORE, CORE_FLASH, DCT
from analyzer.model import Role
from captures.synth.keys import pem, server_slot, slot
from captures.zoo import forms
from dissectors.lightssl.crypto import open_session_key
from dissectors.lightssl.messages import Credentials

VECTOR = json.loads((Path(__file__).resolve().parents[2] / "data" / "lightssl" / "vector.json").read_text())
SLOT = bytes.fromhex(VECTOR["device_private_slot_612"])
DER = SLOT[: 4 + int.from_bytes(SLOT[2:4], "big")]
CLOUD = bytes.fromhex(VECTOR["server_public_spki"])
CIPHERTEXT = bytes.fromhex(VECTOR["step3_wire"])[:128]
CRED = bytes.fromhex(VECTOR["cred"])
DUMPED = server_slot(CLOUD, bytes((203, 0, 113, 10)), 5683)
DEVICE = VECTOR["device_id"]


def flash() -> bytes:
    return forms.placed(CORE_FLASH, {0x1000: DUMPED, 0x2000: DER})


def dct(**more: bytes) -> bytes:
    return forms.placed(4258, {34: SLOT, 2082: DUMPED, 3618: bytes.fromhex(DEVICE)})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("device.der", DER),
        ("device.der", SLOT),
        ("device.pem", pem("RSA PRIVATE KEY", DER)),
        ("device.pem", pem("PRIVATE KEY", b"\x30\x82" + (len(DER) + 22).to_bytes(2, "big") + bytes.fromhex("020100300d06092a864886f70d0101010500048202") + bytes((len(DER) & 0xFF,)) + DER)),
        ("device.der", slot(DER, 1024)),
        ("device.der", slot(DER, 1024, 0)),
        ("device.der", DER[:512]),
        ("core.bin", flash()),
        ("core_private.der", flash()[0x2000:]),
        ("server_onwards.bin", flash()[0x1000:]),
        ("dct.bin", dct()),
        ("sector.bin", bytes(1000) + dct() + bytes(500)),
        ("ticket.txt", DER.hex().encode()),
        ("ticket.txt", base64.encodebytes(DER)),
        ("ticket.txt", forms.xxd(SLOT)),
        ("device.log", b"device key: " + DER.hex().upper().encode() + b"\n"),
    ],
    ids=["der", "slot", "pem", "pkcs8 pem", "1024 ff", "1024 00", "cut", "core", "core no size", "core from 0x1000", "dct", "sector", "hex", "base64", "xxd", "log"],
)  # fmt: skip
def test_dump_opens_the_same_session(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    ring = load_keys([tmp_path / name])
    (key,) = ring.by_role(Role.DEVICE_PRIVATE, "rsa")
    assert key.rsa is not None
    opened = open_session_key(CIPHERTEXT, key.rsa.raw_private)
    assert isinstance(opened, Credentials)
    assert opened.key + opened.iv + opened.salt == CRED


def test_core_flash_has_both_keys_and_the_address(tmp_path):
    (tmp_path / f"{DEVICE}.bin").write_bytes(flash())
    ring = load_keys([tmp_path])
    (stored,) = ring.by_role(Role.DEVICE_SERVER_KEY)
    assert stored.spki == CLOUD
    assert str(ring.server_address_for(DEVICE)) == "203.0.113.10:5683"
    assert stored.offset == CORE[0].offset == 0x1000


def test_dct_names_its_device_and_a_name_that_says_otherwise_is_reported(tmp_path):
    other = "0" * 23 + "1"
    (tmp_path / f"{other}_dct.bin").write_bytes(dct())
    ring = load_keys([tmp_path])
    assert {key.device_id for key in ring.keys} == {DEVICE}
    assert {"device-id-contradicted"} <= {found.code for key in ring.keys for found in key.findings}


def test_blank_core_flash_is_told_as_two_blank_slots(tmp_path):
    (tmp_path / "core.bin").write_bytes(b"\xff" * CORE_FLASH)
    ring = load_keys([tmp_path])
    assert [(key.role, key.problem) for key in ring.keys] == [
        (Role.DEVICE_SERVER_KEY, "blank flash: all 0xFF"),
        (Role.DEVICE_PRIVATE, "blank flash: all 0xFF"),
    ]


def test_slots_do_not_overlap():
    for layout in (DCT, CORE):
        ends = 0
        for place in sorted(layout, key=lambda place: place.offset):
            assert place.offset >= ends
            ends = place.offset + place.size
