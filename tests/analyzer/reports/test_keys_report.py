"""`analyze keys` as a person and as a program see it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from random import Random

import jsonschema
import pytest

from analyzer.keys import load_keys
from analyzer.reports.keys import run_keys_report
from analyzer.reports.keyschema import KEYS_SCHEMA
from analyzer.reports.writing import Style
from captures.synth.keys import RsaKey, server_slot

ZOO = Path(__file__).resolve().parents[3] / "captures" / "keys-zoo"
DEVICE = "54ff73066672524813250167"


def text(folder: Path, **style: object) -> tuple[str, int]:
    pieces, status = run_keys_report(load_keys([folder]), "text", Style(**style))
    return "".join(pieces), status


def report(folder: Path) -> tuple[dict, int]:
    pieces, status = run_keys_report(load_keys([folder]), "json")
    return json.loads("".join(pieces)), status


def hide_mode(folder: Path) -> None:
    """Files that only their owner reads, so that the checker's umask does not show in the report."""
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


@pytest.fixture
def copied(tmp_path):
    """A ticket of the zoo, copied, readable by its owner only."""

    def copy(ticket: str) -> Path:
        for path in (ZOO / ticket).rglob("*"):
            target = tmp_path / path.relative_to(ZOO / ticket)
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        hide_mode(tmp_path)
        return tmp_path

    return copy


def test_a_device_in_trouble_reads_like_this(copied, tmp_path):
    got, status = text(copied("pairs/cloud-copy-differs"))
    assert status == 1
    assert (
        got
        == f"""\
2 keys, 1 device, 1 device in trouble

✗ {DEVICE}  tcp  the cloud's copy is not this device's key
    ✗ cloud-copy-differs  {DEVICE}.pub.pem
      Fix   Give the cloud the public half of the key the device holds
            ({DEVICE}.der). Your own cloud: copy the .pub.pem over the device's
            file in its data/deviceKeys/ or core_keys/ instead.
              openssl rsa -inform DER -in {DEVICE}.der -pubout -out {DEVICE}.device.pub.pem
              particle keys send {DEVICE} {DEVICE}.device.pub.pem
    device private  SHA256:ce52676f395e7b70  RSA private key (PKCS#1), 1024 bits
                    {DEVICE}.der
    device public   SHA256:ce52676f395e7b70  derived from the private key
    cloud's copy    SHA256:a680a683ec539124  RSA public key (SPKI), 1024 bits
                    {DEVICE}.pub.pem

The commands are for a shell in the key folder:
  cd {tmp_path}/
"""
    )


def test_sound_devices_take_one_line_each(tmp_path):
    rng = Random("report")
    cloud = RsaKey.generate(rng, 2048)
    (tmp_path / "default_key.pem").write_bytes(cloud.private_pem)
    for number in range(3):
        key = next(key for _ in range(50) if (key := RsaKey.generate(rng, 1024)).regular)
        name = f"30{number:022x}"
        (tmp_path / f"{name}.der").write_bytes(key.pkcs1)
        (tmp_path / f"{name}.pub.pem").write_bytes(key.public_pem)
        (tmp_path / f"{name}.server_key.der").write_bytes(server_slot(cloud.spki, "cloud.example.org"))
    hide_mode(tmp_path)
    got, status = text(tmp_path)
    assert status == 0
    assert got.splitlines()[0] == "10 keys, 3 devices, nothing wrong"
    assert f"✓ 30{0:022x}  tcp  what is in hand fits  goes to cloud.example.org:5683" in got.splitlines()
    assert len(got.splitlines()) == 2 + 3 + 2 + 1, "three devices, one other key"
    assert "Findings" not in got
    assert "server-port-default" in text(tmp_path, verbose=True)[0]


@pytest.mark.parametrize("ticket", sorted(path.relative_to(ZOO).as_posix() for path in ZOO.glob("*/*")))
def test_every_ticket_gives_a_valid_report_and_an_honest_status(copied, ticket):
    folder = copied(ticket)
    document, status = report(folder)
    jsonschema.validate(document, KEYS_SCHEMA)
    whole = [
        key
        for key in document["keys"]
        if not (key["encoding"] == "log" and (key["problem"] or "").startswith("cut off"))
    ]
    wrong = any(key["status"] == "unusable" for key in whole) or any(not device["ok"] for device in document["devices"])
    errors = any(found["severity"] == "error" for found in document["findings"])
    assert status == int(wrong or errors)
    assert text(folder)[1] == status


def test_json_names_every_half_by_its_fingerprint(copied):
    document, _ = report(copied("pairs/swapped"))
    first, second = document["devices"]
    assert first["device_private"] == second["cloud_copy"] != first["cloud_copy"] == second["device_private"]
    assert first["device_public"] == first["device_private"]
    assert first["files"] == {"device-private": [f"{DEVICE}.der"], "cloud-copy": [f"{DEVICE}.pub.pem"]}
    assert "it is the key of" in first["verdict"]


def test_json_of_a_blank_slot_says_so(copied):
    document, status = report(copied("damaged/blank-612"))
    (device,) = document["devices"]
    assert device["device_private"] == "unusable: blank flash: all 0xFF"
    assert document["keys"][0]["problem"] == "blank flash: all 0xFF"
    assert status == 1


def test_same_folder_same_bytes(copied):
    folder = copied("folders/manifest")
    assert report(folder) == report(folder)
    assert text(folder, verbose=True) == text(folder, verbose=True)


def test_hostile_file_names_move_nothing(tmp_path):
    (tmp_path / "a\x1b[2J\u202eb\n.der").write_bytes(b"\xff" * 612)
    hide_mode(tmp_path)
    got, _ = text(tmp_path, verbose=True)
    assert "\x1b" not in got
    assert "\u202e" not in got
    assert "\\x1b[2J\\u202eb\\x0a.der" in got
    pieces, _ = run_keys_report(load_keys([tmp_path]), "json")
    assert "".join(pieces).isascii()


def test_many_files_of_one_finding_are_counted(tmp_path):
    for number in range(40):
        (tmp_path / f"30{number:022x}.der").write_bytes(b"\xff" * 612)
    hide_mode(tmp_path)
    got, _ = text(tmp_path)
    assert got.count("blank-device-key") == 1
    assert "and 28 more" in got
    assert "(and so on for 37 more files; --verbose writes all of them)" in got
    everything, _ = text(tmp_path, verbose=True)
    assert "more" not in everything
    for number in range(40):
        assert f"particle keys load 30{number:022x}_rsa_new.der" in everything


def test_empty_folder(tmp_path):
    assert text(tmp_path) == ("0 keys, 0 devices, nothing wrong\n", 0)


def test_world_readable_private_key_is_a_warning_not_a_failure(tmp_path):
    key = next(key for seed in range(50) if (key := RsaKey.generate(Random(seed), 1024)).regular)
    path = tmp_path / "device.der"
    path.write_bytes(key.pkcs1)
    path.chmod(0o644)
    got, status = text(tmp_path)
    assert "world-readable" in got
    assert status == 0


def world_readable(folder: Path) -> None:
    """Files as a careless copy leaves them."""
    for path in folder.rglob("*"):
        path.chmod(0o644)


def test_a_fault_is_said_once_and_all_its_files_are_named(copied):
    folder = copied("damaged/pkcs8")
    for name in ("other.der", "third one.der"):
        (folder / name).write_bytes(next(folder.glob("*.der")).read_bytes())
    world_readable(folder)
    got, _ = text(folder)
    files = sorted(path.name for path in folder.iterdir())
    assert got.count("can read this private key") == 1
    (chmod,) = [shlex.split(line) for line in got.splitlines() if "chmod" in line]
    assert chmod == ["chmod", "600", *files]


@pytest.mark.parametrize(("count", "line"), [(2, None), (60, "chmod -R go= .")])
def test_modes_are_mended_by_one_command(tmp_path, count, line):
    key = next(key for seed in range(50) if (key := RsaKey.generate(Random(seed), 1024)).regular)
    for number in range(count):
        (tmp_path / f"30{number:022x}.pem").write_bytes(key.private_pem)
    world_readable(tmp_path)
    got, _ = text(tmp_path)
    assert got.count("chmod") == 1
    assert line is None or line in got


CASES = ("tcp-27a-pkcs8-device-key-brewskey", "dtls-12a-retry-loop-wrong-server-key", "seed-001")


@pytest.mark.parametrize("case", CASES)
def test_what_the_heading_says_is_not_said_again(case):
    folder = ZOO.parent / case / "keys"
    (device,) = report(folder)[0]["devices"]
    got = " ".join(text(folder, width=160)[0].split())
    assert got.count(device["verdict"]) == 1
    for part in device["verdict"].split(": "):
        assert len(part) < 20 or got.count(part) == 1, part


@pytest.mark.parametrize("folder", [*sorted(ZOO.glob("*/*")), *(ZOO.parent / case / "keys" for case in CASES)], ids=str)
def test_lines_fit_and_commands_and_names_are_whole(folder):
    ring = load_keys([folder])
    document = json.loads("".join(run_keys_report(ring, "json")[0]))
    names = {key["file"] for key in document["keys"]}
    commands = {line for found in document["findings"] for line in found["commands"]}
    for width in (60, 80, 100, 140):
        got = "".join(run_keys_report(ring, "text", Style(width=width, verbose=True))[0])
        for line in got.splitlines():
            assert line == line.rstrip()
            bare = line.strip()
            # Longer are only those that must not be broken.
            assert (
                len(line) < width
                or bare in commands
                or bare.startswith("chmod")
                or bare.split()[-1].strip(",✗ ") in names
            )
        assert all(name in got for name in names)


def test_width_comes_from_the_environment_as_in_the_other_reports(tmp_path):
    for path in (ZOO / "pairs" / "swapped").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    longest = {}
    for columns in ("60", "140"):
        done = subprocess.run(
            [sys.executable, "-m", "analyzer", "keys", str(tmp_path)],
            env=os.environ | {"COLUMNS": columns, "PYTHONPATH": str(ZOO.parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        prose = [
            line
            for line in done.stdout.splitlines()
            if line.strip().split(" ")[0] not in ("openssl", "particle", "chmod", "cd")
        ]
        longest[columns] = max(map(len, prose))
    assert longest["60"] < 60 < 100 < longest["140"] < 140


def test_a_stream_without_unicode_gets_plain_signs(copied):
    got, _ = text(copied("pairs/cloud-copy-differs"), unicode=False)
    assert got.isascii()
    assert f"!! {DEVICE}  tcp" in got


def test_a_doubt_stands_in_the_heading_and_is_no_failure():
    got, status = text(ZOO.parent / "seed-001" / "keys", width=160)
    lines = got.splitlines()
    assert lines[0] == "2 keys, 1 device, 1 device in doubt"
    assert lines[2].startswith("? 1e0057001147343331323830  tcp  the stored key is none that Particle publishes")
    assert status == 0
