"""Which halves belong together: one folder, one question, one verdict."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from analyzer.keys import load_keys
from analyzer.keys.images import CORE_FLASH
from analyzer.keys.pairing import compare
from analyzer.keys.published import PARTICLE_RSA_SPKI
from captures.synth.keys import EcKey, RsaKey, pem, server_slot
from captures.zoo import forms

ZOO = Path(__file__).resolve().parents[3] / "captures" / "keys-zoo"
DEVICE, OTHER = "54ff73066672524813250167", "54ff73066672524813250168"
RNG = Random("pairing")
KEY, SECOND = (next(key for _ in range(50) if (key := RsaKey.generate(RNG, 1024)).regular) for _ in range(2))
CLOUD, OTHER_CLOUD = (RsaKey.generate(RNG, 2048) for _ in range(2))
HERE = bytes((203, 0, 113, 10))


def look(tmp_path: Path, **files: bytes):
    """A folder with these files (``__`` is a dot), compared."""
    for name, data in files.items():
        (tmp_path / name.removeprefix("f").replace("__", ".")).write_bytes(data)
    return compare(load_keys([tmp_path]))


def codes(report) -> set[str]:
    return {found.finding.code for found in report.findings} - {"world-readable"}


@pytest.mark.parametrize(
    ("folder", "verdicts", "code"),
    [
        ("pairs/two-keys", ["2 different private keys for one device id"], "two-device-keys"),
        ("pairs/cloud-copy-differs", ["the cloud's copy is not this device's key"], "cloud-copy-differs"),
        (
            "pairs/swapped",
            [f"the cloud's copy is not this device's key (it is the key of {other})" for other in (OTHER, DEVICE)],
            "cloud-copy-differs",
        ),
        ("pairs/shared", ["nothing to compare: only one half is in hand"] * 2, "shared-device-key"),
        ("pairs/other-cloud", ["the stored server key is not this cloud's"], "server-key-differs"),
        ("pairs/cloud-halves", [], "cloud-halves-differ"),
        ("folders/spark-server", ["the cloud's copy is not this device's key"], "cloud-copy-differs"),
        ("folders/brewskey", ["nothing to compare: only one half is in hand"], None),
    ],
)
def test_folder_gets_its_verdict(folder, verdicts, code):
    report = compare(load_keys([ZOO / folder]))
    assert [device.verdict for device in report.devices] == verdicts
    assert code is None or code in codes(report)


def test_sound_folder_is_sound(tmp_path):
    report = look(tmp_path, **{
        f"f{DEVICE}__der": KEY.pkcs1, f"f{DEVICE}__cloud__pub__pem": KEY.public_pem, f"f{DEVICE}__device__pub__der": KEY.spki,
        f"f{DEVICE}__server_key__der": server_slot(CLOUD.spki, HERE, 5683), "default_key__pem": CLOUD.private_pem,
        "default_key__pub__pem": CLOUD.public_pem,
    })  # fmt: skip
    (device,) = report.devices
    assert device.verdict == "every pair in hand fits"
    assert [pair.fits for pair in device.pairs] == [True, True, True]
    assert (device.transport, str(device.address)) == ("tcp", "203.0.113.10:5683")
    assert not report.troubled


def test_wrong_kind_of_key_for_the_transport():
    report = compare(load_keys([ZOO / "pairs" / "ec-copy-of-rsa-device"]))
    assert "the cloud's copy is EC, the device's server key is for TCP and needs RSA" in report.devices[0].verdict
    assert "wrong-algorithm" in codes(report)


def test_damaged_modulus_is_rebuilt_and_the_cloud_copy_recognised():
    report = compare(load_keys([ZOO / "pairs" / "damaged-but-known"]))
    (device,) = report.devices
    assert "damaged: N" in device.verdict
    assert "presents a wrong public key" in device.verdict
    assert [pair.fits for pair in device.pairs] == [False, True]
    assert device.own_fingerprint == device.cloud_copy[0].fingerprint
    assert "rebuilt" in codes(report)


def test_blank_slot_is_never_rebuilt(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}__der": b"\xff" * 612, f"f{DEVICE}__pub__pem": KEY.public_pem})
    (device,) = report.devices
    assert device.own_fingerprint is None
    assert [pair.fits for pair in device.pairs] == [False, None]


def test_lost_address_sends_a_private_clouds_device_to_particle(tmp_path):
    report = look(
        tmp_path,
        **{f"f{DEVICE}__server_key__der": server_slot(CLOUD.spki, None), "default_key__pem": CLOUD.private_pem},
    )
    assert "the device goes to Particle's cloud (no address is stored)" in report.devices[0].verdict
    assert {"server-key-and-address-differ", "server-address-unset"} <= codes(report)


@pytest.mark.parametrize(
    ("spki", "address", "bad"),
    [
        (PARTICLE_RSA_SPKI, "device.spark.io", False),
        (PARTICLE_RSA_SPKI, None, False),
        (PARTICLE_RSA_SPKI, "cloud.example.org", True),
        (PARTICLE_RSA_SPKI, "notparticle.io", True),
        (CLOUD.spki, "device.spark.io", False),  # whose key it is, only the cloud that answers there could tell
        (CLOUD.spki, "cloud.example.org", False),
    ],
)
def test_key_and_address_of_one_cloud(tmp_path, spki, address, bad):
    report = look(tmp_path, **{f"f{DEVICE}__server_key__der": server_slot(spki, address, 5683)})
    assert report.devices[0].bad is bad


def test_particles_key_on_a_private_clouds_device(tmp_path):
    report = look(
        tmp_path,
        **{
            f"f{DEVICE}__server_key__der": server_slot(PARTICLE_RSA_SPKI, "device.spark.io", 5683),
            "default_key__pem": CLOUD.private_pem,
        },
    )
    assert report.devices[0].verdict == "the stored server key is Particle's own (device.spark.io), not this cloud's"


def test_saved_session_tells_whether_the_keys_are_the_ones_it_was_made_with(tmp_path):
    (device,) = compare(load_keys([ZOO / "secrets" / "persist-with-keys"])).devices
    assert [(pair.left, pair.fits) for pair in device.pairs if pair.left == "session-secrets"] == [
        ("session-secrets", True)
    ]
    for path in (ZOO / "secrets" / "persist-with-keys").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    name = device.id
    (tmp_path / f"{name}.device.der").write_bytes(EcKey.generate(RNG).sec1)
    report = compare(load_keys([tmp_path]))
    assert "session-keys-differ" in codes(report)


def test_log_line_that_shows_half_a_modulus_is_enough_to_compare(tmp_path):
    def log(key: RsaKey, cloud: RsaKey) -> bytes:
        lines = [
            f"Device {DEVICE} started",
            f"device key: {key.pkcs1.hex()[:146]}~",
            f"server key: {cloud.spki.hex()[:146]}~",
        ]
        return "\n".join(lines).encode()

    sound = look(
        tmp_path,
        device__log=log(KEY, CLOUD),
        default_key__pem=CLOUD.private_pem,
        **{f"f{DEVICE}__pub__pem": KEY.public_pem},
    )
    assert [pair.fits for pair in sound.devices[0].pairs] == [True, True]
    assert not sound.troubled
    wrong = look(tmp_path, device__log=log(SECOND, OTHER_CLOUD))
    assert [pair.fits for pair in wrong.devices[0].pairs] == [False, False]


def test_tcp_electron_has_a_row_for_each_transport():
    report = compare(load_keys([ZOO / "images" / "dct-electron-on-tcp"]))
    assert [device.transport for device in report.devices] == ["tcp", "udp"]


def test_backup_is_not_a_second_key(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}_new__der": KEY.pkcs1, f"pre_{DEVICE}_new__der": SECOND.pkcs1})
    assert "two-device-keys" not in codes(report)
    assert [key.superseded for key in report.devices[0].private] == [False, True]


def test_every_error_has_a_remedy_and_every_command_is_safe_to_paste(tmp_path):
    hostile = tmp_path / "a b'; rm -rf $HOME"
    hostile.mkdir()
    (hostile / f"{DEVICE}.der").write_bytes(KEY.pkcs1)
    (hostile / f"{DEVICE}.pub.pem").write_bytes(SECOND.public_pem)
    reports = [compare(load_keys([ZOO])), compare(load_keys([tmp_path]))]
    for report in reports:
        for found in report.findings:
            if found.finding.severity == "error":
                assert found.finding.remedy, found
            for command in found.finding.commands:
                words = shlex.split(command)
                assert words[0] in {"openssl", "particle", "chmod", "dd", "cp", "head"}
                assert not {";", "rm", "-rf"} & set(words)


def test_commands_for_the_cloud_copy_work(tmp_path):
    import subprocess

    report = look(tmp_path, **{f"f{DEVICE}__der": KEY.pkcs1, f"f{DEVICE}__pub__pem": SECOND.public_pem})
    (finding,) = [found.finding for found in report.findings if found.finding.code == "cloud-copy-differs"]
    command = shlex.split(finding.commands[0])
    if subprocess.run(["openssl", "version"], capture_output=True, check=False).returncode:
        pytest.skip("openssl is not installed")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = tmp_path / f"{DEVICE}.device.pub.pem"
    assert finding.commands[1] == f"particle keys send {DEVICE} {made.name}"
    (tmp_path / f"{DEVICE}.pub.pem").unlink()
    (tmp_path / "core_keys").mkdir()
    made.rename(tmp_path / "core_keys" / f"{DEVICE}.pub.pem")
    assert compare(load_keys([tmp_path])).devices[0].verdict == "every pair in hand fits"


def test_pkcs8_remedy_gives_the_device_what_it_reads(tmp_path):
    import subprocess

    report = look(tmp_path, **{f"f{DEVICE}__der": KEY.pkcs8})
    (finding,) = [found.finding for found in report.findings if found.finding.code == "pkcs8-in-tcp-device"]
    done = subprocess.run(shlex.split(finding.commands[0]), cwd=tmp_path, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this openssl does not know -traditional")
    assert (tmp_path / f"{DEVICE}.pkcs1.der").read_bytes() == KEY.pkcs1


def test_same_key_in_two_files_is_noted(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}__der": KEY.pkcs1, f"f{DEVICE}__pem": KEY.private_pem})
    assert "duplicate-key" in codes(report)
    assert not report.troubled


def test_both_halves_in_one_pem_file(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}__pem": KEY.private_pem + KEY.public_pem})
    assert [key.role.value for key in report.keys] == ["device-private", "device-public"]
    assert report.devices[0].verdict == "what is in hand fits"
    assert codes(report) == set()


def test_pem_that_a_device_could_not_read_is_told_before_it_is_written(tmp_path):
    short = (ZOO / "damaged" / "short-qinv" / "device.der").read_bytes()
    report = look(tmp_path, device__pem=pem("RSA PRIVATE KEY", short))
    assert "device-key-shifted" in codes(report)
    assert not report.troubled


def test_a_public_file_that_is_not_the_half_of_the_private_one(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}__der": KEY.pkcs1, f"f{DEVICE}__device__pub__der": SECOND.spki})
    assert "the public file is not the half of the device's private key" in report.devices[0].verdict
    assert "device-halves-differ" in codes(report)


def test_a_copy_that_cannot_be_read_is_told(tmp_path):
    report = look(tmp_path, **{f"f{DEVICE}__der": KEY.pkcs1, f"f{DEVICE}__pub__pem": pem("PUBLIC KEY", KEY.spki[:80])})
    assert "the cloud's copy is unusable" in report.devices[0].verdict
    assert [pair.fits for pair in report.devices[0].pairs] == [False]


def test_of_a_damaged_key_no_public_half_is_sent(tmp_path):
    """The copy is another key, and so would be what the device's file gives: it needs a new key, not another copy."""
    slot = bytearray(KEY.pkcs1.ljust(612, b"\xff"))
    slot[100] ^= 0x55  # of the modulus
    report = look(tmp_path, **{f"f{DEVICE}__der": bytes(slot), f"f{DEVICE}__pub__pem": SECOND.public_pem})
    (told,) = [found.finding for found in report.findings if found.finding.code == "cloud-copy-differs"]
    assert told.commands[-1] == f"particle keys send {DEVICE} {DEVICE}_rsa_new.pub.pem"
    assert not any(f"-in {DEVICE}.der" in command for command in told.commands)


@pytest.mark.skipif(not shutil.which("openssl") or not shutil.which("dd"), reason="the commands are for openssl and dd")
def test_the_commands_cut_the_key_out_of_a_dump(tmp_path):
    """What the report tells to type gives the public half of the key in the dump."""
    dump = forms.placed(CORE_FLASH, {0x2000: KEY.pkcs1.ljust(612, b"\xff")})
    report = look(tmp_path, **{f"f{DEVICE}__bin": dump, f"f{DEVICE}__pub__pem": SECOND.public_pem})
    (told,) = [found.finding for found in report.findings if found.finding.code == "cloud-copy-differs"]
    assert told.commands[-1] == f"particle keys send {DEVICE} {DEVICE}.device.pub.pem"
    for command in told.commands[:-1]:
        subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert len(told.commands) == 3
    made = (tmp_path / f"{DEVICE}.device.pub.pem").read_bytes()
    assert made.split() == KEY.public_pem.split()


def test_a_key_that_is_in_no_file_of_its_own_is_not_cut_out(tmp_path):
    """From digits in a text no command of openssl makes a public half: the device is asked."""
    report = look(tmp_path, **{f"f{DEVICE}__txt": KEY.pkcs1.hex().encode(), f"f{DEVICE}__pub__pem": SECOND.public_pem})
    (told,) = [found.finding for found in report.findings if found.finding.code == "cloud-copy-differs"]
    assert told.commands == (
        f"particle keys save {DEVICE}.device.der",
        f"particle keys send {DEVICE} {DEVICE}.device.pub.pem",
    )


def test_of_an_encrypted_key_alone_no_transport_is_known(tmp_path):
    head = b"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
    locked = pem("RSA PRIVATE KEY", KEY.pkcs1).replace(b"KEY-----\n", b"KEY-----\n" + head, 1)
    report = look(tmp_path, **{f"f{DEVICE}__pem": locked})
    assert [row.transport for row in report.devices] == ["unknown"]
    assert "wrong-algorithm" not in codes(report)
