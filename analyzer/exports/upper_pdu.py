"""Plaintexts as packets of an "exported PDU" interface: Wireshark dissects them by the name in front of them.

Source of the tags: wireshark:epan/exported_pdu.h (EXP_PDU_TAG_*), written big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import pack

from analyzer.model import Endpoint
from dissectors.events import Direction

_END, _DISSECTOR, _IPV4_SOURCE, _IPV4_DESTINATION, _IPV6_SOURCE, _IPV6_DESTINATION = 0, 12, 20, 21, 22, 23
_PORT_TYPE, _SOURCE_PORT, _DESTINATION_PORT, _ORIGINAL_FRAME = 24, 25, 26, 30
#: CoAP's own transport, also for what went over TCP: these are messages of RFC 7252, not of RFC 8323. Of a "TCP" message
#: Wireshark (packet-coap.c) wants the TCP conversation, which is not there for DTLS, and shows a fault of its dissector.
_PORT_TYPE_UDP = 3


@dataclass(frozen=True, slots=True)
class Plaintext:
    """A decrypted message: when, whose, between whom. ``frame`` is the one that completed its record; ``data`` is secret."""

    time_ns: int
    direction: Direction
    device: Endpoint
    cloud: Endpoint
    frame: int
    data: bytes = field(repr=False)


def exported(plaintext: Plaintext, dissector: str) -> bytes:
    """The packet: tags that say who spoke to whom, then the bytes for ``dissector``."""
    source, destination = plaintext.device, plaintext.cloud
    if plaintext.direction is Direction.DOWN:
        source, destination = destination, source
    tags = _tag(_DISSECTOR, dissector.encode("ascii"))
    for endpoint, v4, v6 in (
        (source, _IPV4_SOURCE, _IPV6_SOURCE),
        (destination, _IPV4_DESTINATION, _IPV6_DESTINATION),
    ):
        address = ip_address(endpoint.address).packed
        tags += _tag(v4 if len(address) == 4 else v6, address)
    tags += _tag(_PORT_TYPE, pack("!I", _PORT_TYPE_UDP))
    tags += _tag(_SOURCE_PORT, pack("!I", source.port)) + _tag(_DESTINATION_PORT, pack("!I", destination.port))
    tags += _tag(_ORIGINAL_FRAME, pack("!I", plaintext.frame))
    return tags + pack("!HH", _END, 0) + plaintext.data


def named(dissector: str) -> bytes:
    """The tags in front of bytes that only a dissector is named for."""
    return _tag(_DISSECTOR, dissector.encode("ascii")) + pack("!HH", _END, 0)


def _tag(tag: int, value: bytes) -> bytes:
    padded = value + bytes(-len(value) % 4)
    return pack("!HH", tag, len(padded)) + padded
