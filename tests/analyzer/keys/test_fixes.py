"""What `analyze keys` tells to type: the folder's own names, and never another thing than `analyze` says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from random import Random

import pytest

from analyzer.keys import load_keys
from analyzer.keys.key import KeyFinding
from analyzer.keys.pairing import compare
from analyzer.keys.published import PARTICLE_RSA_SPKI
from captures.synth.keys import EcKey, RsaKey, server_slot

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
DEVICE = "54ff73066672524813250167"
RNG = Random("fixes")
KEY, SECOND = (next(key for _ in range(50) if (key := RsaKey.generate(RNG, 1024)).regular) for _ in range(2))
CLOUD, OTHER_CLOUD = (RsaKey.generate(RNG, 2048) for _ in range(2))
EC_CLOUD, EC_OTHER = (EcKey.generate(RNG) for _ in range(2))
JUNK = Random("junk").randbytes(610)
COMMAND = re.compile(r"openssl|particle|cp|chmod|dd")


def found(folder: Path, code: str) -> KeyFinding:
    """The one finding of this code."""
    (told,) = [item.finding for item in compare(load_keys([folder])).findings if item.finding.code == code]
    return told


def put(folder: Path, **files: bytes) -> Path:
    """Files in a folder; ``ID`` stands for the device, ``__`` for a dot."""
    for name, data in files.items():
        (folder / name.replace("ID", DEVICE).replace("__", ".")).write_bytes(data)
    return folder


def udp_slot(key: EcKey, host: str, port: int) -> bytes:
    """A stored server key of a UDP device: 320 bytes, the address at 192, its port at 258."""
    record = bytes((1, len(host))) + host.encode()
    record = record.ljust(66, b"\xff") + port.to_bytes(2, "big")
    return (key.spki.ljust(192, b"\xff") + record).ljust(320, b"\xff")


# --- the cloud's key and address ---------------------------------------------------------------------------------------


def test_a_udp_device_gets_the_folders_file_and_no_tcp_port():
    told = found(CAPTURES / "dtls-12a-retry-loop-wrong-server-key" / "keys", "server-key-differs")
    assert told.commands == ("particle keys server server.pub.der --host HOST",)
    assert "HOST is that server's own name or address" in told.remedy


@pytest.mark.parametrize(
    ("port", "option"), [(5684, ""), (0xFFFF, ""), (0, ""), (5683, " --port 5683"), (9000, " --port 9000")]
)
def test_a_udp_devices_host_and_port_come_from_its_slot(tmp_path, port, option):
    put(tmp_path, ID__server_key__der=udp_slot(EC_OTHER, "cloud.example.org", port), server__pub__der=EC_CLOUD.spki)
    told = found(tmp_path, "server-key-differs")
    assert told.commands == (f"particle keys server server.pub.der --host cloud.example.org{option}",)


@pytest.mark.parametrize(("port", "option"), [(5683, ""), (5684, " --port 5684"), (8080, " --port 8080")])
def test_a_tcp_devices_host_and_port_come_from_its_slot(tmp_path, port, option):
    slot = server_slot(OTHER_CLOUD.spki, "cloud.example.org", port)
    put(tmp_path, ID__server_key__der=slot, default_key__pem=CLOUD.private_pem)
    make, load = found(tmp_path, "server-key-differs").commands
    assert make == "openssl rsa -in default_key.pem -pubout -outform DER -out default_key.pub.der"
    assert load == f"particle keys server default_key.pub.der --host cloud.example.org{option}"


def test_where_nothing_tells_whose_device_it_is_both_ways_are_given(tmp_path):
    put(tmp_path, ID__server_key__der=b"\xff" * 512)
    told = found(tmp_path, "blank-server-key")
    assert told.commands[0] == "particle keys server"
    assert told.commands[-1] == "particle keys server default_key.pub.der --host HOST"
    assert "default_key.pub.pem is that server's public key; it is not in this folder" in told.remedy


def test_a_device_of_particles_gets_particles_key_only(tmp_path):
    put(tmp_path, ID__server_key__der=server_slot(b"\xff" * 294, "device.spark.io"))
    assert found(tmp_path, "blank-server-key").commands == ("particle keys server",)


def test_an_address_that_a_shell_would_act_on_is_not_pasted(tmp_path):
    put(
        tmp_path,
        ID__server_key__der=server_slot(OTHER_CLOUD.spki, "a$(id).example.org"),
        server__pub__der=CLOUD.spki,
    )
    assert found(tmp_path, "server-key-differs").commands == ("particle keys server server.pub.der --host HOST",)


def test_a_key_that_only_the_device_has_is_written_back_with_its_address(tmp_path):
    """What `analyze` says of a device that has lost its address: the key in its slot is the one to keep."""
    put(tmp_path, ID__server_key__der=server_slot(OTHER_CLOUD.spki, None), default_key__pem=CLOUD.private_pem)
    for code in ("server-key-differs", "server-key-and-address-differ"):
        told = found(tmp_path, code)
        cut, load = told.commands
        assert load == f"particle keys server {DEVICE}.stored_key.der --host HOST"
        assert "If the device belongs to the cloud of default_key.pem, give it that key instead." in told.remedy
    subprocess.run(cut, shell=True, cwd=tmp_path, check=True)
    assert (tmp_path / f"{DEVICE}.stored_key.der").read_bytes() == OTHER_CLOUD.spki
    again = load_keys([tmp_path])
    (key,) = [key for key in again.keys if key.file == f"{DEVICE}.stored_key.der"]
    assert (key.role.value, [item.code for item in key.findings]) == ("device-server-key", [])


def test_a_key_that_only_the_device_has_is_cut_out_of_its_image(tmp_path):
    for image in (CAPTURES / "keys-zoo" / "images" / "core-2mb").iterdir():
        data = image.read_bytes()
        (tmp_path / image.name).write_bytes(data[:0x1180] + b"\xff" * 128 + data[0x1200:])
    report = compare(load_keys([tmp_path]))
    lines = {line for item in report.findings for line in item.finding.commands if line.startswith("dd ")}
    (cut,) = lines
    subprocess.run(cut, shell=True, cwd=tmp_path, check=True, capture_output=True)
    (made,) = tmp_path.glob("*.stored_key.der")
    assert made.read_bytes() == data[0x1000 : 0x1000 + 294]


# --- the device's key --------------------------------------------------------------------------------------------------


def test_a_pkcs8_key_is_kept_and_nothing_is_sent(tmp_path):
    put(tmp_path, ID__der=KEY.pkcs8, ID__pub__pem=KEY.public_pem)
    told = found(tmp_path, "pkcs8-in-tcp-device")
    assert told.commands == (
        f"openssl rsa -inform DER -in {DEVICE}.der -traditional -outform DER -out {DEVICE}.pkcs1.der",
        f"particle keys load {DEVICE}.pkcs1.der",
    )
    assert "nothing to send" in told.remedy
    assert "OpenSSL 1.x: leave out -traditional" in told.remedy


def test_a_pkcs8_key_that_the_slot_cut_is_made_of_the_file_that_was_loaded(tmp_path):
    put(tmp_path, ID__der=KEY.pkcs8[:612], ID_rsa_new__pem=KEY.private_pem)
    first, load = found(tmp_path, "pkcs8-in-tcp-device").commands
    assert f"-inform PEM -in {DEVICE}_rsa_new.pem -traditional" in first
    if subprocess.run(shlex.split(first), cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this openssl does not know -traditional")
    assert (tmp_path / shlex.split(load)[-1]).read_bytes() == KEY.pkcs1


def test_of_a_cut_pkcs8_key_alone_there_is_only_a_new_one(tmp_path):
    put(tmp_path, ID__der=KEY.pkcs8[:612])
    told = found(tmp_path, "pkcs8-in-tcp-device")
    assert told.remedy.startswith("Only a part of the key is here. Convert the file that was loaded")
    assert told.commands[0] == f"openssl genrsa -out {DEVICE}_rsa_new.pem 1024"


@pytest.mark.parametrize(
    "taken",
    ["ID_rsa_new__pem", "ID_rsa_new__pub__pem", "ID_rsa_new__der", "backup_rsa_ID_rsa_new__der", "ID_RSA_NEW__PEM"],
)
def test_a_new_key_takes_no_name_that_is_taken(tmp_path, taken):
    put(tmp_path, ID__der=JUNK, **{taken: b"anything"})
    lines = found(tmp_path, "device-key-damaged").commands
    assert lines[0] == f"openssl genrsa -out {DEVICE}_rsa_new2.pem 1024"
    assert f"particle keys load {DEVICE}_rsa_new2.der" in lines


def test_numbered_names_are_read_as_the_others_are(tmp_path):
    put(tmp_path, ID_rsa_new2__der=KEY.pkcs1, ID_rsa_new2__pub__pem=KEY.public_pem)
    assert [key.role.value for key in load_keys([tmp_path]).keys] == ["device-private", "device-public"]


def written(line: str) -> list[str]:
    """The files that a command writes."""
    words = shlex.split(line)
    made = [words[number + 1] for number, word in enumerate(words) if word == "-out"]
    return made + [word.removeprefix("of=") for word in words if word.startswith("of=")]


@pytest.mark.parametrize(
    "folder", sorted(path for path in (CAPTURES / "keys-zoo").glob("*/*")), ids=lambda path: path.name
)
def test_no_command_writes_over_a_file_of_the_folder(folder):
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    for item in compare(load_keys([folder])).findings:
        if item.finding.code == "cloud-halves-differ":  # which is to be written anew
            continue
        for line in item.finding.commands:
            assert not names & set(written(line)), line


def test_a_damaged_read_out_beside_a_pair_that_was_never_loaded(tmp_path):
    """The folder of a Core whose keys could not be written (support thread 000)."""
    put(
        tmp_path,
        pre_ID_new__der=JUNK,
        ID_new__der=KEY.pkcs1,
        ID_new__pem=KEY.private_pem,
        ID_new__pub__pem=KEY.public_pem,
    )
    report = compare(load_keys([tmp_path]))
    (device,) = report.devices
    assert device.verdict == (
        f"what is in hand fits only if {DEVICE}_new.der was loaded: the last read-out of the device (pre_{DEVICE}_new.der) "
        "is damaged"
    )
    assert (device.bad, device.doubtful, report.troubled) == (False, True, True)
    assert found(tmp_path, "device-key-damaged").commands == (
        f"particle keys load {DEVICE}_new.der",
        f"particle keys send {DEVICE} {DEVICE}_new.pub.pem",
    )


def test_a_damaged_read_out_beside_no_file_that_can_be_loaded(tmp_path):
    put(tmp_path, pre_ID_rsa_new__der=JUNK, ID_rsa_new__pem=KEY.private_pem)
    assert found(tmp_path, "device-key-damaged").commands[0] == f"openssl genrsa -out {DEVICE}_rsa_new2.pem 1024"


def test_a_damaged_read_out_beside_a_pair_that_cannot_be_loaded_as_it_is(tmp_path):
    """`keys doctor` with OpenSSL 3 that stopped at the backup: both files have one remedy, and the cloud has neither key."""
    put(tmp_path, pre_ID_new__der=JUNK, ID_new__der=KEY.pkcs8, ID_new__pub__pem=KEY.public_pem)
    told = found(tmp_path, "device-key-damaged")
    assert told.commands == (
        f"openssl rsa -inform DER -in {DEVICE}_new.der -traditional -outform DER -out {DEVICE}.pkcs1.der",
        f"particle keys load {DEVICE}.pkcs1.der",
        f"particle keys send {DEVICE} {DEVICE}_new.pub.pem",
    )
    assert found(tmp_path, "pkcs8-in-tcp-device").commands == told.commands


def test_the_copy_of_a_custom_cloud_is_put_there(tmp_path):
    put(tmp_path, ID__der=KEY.pkcs1, ID__pub__pem=SECOND.public_pem, default_key__pem=CLOUD.private_pem)
    told = found(tmp_path, "cloud-copy-differs")
    assert told.commands == (
        f"openssl rsa -inform DER -in {DEVICE}.der -pubout -out {DEVICE}.device.pub.pem",
        f"cp {DEVICE}.device.pub.pem SERVER/data/deviceKeys/{DEVICE}.pub.pem",
    )


# --- whatever is found -------------------------------------------------------------------------------------------------


def test_no_command_has_an_option_that_particle_cli_lost():
    for folder in (CAPTURES / "keys-zoo").glob("*/*"):
        for item in compare(load_keys([folder])).findings:
            assert not any("--force" in line for line in item.finding.commands)
            if any("-traditional" in line for line in item.finding.commands):
                assert "OpenSSL 1.x: leave out -traditional" in item.finding.remedy
            if "--force" in item.finding.remedy:
                assert "before 1.9" in item.finding.remedy


#: Findings and the verdict that a capture of such a device gets.
SAME = {
    "server-key-differs": {"server-key-mismatch"},
    "blank-server-key": {"server-key-erased"},
    "cloud-copy-differs": {"device-key-mismatch"},
    "blank-device-key": {"device-key-corrupt"},
    "pkcs8-in-tcp-device": {"device-key-corrupt"},
    "device-key-damaged": {"device-key-corrupt"},
    "device-key-shifted": {"device-key-corrupt"},
}


def _in_both() -> list[tuple[Path, str]]:
    cases = []
    for case in sorted(path.parent for path in CAPTURES.glob("*/expected.with.json")):
        if not (case / "keys").is_dir():
            continue
        report = compare(load_keys([case / "keys"]))
        if len({device.id for device in report.devices}) == 1:
            cases += [(case, item.finding.code) for item in report.findings if item.finding.code in SAME]
    return sorted(set(cases))


@pytest.mark.parametrize(("case", "code"), _in_both(), ids=lambda value: getattr(value, "name", value))
def test_the_commands_are_those_that_analyze_gives(case, code):
    """`analyze` knows more (the host, both servers' folders); what it does not say is not said here either."""
    document = json.loads((case / "expected.with.json").read_text())
    verdicts = [session["verdict"] for item in document["captures"] for session in item["sessions"]]
    lines = {
        line
        for verdict in verdicts
        if verdict["code"] in SAME[code]
        for step in verdict["remedy"]
        for line in step["commands"]
    }
    if not lines:
        pytest.skip("this fault does not show in the capture")
    host = re.compile(r"--host \S+")
    known = lines | {host.sub("--host HOST", line) for line in lines}
    for line in found(case / "keys", code).commands:
        assert line in known, (line, sorted(lines))


# --- what only the cloud could tell ------------------------------------------------------------------------------------


def test_a_key_that_nobody_knows_beside_particles_name_is_a_question():
    """In this capture the cloud that answers has that key, and the device's own key is at fault."""
    report = compare(load_keys([CAPTURES / "seed-001" / "keys"]))
    (device,) = report.devices
    assert (device.bad, device.doubtful) == (False, True)
    assert device.verdict.endswith("is it the cloud's?")
    told = found(CAPTURES / "seed-001" / "keys", "server-key-and-address-differ")
    assert (told.severity, told.commands) == ("warning", ())
    assert "A capture of the device tells" in told.remedy


@pytest.mark.parametrize("cloud", [{}, {"default_key__pem": CLOUD.private_pem}])
def test_another_clouds_key_without_any_address_stays_an_error(tmp_path, cloud):
    put(tmp_path, ID__server_key__der=server_slot(CLOUD.spki, None), **cloud)
    assert found(tmp_path, "server-key-and-address-differ").severity == "error"


def test_this_clouds_key_beside_particles_name_stays_an_error(tmp_path):
    put(tmp_path, ID__server_key__der=server_slot(CLOUD.spki, "device.spark.io"), default_key__pem=CLOUD.private_pem)
    assert found(tmp_path, "server-key-and-address-differ").severity == "error"


def test_particles_key_needs_no_address(tmp_path):
    put(tmp_path, ID__server_key__der=server_slot(PARTICLE_RSA_SPKI, None))
    told = found(tmp_path, "server-address-unset")
    assert (told.remedy, told.commands) == ("Nothing is missing: the key is Particle's as well.", ())
