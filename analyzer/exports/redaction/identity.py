"""The device's 256 bytes when anybody can open them: another device's in their place, under the same blank key.

A device whose server key is erased flash encrypts under 2^2048-1, whose factors are public. So its id and its key are
as good as in clear. They are exchanged, and the block is encrypted again: it opens as before, echoes the same nonce, and
what was odd about the key (erased, of another kind, damaged) is as odd as it was. All other identities need a private
key to be opened and stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import (
    CLOUD_BLOCK,
    DEVICE_BLOCK,
    TAIL_END,
    TAIL_HEAD,
    DeviceTail,
    IdentityPlaintext,
    TailKind,
)

_BLANK_MODULUS = 2**2048 - 1
#: Bytes of the slot that every PKCS#8 key has, and every EC key behind its 28 private ones.
_PKCS8_HEAD = 26
_EC_CONSTANT = slice(28, 46)
_EC_POINT = slice(46, 110)
#: Runs of one of these make a slot look damaged.
_RUNS = (b"\xff" * 8, bytes(8))
_TRIES = 64


def redacted(ciphertext: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """The block that takes the place of ``ciphertext``; None when it does not open without a key."""
    opened = crypto.open_with_blank_key(ciphertext)
    if not isinstance(opened, IdentityPlaintext):
        return None
    other = IdentityPlaintext(
        nonce=opened.nonce,
        device_id=pseudonyms.device_id(bytes.fromhex(opened.device_id)).hex(),
        tail=_tail(opened.tail, pseudonyms) if opened.tail is not None else None,
    ).to_wire()
    for attempt in range(_TRIES):
        padding = pseudonyms.derived("padding", bytes((attempt,)) + ciphertext, CLOUD_BLOCK)
        block = int.from_bytes(crypto.pad_type2(other, CLOUD_BLOCK, padding), "big")
        out = pow(block, crypto.EXPONENT, _BLANK_MODULUS).to_bytes(CLOUD_BLOCK, "big")
        if isinstance(crypto.open_with_blank_key(out), IdentityPlaintext):
            return out
    raise AssertionError("a block under the blank key opens with it")


def _tail(tail: DeviceTail, pseudonyms: Pseudonyms) -> DeviceTail:
    kind = tail.kind
    if kind in (TailKind.ERASED, TailKind.ZEROED):
        return tail
    for attempt in range(_TRIES):
        fresh = pseudonyms.derived("device-key", bytes((attempt,)) + tail.spki, len(tail.spki))
        if kind is TailKind.NOT_FRAMED:
            other = replace(tail, spki=fresh)
        else:
            other = replace(tail, spki=TAIL_HEAD + _slot(tail.slot_bytes, kind, fresh[:DEVICE_BLOCK]) + TAIL_END)
        if other.kind is kind:
            return other
    return DeviceTail(bytes(len(tail.spki)))


def _slot(slot: bytes, kind: TailKind, fresh: bytes) -> bytes:
    """Another key's bytes in the shape of these."""
    if kind is TailKind.PKCS8:
        return slot[:_PKCS8_HEAD] + fresh[_PKCS8_HEAD:]
    if kind is TailKind.EC:
        # The private scalar and the public point; behind them is what the flash held before, mostly FF.
        behind = bytes(b if b in (0, 0xFF) else f for b, f in zip(slot[_EC_POINT.stop :], fresh, strict=False))
        return fresh[:28] + slot[_EC_CONSTANT] + fresh[_EC_POINT] + behind
    if kind is TailKind.MODULUS:
        return bytes((fresh[0] | 0x80,)) + fresh[1:-1] + bytes((fresh[-1] | 1,))
    # Damaged: its runs of FF or 00 stay, and so do the bits that a modulus has set.
    out = bytearray(fresh)
    for run in _RUNS:
        at = slot.find(run)
        while at >= 0:
            out[at : at + len(run)] = run
            at = slot.find(run, at + 1)
    out[0] = out[0] & 0x7F | slot[0] & 0x80
    out[-1] = out[-1] & 0xFE | slot[-1] & 1
    return bytes(out)
