"""Remedies: every verdict has one, names are filled in, orders have a reason, and nothing hostile reaches a shell."""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.firmware import RemedyContext, finding_remedy, kinds_of_missing_evidence, missing_evidence, remedy
from analyzer.firmware.remedies import plan, steps
from analyzer.firmware.tables import table
from analyzer.model import Code

ID = "300047001147343332373737"
FULL = {
    "device_id": ID,
    "device_private": f"keys/{ID}.der",
    "device_public": f"keys/{ID}.device.pub.pem",
    "cloud_copy": f"keys/{ID}.pub.pem",
    "cloud_private": "keys/default_key.pem",
    "cloud_public": "keys/default_key.pub.pem",
    "device_server_key": f"keys/{ID}.server_key.der",
    "host": "cloud.example.com",
    "port": 5683,
    "stored_address": "203.0.113.9",
    "device_address": "192.168.1.50",
}
KINDS = (None, True, False)


def commands(code: Code, **context: object) -> list[str]:
    return [line for item in remedy(code, RemedyContext(**context)) for line in item.commands]


def test_every_verdict_has_a_plan_of_steps_that_exist_and_every_step_is_used():
    used = set(itertools.chain.from_iterable(table("remedies")["findings"].values()))
    for code, transport in itertools.product(Code, ("tcp", "udp")):
        used |= set(plan(code, transport))
    assert used == set(steps())


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_template_can_be_filled_whatever_is_known(code, transport):
    for particle, known, platform in itertools.product(KINDS, ({}, FULL), (None, "Electron")):
        context = RemedyContext(transport=transport, is_particle_cloud=particle, platform=platform, **known)
        found = remedy(code, context)
        assert bool(found) == (code is not Code.HEALTHY)
        for item in found:
            assert item.text and "{" not in item.text
            assert all(line and "{" not in line for line in item.commands)


def test_the_first_screens_example_names_the_files_in_hand():
    found = commands(Code.DEVICE_KEY_MISMATCH, **(FULL | {"device_public": None}))
    assert found[0] == f"openssl rsa -inform DER -in keys/{ID}.der -pubout -out {ID}.device.pub.pem"
    assert f"cp {ID}.device.pub.pem SERVER/data/deviceKeys/{ID}.pub.pem" in found
    assert f"particle keys send {ID} {ID}.device.pub.pem" in found


def test_causes_that_cannot_be_told_apart_are_tried_in_an_order_with_its_reason():
    (first, *_) = remedy(Code.IDENTITY_REJECTED, RemedyContext(device_id=ID, is_particle_cloud=True))
    assert first.commands == ("particle keys server",)  # does no harm where it was right
    assert "a wrong one hides every other fault" in first.text and "Only if it still fails" in first.text
    (first, *_) = remedy(Code.HANDSHAKE_STALLED, RemedyContext(transport="udp", device_id=ID, is_particle_cloud=True))
    # UDP: nothing is written before it was read.
    assert first.commands == ("particle keys address", f"particle keys save {ID}.device.der")
    # The 384 bytes came: the server understood the device, so its own key pair is the likelier fault.
    (first, *_) = remedy(Code.SESSION_KEY_UNUSABLE, RemedyContext(device_id=ID, is_particle_cloud=True))
    assert first.commands == ("particle keys server",)
    assert "the device's own pair is the likelier fault" in first.text


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_custom_device_is_never_sent_to_particles_cloud(code, transport):
    # `particle keys server` without an address writes Particle's (failure-modes.md row 28).
    for line in commands(code, transport=transport, is_particle_cloud=False, **FULL):
        if "keys server" in line:
            assert "cloud.example.com" in line
        assert "keys doctor" not in line or "3.9.0" in line or code in (Code.SERVER_KEY_MISMATCH, Code.HELLO_UNANSWERED)


@pytest.mark.parametrize("code", Code)
def test_a_device_of_particles_cloud_is_never_given_a_custom_servers_files(code):
    for line in commands(code, is_particle_cloud=True, **FULL):
        assert "SERVER/" not in line and "--host" not in line


@pytest.mark.parametrize("code", Code)
def test_keys_are_of_the_transports_kind(code):
    for kind in KINDS:
        assert not any(" ec " in line for line in commands(code, transport="tcp", is_particle_cloud=kind))
        assert not any("rsa" in line for line in commands(code, transport="udp", is_particle_cloud=kind))


def test_the_protocol_option_is_only_given_to_a_particle_cli_that_knows_it():
    # Gone since 3.16.0 (CHANGELOG of the published package).
    for code, kind in itertools.product(Code, KINDS):
        for line in commands(code, is_particle_cloud=kind, platform="Electron"):
            assert ("--protocol" in line) == ("particle-cli@3.9.0" in line)


def test_what_differs_with_an_older_particle_cli_comes_last():
    found = remedy(Code.SERVER_KEY_MISMATCH, RemedyContext(is_particle_cloud=False, **FULL))
    older = [item.text.startswith("With an older particle-cli") for item in found]
    assert older == sorted(older) and any(older)
    assert "particle keys server default_key.pub.der cloud.example.com" in found[older.index(True)].commands


def test_the_servers_own_folder_is_named_when_its_layout_is_known():
    brewskey = commands(Code.DEVICE_KEY_MISMATCH, device_id=ID, cloud_copy=f"data/deviceKeys/{ID}.pub.pem")
    assert any("data/deviceKeys" in line for line in brewskey) and not any("core_keys" in line for line in brewskey)
    spark = commands(Code.DEVICE_KEY_MISMATCH, device_id=ID, cloud_copy=f"core_keys/{ID}.pub.pem")
    assert any("core_keys" in line for line in spark) and not any("deviceKeys" in line for line in spark)


def test_a_port_is_given_only_when_it_is_not_the_usual_one():
    def server(port: int) -> str:
        lines = commands(Code.SERVER_KEY_MISMATCH, is_particle_cloud=False, host="h.example", port=port)
        return next(line for line in lines if line.startswith("particle keys server"))

    assert server(5683).endswith("--host h.example")
    assert server(8000).endswith("--host h.example --port 8000")


def run(line: str, folder: Path) -> None:
    subprocess.run(shlex.split(line), cwd=folder, check=True, capture_output=True)


@pytest.fixture
def openssl() -> str:
    path = shutil.which("openssl")
    if path is None:
        pytest.skip("openssl is not installed")
    return path


def test_the_commands_for_a_new_tcp_pair_make_a_key_the_device_can_read(tmp_path, openssl):
    lines = [line for line in commands(Code.DEVICE_KEY_CORRUPT, device_id=ID) if line.startswith("openssl")]
    assert len(lines) == 3
    for line in lines:
        run(line, tmp_path)
    der = (tmp_path / f"{ID}_rsa_new.der").read_bytes()
    # PKCS#1: SEQUENCE, version 0, and the modulus at byte 11, where the firmware looks (handshake.cpp); 607-611 bytes.
    assert 607 <= len(der) <= 611
    assert der[4:11] == bytes.fromhex("02010002818100")
    key = load_der_private_key(der, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert int.from_bytes(der[11:139]) == key.public_key().public_numbers().n
    public = load_pem_public_key((tmp_path / f"{ID}_rsa_new.pub.pem").read_bytes())
    assert public == key.public_key()


def test_the_commands_for_a_new_udp_pair_make_a_key_the_device_can_read(tmp_path, openssl):
    lines = commands(Code.DEVICE_KEY_CORRUPT, transport="udp", device_id=ID, is_particle_cloud=False)
    for line in lines:
        if line.startswith("openssl"):
            run(line, tmp_path)
    der = (tmp_path / f"{ID}_ec_new.der").read_bytes()
    assert len(der) == 121 and isinstance(load_der_private_key(der, None), ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize("form", ["der", "pem"])
def test_the_public_half_is_made_from_the_file_in_hand(tmp_path, openssl, form):
    key = rsa.generate_private_key(65537, 1024)
    encoding = Encoding.DER if form == "der" else Encoding.PEM
    (tmp_path / f"dev.{form}").write_bytes(
        key.private_bytes(encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    run(commands(Code.DEVICE_KEY_MISMATCH, device_id=ID, device_private=f"dev.{form}")[0], tmp_path)
    assert load_pem_public_key((tmp_path / f"{ID}.device.pub.pem").read_bytes()) == key.public_key()


@pytest.mark.parametrize("source", ["cloud_private", "cloud_public"])
def test_the_clouds_public_key_is_made_a_der_file_before_it_is_loaded(tmp_path, openssl, source):
    key = rsa.generate_private_key(65537, 2048)
    name = "default_key.pem" if source == "cloud_private" else "default_key.pub.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    if source == "cloud_public":
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / name).write_bytes(pem)
    made, loaded, *_ = commands(Code.SERVER_KEY_MISMATCH, is_particle_cloud=False, host="h.example", **{source: name})
    run(made, tmp_path)
    der = (tmp_path / "default_key.pub.der").read_bytes()
    assert len(der) == 294 and loaded == "particle keys server default_key.pub.der --host h.example"


def test_a_key_that_only_the_slot_holds_is_cut_out_of_its_dump(tmp_path, openssl):
    """With another cloud's key beside it in the folder: that one would put the device at the wrong cloud."""
    spki = (
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "slot.der").write_bytes(spki.ljust(512, b"\xff"))
    made, loaded, *_ = commands(
        Code.SERVER_KEY_MISMATCH, is_particle_cloud=False, device_id=ID, stored_key=True,
        device_server_key="slot.der", cloud_public="default_key.pub.pem", host="h.example",
    )  # fmt: skip
    run(made, tmp_path)
    assert (tmp_path / f"{ID}.stored_key.der").read_bytes() == spki
    assert loaded == f"particle keys server {ID}.stored_key.der --host h.example"


NAMES = [
    field.name
    for field in fields(RemedyContext)
    if field.name not in ("transport", "port", "is_particle_cloud", "missing", "stored_key")
]
SHELL = set(";|&<>()`$\n\r\x1b")


def operators(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=False, punctuation_chars=True)
    lexer.whitespace_split = True
    return [token for token in lexer if set(token) <= set(";|&<>()") and token]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60)), st.sampled_from(list(Code)), st.sampled_from(KINDS)
)
@settings(max_examples=300)
def test_whatever_the_names_are_a_command_does_only_what_its_template_does(names, code, particle):
    for transport in ("tcp", "udp"):
        plain = remedy(code, RemedyContext(transport=transport, is_particle_cloud=particle))
        hostile = remedy(code, RemedyContext(transport=transport, is_particle_cloud=particle, **names))
        kept = remedy(code, RemedyContext(transport=transport, is_particle_cloud=particle, stored_key=True, **names))
        allowed = {tuple(operators(line)) for item in plain for line in item.commands} | {()}
        for item in (*hostile, *kept):
            for line in item.commands:
                assert line.isprintable()
                assert tuple(operators(line)) in allowed
                assert "`" not in line and "$(" not in line


def test_a_hostile_name_is_shown_as_a_placeholder():
    for bad in ("a; rm -rf ~", "-rf", "x\n y", "\x1b[2J.der", "$(id).der", "`id`.der"):
        line = commands(Code.DEVICE_KEY_MISMATCH, device_id=ID, device_private=bad)[0]
        assert bad not in line
    quoted = commands(Code.DEVICE_KEY_MISMATCH, device_id=ID, device_private="my keys/dev (1).der")[0]
    assert "'my keys/dev (1).der'" in quoted


def test_missing_evidence_says_what_why_so_what_and_how():
    context = RemedyContext(device_id=ID, device_address="192.168.1.50", port=5683)
    for kind in kinds_of_missing_evidence():
        item = missing_evidence(kind, context)
        assert item.text.count(". ") + 1 >= 3 and "{" not in item.text
    found = missing_evidence("one-direction", context)
    assert found.commands == (
        "tcpdump -i any -s 0 -w device.pcap 'host 192.168.1.50 and (port 5683 or port 53 or icmp)'",
    )
    last = remedy(Code.CAPTURE_INCOMPLETE, RemedyContext(missing=("packets-cut",)))[-1]
    assert last.text.startswith("The packets are cut short")


def test_the_capture_filter_is_one_tcpdump_accepts():
    tcpdump = shutil.which("tcpdump") or "/usr/sbin/tcpdump"
    if not Path(tcpdump).exists():
        pytest.skip("tcpdump is not installed")
    line = missing_evidence("mid-session", RemedyContext(device_address="2001:db8::1", port=5684)).commands[0]
    expression = shlex.split(line)[-1]
    # -d compiles the filter and prints its program, without touching an interface (-y gives the link type).
    done = subprocess.run([tcpdump, "-y", "EN10MB", "-d", expression], capture_output=True, text=True, check=False)
    if "permission" in done.stderr.lower() or "No such device" in done.stderr:
        pytest.skip("tcpdump may not run here")
    assert done.returncode == 0, done.stderr


def test_findings_have_their_own_remedies():
    lost = finding_remedy("server-address-lost", RemedyContext(host="h.example", cloud_private="default_key.pem"))
    assert any("--host h.example" in line for item in lost for line in item.commands)
    assert finding_remedy("no-such-finding", RemedyContext()) == ()
