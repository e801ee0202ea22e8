"""Plaintext against Wireshark's: every record that tshark can decrypt, byte for byte; and what it cannot."""

from __future__ import annotations

import re
import subprocess

import pytest

from dissectors.dtls.crypto import RecordKeys, Secret
from dissectors.dtls.persist import SessionPersist
from dissectors.dtls.record import WireRecord
from tests.dissectors.dtls.flows import CAPTURES, attempts, key_log

pytestmark = pytest.mark.tshark


def plaintexts_of_tshark(tshark: str, case: str) -> dict[int, list[bytes]]:
    """Frame number to the bytes of its "Decrypted DTLS" blocks."""
    folder = CAPTURES / f"dtls-{case}"
    command = [tshark, "-o", f"tls.keylog_file:{folder / 'sslkeys.log'}", "-r", str(folder / "capture.pcap")]
    numbers = subprocess.run(
        [*command, "-T", "fields", "-e", "frame.number"], capture_output=True, text=True, check=True
    )
    dump = subprocess.run([*command, "-x"], capture_output=True, text=True, check=True)
    found: dict[int, list[bytes]] = {}
    packets = dump.stdout.split("\n\n")
    # One packet may print several blocks; a block that begins with "Frame" or has no title starts the next packet.
    number = 0
    for block in packets:
        title = block.lstrip().split("\n", 1)[0]
        if not title:
            continue
        if not title.startswith("Decrypted"):
            number += 1
            blocks = re.split(r"\n(?=Decrypted )", block)[1:]
        else:
            blocks = [block]
        for inner in blocks:
            if inner.startswith("Decrypted DTLS"):
                hexes = [line[6:54] for line in inner.split("\n")[1:] if re.match(r"[0-9a-f]{4}  ", line)]
                found.setdefault(number, []).append(bytes.fromhex("".join(hexes)))
    assert number == len(numbers.stdout.split())
    return found


def our_plaintexts(case: str) -> dict[int, list[bytes]]:
    secrets = key_log(case)
    found: dict[int, list[bytes]] = {}
    for attempt in attempts(case):
        if attempt.client_random not in secrets:
            continue
        secret = Secret(attempt.client_random, attempt.flight.hello.random, secrets[attempt.client_random])
        keys = RecordKeys(secret.key_block())
        for record in attempt.transcript.records:
            opened = keys.open(record.direction, WireRecord.from_parts(record.header, record.fragment))
            if opened is not None:
                found.setdefault(record.frames[0], []).append(opened.content)
    return found


@pytest.mark.parametrize(
    "case",
    ["01-good", "02e-two-keys-swapped-between-devices", "10a-loss-reorder-dup-by-rule", "11c-resumed-cloud-forgot",
     "16b-app-record-corrupted-to-device", "23b-gnutls-fragmented-altered-device"],
)  # fmt: skip
def test_plaintext_equals_tshark_s(tshark, case):
    theirs = plaintexts_of_tshark(tshark, case)
    assert theirs
    assert our_plaintexts(case) == theirs


@pytest.mark.parametrize("case", ["30-engine-290", "30-engine-222e"])
def test_moved_and_connection_id_records_open_beyond_tshark(tshark, case):
    theirs, ours = plaintexts_of_tshark(tshark, case), our_plaintexts(case)
    assert {frame: ours[frame] for frame in theirs} == theirs
    moved = {frame: plain for frame, plain in ours.items() if frame not in theirs}
    assert [b"\x40\0\0\2"] in [*moved.values()]


@pytest.mark.parametrize("case", ["11a-resumed-and-moved", "11e-reconnect-ping-instead-of-hello"])
def test_a_dump_opens_resumed_sessions_that_tshark_cannot(tshark, case):
    session = SessionPersist.from_wire((CAPTURES / f"dtls-{case}" / "keys" / "session.bin").read_bytes())
    keys = RecordKeys(Secret(session.client_random, session.server_random, session.master_secret).key_block())
    (attempt,) = attempts(case)
    assert attempt.transcript.records
    for record in attempt.transcript.records:
        assert keys.open(record.direction, WireRecord.from_parts(record.header, record.fragment)) is not None
    assert plaintexts_of_tshark(tshark, case) == {}
