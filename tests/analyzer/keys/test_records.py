"""Which public key is a server's record, which is only what `particle keys save` left, and what a missing file says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from analyzer import analyze_capture, load_keys
from analyzer.keys.pairing import compare
from analyzer.model import Certainty, Code, Role, Session

ID, OTHER = "300047001147343332373737", "300047001147343332373738"
DEVICE, STALE, CLOUD, CLOUD2 = (rsa.generate_private_key(65537, bits) for bits in (1024, 1024, 2048, 2048))


DEVICE_02A = "300047001147343332373737"


def der(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


SAVED = {f"{ID}.der": der(DEVICE), f"{ID}.pub.pem": public(DEVICE)}
OWN = {"default_key.pem": pem(CLOUD)}
PAIR = {**OWN, "default_key.pub.pem": public(CLOUD)}


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def record_of(folder: Path, name: str = f"{ID}.pub.pem") -> str | None:
    (key,) = [key for key in load_keys(folder).keys if key.file == name]
    return key.record


@pytest.mark.parametrize(
    ("files", "name", "record"),
    [
        (SAVED, f"{ID}.pub.pem", "own-half"),
        (SAVED | PAIR, f"{ID}.pub.pem", "own-half"),
        ({f"{ID}.pem": pem(DEVICE), f"{ID}.pub.pem": public(DEVICE)}, f"{ID}.pub.pem", "own-half"),
        (SAVED | {f"{ID}.pub.pem": public(STALE)}, f"{ID}.pub.pem", "named"),
        ({f"{ID}.pub.pem": public(DEVICE)}, f"{ID}.pub.pem", "named"),
        (SAVED | {f"core_keys/{ID}.pub.pem": public(DEVICE)}, f"core_keys/{ID}.pub.pem", "kept"),
        (
            {f"deviceKeys/{name}": data for name, data in SAVED.items()},
            f"deviceKeys/{ID}.pub.pem",
            "kept",
        ),
        ({f"device/{ID}.der": der(DEVICE), f"{ID}.pub.pem": public(DEVICE)}, f"{ID}.pub.pem", "named"),
        ({f"{ID}.der": der(DEVICE), f"{ID}.cloud.pub.pem": public(DEVICE)}, f"{ID}.cloud.pub.pem", "kept"),
        (SAVED | {"keys.toml": f'"{ID}.pub.pem" = "cloud-copy"'.encode()}, f"{ID}.pub.pem", "kept"),
        # A server's own key and its record of another device: this is where the records are.
        (SAVED | OWN | {f"{OTHER}.pub.pem": public(STALE)}, f"{ID}.pub.pem", "named"),
        (SAVED | {f"{OTHER}.pub.pem": public(STALE)}, f"{ID}.pub.pem", "own-half"),
    ],
)
def test_what_makes_a_public_key_the_clouds_record(
    tmp_path: Path, files: dict[str, bytes], name: str, record: str
) -> None:
    folder = laid(tmp_path, files)
    assert record_of(folder, name) == record
    (key,) = [key for key in load_keys(folder).keys if key.file == name]
    assert key.role is Role.CLOUD_COPY, "the name's role stays what the contract says"


def test_two_single_files_lie_side_by_side_as_in_a_folder(tmp_path: Path) -> None:
    folder = laid(tmp_path, SAVED)
    ring = load_keys([folder / f"{ID}.der", folder / f"{ID}.pub.pem"])
    assert [key.record for key in ring.keys] == [None, "own-half"]


def test_keys_says_that_the_clouds_copy_is_not_in_hand(tmp_path: Path) -> None:
    report = compare(load_keys(laid(tmp_path, SAVED | OWN)))
    (device,) = report.devices
    assert "the device's own half" in device.verdict and "the cloud's copy is not in hand" in device.verdict
    assert not device.bad and not report.troubled


def test_a_copy_beside_another_clouds_key_is_that_clouds(tmp_path: Path) -> None:
    mine, theirs = PAIR, {"default_key.pem": pem(CLOUD2)}
    folder = laid(tmp_path, {f"a/{name}": data for name, data in theirs.items()})
    laid(folder, {f"a/deviceKeys/{ID}.pub.pem": public(STALE), f"{OTHER}.pub.pem": public(DEVICE)})
    laid(folder, {f"b/{name}": data for name, data in mine.items()})
    ring = load_keys(folder)
    (copy,), (loose,) = ring.for_device(ID), ring.for_device(OTHER)
    prints = {key.path.rsplit("/", 2)[-2]: key.fingerprint for key in ring.by_role(Role.CLOUD_PRIVATE)}
    assert ring.records.holds(copy, prints["a"]) and not ring.records.holds(copy, prints["b"])
    assert ring.records.holds(copy, None)
    assert all(ring.records.holds(loose, cloud) for cloud in prints.values()), "beside no cloud's key: anybody's"


@pytest.mark.parametrize(
    ("files", "sign", "devices"),
    [
        (OWN, None, ()),
        (OWN | SAVED, None, ()),
        (PAIR, "pair", ()),
        (PAIR | SAVED, "pair", ()),
        (OWN | {f"{OTHER}.pub.pem": public(STALE)}, "records", (OTHER,)),
        (OWN | {f"core_keys/{OTHER}.pub.pem": public(STALE)}, "records", (OTHER,)),
        (OWN | {f"elsewhere/{OTHER}.pub.pem": public(STALE)}, None, ()),
        ({"default_key.pub.pem": public(CLOUD), f"core_keys/{OTHER}.pub.pem": public(STALE)}, None, ()),
    ],
)
def test_what_makes_a_folder_a_servers_own(
    tmp_path: Path, files: dict[str, bytes], sign: str | None, devices: tuple[str, ...]
) -> None:
    ring = load_keys(laid(tmp_path, files | {"other/default_key.pem": pem(CLOUD2)}))
    (print_,) = {key.fingerprint for key in load_keys(laid(tmp_path / "alone", PAIR)).by_role(Role.CLOUD_PRIVATE)}
    assert print_ is not None
    found = ring.records.server_folder(print_)
    assert (found.sign if found else None, found.devices if found else ()) == (sign, devices)


# -- with captures -------------------------------------------------------------------------------------------------------


def judged(case: Path, keys: Path) -> tuple[Session, ...]:
    return analyze_capture(case / "capture.pcap", load_keys(keys)).captures[0].sessions


def own_public(slot: Path) -> bytes | None:
    """What `keys save` would write beside this slot, made by OpenSSL; None where it cannot read the slot."""
    data = slot.read_bytes()
    size = 4 + int.from_bytes(data[2:4], "big") if data[:2] == b"\x30\x82" else 0
    try:
        key = load_der_private_key(data[:size], None)
    except ValueError:
        return None
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


CAPTURES = Path(__file__).resolve().parents[3] / "captures"
TCP = sorted(path for path in CAPTURES.glob("tcp-*") if (path / "keys").is_dir())


@pytest.mark.parametrize("case", TCP, ids=lambda path: path.name)
def test_what_keys_save_leaves_says_nothing_about_the_cloud(case: Path, tmp_path: Path) -> None:
    """Every genuine capture with the device's saved keys and the cloud's key: the verdict stays, or it is weaker."""
    for file in (case / "keys").iterdir():
        if not file.name.endswith((".pub.pem", ".server_key.der")):
            shutil.copy(file, tmp_path)
    for slot in sorted(tmp_path.glob("*.der")):
        half = own_public(slot)
        if half is not None:
            (tmp_path / f"{slot.stem}.pub.pem").write_bytes(half)
    full = judged(case, case / "keys")
    saved = judged(case, tmp_path)
    assert len(saved) == len(full) > 0
    for with_all, session in zip(full, saved, strict=True):
        verdict, truth = session.verdict, with_all.verdict
        if verdict.code is Code.SERVER_FAULT:
            assert truth.code is Code.SERVER_FAULT and session.verdict.stage == "session", "no key is called right"
        if verdict.certainty is not Certainty.UNDETERMINED:
            # A damaged slot (02b: a short integer) is a fault of its own; without the copy it is the only one to be seen.
            assert verdict.code in (truth.code, *truth.alternatives, Code.DEVICE_KEY_CORRUPT) or (
                truth.certainty is Certainty.UNDETERMINED
            )
        else:
            assert truth.code in (verdict.code, *verdict.alternatives)


def test_a_missing_file_is_no_missing_record(tmp_path: Path) -> None:
    """With the cloud's private key alone, or a key saved beside it, unknown and mismatched devices look alike."""
    case = next(path for path in TCP if "unknown-device" in path.name)
    shutil.copy(case / "keys" / "default_key.pem", tmp_path)
    (session, *_) = judged(case, tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.IDENTITY_REJECTED, Certainty.UNDETERMINED)
    assert set(session.verdict.alternatives) >= {Code.DEVICE_UNKNOWN, Code.DEVICE_KEY_MISMATCH}
    assert not any("particle keys server" in line for step in session.verdict.remedy for line in step.commands)
    laid(tmp_path, {f"core_keys/{OTHER}.pub.pem": public(STALE)})
    (session, *_) = judged(case, tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.DEVICE_UNKNOWN, Certainty.INFERRED)
    assert "in a server's data folder" in " ".join(item.text for item in session.verdict.evidence)


def test_the_wrong_copy_of_another_cloud_is_no_evidence(tmp_path: Path) -> None:
    """A stale copy counts beside the key that opens the identity, and not beside another cloud's."""
    case = next(path for path in TCP if path.name.startswith("tcp-02a-"))
    copy = next((case / "keys").glob(f"{ID}*.pub.pem"))
    for place, code in (("", Code.DEVICE_KEY_MISMATCH), ("old", Code.IDENTITY_REJECTED)):
        folder = laid(tmp_path / (place or "top"), {"old/default_key.pem": pem(CLOUD2)})
        shutil.copy(case / "keys" / "default_key.pem", folder)
        shutil.copy(copy, folder / place)
        (session, *_) = judged(case, folder)
        assert session.verdict.code is code


def test_what_keys_save_leaves_is_the_devices_half_and_the_record_is_what_is_left(tmp_path: Path) -> None:
    """Device key and server key are right, the cloud refuses: its record is another one, or there is none."""
    case = next(path for path in TCP if path.name.startswith("tcp-02a-"))
    shutil.copy(case / "keys" / "default_key.pem", tmp_path)
    slot = (case / "keys" / f"{DEVICE_02A}.der").read_bytes()
    half = own_public(case / "keys" / f"{DEVICE_02A}.der")
    assert half is not None
    laid(tmp_path, {f"{DEVICE_02A}.der": slot, f"{DEVICE_02A}.pub.pem": half})
    (session, *_) = judged(case, tmp_path)
    assert (session.verdict.code, session.verdict.certainty) == (Code.DEVICE_KEY_MISMATCH, Certainty.UNDETERMINED)
    assert set(session.verdict.alternatives) >= {Code.DEVICE_UNKNOWN, Code.SERVER_FAULT}
    assert not any(line.startswith("cp ") for step in session.verdict.remedy for line in step.commands)
