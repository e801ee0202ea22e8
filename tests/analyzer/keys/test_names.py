"""File names of every era: what they claim, and nothing more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.keys.names import hint
from analyzer.model import Role

ID = "300047001147343332373737"
PRIVATE, PUBLIC, COPY, STORED = Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY, Role.DEVICE_SERVER_KEY


@pytest.mark.parametrize(
    ("name", "role"),
    [
        # contract, section 2
        (f"{ID}.der", PRIVATE), (f"{ID}.pem", PRIVATE), (f"{ID}.device.der", PRIVATE), (f"{ID}_new.der", PRIVATE),
        (f"{ID}_rsa_new.der", PRIVATE), ("device.der", PRIVATE),
        (f"{ID}.device.pub.der", PUBLIC), (f"{ID}.device.pub.pem", PUBLIC),
        (f"{ID}.pub.pem", COPY), (f"{ID}.pub.der", COPY), (f"{ID}.cloud.pub.der", COPY), (f"{ID}.cloud.pub.pem", COPY),
        ("default_key.pem", Role.CLOUD_PRIVATE), ("server.der", Role.CLOUD_PRIVATE), ("server.pem", Role.CLOUD_PRIVATE),
        ("cloud.pem", Role.CLOUD_PRIVATE), ("server2_default_key.pem", Role.CLOUD_PRIVATE),
        ("default_key.pub.pem", Role.CLOUD_PUBLIC), ("server.pub.der", Role.CLOUD_PUBLIC), ("cloud_public.der", Role.CLOUD_PUBLIC),
        (f"{ID}.server.pub.der", STORED), (f"{ID}.server_key.der", STORED), (f"{ID}_server.der", STORED),
        ("a.keylog", Role.SESSION_SECRETS), ("sslkeys.log", Role.SESSION_SECRETS), ("sslkeys-2.txt", Role.SESSION_SECRETS),
        ("session.bin", Role.SESSION_SECRETS), (f"{ID}.session.bin", Role.SESSION_SECRETS), ("session_after.bin", Role.SESSION_SECRETS),
        # particle-cli of every era, spark-protocol
        (f"pre_{ID}_new.der", PRIVATE), (f"backup_rsa_{ID}_rsa_new.der", PRIVATE), (f"backup_ecc_{ID}_ecc_new.der", PRIVATE),
        (f"{ID}_rsa_new.pub.pem", PUBLIC), (f"{ID}_new.pub.pem", PUBLIC), (f"{ID}_handshake.pub.pem", PUBLIC),
        ("core_private.der", PRIVATE), ("photon.der", PRIVATE), ("photon.pub.pem", PUBLIC),
    ],
)  # fmt: skip
def test_name_claims_a_role(name, role):
    found = hint(name)
    assert found.role is role
    assert found.device_id == (ID if ID in name else None)


@pytest.mark.parametrize("folder", ["core_keys", "deviceKeys", "data/deviceKeys", "server/core_keys"])
def test_server_folders_hold_the_clouds_copies(folder):
    assert hint(f"{folder}/{ID}.pem").public is COPY
    assert hint(f"{folder}/{ID}.pub.pem").role is COPY
    assert hint(f"{folder}/{ID}_handshake.pub.pem").role is PUBLIC


def test_upper_case_and_the_folder_of_a_device_name_it():
    assert hint(f"{ID.upper()}.DER").device_id == ID
    assert hint(f"{ID}/device.der").device_id == ID
    assert hint(f"{ID}/device.der").role is PRIVATE
    assert hint(f"{ID}/server.der").public is STORED


def test_backups_are_told_apart():
    assert hint(f"pre_{ID}_new.der").superseded
    assert hint(f"backup_rsa_{ID}_rsa_new.der").superseded
    assert not hint(f"{ID}_rsa_new.der").superseded


@pytest.mark.parametrize("name", [f"{ID}0.der", f"a{ID}.der", ID[:-1] + ".der", "notes.txt", "x.der"])
def test_nothing_is_read_into_other_names(name):
    assert hint(name).device_id is None


@given(st.text(max_size=80))
def test_any_name_gives_a_hint(name):
    hint(name)
