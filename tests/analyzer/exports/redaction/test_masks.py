"""What is not a Particle cloud stays recognisable as what it is, and says nothing more."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.exports.redaction.masks import disguise, is_text, masked_text
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from dissectors.detect import foreign, looks_random

P = Pseudonyms(b"salt")
PORTAL = (
    b"HTTP/1.1 302 Found\r\nServer: gateway-of-hotel-7\r\n"
    b"Location: http://10.1.0.1/login?mac=e04f43000350&ip=192.168.1.50\r\n\r\n<html><title>Hotel Seven</title></html>"
)
ANSWERS = {
    "portal": PORTAL,
    "page": b"<!DOCTYPE html><html><head><title>Hotel Seven guest network</title></head></html>",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 gateway-of-hotel-7\r\n",
    "smtp": b"220 mail.hotel-seven.example ESMTP Postfix\r\n",
    "text": b"Welcome to the guest network of Hotel Seven, please log in.\n",
    "alert": bytes.fromhex("15030100020228"),
    "server hello": bytes.fromhex("160303003a0200003603") + b"Hotel Seven certificate authority and more.".ljust(53),
    "mysql": b"\x4a\0\0\0\x0a8.0.36-hotel-seven\0" + bytes(range(1, 60)),
    "coap": bytes.fromhex("6081123fff") + b"no such resource at hotel seven",
}
PRIVATE = (b"hotel", b"Hotel", b"seven", b"Seven", b"e04f43", b"10.1.0.1", b"192.168.1.50", b"gateway")


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_kind_stays_and_the_words_go(answer: bytes) -> None:
    mask = disguise(answer, P)
    before = foreign(answer)
    assert before is not None
    assert mask is not None
    out = mask(0, answer)
    after = foreign(out)
    assert after is not None
    assert after.kind == before.kind
    assert len(out) == len(answer)
    for word in PRIVATE:
        assert word not in out


def test_the_status_of_a_redirect_stays() -> None:
    mask = disguise(PORTAL, P)
    assert mask is not None
    assert mask(0, PORTAL).startswith(b"HTTP/1.1 302 Xxxxx\r\nXxxxxx: ")


@given(answer=st.sampled_from(sorted(ANSWERS.values())), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_segments_may_cut_it_anywhere(answer: bytes, cuts: list[int]) -> None:
    mask = disguise(answer, P)
    assert mask is not None
    bounds = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    parts = [mask(low, answer[low:high]) for low, high in zip(bounds, bounds[1:], strict=False)]
    assert b"".join(parts) == mask(0, answer)


@given(data=st.binary(min_size=40, max_size=40))
def test_what_may_be_a_nonce_is_left_alone(data: bytes) -> None:
    mask = disguise(data, P)
    if foreign(data) is None:
        assert mask is None


def test_a_dull_nonce_stays_as_dull_because_the_device_echoes_it() -> None:
    nonce = bytes((7, 200)) * 20
    mask = disguise(nonce, P)
    assert not looks_random(nonce)
    assert mask is not None
    assert mask(0, nonce) == nonce


def test_random_bytes_are_never_text() -> None:
    rng = random.Random(1)
    assert not any(is_text(rng.randbytes(40)) for _ in range(20_000))
    assert is_text(PORTAL)
    assert masked_text(b"aB9-\xfc\r\n") == b"xX0-x\r\n"
