"""RSA keys as the firmware reads them and as their own structure says.

How it works. A device parses no DER: it takes N, P, Q, DP, DQ and QP from fixed places, where only the low bit of each
length byte is looked at (a leading zero or none), and computes with the CRT parts alone; D is skipped and the exponent is
65537 whatever the file says. So the same bytes are read twice: by structure (what the key was meant to be) and by
position (what the device makes of them). Where the two differ, the device is right about itself.

Source: `init_rsa_context_with_private_key`, `init_rsa_context_with_public_key`, particle-iot/device-os
communication/src/handshake.cpp, v0.4.0 to v6.2.0; RFC 8017 appendix A.1 for the structures.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from math import lcm
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa as library

from analyzer.keys import der
from dissectors.errors import Malformed, Truncated

#: The exponent every device uses.
EXPONENT: Final = 65537
#: Bytes of the private-key slot that a device copies into its identity message (communication/src/handshake.cpp).
TAIL: Final = slice(11, 139)
#: Where the modulus lies in a stored server key.
SERVER_MODULUS: Final = slice(33, 289)
DEVICE_BITS: Final = 1024
SERVER_BITS: Final = 2048
#: The slot as firmware defines it (MAX_DEVICE_PRIVATE_KEY_LENGTH, device_keys.h).
PRIVATE_SLOT: Final = 612
_MAX_BITS: Final = 8192
_DEVICE_SPKI_HEAD: Final = bytes.fromhex("30819f300d06092a864886f70d010101050003818d0030818902818100")
_DEVICE_SPKI_END: Final = bytes.fromhex("0203010001")


@dataclass(frozen=True, slots=True, repr=False)
class RsaKey:
    """An RSA key: ``n`` and ``e``, and for a private one the parts a device computes with.

    ``d`` may be None: the firmware does not read it. ``repr`` shows no number at all: where a slot is damaged, even the
    bytes read as N can be private ones.
    """

    n: int
    e: int = EXPONENT
    d: int | None = None
    p: int | None = None
    q: int | None = None
    dp: int | None = None
    dq: int | None = None
    qinv: int | None = None

    def __repr__(self) -> str:
        return f"RsaKey({self.bits} bits, {'private' if self.has_private else 'public'})"

    @property
    def bits(self) -> int:
        """Length of the modulus in bits."""
        return self.n.bit_length()

    @property
    def has_private(self) -> bool:
        """Whether the CRT parts are there."""
        return None not in (self.p, self.q, self.dp, self.dq, self.qinv)

    @property
    def spki(self) -> bytes:
        """The public half as SubjectPublicKeyInfo DER."""
        return spki(self.n, self.e)

    @property
    def pkcs1(self) -> bytes | None:
        """RSAPrivateKey DER, as openssl writes it; None when a number is missing."""
        numbers = (0, self.n, self.e, self.d, self.p, self.q, self.dp, self.dq, self.qinv)
        return None if None in numbers else der.wrap(der.SEQUENCE, *(der.unsigned(number or 0) for number in numbers))

    @property
    def faults(self) -> tuple[str, ...]:
        """Which of the parts a device uses do not fit the others: names out of ``n``, ``dp``, ``dq``, ``qinv``.

        ``n`` stands for "N is not P times Q", whichever of the three is damaged. Empty for a public key.
        """
        if self.p is None or self.q is None or self.dp is None or self.dq is None or self.qinv is None:
            return ()
        found = [] if self.n == self.p * self.q and min(self.p, self.q) > 1 else ["n"]
        if self.p < 3 or self.dp * self.e % (self.p - 1) != 1:
            found.append("dp")
        if self.q < 3 or self.dq * self.e % (self.q - 1) != 1:
            found.append("dq")
        if self.p < 3 or self.qinv * self.q % self.p != 1:
            found.append("qinv")
        return tuple(found)

    @property
    def consistent(self) -> bool | None:
        """Whether every part a device uses fits the others; None for a public key. D is not asked: see ``exponent_fits``."""
        return not self.faults if self.has_private else None

    @property
    def exponent_fits(self) -> bool | None:
        """Whether D belongs to this key; None when D or the primes are not there. No device cares, libraries do."""
        if self.d is None or self.p is None or self.q is None or min(self.p, self.q) < 3:
            return None
        return self.d * self.e % (self.p - 1) == 1 and self.d * self.e % (self.q - 1) == 1

    def with_device_exponent(self) -> RsaKey | None:
        """The private key that opens what a device encrypts for this modulus: firmware takes 65537 whatever the key says.

        None for a public key, one that is not sound, or where 65537 has no inverse.
        """
        if self.p is None or self.q is None or not self.consistent:
            return None
        try:
            return from_primes(self.p, self.q)
        except ValueError:
            return None

    def raw_private(self, c: int) -> int:
        """``c`` to the private power, computed as the firmware does: with the CRT parts and nothing else.

        Returns 0 where these parts cannot be computed with (a zero prime), which is no valid padding.
        Raises ValueError for a public key.
        """
        if self.p is None or self.q is None or self.dp is None or self.dq is None or self.qinv is None:
            raise ValueError("a public key has no private power")
        if self.p == 0 or self.q == 0:
            return 0
        m_p, m_q = pow(c, self.dp, self.p), pow(c, self.dq, self.q)
        return m_q + self.q * ((m_p - m_q) * self.qinv % self.p)

    def library_message(self, ciphertext: bytes) -> bytes | None:
        """What OpenSSL makes of ``ciphertext`` as PKCS#1 v1.5: the message, junk of any length for a wrong key, or None.

        Fifteen times as fast as :meth:`raw_private`, and no proof of anything: the caller needs redundancy inside the
        message. None where OpenSSL cannot be asked (a key that is not sound) or says no.
        """
        private = self._library_key()
        if private is None or len(ciphertext) != private.key_size // 8:
            return None
        try:
            return private.decrypt(ciphertext, padding.PKCS1v15())
        except ValueError:
            return None

    def may_open(self, ciphertext: bytes, lengths: Collection[int], beginning: bytes = b"") -> bool:
        """A quick look: False when ``ciphertext`` certainly holds no PKCS#1 v1.5 message of one of these lengths that begins so.

        True only means that the exact look (:meth:`raw_private` and the padding) is worth its time: OpenSSL answers a
        wrong key with junk of a random length, about one in a hundred of the wanted one. A damaged key is always True.
        """
        if int.from_bytes(ciphertext, "big") >= self.n:
            return False
        private = self._library_key()
        if private is None:
            return True
        if len(ciphertext) != private.key_size // 8:
            return False
        try:
            message = private.decrypt(ciphertext, padding.PKCS1v15())
        except ValueError:  # OpenSSL before 3.2 tells a wrong key by an error
            return False
        return len(message) in lengths and message.startswith(beginning)

    def _library_key(self) -> library.RSAPrivateKey | None:
        """The key for OpenSSL, or None when it is not sound. Kept outside of this object, which stays picklable."""
        return _for_library(self)

    def _built(self) -> library.RSAPrivateKey | None:
        if self.p is None or self.q is None or self.dp is None or self.dq is None or self.qinv is None or self.faults:
            return None
        d = self.d
        if d is None or not self.exponent_fits:
            d = pow(self.e, -1, lcm(self.p - 1, self.q - 1))
        public = library.RSAPublicNumbers(self.e, self.n)
        numbers = library.RSAPrivateNumbers(self.p, self.q, d, self.dp, self.dq, self.qinv, public)
        try:
            return numbers.private_key(unsafe_skip_rsa_key_validation=True)
        except ValueError:
            return None


@lru_cache(maxsize=256)
def _for_library(key: RsaKey) -> library.RSAPrivateKey | None:
    """Kept, because OpenSSL prepares what it needs for the operation (Montgomery form, blinding) once per key."""
    return key._built()


def spki(n: int, e: int = EXPONENT) -> bytes:
    """SubjectPublicKeyInfo DER of an RSA public key."""
    algorithm = der.wrap(der.SEQUENCE, der.wrap(der.OID, der.RSA_ENCRYPTION), b"\x05\x00")
    key = der.wrap(der.SEQUENCE, der.unsigned(n), der.unsigned(e))
    return der.wrap(der.SEQUENCE, algorithm, der.wrap(der.BIT_STRING, b"\0", key))


def device_spki(tail: bytes) -> bytes:
    """The 162 bytes a device presents as its public key: its own frame around slot[11:139], whatever these are."""
    return _DEVICE_SPKI_HEAD + tail + _DEVICE_SPKI_END


def from_primes(p: int, q: int, e: int = EXPONENT) -> RsaKey:
    """The whole key from its primes. Raises ValueError when ``e`` has no inverse modulo p-1 and q-1."""
    d = pow(e, -1, lcm(p - 1, q - 1))
    return RsaKey(p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))


def read_private(data: bytes) -> RsaKey:
    """A PKCS#1 RSAPrivateKey by its structure; bytes behind it are ignored. Raises Truncated and Malformed."""
    numbers = [der.integer(data, item) for item in der.children(data, der.expect(data, 0, der.SEQUENCE))[:9]]
    if len(numbers) < 9 or numbers[0] != 0:
        raise Malformed("not the nine integers of an RSA private key")
    _check_size(numbers[1])
    return RsaKey(*numbers[1:9])


def read_public(data: bytes) -> RsaKey:
    """A PKCS#1 RSAPublicKey by its structure. Raises Truncated and Malformed."""
    numbers = [der.integer(data, item) for item in der.children(data, der.expect(data, 0, der.SEQUENCE))]
    if len(numbers) != 2:
        raise Malformed("not the two integers of an RSA public key")
    _check_size(numbers[0])
    return RsaKey(*numbers)


def _check_size(n: int) -> None:
    if not 256 <= n.bit_length() <= _MAX_BITS:
        raise Malformed(f"an RSA modulus of {n.bit_length()} bits")


def read_slot(slot: bytes) -> RsaKey:
    """A device's private-key slot as the firmware reads it: by position, trusting only the low bit of each length byte.

    Never fails on content: what lies there is what the device uses. Raises Truncated when the slot ends too early.
    """
    at, n = _field(slot, 9, DEVICE_BITS // 8)
    at, d = _field(slot, at + 7, DEVICE_BITS // 8)
    parts: list[int] = []
    for _ in range(5):
        at, value = _field(slot, at + 1, DEVICE_BITS // 16)
        parts.append(value)
    return RsaKey(n, EXPONENT, d, *parts)


def _field(slot: bytes, length_at: int, size: int) -> tuple[int, int]:
    """The end and the value of ``size`` bytes behind the length byte at ``length_at``, past a leading zero if it is odd."""
    if length_at >= len(slot):
        raise Truncated(f"the slot ends before offset {length_at}")
    start = length_at + 1 + (slot[length_at] & 1)
    if start + size > len(slot):
        raise Truncated(f"the slot ends at {len(slot)}, a number at {start} has {size} bytes")
    return start + size, int.from_bytes(slot[start : start + size], "big")


def read_server_slot(slot: bytes) -> RsaKey:
    """A stored server key as the firmware reads it: 256 bytes at offset 33, exponent 65537. Raises Truncated."""
    if len(slot) < SERVER_MODULUS.stop:
        raise Truncated(f"the slot ends at {len(slot)}, the modulus reaches to {SERVER_MODULUS.stop}")
    return RsaKey(int.from_bytes(slot[SERVER_MODULUS], "big"))
