"""What one DTLS attempt turned out to be: a handshake from its ClientHello on, or a session that was resumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dissectors.alerts import alert_name
from dissectors.dtls.messages import (
    Certificate,
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ServerHello,
    ServerKeyExchange,
)
from dissectors.dtls.profile import Generation, Profile
from dissectors.events import Direction, Mark, Transcript


@dataclass(frozen=True, slots=True)
class Repeat:
    """One message (or record) sent again. ``after_s`` counts from the copy before it."""

    direction: Direction
    stage: str
    mark: Mark
    after_s: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert in the clear."""

    direction: Direction
    level: int
    code: int
    mark: Mark

    @property
    def name(self) -> str:
        """The alert's name, or ``alert 123``."""
        return alert_name(self.code)


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP error about a datagram of this attempt; ``answers`` is the direction of that datagram."""

    answers: Direction
    kind: int
    code: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class ServerFlight:
    """One answer of the cloud, from ServerHello to ServerHelloDone. Messages that are not there (whole) are None.

    ``signed`` is what CertificateVerify signs: all handshake messages in unfragmented form from the last ClientHello to
    ClientKeyExchange, or None when one of them is not in the capture. ``finished`` is what the device's Finished hashes.
    ``disputed``: two copies of one of these messages differ; ``other_exchanges`` are those of the ServerKeyExchange.
    ``belongs``: False when it answers a later ClientHello than any in hand, by ``message_seq`` (RFC 6347 section 4.2.2):
    the cloud repeats what it said in a handshake of which the capture does not hold the beginning.
    """

    hello: ServerHello | None
    certificate: Certificate | None
    key_exchange: ServerKeyExchange | None
    request: CertificateRequest | None
    frames: tuple[int, ...]
    #: Frames of the ServerKeyExchange and of the Certificate alone.
    key_exchange_frames: tuple[int, ...] = ()
    certificate_frames: tuple[int, ...] = ()
    other_exchanges: tuple[ServerKeyExchange, ...] = ()
    signed: bytes | None = field(default=None, repr=False)
    finished: bytes | None = field(default=None, repr=False)
    disputed: bool = False
    belongs: bool = True


@dataclass(frozen=True, slots=True)
class StaleAnswer:
    """A flight of the cloud that belongs to an earlier attempt and came again after this one had begun."""

    attempt: int
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DtlsAttempt:
    """One attempt. ``number`` counts from 0 within the flow.

    ``kind`` is ``handshake`` when any handshake message of it is in the capture, ``resumed`` when the flow begins (or
    goes on, after a handshake that failed) with protected records. ``superseded_ns`` is when the next attempt began.
    """

    number: int
    kind: Literal["handshake", "resumed"]
    profile: Profile
    profile_reason: str
    #: Of an unknown profile, and still worth a device session: what there is fits, on a port this protocol uses.
    plausible: bool
    transcript: Transcript
    frames: tuple[int, int]
    start_ns: int
    end_ns: int
    client_random: bytes | None = None
    client_hello: ClientHello | None = None
    generation: Generation | None = None
    flights: tuple[ServerFlight, ...] = ()
    device_certificate: Certificate | None = None
    #: Copies of the device's certificate that differ from the first.
    other_certificates: tuple[Certificate, ...] = ()
    certificate_verify: CertificateVerify | None = None
    #: The cloud's connection id: from its ServerHello, else from the device's records.
    connection_id: bytes | None = None
    #: The device id behind a type 254 record, 24 hex digits.
    device_id: str | None = None
    repeats: tuple[Repeat, ...] = ()
    alerts: tuple[Alert, ...] = ()
    icmp: tuple[Icmp, ...] = ()
    keep_alives: tuple[Mark, ...] = ()
    stale: tuple[StaleAnswer, ...] = ()
    #: Frames of the device's first application record and of its copies while nothing came back.
    hello_frames: tuple[int, ...] = ()
    #: Datagrams that hold bytes which are no record.
    unreadable: tuple[int, ...] = ()
    #: Who sent datagrams that the capture holds only in part.
    torn: frozenset[Direction] = frozenset()
    superseded_ns: int | None = None
    #: Datagrams per direction.
    datagrams: tuple[int, int] = (0, 0)
    #: Time of the last datagram per direction (device, cloud).
    last_ns: tuple[int | None, int | None] = (None, None)

    @property
    def flight(self) -> ServerFlight | None:
        """The cloud's answer: the last one when it started over."""
        return self.flights[-1] if self.flights else None
