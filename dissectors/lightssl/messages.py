"""The messages inside the RSA blocks of the handshake, as dataclasses with ``from_wire`` and ``to_wire``.

Sources: device-os communication/src/spark_protocol.cpp@v0.4.0 handshake() (52 or 214 bytes), device_keys.h (162 bytes
of public key), handshake.cpp (positional copy of the private key slot), spark-protocol js/lib/Handshake.js@2c797c1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

from dissectors.errors import Malformed, Truncated
from dissectors.wire import Cursor

NONCE_SIZE = 40
DEVICE_ID_SIZE = 12
CREDENTIALS_SIZE = 40
#: RSA block sizes: the cloud's key has 2048 bits, the device's 1024.
CLOUD_BLOCK = 256
DEVICE_BLOCK = 128
#: What the device frames its "public key" with: SubjectPublicKeyInfo of RSA-1024, then exponent 65537.
TAIL_HEAD = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
TAIL_END = bytes.fromhex("0203010001")
TAIL_SIZE = len(TAIL_HEAD) + DEVICE_BLOCK + len(TAIL_END)
#: 40 + 12 bytes by the Core's first firmware; followed by the tail since v0.4.0.
SHORT_IDENTITY = NONCE_SIZE + DEVICE_ID_SIZE
LONG_IDENTITY = SHORT_IDENTITY + TAIL_SIZE

_PKCS8_AT_0 = bytes.fromhex("2a864886f70d01010105000482")
_EC_OID_AT_28 = bytes.fromhex("a00a06082a8648ce3d030107")


class TailKind(StrEnum):
    """What the 128 bytes of the private key slot, sent as "public key", really are (tcp.md 1.3)."""

    MODULUS = "rsa-1024-modulus"
    ERASED = "erased"
    ZEROED = "zeroed"
    PKCS8 = "pkcs8"
    EC = "ec-private-key"
    DAMAGED = "damaged"
    NOT_FRAMED = "not-framed"


@dataclass(frozen=True, slots=True)
class DeviceTail:
    """The 162 bytes that end the identity. Not shown: with an EC key in the slot they hold private bytes."""

    spki: bytes = field(repr=False)

    @property
    def slot_bytes(self) -> bytes:
        """Bytes 11..138 of the device's private key slot."""
        return self.spki[len(TAIL_HEAD) : len(TAIL_HEAD) + DEVICE_BLOCK]

    @property
    def kind(self) -> TailKind:
        """What the slot holds, judged by these bytes."""
        slot = self.slot_bytes
        if not (self.spki.startswith(TAIL_HEAD) and self.spki.endswith(TAIL_END) and len(self.spki) == TAIL_SIZE):
            return TailKind.NOT_FRAMED
        if slot == b"\xff" * DEVICE_BLOCK:
            return TailKind.ERASED
        if slot == bytes(DEVICE_BLOCK):
            return TailKind.ZEROED
        if slot.startswith(_PKCS8_AT_0):
            return TailKind.PKCS8
        if slot[28:].startswith(_EC_OID_AT_28):
            return TailKind.EC
        # A 1024-bit RSA modulus has its top bit set and is odd, and flash pages fail in runs of FF or 00.
        if not slot[0] & 0x80 or not slot[-1] & 1 or b"\xff" * 8 in slot or bytes(8) in slot:
            return TailKind.DAMAGED
        return TailKind.MODULUS

    @property
    def modulus(self) -> int | None:
        """The RSA modulus, or None when these bytes are none."""
        return int.from_bytes(self.slot_bytes, "big") if self.kind is TailKind.MODULUS else None

    @property
    def fingerprint(self) -> str | None:
        """Hex SHA-256 of the SubjectPublicKeyInfo; None when it would fingerprint private bytes or nothing."""
        return spki_fingerprint(self.spki) if self.kind in (TailKind.MODULUS, TailKind.DAMAGED) else None


def spki_fingerprint(spki: bytes) -> str:
    """Hex SHA-256 of a DER SubjectPublicKeyInfo."""
    return hashlib.sha256(spki).hexdigest()


@dataclass(frozen=True, slots=True)
class IdentityPlaintext:
    """What the device sends under the cloud's key: the nonce it got, its id, and since v0.4.0 its key's tail."""

    nonce: bytes
    device_id: str
    tail: DeviceTail | None = None

    @property
    def generation(self) -> str:
        """ "52" (Core, comms library of 2013-2015) or "214" (v0.4.0 and later)."""
        return str(SHORT_IDENTITY if self.tail is None else LONG_IDENTITY)

    @classmethod
    def from_wire(cls, data: bytes) -> IdentityPlaintext:
        """Parse 52 or 214 bytes; raises Truncated or Malformed."""
        if len(data) < SHORT_IDENTITY:
            raise Truncated(f"identity of {len(data)} bytes, at least {SHORT_IDENTITY} wanted")
        if len(data) not in (SHORT_IDENTITY, LONG_IDENTITY):
            raise Malformed(f"identity of {len(data)} bytes, {SHORT_IDENTITY} or {LONG_IDENTITY} wanted")
        cursor = Cursor(data)
        nonce, device_id = cursor.take(NONCE_SIZE), cursor.take(DEVICE_ID_SIZE).hex()
        return cls(nonce, device_id, DeviceTail(cursor.rest()) if len(cursor) else None)

    def to_wire(self) -> bytes:
        """The 52 or 214 bytes."""
        return self.nonce + bytes.fromhex(self.device_id) + (self.tail.spki if self.tail else b"")


@dataclass(frozen=True, slots=True)
class SessionKeyMessage:
    """The cloud's 384 bytes: credentials under the device's key, then a signature over them."""

    ciphertext: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @classmethod
    def from_wire(cls, data: bytes) -> SessionKeyMessage:
        """Parse exactly 384 bytes; raises Truncated or Malformed."""
        cursor = Cursor(data)
        message = cls(cursor.take(DEVICE_BLOCK), cursor.take(CLOUD_BLOCK))
        if len(cursor):
            raise Malformed(f"session key message of {len(data)} bytes, {DEVICE_BLOCK + CLOUD_BLOCK} wanted")
        return message

    def to_wire(self) -> bytes:
        """The 384 bytes."""
        return self.ciphertext + self.signature


@dataclass(frozen=True, slots=True)
class Credentials:
    """The session's secrets: AES-128 key, first IV (both directions), salt. Never shown."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    salt: bytes = field(repr=False)

    @classmethod
    def from_wire(cls, data: bytes) -> Credentials:
        """Parse exactly 40 bytes; raises Truncated or Malformed."""
        cursor = Cursor(data)
        credentials = cls(cursor.take(16), cursor.take(16), cursor.take(8))
        if len(cursor):
            raise Malformed(f"credentials of {len(data)} bytes, {CREDENTIALS_SIZE} wanted")
        return credentials

    def to_wire(self) -> bytes:
        """The 40 bytes."""
        return self.key + self.iv + self.salt
