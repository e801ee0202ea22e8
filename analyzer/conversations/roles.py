"""Which end is the device: by what they say first, by who opened the connection, by the port."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analyzer.conversations.model import RoleSource
from analyzer.conversations.reassembly import Part

#: The cloud's nonce and the device's answer (device-os communication/src/handshake.h@v0.6.3; reference: wire format).
NONCE = 40
IDENTITY = 256

_FEWEST_DISTINCT = 24
_MOST_PRINTABLE = 36
#: Fewer captured bytes say nothing about randomness.
_ENOUGH = 16

#: DTLS record types with either DTLS version: change cipher spec to application data, CID records of draft-05 (25) and
#: Particle's marks for a moved session, 253 and 254 (device-os communication/src/dtls_message_channel.cpp@v4.0.0).
_DTLS_TYPES = frozenset({20, 21, 22, 23, 25, 253, 254})
_DTLS_VERSIONS = frozenset({b"\xfe\xfd", b"\xfe\xff"})
_HANDSHAKE = 22
#: Handshake messages only a client or only a server sends (RFC 6347 section 4.3.2, RFC 5246 section 7.4).
_BY_CLIENT = frozenset({1, 15, 16})
_BY_SERVER = frozenset({2, 3, 12, 13, 14})


def looks_random(data: bytes) -> bool:
    """Could be a nonce: neither text nor padding. True when there is too little of it to tell."""
    if len(data) < _ENOUGH:
        return True
    size = min(len(data), NONCE)
    head = data[:size]
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    most = max(_MOST_PRINTABLE * size // NONCE, size - 1 if size < NONCE else 0)
    return len(set(head)) * NONCE >= _FEWEST_DISTINCT * size and printable <= most


def cloud_by_content(parts: Iterable[Part]) -> int | None:
    """The side that spoke first with exactly 40 random bytes and was answered with exactly 256; None when neither did.

    A nonce that nobody answered counts when nothing else was said: the caller knows whether more is needed.
    """
    reached = [0, 0]
    cloud: int | None = None
    nonce = bytearray()
    for part in parts:
        if part.how is not None or not part.length:
            continue
        if cloud is None:
            cloud = part.side
        reached[part.side] += part.length
        if part.side == cloud and reached[1 - cloud] == 0:
            nonce += part.data or b""
            if reached[cloud] > NONCE:
                return None
        elif part.side == cloud:
            return cloud if reached[1 - cloud] == IDENTITY and looks_random(bytes(nonce)) else None
        elif reached[cloud] != NONCE or reached[1 - cloud] > IDENTITY:
            return None
    if cloud is None or reached[cloud] != NONCE or reached[1 - cloud] not in (0, IDENTITY):
        return None
    return cloud if looks_random(bytes(nonce)) else None


def answered(parts: Iterable[Part]) -> bool:
    """Both sides sent data."""
    return len({part.side for part in parts if part.how is None and part.length}) == 2


def by_port(ports: Sequence[int], cloud_ports: frozenset[int]) -> tuple[int, RoleSource] | None:
    """The cloud's side when exactly one of the two ports is a cloud's."""
    hits = [side for side in (0, 1) if ports[side] in cloud_ports]
    return (hits[0], "port") if len(hits) == 1 else None


def is_dtls(data: bytes) -> bool:
    """A DTLS 1.x record header starts the datagram."""
    return len(data) >= 13 and data[0] in _DTLS_TYPES and data[1:3] in _DTLS_VERSIONS


def dtls_client(data: bytes) -> bool | None:
    """A datagram's sender is the DTLS client (the device), by an unencrypted handshake message; None: it does not tell."""
    if not is_dtls(data) or data[0] != _HANDSHAKE or data[3:5] != b"\0\0" or len(data) < 14:
        return None
    if data[13] in _BY_CLIENT:
        return True
    return False if data[13] in _BY_SERVER else None
