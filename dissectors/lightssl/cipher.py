"""Session records opened: AES-128-CBC whose IV is the *first* block of the previous record of the same direction.

So a lost record costs only the first 16 bytes of the next one, and decryption may resume anywhere.
Source: device-os communication/src/lightssl_message_channel.cpp@v0.6.3 (next_iv), spark-protocol
js/lib/CryptoStream.js@2c797c1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from dissectors.coap import Message
from dissectors.errors import Malformed, WireError
from dissectors.events import Direction, Record, Status
from dissectors.lightssl.messages import Credentials
from dissectors.lightssl.records import BLOCK, HEADER, plausible


class RecordFailure(Malformed):
    """Ciphertext that is no record under this key. ``reason`` is "size" or "padding"."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Opened:
    """Plaintext of a record. Its first ``unknown`` bytes (0 or 16) are not known and left out of ``data``."""

    data: bytes = field(repr=False)
    unknown: int = 0


class RecordCipher:
    """One direction of a session. Feed it every record in order; call :meth:`lose` for each that is not there."""

    def __init__(self, key: bytes, iv: bytes | None) -> None:
        """``key`` 16 bytes; ``iv`` 16 bytes, None when the capture does not begin with the direction's first record."""
        self._algorithm = algorithms.AES128(key)
        self._iv = iv

    @property
    def in_step(self) -> bool:
        """False when the next record's first block cannot be known."""
        return self._iv is not None

    def lose(self) -> None:
        """The record before the next one is unknown."""
        self._iv = None

    def decrypt(self, ciphertext: bytes) -> Opened:
        """Open one record; raises :class:`RecordFailure`, after which the next record is in step all the same."""
        if not ciphertext or len(ciphertext) % BLOCK:
            self._iv = ciphertext[:BLOCK] if len(ciphertext) >= BLOCK else None
            raise RecordFailure("size", f"{len(ciphertext)} bytes are not whole blocks")
        unknown = 0 if self._iv is not None else BLOCK
        plain = self._decrypt_blocks(self._iv or bytes(BLOCK), ciphertext)[unknown:]
        self._iv = ciphertext[:BLOCK]
        if not plain:
            return Opened(b"", unknown)
        padding = plain[-1]
        if not 1 <= padding <= BLOCK or plain[-padding:] != bytes((padding,)) * min(padding, len(plain)):
            raise RecordFailure("padding", "PKCS#7 padding is wrong")
        return Opened(plain[:-padding], unknown)

    def decrypt_head(self, ciphertext: bytes) -> Opened:
        """Open the whole blocks of a record whose end is missing: no padding to check."""
        whole = ciphertext[: len(ciphertext) - len(ciphertext) % BLOCK]
        unknown = 0 if self._iv is not None else BLOCK
        plain = self._decrypt_blocks(self._iv or bytes(BLOCK), whole)[unknown:] if whole else b""
        self._iv = whole[:BLOCK] or None
        return Opened(plain, unknown)

    def encrypt(self, plaintext: bytes) -> bytes:
        """The ciphertext of the next record, for captures made by hand. The cipher must be in step."""
        if self._iv is None:
            raise ValueError("the previous record is not known")
        padding = BLOCK - len(plaintext) % BLOCK
        encryptor = Cipher(self._algorithm, modes.CBC(self._iv)).encryptor()
        ciphertext = encryptor.update(plaintext + bytes((padding,)) * padding) + encryptor.finalize()
        self._iv = ciphertext[:BLOCK]
        return ciphertext

    def _decrypt_blocks(self, iv: bytes, ciphertext: bytes) -> bytes:
        decryptor = Cipher(self._algorithm, modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()


def is_stray_ping(ciphertext: bytes) -> bool:
    """True when a record is the ping of an old Core that took no session key: under key and IV of zeros.

    Such a Core goes on after a session key it could not use (core-communication-lib src/spark_protocol.cpp@spark_11
    event_loop, firmware spark_11 Spark.process()), its key memory still as at boot. Proof: 14 fixed bytes of 16.
    """
    if len(ciphertext) != BLOCK:
        return False
    try:
        plain = RecordCipher(bytes(16), bytes(BLOCK)).decrypt(ciphertext).data
    except RecordFailure:
        return False
    return len(plain) == 4 and plain[:2] == b"\x40\x00"


class Problem(StrEnum):
    """Why a record has no plaintext, or not all of it."""

    NONE = "none"
    PADDING = "padding"
    LENGTH = "length"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """A record and what came of opening it. ``data`` lacks its first ``unknown`` bytes; None: it did not open.

    ``problem`` LENGTH with data: only the length in front of it is damaged. CUT: ``data`` is the beginning.
    """

    record: Record
    data: bytes | None = field(repr=False)
    unknown: int = 0
    problem: Problem = Problem.NONE

    @property
    def whole(self) -> bool:
        """True when every plaintext byte is known."""
        return self.data is not None and not self.unknown and self.problem is Problem.NONE


def open_records(credentials: Credentials, records: Iterable[Record]) -> Iterator[OpenedRecord]:
    """Open the records of a session, both directions, in order. Never raises: a bad record is a result."""
    ciphers = {direction: RecordCipher(credentials.key, credentials.iv) for direction in Direction}
    mended: set[Direction] = set()
    for record in records:
        cipher = ciphers[record.direction]
        if record.after_gap and record.direction not in mended:
            cipher.lose()
        mended.discard(record.direction)
        opened = _open_one(cipher, record)
        if opened.problem is Problem.LENGTH and opened.data is not None:
            mended.add(record.direction)
        yield opened


def _open_one(cipher: RecordCipher, record: Record) -> OpenedRecord:
    if record.status is Status.MALFORMED:
        return _open_mended(cipher, record)
    if record.status is Status.PARTIAL:
        if len(record.header) < HEADER:
            cipher.lose()
            return OpenedRecord(record, None, problem=Problem.CUT)
        opened = cipher.decrypt_head(record.fragment)
        return OpenedRecord(record, opened.data, opened.unknown, Problem.CUT)
    try:
        opened = cipher.decrypt(record.fragment)
    except RecordFailure:
        return OpenedRecord(record, None, problem=Problem.PADDING)
    return OpenedRecord(record, opened.data, opened.unknown)


def _open_mended(cipher: RecordCipher, record: Record) -> OpenedRecord:
    """A length that cannot be: when all bytes up to the next record open and are CoAP, only the length is wrong."""
    if cipher.in_step and plausible(len(record.fragment)):
        try:
            opened = cipher.decrypt(record.fragment)
            Message.from_wire(opened.data)
        except WireError:
            pass
        else:
            return OpenedRecord(record, opened.data, opened.unknown, Problem.LENGTH)
    cipher.lose()
    return OpenedRecord(record, None, problem=Problem.LENGTH)


def counter_seeds(salt: bytes) -> dict[str, int]:
    """The message id seed each firmware family takes from the salt: BE16 (SparkProtocol), LE16 (LightSSL channel)."""
    return {"SparkProtocol": int.from_bytes(salt[:2], "big"), "LightSSL": int.from_bytes(salt[:2], "little")}


def firmware_family(salt: bytes, hello_id: int) -> str | None:
    """Which family's counter the device's Hello carries (seed + 1); None when neither, or when both would be equal.

    "SparkProtocol": Photon, P1, Core up to v1.4.x. "LightSSL": Electron on TCP, the virtual device, all since v1.5.0.
    """
    fitting = [family for family, seed in counter_seeds(salt).items() if (seed + 1) & 0xFFFF == hello_id]
    return fitting[0] if len(fitting) == 1 else None
