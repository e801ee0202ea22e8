"""Which questions to the keys a result rests on, and whether a changed folder still answers them so."""

from __future__ import annotations

import shutil

import pytest

from analyzer.fleet.answer import given_up
from analyzer.fleet.uses import TracedRing, still_holds
from analyzer.keys import KeyRing, load_keys
from analyzer.model import Role

DEVICE = "300047001147343332373737"
OTHER = "300047001147343332373738"


@pytest.fixture
def folder(captures, tmp_path):
    shutil.copytree(captures / "tcp-02a-cloud-wrong-devkey-brewskey" / "keys", tmp_path / "keys")
    return tmp_path / "keys"


def asked(ring: KeyRing, *questions) -> bytes:
    traced = TracedRing.of(ring)
    for question in questions:
        question(traced)
    return traced.on(given_up("/a", "x", "y")).uses


ABOUT = {
    "device": lambda ring: ring.for_device(DEVICE, Role.CLOUD_COPY),
    "owner": lambda ring: ring.owner_of(ring.__dict__["keys"][0].spki),
    "address": lambda ring: ring.server_address_for(DEVICE),
    "role": lambda ring: ring.by_role(Role.CLOUD_COPY),
    "trial": lambda ring: ring.trial_order(Role.DEVICE_PRIVATE, "rsa", likely=(DEVICE,)),
    "keys": lambda ring: ring.keys,
    "count": len,
    "secrets": lambda ring: ring.session_secrets,
    "rows": lambda ring: ring.rows(),
}


@pytest.mark.parametrize("question", ABOUT)
def test_the_same_folder_gives_the_same_answers(folder, question):
    assert still_holds(asked(load_keys((folder,)), ABOUT[question]), load_keys((folder,)))


@pytest.mark.parametrize("question", ["device", "owner", "address", "role", "keys", "count", "rows"])
def test_a_changed_key_of_the_device_changes_every_answer_it_is_in(folder, question):
    uses = asked(load_keys((folder,)), ABOUT[question])
    for file in folder.glob(f"{DEVICE}*"):
        file.unlink()
    assert not still_holds(uses, load_keys((folder,)))


def test_another_devices_key_does_not_touch_what_asked_for_one_device(folder):
    before = load_keys((folder,))
    device, role = asked(before, ABOUT["device"]), asked(before, ABOUT["role"])
    shutil.copy(folder / f"{DEVICE}.pub.pem", folder / f"{OTHER}.pub.pem")
    after = load_keys((folder,))
    assert still_holds(device, after)
    assert not still_holds(role, after)


def test_one_byte_of_a_private_key_is_a_change(folder):
    uses = asked(load_keys((folder,)), ABOUT["device"])
    file = folder / f"{DEVICE}.der"
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    assert not still_holds(uses, load_keys((folder,)))


def test_what_cannot_be_understood_holds_for_nothing(folder):
    assert not still_holds(b"", load_keys((folder,)))
    assert not still_holds(b"junk", load_keys((folder,)))


def test_every_public_way_into_a_ring_is_traced(folder):
    """A method added to the ring later must be traced, or a changed key could leave a stale result."""
    traced = {"by_role", "for_device", "by_fingerprint", "trial_order", "session_secrets", "with_secrets", "keys"}
    through_those = {"by_spki", "owner_of", "server_address_for", "rows", "of_only_owner", "records"}
    #: Files that are no keys, what the program itself ships, and the folder's name: no verdict rests on them.
    untouched = {"skipped", "findings", "published", "fingerprint_of_folder"}
    public = {name for name in (*vars(KeyRing), *vars(load_keys((folder,)))) if not name.startswith("_")}
    assert public <= traced | through_those | untouched
