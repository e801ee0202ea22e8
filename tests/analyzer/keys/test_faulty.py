"""Key files with one thing wrong: what a library would use, and what a device or a server makes of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import rsa as library

from analyzer.keys import ec, load_keys, rsa
from analyzer.keys.key import Key
from analyzer.model import Role
from captures.synth.keys import EcKey, RsaKey, der, ec_private, integer, pem
from captures.zoo import forms
from dissectors.errors import Malformed

DEVICE = "54ff73066672524813250167"
RNG = Random("faulty")
KEY = next(key for _ in range(50) if (key := RsaKey.generate(RNG, 1024)).regular)
CLOUD = RsaKey.generate(RNG, 2048)
EC, OTHER_EC = EcKey.generate(RNG), EcKey.generate(RNG)


def numbers(key: RsaKey, **changed: int) -> bytes:
    """PKCS#1 with some of its numbers changed: n, e, d, p, q, dp, dq, qinv."""
    names = ("version", "n", "e", "d", "p", "q", "dp", "dq", "qinv")
    values = dict(zip(names, forms.rsa_numbers(key), strict=True)) | changed
    return der(0x30, *(integer(values[name]) for name in names))


def one(tmp_path: Path, name: str, data: bytes) -> tuple[Key, set[str]]:
    """The only key of a folder with this file, and the codes of what is found about it."""
    (tmp_path / name).write_bytes(data)
    (key,) = load_keys([tmp_path]).keys
    return key, {finding.code for finding in key.findings} - {"world-readable"}


CLOUD_NAME, DEVICE_NAME = "default_key.pem", f"{DEVICE}.der"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (numbers(CLOUD, n=CLOUD.n + 2), "damaged: N is not P times Q"),
        (numbers(CLOUD, dp=CLOUD.d % (CLOUD.p - 1) + 2), "damaged: its CRT parts do not belong to its primes"),
        (ec_private(EC.d, OTHER_EC.point), "the private scalar does not belong to the public point in the same file"),
    ],
)
def test_a_damaged_key_of_the_cloud_is_unusable(data: bytes, problem: str, tmp_path: Path) -> None:
    label = "EC PRIVATE KEY" if data[:2] == b"\x30\x77" else "RSA PRIVATE KEY"
    key, _ = one(tmp_path, CLOUD_NAME, pem(label, data))
    assert (key.role, key.status, key.problem) == (Role.CLOUD_PRIVATE, "unusable", problem)


@pytest.mark.parametrize("name", [CLOUD_NAME, DEVICE_NAME])
def test_a_wrong_private_exponent_matters_to_libraries_only(name: str, tmp_path: Path) -> None:
    made = CLOUD if name == CLOUD_NAME else KEY
    data = numbers(made, d=made.d ^ 4)
    key, codes = one(tmp_path, name, pem("RSA PRIVATE KEY", data) if name == CLOUD_NAME else data)
    assert key.status == "ok"
    assert "private-exponent-damaged" in codes
    assert key.rsa is not None
    assert key.rsa.raw_private(made.public(12345)) == 12345, "by its primes, as the device computes"


def test_a_copy_at_the_cloud_that_can_be_no_devices_key(tmp_path: Path) -> None:
    _, codes = one(tmp_path, f"{DEVICE}.pub.pem", RsaKey.generate(RNG, 768).public_pem)
    assert "not-a-device-key" in codes


def test_an_exponent_no_device_uses(tmp_path: Path) -> None:
    while True:
        made = library.generate_private_key(3, 1024)
        data = made.private_bytes(ser.Encoding.DER, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption())
        if len(data) >= 605:  # the lengths of a usual key, one byte of exponent instead of three
            break
    key, _ = one(tmp_path, DEVICE_NAME, data)
    assert key.status == "unusable"


@pytest.mark.parametrize("data", [KEY.spki, EC.spki], ids=["rsa", "ec"])
@pytest.mark.parametrize("how", ["name", "manifest"])
def test_a_public_key_is_never_taken_for_a_private_one(how: str, data: bytes, tmp_path: Path) -> None:
    """Neither a name nor a manifest makes it one: that would be a device without a key."""
    if how == "manifest":
        (tmp_path / "keys.toml").write_text(f'[files]\n"{DEVICE}.der" = "device-private"\n')
    key, codes = one(tmp_path, f"{DEVICE}.der", data)
    assert key.role is not Role.DEVICE_PRIVATE
    assert how == "name" or "role-contradicted" in codes


def test_a_private_key_where_the_clouds_public_key_belongs(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text('[files]\n"slot.bin" = "device-server-key"\n')
    key, _ = one(tmp_path, "slot.bin", CLOUD.pkcs1)
    assert (key.role, key.status) == (Role.DEVICE_SERVER_KEY, "unusable")
    assert key.problem == "a private key where the cloud's public key belongs"


@pytest.mark.parametrize(
    "data",
    [
        der(0x30, integer(2), der(4, EC.d.to_bytes(32, "big"))),
        der(0x30, integer(1), der(4, b"")),
        der(0x30, integer(1), der(4, b"\x01" + bytes(32))),
        der(0x30, integer(1), der(4, bytes(34))),
    ],
    ids=["version", "empty", "too large", "too long"],
)
def test_what_is_no_private_key_of_the_curve_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        ec.read_private(data)


@pytest.mark.parametrize("point", [b"", EC.point[:64], b"\x02" + EC.point[1:33], b"\x05" + EC.point[1:]])
def test_what_is_no_uncompressed_point_is_refused(point: bytes) -> None:
    with pytest.raises(Malformed, match="uncompressed form"):
        ec.from_point(point)


@pytest.mark.parametrize(
    "data",
    [
        der(0x30, *(integer(number) for number in forms.rsa_numbers(KEY)[:8])),
        numbers(KEY, version=1),
    ],
    ids=["eight numbers", "multi-prime"],
)
def test_what_is_no_rsa_private_key_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="nine integers"):
        rsa.read_private(data)


def test_a_public_key_tells_nothing_about_private_parts() -> None:
    public = rsa.RsaKey(KEY.n, 65537)
    assert (public.faults, public.exponent_fits) == ((), None)
    assert not public.has_private
