"""Keys against a DTLS attempt: what is proved, what is refuted, what stays open, and what nobody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.decrypt.dtls import decrypt
from analyzer.decrypt.signers import common_signer, exchanges, proves_possession, server_keys, signed_by
from analyzer.decrypt.vault import Vault
from analyzer.keys import KeyRing, load_keys
from analyzer.model import Outcome, Proof, Role
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.events import Direction
from tests.dissectors.dtls.flows import CAPTURES, attempts

DEVICE = "0a10aced202194944a042f01"


def ring(case: str, *only: str) -> KeyRing:
    folder = CAPTURES / f"dtls-{case}"
    paths = [path for path in (folder / "keys", folder / "sslkeys.log") if path.exists()]
    if only:
        paths = [folder / name if name == "sslkeys.log" else folder / "keys" / name for name in only]
    return load_keys(paths)


def vault(keys: KeyRing, *seen: DtlsAttempt) -> Vault:
    made = Vault(keys)
    for attempt in seen:
        made.learn(attempt)
    return made


def test_a_good_session_proves_every_key():
    keys = ring("01-good")
    (attempt,) = attempts("01-good")
    found = decrypt(attempt, keys, vault(keys, attempt))
    proved = {(row.stage, row.key, row.proof) for row in found.attempts if row.outcome is Outcome.PROVED}
    assert {
        ("server-key-exchange", f"{DEVICE}.server.pub.der", Proof.SIGNATURE),
        ("device-certificate", f"{DEVICE}.device.der", Proof.FINGERPRINT),
        ("device-certificate", f"{DEVICE}.cloud.pub.der", Proof.FINGERPRINT),
    } <= proved
    assert all(
        row.proof is not Proof.NONE for row in found.attempts if row.outcome in (Outcome.PROVED, Outcome.REFUTED)
    )
    assert (len(found.good), len(found.bad_records)) == (28, 0)
    assert found.finished == {Direction.UP: True, Direction.DOWN: True}
    assert (found.device_id, found.family) == (DEVICE, "dtls-107")


def test_without_keys_only_the_wire_s_own_signature_is_checked():
    (attempt,) = attempts("01-good")
    found = decrypt(attempt, KeyRing(), Vault(KeyRing()))
    by_stage = {row.stage: row.outcome for row in found.attempts}
    assert by_stage == {
        "device-finished": Outcome.NO_KEY,
        "device-certificate": Outcome.NO_KEY,
        "certificate-verify": Outcome.PROVED,
        # The published key is always in hand.
        "server-key-exchange": Outcome.REFUTED,
    }
    assert found.records == []


def test_a_key_log_needs_the_handshake_and_a_dump_does_not():
    """11a: a resumed session; its key log lacks the server's random, its dump has it."""
    (resumed,) = attempts("11a-resumed-and-moved")
    log = ring("11a-resumed-and-moved", "sslkeys.log")
    assert decrypt(resumed, log, vault(log, resumed)).held is None
    dump = ring("11a-resumed-and-moved", "session.bin")
    found = decrypt(resumed, dump, vault(dump, resumed))
    assert found.held is not None
    assert found.held.persisted is not None
    assert len(found.good) == len(resumed.transcript.records)


def test_a_dump_opens_the_handshake_it_was_made_in():
    keys = ring("01-good", "session.bin")
    (attempt,) = attempts("01-good")
    assert decrypt(attempt, keys, vault(keys, attempt)).finished == {Direction.UP: True, Direction.DOWN: True}


def test_a_secret_learnt_elsewhere_opens_a_flow_without_handshake():
    (whole,) = attempts("01-good")
    keys = ring("01-good", "sslkeys.log")
    tail = vault(keys, whole)
    from tests.dissectors.dtls.flows import datagrams, feed

    (moved,) = feed(datagrams("01-good")[20:])
    assert moved.kind == "resumed"
    assert decrypt(moved, keys, vault(keys)).held is None
    assert decrypt(moved, keys, tail).held is not None


def test_damaged_records_are_named_and_their_neighbours_open():
    keys = ring("16b-app-record-corrupted-to-device")
    (attempt,) = attempts("16b-app-record-corrupted-to-device")
    found = decrypt(attempt, keys, vault(keys, attempt))
    assert [item.direction for item in found.bad_records] == [Direction.DOWN, Direction.DOWN]
    assert {item.type for item in found.bad_records} == {"undecryptable"}
    assert len(found.good) == 25


@pytest.mark.parametrize(
    ("case", "holds"),
    [("01-good", True), ("02a-unknown-device-key-alert", True), ("04a-private-key-not-matching-silent", False)],
)
def test_possession_is_proved_or_refuted_by_the_wire(case: str, holds: bool):
    for attempt in attempts(case):
        assert attempt.device_certificate is not None
        assert proves_possession(attempt, attempt.device_certificate.public_key or b"") is holds


def test_possession_is_open_when_a_message_is_missing():
    from tests.dissectors.dtls.flows import datagrams, feed

    good = datagrams("01-good")
    for missing in (4, 5, 6, 7, 9, 10):
        (attempt,) = feed([datagram for datagram in good if datagram.frame != missing])
        key = attempt.device_certificate.public_key if attempt.device_certificate else b""
        assert proves_possession(attempt, key or b"") is None


def test_the_scalar_of_a_damaged_slot_is_found():
    keys = ring("04a-private-key-not-matching-silent")
    for attempt in attempts("04a-private-key-not-matching-silent"):
        found = decrypt(attempt, keys, Vault(keys))
        assert found.scalar is not None
        assert found.scalar.role is Role.DEVICE_PRIVATE


def test_each_server_key_is_tried_once_per_kind_of_file_and_the_device_s_own_first():
    keys = ring("13-several-devices")
    own = server_keys(keys, "0a10aced202194944a042f04")
    assert own[0][0].file == "0a10aced202194944a042f04.server.pub.der"
    files = [(key.file, more) for key, more in own]
    assert len({key.fingerprint for key, _ in own}) == 3
    assert ("0a10aced202194944a042f02.server.pub.der", 0) in files
    assert own[-1][0].file == "(published by Particle)"


def test_a_signature_is_nobody_s_when_its_hello_is_missing():
    from tests.dissectors.dtls.flows import datagrams, feed

    (attempt,) = feed([datagram for datagram in datagrams("01-good") if datagram.frame not in (1, 3)])
    assert list(exchanges(attempt)) == []
    assert signed_by(attempt, ring("01-good").by_role(Role.CLOUD_PUBLIC)[0].spki or b"") is None
    found = decrypt(attempt, ring("01-good"), Vault(KeyRing()))
    assert [row.outcome for row in found.attempts if row.stage == "server-key-exchange"] == [Outcome.UNDECIDED]


def test_the_same_attempt_twice_has_no_common_signer():
    """A retransmitted signature is one signature: two different messages are needed."""
    first = attempts("03-wrong-server-key-on-device")[0]
    signed = [(item, message) for item, message, _ in exchanges(first)]
    assert common_signer([*signed, *signed]) is None


def test_secrets_do_not_show(tmp_path: Path):
    keys = ring("01-good")
    (attempt,) = attempts("01-good")
    found = decrypt(attempt, keys, vault(keys, attempt))
    assert found.held is not None
    master = found.held.secret.master
    assert master.hex() not in repr(found)
    assert repr(master) not in repr(found)
