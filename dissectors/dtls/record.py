"""The DTLS record layer as Particle devices use it: one datagram, several records.

How it works. A datagram is cut into records by their length fields. Two Particle habits break the plain rule and are
known by the first byte: a session that went on from another address sends application records (23) as type 254 with the
device's id appended behind the record, which the length does not count; from v4.0.0 a record with a connection id (25)
goes out as type 253 instead. A connection id is always 8 bytes, which the record itself does not say.

Sources: RFC 6347 section 4.1; draft-ietf-tls-dtls-connection-id-05 section 4; particle-iot/device-os
`communication/src/dtls_message_channel.cpp@v0.5.0` (254), `@v4.0.0` (253), `@v3.1.0` (`DTLS_CID_SIZE` 8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from dissectors.events import Direction

DTLS_1_0: Final = 0xFEFF
DTLS_1_2: Final = 0xFEFD
#: RFC 6347 section 4.1: 2^14 bytes of plaintext, 2048 of expansion.
MAX_FRAGMENT: Final = 2**14 + 2048
#: Bytes of a connection id in this profile.
CID_LENGTH: Final = 8
#: Explicit nonce and tag of AES-128-CCM-8: what a protected fragment is longer than its plaintext.
AEAD_OVERHEAD: Final = 16
_HEADER: Final = 13
_DEVICE_ID: Final = 12
_TRAILER: Final = _DEVICE_ID + 1


class ContentType(IntEnum):
    """What a record carries (RFC 6347; 25 from the connection-id draft; 253 and 254 are Particle's)."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23
    CID = 25
    MOVED_CID = 253
    MOVED = 254

    @property
    def protected_as(self) -> ContentType:
        """The type the record was encrypted under: the move markers are put in afterwards."""
        if self is ContentType.MOVED:
            return ContentType.APPLICATION_DATA
        return ContentType.CID if self is ContentType.MOVED_CID else self

    @property
    def has_connection_id(self) -> bool:
        """Whether a connection id stands in the header of such records."""
        return self in (ContentType.CID, ContentType.MOVED_CID)


_TYPES: Final = frozenset(ContentType)
#: These exist behind a ChangeCipherSpec only.
_PROTECTED_ONLY: Final = frozenset({ContentType.CID, ContentType.MOVED_CID, ContentType.MOVED})


@dataclass(frozen=True, slots=True)
class WireRecord:
    """One record. ``missing`` counts bytes its header promises that the capture does not hold."""

    content_type: ContentType
    version: int
    epoch: int
    sequence: int
    fragment: bytes = field(repr=False)
    connection_id: bytes = b""
    missing: int = 0
    #: The 12 bytes behind a type 254 record.
    device_id: bytes | None = None

    @property
    def header(self) -> bytes:
        """The record's header as on the wire."""
        return (
            bytes((self.content_type,))
            + self.version.to_bytes(2, "big")
            + self.epoch.to_bytes(2, "big")
            + self.sequence.to_bytes(6, "big")
            + self.connection_id
            + (len(self.fragment) + self.missing).to_bytes(2, "big")
        )

    @property
    def protected(self) -> bool:
        """Whether it is encrypted: any epoch but the first."""
        return self.epoch > 0

    @property
    def plaintext_length(self) -> int | None:
        """Bytes that AES-128-CCM-8 would leave of a protected fragment (a CID record's are padded), or None."""
        length = len(self.fragment) + self.missing - AEAD_OVERHEAD
        return length if self.protected and length >= 0 else None

    @property
    def nonce_is_sequence(self) -> bool:
        """Whether the explicit nonce equals epoch and sequence number, as Particle's mbedTLS forks write it."""
        return self.protected and self.fragment[:8] == self.epoch.to_bytes(2, "big") + self.sequence.to_bytes(6, "big")

    @classmethod
    def from_parts(cls, header: bytes, fragment: bytes) -> WireRecord:
        """The record again from the ``header`` and ``fragment`` kept of it; ``header`` is one :attr:`header` wrote."""
        return cls(
            content_type=ContentType(header[0]),
            version=int.from_bytes(header[1:3], "big"),
            epoch=int.from_bytes(header[3:5], "big"),
            sequence=int.from_bytes(header[5:11], "big"),
            fragment=fragment,
            connection_id=header[11:-2],
            missing=int.from_bytes(header[-2:], "big") - len(fragment),
        )

    def to_wire(self) -> bytes:
        """Record (and device id) as on the wire."""
        trailer = b"" if self.device_id is None else self.device_id + bytes((len(self.device_id),))
        return self.header + self.fragment + trailer


@dataclass(frozen=True, slots=True)
class Datagram:
    """What is in one UDP datagram. ``unread`` counts bytes at its end that are no record."""

    records: tuple[WireRecord, ...] = ()
    keep_alive: bool = False
    unread: int = 0


def read_datagram(data: bytes, wire_length: int | None = None, cid_length: int = CID_LENGTH) -> Datagram:
    """Cut a UDP payload into its records; never raises.

    ``wire_length`` is the payload's length on the wire when the capture holds less of it. ``cid_length`` is the length
    of the connection id the cloud gave out, 8 unless a ServerHello said otherwise.
    """
    total = max(wire_length or 0, len(data))
    if total == 1:
        return Datagram(keep_alive=True)
    records: list[WireRecord] = []
    offset = 0
    while offset < total:
        record = _read_record(data, offset, total, cid_length)
        if record is None:
            break
        offset += len(record.header) + len(record.fragment) + record.missing
        if record.device_id is not None or (record.content_type is ContentType.MOVED and offset + _TRAILER == total):
            offset = total
        records.append(record)
    return Datagram(tuple(records), unread=total - offset)


def _read_record(data: bytes, offset: int, total: int, cid_length: int) -> WireRecord | None:
    """The record at ``offset``, or None when there is none (or too little of it to tell)."""
    if len(data) < offset + _HEADER or data[offset] not in _TYPES:
        return None
    content_type = ContentType(data[offset])
    version = int.from_bytes(data[offset + 1 : offset + 3], "big")
    epoch = int.from_bytes(data[offset + 3 : offset + 5], "big")
    cid_end = offset + 11 + (cid_length if content_type.has_connection_id else 0)
    start = cid_end + 2
    if version not in (DTLS_1_2, DTLS_1_0) or len(data) < start or (epoch == 0 and content_type in _PROTECTED_ONLY):
        return None
    length = int.from_bytes(data[cid_end:start], "big")
    end = start + length
    if not 0 < length <= MAX_FRAGMENT or end > total:
        return None
    fragment = data[start:end]
    device_id = None
    if content_type is ContentType.MOVED and len(data) == total == end + _TRAILER and data[-1] == _DEVICE_ID:
        device_id = data[end : end + _DEVICE_ID]
    return WireRecord(
        content_type=content_type,
        version=version,
        epoch=epoch,
        sequence=int.from_bytes(data[offset + 5 : offset + 11], "big"),
        fragment=fragment,
        connection_id=data[offset + 11 : cid_end],
        missing=length - len(fragment),
        device_id=device_id,
    )


#: Handshake types only a client, or only a server, sends in the clear.
_FROM_CLIENT: Final = frozenset({1, 15, 16})
_FROM_SERVER: Final = frozenset({0, 2, 3, 4, 12, 13, 14})


def is_dtls(data: bytes, wire_length: int | None = None) -> bool:
    """Whether a UDP payload starts with a DTLS record (1.0 or 1.2, or Particle's 253 and 254).

    QUIC, RTP, STUN, OpenVPN, WireGuard, CoAP and the unified header of DTLS 1.3 do not pass; a 1-byte keep-alive says
    nothing and does not either.
    """
    total = max(wire_length or 0, len(data))
    record = None if total == 1 else _read_record(data, 0, total, CID_LENGTH)
    if record is None:
        return False
    length = len(record.fragment) + record.missing
    if record.protected:
        return record.content_type is not ContentType.CHANGE_CIPHER_SPEC and length > AEAD_OVERHEAD
    if record.content_type is ContentType.HANDSHAKE:
        return length >= 12 and (
            not record.fragment or record.fragment[0] in _FROM_CLIENT | _FROM_SERVER | {11, 20, 22}
        )
    if record.content_type is ContentType.ALERT:
        return length == 2
    return record.content_type is ContentType.CHANGE_CIPHER_SPEC and length == 1


def speaker(data: bytes, wire_length: int | None = None) -> Direction | None:
    """Who sent this payload, when its first record tells: UP from a device, DOWN from a cloud, None when either could.

    Only devices send ClientHello, ClientKeyExchange and CertificateVerify, and (in this profile) records with a
    connection id or a move marker; only clouds send HelloVerifyRequest and the hello flight.
    """
    if not is_dtls(data, wire_length):
        return None
    if data[0] in _PROTECTED_ONLY:
        return Direction.UP
    if data[0] == ContentType.HANDSHAKE and data[3:5] == b"\0\0" and len(data) > _HEADER:
        if data[_HEADER] in _FROM_CLIENT:
            return Direction.UP
        if data[_HEADER] in _FROM_SERVER:
            return Direction.DOWN
    return None
