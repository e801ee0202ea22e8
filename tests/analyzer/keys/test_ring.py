"""Look-ups of a ring, and the order of trials on a session that names no device."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from analyzer.keys import KeyRing, load_keys, may_open
from analyzer.keys.published import PARTICLE_EC_SPKI, PARTICLE_RSA_SPKI, PUBLISHED
from analyzer.model import Role
from captures.synth.keys import RsaKey, server_slot

IDS = [f"30{number:022x}" for number in range(6)]
RNG = Random("ring")
KEYS = [next(key for _ in range(50) if (key := RsaKey.generate(RNG, 1024)).regular) for _ in IDS]
CLOUD = RsaKey.generate(RNG, 2048)


@pytest.fixture(scope="module")
def ring(tmp_path_factory) -> KeyRing:
    folder = tmp_path_factory.mktemp("ring")
    for device_id, key in zip(IDS, KEYS, strict=True):
        (folder / f"{device_id}.der").write_bytes(key.pkcs1)
        (folder / f"{device_id}.pub.pem").write_bytes(key.public_pem)
    (folder / f"pre_{IDS[0]}_new.der").write_bytes(RsaKey.generate(RNG, 1024).pkcs1)
    (folder / f"{IDS[0]}.server_key.der").write_bytes(server_slot(CLOUD.spki, "cloud.example.org", 5683))
    (folder / "default_key.pem").write_bytes(CLOUD.private_pem)
    (folder / "damaged.der").write_bytes(b"\xff" * 612)
    return load_keys([folder])


def test_lookups(ring):
    assert [key.file for key in ring.for_device(IDS[1])] == [f"{IDS[1]}.der", f"{IDS[1]}.pub.pem"]
    assert [key.file for key in ring.for_device(IDS[1].upper(), Role.CLOUD_COPY, "rsa")] == [f"{IDS[1]}.pub.pem"]
    assert ring.for_device(IDS[1], Role.CLOUD_COPY, "ec") == []
    assert ring.for_device(None) == []
    assert [key.superseded for key in ring.for_device(IDS[0], Role.DEVICE_PRIVATE)] == [False, True]
    assert {key.role for key in ring.by_spki(KEYS[2].spki)} == {Role.DEVICE_PRIVATE, Role.CLOUD_COPY}
    assert ring.owner_of(KEYS[2].spki) == ring.owner_of(ring.by_spki(KEYS[2].spki)[0].fingerprint) == IDS[2]
    assert ring.owner_of(CLOUD.spki) is None
    assert len(ring.by_role(Role.CLOUD_PRIVATE, "rsa")) == 1
    assert str(ring.server_address_for(IDS[0])) == "cloud.example.org:5683"
    assert ring.server_address_for(IDS[0], "udp") is None
    assert ring.server_address_for(IDS[1]) is None


def test_rows_are_in_file_order_and_survive_pickling(ring):
    assert [row.file for row in ring.rows()] == sorted(row.file for row in ring.rows())
    again = pickle.loads(pickle.dumps(ring))
    assert again.rows() == ring.rows()
    assert again.keys[0].rsa == ring.keys[0].rsa


def test_trial_order_likely_first_damaged_last_each_key_once(ring):
    order = ring.trial_order(Role.DEVICE_PRIVATE, "rsa", likely=[IDS[4], "nobody", IDS[0]])
    assert [key.device_id for key in order[:2]] == [IDS[4], IDS[0]]
    assert order[-1].file == "damaged.der"
    assert len(order) == len({id(key) for key in order}) == 8
    assert ring.trial_order(Role.DEVICE_PRIVATE, "ec") == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_trials_keep_the_right_key_and_their_order(ring, jobs):
    order = ring.trial_order(Role.DEVICE_PRIVATE, "rsa") * 60
    public = rsa.RSAPublicNumbers(65537, KEYS[3].n).public_key()
    passed = list(may_open(order, public.encrypt(bytes(40), padding.PKCS1v15()), (40,), jobs=jobs))
    assert sum(key.device_id == IDS[3] for key in passed) == 60
    waiting = iter(order)
    assert all(any(key is other for other in waiting) for key in passed)
    assert len(passed) < 250


def test_trials_may_be_left_early(ring):
    order = ring.trial_order(Role.DEVICE_PRIVATE, "rsa") * 200
    public = rsa.RSAPublicNumbers(65537, KEYS[0].n).public_key()
    first = next(may_open(order, public.encrypt(bytes(40), padding.PKCS1v15()), (40,), jobs=2))
    assert first.rsa is not None


def test_secrets_of_a_pcapng_join_the_ring(ring):
    client, master = bytes(range(32)), bytes(range(48))
    block = f"CLIENT_RANDOM {client.hex()} {master.hex()}\n".encode()
    more = ring.with_secrets([block, b"\xff\xfe junk"])
    assert more.session_secrets[client].master_secret == master
    assert more.rows()[-1].role is Role.SESSION_SECRETS
    assert ring.session_secrets == {}
    assert more.with_secrets([block]) is more
    assert ring.with_secrets([]) is ring
    assert master.hex() not in repr(more.keys[-1]) + repr(more)


def test_published_keys_are_the_published_ones(ring):
    # SHA-256 as listed in particle-cli assets/keys (rsa.pub.der, ec.pub.der) and in device-os; see the reference.
    import hashlib

    for spki in (PARTICLE_RSA_SPKI, PARTICLE_EC_SPKI):
        assert hashlib.sha256(spki).hexdigest() in PUBLISHED
    modulus = hashlib.sha256(PARTICLE_RSA_SPKI[33:289]).hexdigest()
    assert modulus == "3cdc4b73587ae7c71a55632fe1a30d63176af1c1d21c0b191d677027ea6a64a5"
    assert PARTICLE_EC_SPKI[26:].startswith(bytes.fromhex("04509bfc185648c33f"))
    assert [key.algorithm for key in ring.published] == ["rsa", "ec"]
    assert ring.by_spki(PARTICLE_EC_SPKI) == [ring.published[1]]


def test_published_key_in_a_folder_is_recognised(tmp_path):
    (tmp_path / "rsa.pub.der").write_bytes(PARTICLE_RSA_SPKI)
    (key,) = load_keys([tmp_path]).keys
    assert key.role is Role.CLOUD_PUBLIC
    assert "published-key" in {found.code for found in key.findings}


def test_golden_real_folders_have_the_roles_of_their_names():
    captures = Path(__file__).resolve().parents[3] / "captures"
    endings = {
        "server_key.der": Role.DEVICE_SERVER_KEY, "default_key.pem": Role.CLOUD_PRIVATE, "default_key.pub.pem": Role.CLOUD_PUBLIC,
        "server.pub.der": None, "cloud.pub.der": Role.CLOUD_COPY, "device.der": Role.DEVICE_PRIVATE, "server.der": Role.CLOUD_PRIVATE,
        "device.pub.der": Role.DEVICE_PUBLIC, ".bin": Role.SESSION_SECRETS, ".pub.pem": Role.CLOUD_COPY, ".der": Role.DEVICE_PRIVATE,
    }  # fmt: skip
    seen = 0
    for folder in sorted((*captures.glob("tcp-*/keys"), *captures.glob("dtls-*/keys"))):
        ring = load_keys([folder])
        assert not ring.skipped
        for key in ring.keys:
            role = next(role for ending, role in endings.items() if key.file.endswith(ending))
            if role is None:
                role = Role.CLOUD_PUBLIC if key.file == "server.pub.der" else Role.DEVICE_SERVER_KEY
            assert key.role is role, (folder.parent.name, key.file)
            seen += 1
    assert seen > 100
