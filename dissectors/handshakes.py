"""The handshakes there are: what carries each, which kind of keys it rests on, where clouds listen for it.

Whoever adds one begins here; what goes by this table (ports, key files, rules, remedies) then knows of it, and mypy names
the places where each handshake has code of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Handshake = Literal["lightssl", "dtls"]
Transport = Literal["tcp", "udp"]
Algorithm = Literal["rsa", "ec"]


@dataclass(frozen=True, slots=True)
class Carriage:
    """How a handshake travels. ``ports`` are hints: a session is known by its bytes."""

    transport: Transport
    algorithm: Algorithm
    #: Where a cloud listens unless the device was told otherwise.
    port: int
    ports: frozenset[int]


#: Ports: device-os SPARK_SERVER_PORT 5683 and PORT_COAPS 5684; 4500 stands in Particle's server-key blobs for UDP.
HANDSHAKES: Final[Mapping[Handshake, Carriage]] = {
    "lightssl": Carriage("tcp", "rsa", 5683, frozenset({5683})),
    "dtls": Carriage("udp", "ec", 5684, frozenset({5683, 5684, 4500})),
}
#: What a transport carries when nothing else is known of a session.
USUAL: Final[Mapping[Transport, Handshake]] = {"tcp": "lightssl", "udp": "dtls"}


def usual_port(transport: Transport) -> int:
    """The cloud's port on that transport, where nobody says another."""
    return HANDSHAKES[USUAL[transport]].port
