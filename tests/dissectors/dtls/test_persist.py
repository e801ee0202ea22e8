"""A saved session: dumps the firmware wrote, every layout, found inside a RAM dump, and its keys checksum."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dissectors.dtls.persist import LAYOUTS, SessionPersist, find_sessions, keys_checksum
from dissectors.errors import Malformed, Truncated, WireError

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
#: Written by device-os v0.6.4 (virtual device, 64-bit), beside the NSS key log of the same handshake.
GOOD = CAPTURES / "dtls-01-good"
DEVICE = "0a10aced202194944a042f01"


def dump(case: str = "01-good", name: str = "session.bin") -> bytes:
    return (CAPTURES / f"dtls-{case}" / "keys" / name).read_bytes()


def random_and_master(case: str) -> set[tuple[bytes, bytes]]:
    lines = (CAPTURES / f"dtls-{case}" / "sslkeys.log").read_text().splitlines()
    return {
        (bytes.fromhex(line.split()[1]), bytes.fromhex(line.split()[2]))
        for line in lines
        if line.startswith("CLIENT_RANDOM")
    }


def narrow(session: SessionPersist, layout: int) -> SessionPersist:
    """``session`` as a 32-bit device of another release would keep it; made-up values where the release has more."""
    tail = {
        "subscriptions_crc": (208, 0x11223344),
        "describe_app_crc": (208, 2),
        "describe_system_crc": (208, 3),
        "protocol_flags": (220, 4),
        "app_state_flags": (220, 5),
        "max_binary_size": (228, 6),
        "system_version": (228, 3003),
        "max_message_size": (228, 960),
        "ota_chunk_size": (228, 512),
        "in_window_top": (238, 7),
        "in_window": (238, 8),
    }
    values = {name: value if layout > needs else None for name, (needs, value) in tail.items()}
    cid = bytes.fromhex("c1d0010203040506") if layout == 262 else None
    return replace(session, layout=layout, wide=False, connection_id=cid, **values)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("01-good", "session.bin"),
        ("11a-resumed-and-moved", "session.bin"),
        ("11a-resumed-and-moved", "session_after.bin"),
        ("11e-reconnect-ping-instead-of-hello", "session.bin"),
    ],
)
def test_what_the_firmware_saved_matches_the_key_log_of_the_handshake(case, name):
    session = SessionPersist.from_wire(dump(case, name))
    assert (session.client_random, session.master_secret) in random_and_master(case)
    assert session.to_wire() == dump(case, name)
    assert (session.layout, session.wide, session.valid, session.cloud) == (220, True, True, ("10.77.0.1", 5684))
    assert (session.in_epoch, session.out_epoch, len(session.session_id)) == (1, 1, 32)


def test_the_counters_are_those_of_the_next_record_and_the_last_message():
    before = SessionPersist.from_wire(dump("11e-reconnect-ping-instead-of-hello"))
    after = SessionPersist.from_wire(dump("11e-reconnect-ping-instead-of-hello", "session_after.bin"))
    # One record went out in between: an empty CON.
    assert (before.out_sequence, after.out_sequence) == (7, 8)
    assert (before.next_coap_id, after.next_coap_id) == (5, 6)


def test_the_checksum_names_the_keys_the_session_was_made_with():
    server, device = dump(name=f"{DEVICE}.server.pub.der"), dump(name=f"{DEVICE}.device.der")
    saved = SessionPersist.from_wire(dump()).keys_checksum
    assert keys_checksum(server, device) == saved
    assert keys_checksum(device, server) != saved
    assert keys_checksum(server, device[:-1] + b"\0") != saved


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("wide", [False, True])
def test_every_layout_is_read_back_and_known_by_its_size(layout, wide):
    session = replace(narrow(SessionPersist.from_wire(dump()), layout), wide=wide)
    wire = session.to_wire()
    assert len(wire) == layout + 4 * wide
    assert SessionPersist.from_wire(wire) == session
    assert SessionPersist.from_wire(wire + b"tail").releases == LAYOUTS[layout]


def test_offsets_of_the_newest_layout():
    """Against the table of the reference, not against our own writer."""
    wire = bytearray(262)
    wire[0:2] = b"\x06\x01"
    wire[104:106] = b"\xae\xc0"
    wire[112] = 32
    wire[148:196] = bytes(range(1, 49))
    wire[198:206] = bytes.fromhex("0001000000000102")
    wire[232:234] = b"\xbb\x0b"
    wire[254:262] = bytes.fromhex("c1d0010203040506")
    session = SessionPersist.from_wire(bytes(wire))
    assert session.master_secret == bytes(range(1, 49))
    assert (session.out_epoch, session.out_sequence, session.system_version) == (1, 0x0102, 3003)
    assert session.connection_id == bytes.fromhex("c1d0010203040506")


def test_addresses_of_lwip_platforms():
    session = SessionPersist.from_wire(dump())
    v4 = replace(session, connection=bytes.fromhex("10021634cb007132").ljust(32, b"\0"))
    v6 = replace(session, connection=bytes.fromhex("1c0a1634000000002001") + bytes(13) + b"\1" + bytes(8))
    assert v4.cloud == ("203.0.113.50", 5684)
    assert v6.cloud == ("2001::1", 5684)
    assert replace(session, connection=b"\xff" * 32).cloud is None


def test_sessions_are_found_inside_a_ram_dump():
    first, second = dump(), narrow(SessionPersist.from_wire(dump()), 262).to_wire()
    ram = b"\xa5" * 1001 + first + b"\xae\xc0\0\0\0\0\0\0" + b"\0" * 500 + second + b"\xff" * 3
    assert [(offset, s.layout, s.wide) for offset, s in find_sessions(ram)] == [
        (1001, 220, True),
        (1001 + 224 + 508, 262, False),
    ]
    assert find_sessions(b"\0" * 4096) == []
    assert find_sessions(b"\xae\xc0\0\0\0\0\0\0" * 64) == []
    assert len(find_sessions(first * 9, limit=4)) == 4


def test_a_discarded_session_is_still_read_and_says_so():
    wire = b"\0\0" + dump()[2:]
    session = SessionPersist.from_wire(wire)
    assert not session.valid
    assert session.master_secret == SessionPersist.from_wire(dump()).master_secret
    assert session.subscriptions_crc is None


def test_the_master_secret_never_shows():
    session = SessionPersist.from_wire(dump())
    assert session.master_secret.hex() not in repr(session)
    assert repr(session.master_secret) not in repr(session)
    assert next(f for f in fields(session) if f.name == "master_secret").repr is False


def test_every_truncation_is_truncated():
    wire = dump()
    for length in range(len(wire)):
        with pytest.raises(Truncated):
            SessionPersist.from_wire(wire[:length])


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 0xD1), (104, 0xAF), (108, 1), (112, 33)],
    ids=["size", "suite", "compression", "id length"],
)
def test_a_structure_that_is_no_saved_session_is_malformed(offset, value):
    wire = bytearray(dump())
    wire[offset] = value
    with pytest.raises(Malformed):
        SessionPersist.from_wire(bytes(wire))


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_read_or_refused(noise, at):
    wire = bytearray(dump())
    wire[at : at + len(noise)] = noise
    try:
        session = SessionPersist.from_wire(bytes(wire))
    except WireError:
        return
    assert session.cloud is None or len(session.cloud) == 2
