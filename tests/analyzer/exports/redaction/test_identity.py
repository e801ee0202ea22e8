"""Identities under the blank key, which anybody can open: somebody else's after redaction, of the same shape."""

from __future__ import annotations

from random import Random

import pytest

from analyzer.exports.redaction.identity import redacted
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import TAIL_END, TAIL_HEAD, DeviceTail, IdentityPlaintext, TailKind

RNG = Random("identity")
P = Pseudonyms(b"salt")
ID = "3d002a001047343530333430"
SIZE = len(TAIL_HEAD) + 128 + len(TAIL_END)
TAILS = {
    "nothing": (None, None),
    "odd": (DeviceTail(RNG.randbytes(SIZE)), TailKind.NOT_FRAMED),
    "key": (DeviceTail(TAIL_HEAD + b"\xc1" + RNG.randbytes(126) + b"\x01" + TAIL_END), TailKind.MODULUS),
    "erased": (DeviceTail(TAIL_HEAD + b"\xff" * 128 + TAIL_END), TailKind.ERASED),
}


@pytest.mark.parametrize("name", TAILS)
def test_the_shape_stays_and_nothing_else(name: str) -> None:
    tail, kind = TAILS[name]
    assert tail is None or tail.kind is kind
    plain = IdentityPlaintext(nonce=bytes(range(40)), device_id=ID, tail=tail)
    block = crypto.pad_type2(plain.to_wire(), 256, RNG.randbytes(256))
    sent = pow(int.from_bytes(block, "big"), crypto.EXPONENT, 2**2048 - 1).to_bytes(256, "big")
    assert crypto.open_with_blank_key(sent) == plain
    out = redacted(sent, P)
    assert out is not None
    opened = crypto.open_with_blank_key(out)
    assert isinstance(opened, IdentityPlaintext)
    assert (opened.nonce, opened.device_id) == (plain.nonce, P.device_id(bytes.fromhex(ID)).hex())
    assert (opened.tail is None) is (tail is None)
    if tail is not None and opened.tail is not None:
        assert opened.tail.kind is kind
        assert (opened.tail == tail) is (kind is TailKind.ERASED), "what is no key identifies nobody"
    assert redacted(sent, P) == out, "the same one each time"


def test_what_the_blank_key_does_not_open_stays_as_it_is() -> None:
    assert redacted(RNG.randbytes(256), P) is None
