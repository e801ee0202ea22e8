"""One session on its way from bytes to a verdict, whatever its transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from analyzer.model import AlsoSeen, Attempt, Ending, Endpoint, Finding
from dissectors.events import Direction, Step, Transcript
from dissectors.handshakes import HANDSHAKES, USUAL, Algorithm, Handshake

#: How a device's id is known when it follows from what the session itself holds; by any other way it is a guess.
FIRM_SOURCES = frozenset(
    {
        *("identity", "hello", "certificate", "moved-record", "name"),
        *("device-key", "session-dump", "cloud-copy", "connection-id", "log"),
    }
)


#: 64:ff9b::/96.
_NAT64 = 0x0064FF9B << 64


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A decrypted message before its time is written out."""

    direction: Direction
    frames: tuple[int, ...]
    time_ns: int
    type: str
    summary: str


@dataclass(slots=True)
class Case:
    """Everything known of one session."""

    transport: Literal["tcp", "udp"]
    protocol: Literal["lightssl", "dtls", "coap", "unknown"]
    stream: int | None
    filter: str
    device: Endpoint
    cloud: Endpoint
    role_source: str
    first_frame: int
    last_frame: int
    start_ns: int
    end_ns: int
    transcript: Transcript
    ending: Ending
    #: The transport's own view: the conversation it came from and what the keys say about it.
    conversation: Any = None
    decryption: Any = None
    attempts: list[Attempt] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: Steps before the transport's own (name resolution, connect).
    prelude: list[Step] = field(default_factory=list)
    device_id: str | None = None
    id_source: str | None = None
    host: str | None = None
    #: Where else its packets were seen.
    also: tuple[AlsoSeen, ...] = ()
    #: Which of the captures it is in, when several taken at different times stand one behind the other in one file.
    part: int = 0

    @property
    def handshake(self) -> Handshake:
        """Which handshake this is, or would have been if it had spoken."""
        return self.protocol if self.protocol == "lightssl" or self.protocol == "dtls" else USUAL[self.transport]

    @property
    def algorithm(self) -> Algorithm:
        """The kind of long-term keys it rests on."""
        return HANDSHAKES[self.handshake].algorithm

    @property
    def server(self) -> tuple[Endpoint, int]:
        """The cloud as one and the same: what an address stood for in one capture, it need not in another."""
        return self.cloud, self.part

    @property
    def reached(self) -> str:
        """The cloud's address; of one behind NAT64's well-known prefix (RFC 6052), the IPv4 address that it stands for."""
        address = self.cloud.address
        if not address.startswith("64:ff9b::"):
            return address
        whole = int(IPv6Address(address))
        return str(IPv4Address(whole & 0xFFFFFFFF)) if whole >> 32 == _NAT64 else address

    @property
    def steps(self) -> tuple[Step, ...]:
        """All rows of the ladder, in order."""
        return (*self.prelude, *self.transcript.steps)
