"""What the first bytes say about who is who."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.conversations import roles
from analyzer.conversations.reassembly import Part
from dissectors.events import How
from tests.analyzer.conversations.talk import IDENTITY, NONCE


def data(side: int, payload: bytes) -> Part:
    return Part(side, 0, payload, len(payload), False, None, 1, 0)


def gap(side: int, length: int) -> Part:
    return Part(side, 0, None, length, True, None, 1, 0)


@pytest.mark.parametrize("cloud", [0, 1])
def test_forty_then_two_hundred_and_fifty_six(cloud: int) -> None:
    device = 1 - cloud
    whole = [data(cloud, NONCE), data(device, IDENTITY), data(cloud, bytes(384))]
    assert roles.cloud_by_content(whole) == cloud
    assert roles.cloud_by_content(whole[:2]) == cloud
    cut = [data(cloud, NONCE[:30]), gap(cloud, 10), gap(device, 256), data(cloud, b"x")]
    assert roles.cloud_by_content(cut) == cloud
    closing = Part(cloud, 40, None, 0, False, How.FIN, 1, 0)
    assert roles.cloud_by_content([closing, *whole]) == cloud


def test_anything_else_says_nothing() -> None:
    for parts in (
        [],
        [data(0, NONCE[:39]), data(1, IDENTITY)],
        [data(0, NONCE + b"x"), data(1, IDENTITY)],
        [data(0, NONCE), data(1, IDENTITY + b"x")],
        [data(0, NONCE), data(1, IDENTITY[:-1]), data(0, b"x")],
        [data(0, NONCE), data(1, IDENTITY[:-1])],
        [data(0, b"a" * 40), data(1, IDENTITY)],
    ):
        assert roles.cloud_by_content(parts) is None


def test_an_unanswered_nonce() -> None:
    parts = [data(1, NONCE)]
    assert roles.cloud_by_content(parts) == 1
    assert not roles.answered(parts)
    assert roles.answered([data(1, NONCE), data(0, IDENTITY)])


def test_nonces_look_random_and_text_does_not() -> None:
    rng = random.Random(1)
    assert all(roles.looks_random(rng.randbytes(40)) for _ in range(20_000))
    assert all(roles.looks_random(rng.randbytes(16)) for _ in range(20_000))
    for text in (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", bytes(40), b"\xff" * 40, bytes(range(8)) * 5):
        assert not roles.looks_random(text)


@given(st.binary(max_size=40))
def test_dtls_client_never_raises(payload: bytes) -> None:
    assert roles.dtls_client(payload) in (True, False, None)


def test_ports() -> None:
    cloud = frozenset({5683})
    assert roles.by_port((40000, 5683), cloud) == (1, "port")
    assert roles.by_port((5683, 40000), cloud) == (0, "port")
    assert roles.by_port((5683, 5683), cloud) is None
    assert roles.by_port((1, 2), cloud) is None
