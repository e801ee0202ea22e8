"""TCP payloads: ciphertext stays, other protocols and open identities change, wherever segments are cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import open_capture
from analyzer.exports.redact import redact
from analyzer.exports.redaction import identity
from analyzer.exports.redaction.masks import disguise
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.exports.redaction.streams import StreamPlan
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture
from dissectors.events import Direction
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import (
    TAIL_END,
    TAIL_HEAD,
    DeviceTail,
    IdentityPlaintext,
    TailKind,
)

CAPTURES = Path(__file__).resolve().parents[4] / "captures"
P = Pseudonyms(b"salt")
rng = random.Random(3)
NONCE, DEVICE_ID = rng.randbytes(40), "3d002a001047343530333430"
SLOTS = {
    TailKind.MODULUS: bytes((0xC1,)) + rng.randbytes(126) + b"\x01",
    TailKind.ERASED: b"\xff" * 128,
    TailKind.ZEROED: bytes(128),
    TailKind.PKCS8: bytes.fromhex("2a864886f70d0101010500048202603082025c02010002818100") + rng.randbytes(102),
    TailKind.EC: rng.randbytes(28)
    + bytes.fromhex("a00a06082a8648ce3d030107a14403420004")
    + rng.randbytes(64)
    + b"\xff" * 18,
    TailKind.DAMAGED: bytes((0xC1,)) + rng.randbytes(62) + b"\xff" * 64 + b"\x01",
}


def under_blank_key(slot: bytes | None) -> bytes:
    tail = DeviceTail(TAIL_HEAD + slot + TAIL_END) if slot is not None else None
    block = crypto.pad_type2(IdentityPlaintext(NONCE, DEVICE_ID, tail).to_wire(), 256, rng.randbytes(256))
    return pow(int.from_bytes(block, "big"), 65537, 2**2048 - 1).to_bytes(256, "big")


@pytest.mark.parametrize("kind", [None, *SLOTS])
def test_an_open_identity_becomes_another_devices_with_the_same_oddities(kind: TailKind | None) -> None:
    old = under_blank_key(SLOTS[kind] if kind is not None else None)
    new = identity.redacted(old, P)
    assert new is not None
    plain = crypto.open_with_blank_key(new)
    assert isinstance(plain, IdentityPlaintext)
    assert plain.nonce == NONCE
    assert plain.device_id == P.device_id(bytes.fromhex(DEVICE_ID)).hex()
    assert (plain.tail is None) == (kind is None)
    if plain.tail is not None and kind is not None:
        assert plain.tail.kind is kind
        if kind not in (TailKind.ERASED, TailKind.ZEROED):
            same = sum(a == b for a, b in zip(plain.tail.slot_bytes, SLOTS[kind], strict=True))
            constant = {TailKind.PKCS8: 26, TailKind.EC: 36, TailKind.DAMAGED: 64}.get(kind, 0)
            assert same < constant + 12
    assert identity.redacted(old, P) == new


def test_the_private_bytes_of_an_ec_key_in_the_slot_are_gone() -> None:
    new = identity.redacted(under_blank_key(SLOTS[TailKind.EC]), P)
    assert new is not None
    plain = crypto.open_with_blank_key(new)
    assert isinstance(plain, IdentityPlaintext)
    assert plain.tail is not None
    assert SLOTS[TailKind.EC][:28] not in plain.tail.spki
    assert SLOTS[TailKind.EC][46:110] not in plain.tail.spki


def test_an_identity_under_any_real_key_is_left_alone() -> None:
    assert identity.redacted(rng.randbytes(256), P) is None


ANSWER = b"HTTP/1.1 302 Found\r\nLocation: http://portal.hotel-seven.example/\r\n\r\n" + b"<p>private words</p>" * 9
UP, DOWN = (bytes((10, 0, 0, 1)), 1000), (bytes((10, 0, 0, 2)), 5683)


@given(cuts=st.lists(st.integers(0, 256), max_size=5), base=st.sampled_from([0, 1000, 2**32 - 100]))
def test_any_segmentation_gives_the_same_stream(cuts: list[int], base: int) -> None:
    mask = disguise(ANSWER, P)
    assert mask is not None
    old = under_blank_key(None)
    new = identity.redacted(old, P)
    plan = StreamPlan(1, 9, UP, {Direction.UP: base, Direction.DOWN: base}, {Direction.DOWN: (0, mask)}, new)
    for side, data, expected in ((UP, old + b"\0\x10" + bytes(16), None), (DOWN, ANSWER, mask(0, ANSWER))):
        bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        parts = [
            plan.payload(side, (base + low) % 2**32, False, data[low:high])
            for low, high in zip(bounds, bounds[1:], strict=False)
        ]
        out = b"".join(parts)
        assert out == (expected if expected is not None else new + data[256:])
        # The same bytes again, in another cut.
        assert plan.payload(side, base, False, data) == out
        assert plan.payload(side, (base - 1) % 2**32, True, data) == out


def test_bytes_whose_place_is_unknown_are_hidden_when_they_might_tell() -> None:
    mask = disguise(ANSWER, P)
    assert mask is not None
    plan = StreamPlan(1, 9, UP, {}, {Direction.DOWN: (0, mask)}, b"x" * 256)
    assert b"hotel" not in plan.payload(DOWN, 5, False, ANSWER)
    assert plan.payload(UP, 5, False, b"abc") == bytes(3)


@pytest.mark.parametrize("name", ["tcp-07a-captive-portal-302", "tcp-07b-captive-portal-html", "synth-captive-portal"])
def test_a_captive_portal_says_nothing_of_itself(name: str, tmp_path: Path) -> None:
    (source,) = (CAPTURES / name).glob("capture.pcap*")
    redact(analyze_capture(source, load_keys([])), source, tmp_path / "r", salt=b"salt")
    before = b"".join(
        packet.payload for packet in open_capture(source, name="s") if packet.payload.startswith((b"HTTP", b"<"))
    )
    after = (tmp_path / "r").read_bytes()
    import re

    words = set(re.findall(rb"[A-Za-z0-9]{5,}", before)) - {b"DOCTYPE"}
    assert words
    for word in words:
        assert word not in after, word


def test_ciphertext_is_not_touched(tmp_path: Path) -> None:
    source = CAPTURES / "synth-healthy-photon" / "capture.pcap"
    redact(analyze_capture(source, load_keys([])), source, tmp_path / "r", salt=b"salt")
    sent = [packet.payload for packet in open_capture(source, name="s") if packet.payload and 5683 in packet[5:7]]
    assert [
        packet.payload for packet in open_capture(tmp_path / "r", name="r") if packet.payload and 5683 in packet[5:7]
    ] == sent
