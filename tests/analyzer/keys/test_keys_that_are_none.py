"""What a folder holds besides keys: halves of other keys in a public key's clothes, parts of slots, files no device takes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from analyzer.keys import load_keys
from analyzer.keys.pairing import compare
from analyzer.model import Role

ID = "3f0029000447000000000001"
HEAD = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
END = bytes.fromhex("0203010001")


def sent(slot: bytes) -> bytes:
    """The "public key" that TCP firmware makes of a private key slot (tcp.md 1.3)."""
    return HEAD + slot.ljust(612, b"\xff")[11:139] + END


def ec_slot() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption())


def rsa_key(bits: int = 1024, form: ser.PrivateFormat = ser.PrivateFormat.TraditionalOpenSSL) -> bytes:
    return rsa.generate_private_key(65537, bits).private_bytes(ser.Encoding.DER, form, ser.NoEncryption())


SLOTS = {
    "an EC key": (ec_slot(), "public-key-of-slot"),
    "PKCS#8": (rsa_key(form=ser.PrivateFormat.PKCS8), "pkcs8-in-tcp-device"),
    "erased": (b"\xff" * 612, "public-key-of-slot"),
    "zeroed": (bytes(612), "public-key-of-slot"),
}


@pytest.mark.parametrize("name", SLOTS)
def test_a_public_key_made_of_other_bytes_is_no_key(tmp_path: Path, name: str):
    slot, code = SLOTS[name]
    (tmp_path / f"{ID}.device.pub.der").write_bytes(sent(slot))
    report = compare(load_keys([tmp_path]))
    (device,) = report.devices
    assert device.bad
    assert "is no key" in device.verdict
    assert code in {item.finding.code for item in report.findings}
    commands = [line for item in report.findings for line in item.finding.commands]
    assert commands and not any(line.startswith("cp ") and ".device.pub" in line for line in commands)


def test_a_sound_public_key_is_left_alone(tmp_path: Path):
    (tmp_path / f"{ID}.device.pub.der").write_bytes(sent(rsa_key()))
    (device,) = compare(load_keys([tmp_path])).devices
    assert not device.bad


def address_record(host: bytes, port: int = 0xFFFF) -> bytes:
    return (struct.pack("BB", 1, len(host)) + host).ljust(66, b"\0") + struct.pack(">H", port) + b"\0" * 60


def test_the_address_part_of_a_slot_alone(tmp_path: Path):
    (tmp_path / "server.der").write_bytes(address_record(b"$id.udp.particle.io"))
    (key,) = load_keys([tmp_path]).keys
    assert key.role is Role.DEVICE_SERVER_KEY
    assert key.server_address is not None
    assert (key.server_address.host, key.server_address.transport) == ("$id.udp.particle.io", "udp")
    assert "no key is in it" in (key.problem or "")


@pytest.mark.parametrize("size", [512, 1024, None])
def test_a_server_key_file_made_of_the_private_key(tmp_path: Path, size: int | None):
    private = bytearray(rsa_key(2048))
    if size is None:  # the address stamped into it, as `keys server default_key.der --host H` does
        private[384:512] = address_record(b"cloud.example")
    (tmp_path / "default_key.der").write_bytes(bytes(private[:size]) if size else bytes(private))
    codes = {finding.code for key in load_keys([tmp_path]).keys for finding in key.findings}
    assert "private-key-as-server-key" in codes


@pytest.mark.parametrize(("device", "warned"), [("54ff6d066672000000000004", True), (ID, False)])
def test_an_odd_length_on_a_core(tmp_path: Path, device: str, warned: bool):
    while len(der := rsa_key()) % 2 == 0:
        continue
    (tmp_path / f"{device}.der").write_bytes(der)
    (key,) = load_keys([tmp_path]).keys
    assert ("odd-length" in {finding.code for finding in key.findings}) is warned


def test_an_even_length_on_a_core_is_fine(tmp_path: Path):
    while len(der := rsa_key()) % 2:
        continue
    (tmp_path / "54ff6d066672000000000004.der").write_bytes(der)
    (key,) = load_keys([tmp_path]).keys
    assert "odd-length" not in {finding.code for finding in key.findings}


@pytest.mark.parametrize("address", [b"\x00\x04\x00\x00\x00\x00", b"\x00\x04\xff\xff\xff\xff", b"\x01\x05q\x07\x08xy"])
def test_an_address_that_is_none_is_in_no_command(tmp_path: Path, address: bytes):
    spki = (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)
    )
    slot = spki.ljust(384, b"\xff") + address.ljust(128, b"\xff")
    (tmp_path / f"{ID}.server_key.der").write_bytes(slot)
    report = compare(load_keys([tmp_path]))
    commands = [line for item in report.findings for line in item.finding.commands]
    assert not any("0.0.0.0" in line or "255.255" in line for line in commands)
