"""Keys, records and signatures of TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8 over DTLS 1.2.

A key or signature that does not fit is a result (None or False), never an exception. Secrets never show in a repr.

Sources: RFC 5246 sections 5, 6.3, 7.4.9 and 8.1; RFC 6655 and RFC 7251 (AES-CCM-8); RFC 6347 section 4.1.2.1;
draft-ietf-tls-dtls-connection-id-05 section 5 and RFC 9146 section 5 (the two forms of associated data).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from dissectors.dtls.messages import SPKI_P256_PREFIX, ServerKeyExchange, Signed
from dissectors.dtls.record import AEAD_OVERHEAD, ContentType, WireRecord
from dissectors.events import Direction

_TAG: Final = 8
_NONCE: Final = 8
#: Hashes of the TLS 1.2 SignatureAndHashAlgorithm numbers (RFC 5246 section 7.4.1.4.1).
_HASHES: Final[dict[int, type[hashes.HashAlgorithm]]] = {
    2: hashes.SHA1,
    3: hashes.SHA224,
    4: hashes.SHA256,
    5: hashes.SHA384,
    6: hashes.SHA512,
}
_ECDSA: Final = 3


def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """The TLS 1.2 pseudo-random function, P_SHA256 (RFC 5246 section 5)."""
    seed = label + seed
    a, out = seed, b""
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


def master_secret(premaster: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """48 bytes from the ECDH result (32 bytes, the X coordinate); no device has extended_master_secret."""
    return prf(premaster, b"master secret", client_random + server_random, 48)


def verify_data(master: bytes, direction: Direction, handshake: bytes) -> bytes:
    """The 12 bytes of that direction's Finished after ``handshake`` (all messages so far, in unfragmented form)."""
    label = b"client finished" if direction is Direction.UP else b"server finished"
    return prf(master, label, sha256(handshake).digest(), 12)


@dataclass(frozen=True, slots=True)
class Secret:
    """All that opens one session, in both directions."""

    client_random: bytes
    server_random: bytes
    master: bytes = field(repr=False)

    def key_block(self) -> bytes:
        """40 bytes: client key 16, server key 16, client IV 4, server IV 4 (RFC 5246 section 6.3)."""
        return prf(self.master, b"key expansion", self.server_random + self.client_random, 40)


@dataclass(frozen=True, slots=True)
class Opened:
    """A record that decrypted: its real type and content. ``aad`` says which form of associated data fitted."""

    content_type: int
    content: bytes = field(repr=False)
    aad: str = "plain"


class Sealed(NamedTuple):
    """What of a protected record goes into its opening, whosever keys are tried: made once, tried with many."""

    direction: Direction
    content_type: ContentType
    nonce: bytes
    ciphertext: bytes
    #: Forms of associated data (name, bytes), the likeliest first.
    forms: tuple[tuple[str, bytes], ...]


def sealed(direction: Direction, record: WireRecord) -> Sealed | None:
    """What there is to open in a record; None when it is cut, in the clear or too short."""
    if not record.protected or record.missing or len(record.fragment) < AEAD_OVERHEAD:
        return None
    forms = _associated_data(record, len(record.fragment) - AEAD_OVERHEAD)
    return Sealed(direction, record.content_type, record.fragment[:_NONCE], record.fragment[_NONCE:], forms)


class RecordKeys:
    """The keys of one session, ready to open and seal its records."""

    __slots__ = ("_aead", "_iv")

    def __init__(self, key_block: bytes) -> None:
        """``key_block`` is what :meth:`Secret.key_block` gives."""
        self._aead = {
            Direction.UP: AESCCM(key_block[0:16], tag_length=_TAG),
            Direction.DOWN: AESCCM(key_block[16:32], tag_length=_TAG),
        }
        self._iv = {Direction.UP: key_block[32:36], Direction.DOWN: key_block[36:40]}

    def open(self, direction: Direction, record: WireRecord) -> Opened | None:
        """Decrypt a record; None when the tag does not verify (or the record is cut, in the clear or too short)."""
        found = sealed(direction, record)
        return self.unseal(found) if found is not None else None

    def unseal(self, record: Sealed) -> Opened | None:
        """:meth:`open` of a record that was made ready by :func:`sealed`."""
        nonce, decrypt = self._iv[record.direction] + record.nonce, self._aead[record.direction].decrypt
        for name, aad in record.forms:
            try:
                plain = decrypt(nonce, record.ciphertext, aad)
            except InvalidTag:
                continue
            if not record.content_type.has_connection_id:
                return Opened(record.content_type.protected_as, plain, name)
            inner = plain.rstrip(b"\0")
            return Opened(inner[-1], inner[:-1], name) if inner else Opened(0, b"", name)
        return None

    def seal(self, direction: Direction, record: WireRecord, content: bytes) -> bytes:
        """The fragment that makes ``record`` carry ``content``; the record's own fragment is ignored.

        A CID record's ``content`` is the inner plaintext: content, real type, padding.
        """
        explicit = record.epoch.to_bytes(2, "big") + record.sequence.to_bytes(6, "big")
        aad = _associated_data(record, len(content))[0][1]
        return explicit + self._aead[direction].encrypt(self._iv[direction] + explicit, content, aad)


def _associated_data(record: WireRecord, length: int) -> tuple[tuple[str, bytes], ...]:
    """The forms to try, best first. Particle's forks use the draft's; later builds could not be inspected."""
    sequence = record.epoch.to_bytes(2, "big") + record.sequence.to_bytes(6, "big")
    content_type = bytes((record.content_type.protected_as,))
    version, size = record.version.to_bytes(2, "big"), length.to_bytes(2, "big")
    if not record.content_type.has_connection_id:
        return (("plain", sequence + content_type + version + size),)
    cid, cid_length = record.connection_id, bytes((len(record.connection_id),))
    draft = sequence + content_type + version + cid + cid_length + size
    final = b"\xff" * 8 + content_type + cid_length + content_type + version + sequence + cid + size
    return (("draft-05", draft), ("rfc9146", final))


def point_of(spki: bytes) -> bytes | None:
    """The 65-byte point of a P-256 SubjectPublicKeyInfo, or None when it is anything else."""
    if spki[: len(SPKI_P256_PREFIX)] != SPKI_P256_PREFIX or len(spki) != len(SPKI_P256_PREFIX) + 65:
        return None
    return spki[len(SPKI_P256_PREFIX) :]


def spki_of(point: bytes) -> bytes:
    """The 91-byte SubjectPublicKeyInfo of a 65-byte P-256 point."""
    return SPKI_P256_PREFIX + point


def is_on_curve(spki: bytes) -> bool:
    """Whether this is a P-256 key whose point lies on the curve."""
    return _load(spki) is not None


def _load(spki: bytes) -> ec.EllipticCurvePublicKey | None:
    point = point_of(spki)
    if point is None:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return None


def verifies(spki: bytes, signed: Signed, message: bytes) -> bool | None:
    """Whether the key signed ``message``; None when the key or the algorithm is not one we can check."""
    key = _load(spki)
    algorithm = _HASHES.get(signed.algorithm >> 8)
    if key is None or algorithm is None or signed.algorithm & 0xFF != _ECDSA:
        return None
    try:
        key.verify(signed.signature, message, ec.ECDSA(algorithm()))
    except InvalidSignature:
        return False
    return True


def key_exchange_message(client_random: bytes, server_random: bytes, exchange: ServerKeyExchange) -> bytes:
    """What the cloud signs in ServerKeyExchange (RFC 8422 section 5.4)."""
    return client_random + server_random + exchange.parameters


def content_type_name(content_type: int) -> str:
    """``handshake``, ``alert``, ``application data`` ... for a decrypted record's type."""
    try:
        return ContentType(content_type).name.lower().replace("_", " ")
    except ValueError:
        return f"type {content_type}"
