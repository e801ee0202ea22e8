"""The keys of the handshake at work: RSA blocks opened and checked by hand, who signed, a flipped byte found.

Raw RSA and explicit structure checks, never a library's PKCS#1 decryption (its signature check is used): OpenSSL 3.2 and later answer a wrong key
with random bytes instead of an error (implicit rejection), so "it decrypted" proves nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, lru_cache
from math import lcm, prod

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicKey,
    RSAPublicNumbers,
)

from dissectors.lightssl.messages import (
    CLOUD_BLOCK,
    CREDENTIALS_SIZE,
    DEVICE_BLOCK,
    LONG_IDENTITY,
    SHORT_IDENTITY,
    Credentials,
    IdentityPlaintext,
)

EXPONENT = 65537
HMAC_SIZE = 20
#: RFC 8017 section 7.2.2: fewer than eight bytes of padding is an error.
_MIN_PADDING = 8
#: A raw private operation: an integer below the modulus to an integer.
RawPrivate = Callable[[int], int]


class Reason(StrEnum):
    """Why a block did not open."""

    SIZE = "size"
    RANGE = "range"
    PADDING = "padding"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class OpenFailure:
    """A block that does not open under the key that was tried. ``detail`` is for people and free of secrets."""

    reason: Reason
    detail: str


def in_range(ciphertext: bytes, modulus: int) -> bool:
    """True when ``ciphertext`` can come from this modulus; False refutes the key."""
    return int.from_bytes(ciphertext, "big") < modulus


def unpad_type2(block: bytes) -> bytes | None:
    """The message in ``00 02 | eight or more non-zero bytes | 00 | message`` (RFC 8017, 7.2.1), else None."""
    if not block.startswith(b"\x00\x02"):
        return None
    end = block.find(0, 2)
    return block[end + 1 :] if end >= 2 + _MIN_PADDING else None


def unpad_type1(block: bytes) -> bytes | None:
    """The message in ``00 01 | eight or more FF | 00 | message`` (RFC 8017, 9.2 without DigestInfo), else None."""
    if not block.startswith(b"\x00\x01"):
        return None
    end = block.find(0, 2)
    return block[end + 1 :] if end >= 2 + _MIN_PADDING and block[2:end].strip(b"\xff") == b"" else None


def pad_type2(message: bytes, size: int, padding: bytes) -> bytes:
    """``message`` in a type 2 block of ``size`` bytes; ``padding`` supplies the non-zero bytes (its zeros become 1)."""
    wanted = size - 3 - len(message)
    filler = bytes(byte or 1 for byte in padding[:wanted])
    if wanted < _MIN_PADDING or len(filler) < wanted:
        raise ValueError(f"a block of {size} bytes cannot carry {len(message)} with {len(padding)} bytes of padding")
    return b"\x00\x02" + filler + b"\x00" + message


def pad_type1(message: bytes, size: int) -> bytes:
    """``message`` in a type 1 block of ``size`` bytes."""
    return b"\x00\x01" + b"\xff" * (size - 3 - len(message)) + b"\x00" + message


def raw_public(data: bytes, modulus: int, exponent: int = EXPONENT) -> bytes:
    """RSA's public operation on a big-endian block; as long as ``data``."""
    return pow(int.from_bytes(data, "big"), exponent, modulus).to_bytes(max(len(data), (modulus.bit_length() + 7) // 8))


def open_identity(ciphertext: bytes, raw_private: RawPrivate, modulus: int) -> IdentityPlaintext | OpenFailure:
    """The device's 256 bytes under a cloud private key. Proof is the caller's: the nonce must be the one sent."""
    if len(ciphertext) != CLOUD_BLOCK:
        return OpenFailure(Reason.SIZE, f"{len(ciphertext)} bytes, {CLOUD_BLOCK} wanted")
    if not in_range(ciphertext, modulus):
        return OpenFailure(Reason.RANGE, "the number is not below this key's modulus")
    message = _open(ciphertext, raw_private)
    if isinstance(message, OpenFailure):
        return message
    if len(message) not in (SHORT_IDENTITY, LONG_IDENTITY):
        wanted = f"{SHORT_IDENTITY} or {LONG_IDENTITY} wanted"
        return OpenFailure(Reason.LENGTH, f"padding holds by chance or design, but {len(message)} bytes, {wanted}")
    return IdentityPlaintext.from_wire(message)


def open_session_key(ciphertext: bytes, raw_private: RawPrivate) -> Credentials | OpenFailure:
    """The cloud's 128 bytes under a device private key. Proof is the signature's HMAC, or the next record."""
    if len(ciphertext) != DEVICE_BLOCK:
        return OpenFailure(Reason.SIZE, f"{len(ciphertext)} bytes, {DEVICE_BLOCK} wanted")
    message = _open(ciphertext, raw_private)
    if isinstance(message, OpenFailure):
        return message
    if len(message) != CREDENTIALS_SIZE:
        return OpenFailure(Reason.LENGTH, f"{len(message)} bytes, {CREDENTIALS_SIZE} wanted")
    return Credentials.from_wire(message)


def _open(ciphertext: bytes, raw_private: RawPrivate) -> bytes | OpenFailure:
    number = raw_private(int.from_bytes(ciphertext, "big"))
    if number < 0 or number.bit_length() > 8 * len(ciphertext):
        return OpenFailure(Reason.RANGE, "the result is longer than the block")
    message = unpad_type2(number.to_bytes(len(ciphertext), "big"))
    return OpenFailure(Reason.PADDING, "no 00 02 padding inside") if message is None else message


def signed_message(signature: bytes, modulus: int, exponent: int = EXPONENT) -> bytes | None:
    """What the owner of this public key signed (PKCS#1 type 1, RFC 8017 section 8.2), of whatever length, else None.

    A random block passes with odds of less than 2^-64: a result proves who signed.
    """
    if len(signature) != CLOUD_BLOCK or not in_range(signature, modulus) or modulus.bit_length() > 8 * CLOUD_BLOCK:
        return None
    key = _library_key(modulus, exponent)
    if key is None:
        return unpad_type1(raw_public(signature, modulus, exponent))
    try:
        return key.recover_data_from_signature(signature, PKCS1v15(), None)
    except (InvalidSignature, ValueError):
        return None


def open_signature(signature: bytes, modulus: int, exponent: int = EXPONENT) -> bytes | None:
    """The 20 signed bytes when the owner of this public key signed as devices want it (no DigestInfo), else None.

    A random block passes with odds of 2^-1888.
    """
    message = signed_message(signature, modulus, exponent)
    return message if message is not None and len(message) == HMAC_SIZE else None


@lru_cache(maxsize=256)
def _library_key(modulus: int, exponent: int) -> RSAPublicKey | None:
    """The key for OpenSSL, whose public operation takes a tenth of the time; None for what it does not take.

    A signature has no implicit rejection: a block that is no type 1 block is an error, as it is by hand.
    """
    if modulus.bit_length() != 8 * CLOUD_BLOCK or not modulus & 1:
        return None
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:  # an even modulus, a small exponent: not from a real key
        return None


def session_hmac(credentials: Credentials, ciphertext: bytes) -> bytes:
    """What the cloud signs: HMAC-SHA1 over the 128 ciphertext bytes under all 40 bytes of credentials."""
    return hmac.new(credentials.to_wire(), ciphertext, hashlib.sha1).digest()


def encrypt_identity(identity: IdentityPlaintext, modulus: int, padding: bytes) -> bytes:
    """The device's 256 bytes under a cloud public key. ``padding``: at least 201 (or 39) random bytes."""
    return raw_public(pad_type2(identity.to_wire(), CLOUD_BLOCK, padding), modulus)


def encrypt_session_key(credentials: Credentials, modulus: int, padding: bytes) -> bytes:
    """The cloud's 128 bytes under a device public key. ``padding``: at least 85 random bytes."""
    return raw_public(pad_type2(credentials.to_wire(), DEVICE_BLOCK, padding), modulus)


def sign(digest: bytes, raw_private: RawPrivate) -> bytes:
    """The cloud's 256 signature bytes over a 20-byte HMAC."""
    return raw_private(int.from_bytes(pad_type1(digest, CLOUD_BLOCK), "big")).to_bytes(CLOUD_BLOCK, "big")


# Blank flash as a key: the modulus 2^2048 - 1 is the product of the Fermat numbers F0..F10, all factored
# (F9: Lenstra, Lenstra, Manasse, Pollard 1990; F10: Brent 1995), so anybody holds its private key.

_BLANK_MODULUS = 2**2048 - 1


@cache
def _blank_primes() -> tuple[int, ...]:
    def fermat(index: int) -> int:
        return int(2 ** (2**index) + 1)

    known = {
        5: (641,),
        6: (274177,),
        7: (59649589127497217,),
        8: (1238926361552897,),
        9: (2424833, 7455602825647884208337395736200454918783366342657),
        10: (45592577, 6487031809, 4659775785220018543264560743076778192897),
    }
    primes = [fermat(index) for index in range(5)]
    for index, factors in known.items():
        primes += [*factors, fermat(index) // prod(factors)]
    return tuple(primes)


@cache
def _blank_crt() -> tuple[tuple[int, int, int], ...]:
    """(prime, exponent modulo prime - 1, CRT coefficient) for each of the 20 primes."""
    primes = _blank_primes()
    private = pow(EXPONENT, -1, lcm(*(prime - 1 for prime in primes)))
    rows = []
    for prime in primes:
        rest = _BLANK_MODULUS // prime
        rows.append((prime, private % (prime - 1), rest * pow(rest, -1, prime)))
    return tuple(rows)


def _blank_private(number: int) -> int:
    total = sum(pow(number % prime, exponent, prime) * factor for prime, exponent, factor in _blank_crt())
    return total % _BLANK_MODULUS


@cache
def _blank_library_key() -> RSAPrivateKey:
    """For OpenSSL: F10 and the product of F0..F9 in the places of the primes, which Garner's recombination takes as well."""
    high, low = 2**1024 + 1, 2**1024 - 1
    primes = _blank_primes()
    high_order, low_order = (lcm(*(prime - 1 for prime in primes if half % prime == 0)) for half in (high, low))
    private = pow(EXPONENT, -1, lcm(high_order, low_order))
    numbers = RSAPrivateNumbers(
        high, low, private, private % high_order, private % low_order, pow(low, -1, high),
        RSAPublicNumbers(EXPONENT, _BLANK_MODULUS),
    )  # fmt: skip
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _may_be_blank(ciphertext: bytes) -> bool:
    """A quick look: False only where no identity can be in it, however it is opened."""
    if len(ciphertext) != CLOUD_BLOCK or int.from_bytes(ciphertext, "big") >= _BLANK_MODULUS:
        return True  # the exact look says what is wrong with it
    try:
        return len(_blank_library_key().decrypt(ciphertext, PKCS1v15())) in (SHORT_IDENTITY, LONG_IDENTITY)
    except ValueError:  # OpenSSL before 3.2
        return False


def open_with_blank_key(ciphertext: bytes) -> IdentityPlaintext | OpenFailure:
    """The device's 256 bytes if it encrypted under an erased key slot (all 0xFF): needs no key at all."""
    if not _may_be_blank(ciphertext):
        return OpenFailure(Reason.PADDING, "does not open with this key")
    return open_identity(ciphertext, _blank_private, _BLANK_MODULUS)


# Corruption in transit


@dataclass(frozen=True, slots=True)
class Flip:
    """One changed byte that explains a failure: at ``offset`` ``sent`` was written and ``captured`` arrived."""

    offset: int
    sent: int
    captured: int
    repaired: bytes = field(repr=False)

    @property
    def bits(self) -> int:
        """How many bits differ."""
        return (self.sent ^ self.captured).bit_count()


def search_flip(data: bytes, check: Callable[[bytes], bool], budget: int = 4096) -> Flip | None:
    """The one flipped bit, else the one changed byte, under which ``check`` passes; None within ``budget`` checks.

    ``check`` must be a proof (nonce echo, HMAC, parse), for up to 255 * len(data) candidates are offered.
    """
    for tried, (offset, mask) in enumerate(_masks(len(data))):
        if tried >= budget:
            return None
        candidate = data[:offset] + bytes((data[offset] ^ mask,)) + data[offset + 1 :]
        if check(candidate):
            return Flip(offset, data[offset] ^ mask, data[offset], candidate)
    return None


def _masks(size: int) -> Iterator[tuple[int, int]]:
    """(offset, exclusive-or mask): single bits everywhere first, then every other change of one byte."""
    bits = [1 << bit for bit in range(8)]
    yield from ((offset, mask) for offset in range(size) for mask in bits)
    yield from ((offset, mask) for offset in range(size) for mask in range(1, 256) if mask not in bits)
