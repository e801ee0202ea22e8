"""Keys that rebuild identically: RSA and P-256 from a seeded generator, their DER and PEM, and the slots they live in.

The arithmetic is our own and plain (pow, affine curve formulas); nothing here must be used to protect anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

E = 65537


def _small_primes(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    for number in range(2, math.isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(3, limit) if sieve[number]]


_PRIMES = _small_primes(4000)


def _is_prime(number: int) -> bool:
    """Miller-Rabin to fixed bases; the candidates come from our own generator, so nobody chose them against us."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd >> 1, twos + 1
    for base in (2, 3, 5, 7, 11, 13, 17, 19):
        value = pow(base, odd, number)
        if value in (1, number - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % number
            if value == number - 1:
                break
        else:
            return False
    return True


def _prime(rng: Random, bits: int) -> int:
    """A prime with its two top bits set and no common factor of p-1 with E."""
    window = 8 * bits
    while True:
        start = rng.getrandbits(bits) | 3 << bits - 2 | 1
        composite = bytearray(window)
        for prime in _PRIMES:
            first = -start * pow(2, -1, prime) % prime
            composite[first::prime] = b"\1" * len(range(first, window, prime))
        for index in range(window):
            candidate = start + 2 * index
            if not composite[index] and candidate % E != 1 and _is_prime(candidate):
                return candidate


# ---- DER and PEM -------------------------------------------------------------------------------------------------


def der(tag: int, *parts: bytes) -> bytes:
    """A DER element: tag, minimal length, the parts."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def integer(value: int) -> bytes:
    """A non-negative DER INTEGER."""
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


RSA_OID = bytes.fromhex("06092a864886f70d0101010500")
EC_OIDS = bytes.fromhex("06072a8648ce3d020106082a8648ce3d030107")


def pem(label: str, data: bytes) -> bytes:
    """PEM with 64-column lines, as openssl writes it."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


# ---- RSA ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RsaKey:
    """An RSA key pair, p > q."""

    p: int
    q: int

    @classmethod
    def generate(cls, rng: Random, bits: int) -> RsaKey:
        """A new pair whose modulus has exactly ``bits`` bits."""
        first, second = _prime(rng, bits // 2), _prime(rng, bits // 2)
        return cls(max(first, second), min(first, second))

    @cached_property
    def n(self) -> int:
        return self.p * self.q

    @cached_property
    def d(self) -> int:
        return pow(E, -1, math.lcm(self.p - 1, self.q - 1))

    @property
    def size(self) -> int:
        """Bytes of the modulus."""
        return (self.n.bit_length() + 7) // 8

    def public(self, value: int) -> int:
        return pow(value, E, self.n)

    def private(self, value: int) -> int:
        """value^d mod n, by the Chinese remainder theorem."""
        a = pow(value % self.p, self.d % (self.p - 1), self.p)
        b = pow(value % self.q, self.d % (self.q - 1), self.q)
        return b + (a - b) * pow(self.q, -1, self.p) % self.p * self.q

    @property
    def pkcs1(self) -> bytes:
        """RSAPrivateKey (RFC 8017)."""
        d, p, q = self.d, self.p, self.q
        numbers = (0, self.n, E, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
        return der(0x30, *(integer(number) for number in numbers))

    @property
    def regular(self) -> bool:
        """Whether every number of the PKCS#1 form has its full length, as the firmware's positional reader needs."""
        d, p, q = self.d, self.p, self.q
        parts = (d % (p - 1), d % (q - 1), pow(q, -1, p))
        return d.bit_length() > self.size * 8 - 8 and all(part.bit_length() > self.size * 4 - 8 for part in parts)

    @property
    def pkcs8(self) -> bytes:
        """PrivateKeyInfo (RFC 5208), what `openssl rsa -outform DER` of OpenSSL 3 writes."""
        return der(0x30, integer(0), der(0x30, RSA_OID), der(4, self.pkcs1))

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo: 162 bytes for 1024 bits, 294 for 2048."""
        return rsa_spki(self.n)

    @property
    def private_pem(self) -> bytes:
        return pem("RSA PRIVATE KEY", self.pkcs1)

    @property
    def public_pem(self) -> bytes:
        return pem("PUBLIC KEY", self.spki)


def rsa_spki(modulus: int) -> bytes:
    """The SubjectPublicKeyInfo of any modulus, whether or not somebody holds its factors."""
    return der(0x30, der(0x30, RSA_OID), der(3, b"\0", der(0x30, integer(modulus), integer(E))))


# ---- P-256 -------------------------------------------------------------------------------------------------------

#: Domain parameters of secp256r1 (SEC 2, section 2.4.2).
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]


def _double(x: int, y: int, z: int) -> tuple[int, int, int]:
    """Jacobian doubling for a = -3."""
    squared = y * y % P
    s = 4 * x * squared % P
    m = 3 * (x - z * z) * (x + z * z) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * squared * squared) % P, 2 * y * z % P


def multiply(scalar: int, point: Point = G) -> Point:
    """scalar * point, affine."""
    x, y, z = point[0], point[1], 1
    for bit in bin(scalar % N)[3:]:
        x, y, z = _double(x, y, z)
        if bit == "1":
            squared = z * z % P
            h = (point[0] * squared - x) % P
            r = (point[1] * squared * z - y) % P
            h2 = h * h % P
            h3, v = h2 * h % P, x * h2 % P
            x3 = (r * r - h3 - 2 * v) % P
            x, y, z = x3, (r * (v - x3) - y * h3) % P, z * h % P
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


@dataclass(frozen=True)
class EcKey:
    """A P-256 private scalar."""

    d: int

    @classmethod
    def generate(cls, rng: Random) -> EcKey:
        return cls(rng.randrange(1, N))

    @cached_property
    def point(self) -> bytes:
        """The public point, uncompressed: 04, X, Y (65 bytes)."""
        x, y = multiply(self.d)
        return b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")

    def agree(self, point: bytes) -> bytes:
        """The ECDH shared secret: the X coordinate (32 bytes)."""
        other = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
        return multiply(self.d, other)[0].to_bytes(32, "big")

    def sign(self, message: bytes) -> bytes:
        """A DER ECDSA-SHA256 signature, deterministic (RFC 6979), as the device's own library makes it."""
        digest = hashlib.sha256(message).digest()
        value = int.from_bytes(digest, "big")
        for k in _rfc6979(self.d, digest):
            r = multiply(k)[0] % N
            s = pow(k, -1, N) * (value + r * self.d) % N
            if r and s:
                return der(0x30, integer(r), integer(s))
        raise AssertionError  # pragma: no cover - the generator never ends

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, 91 bytes."""
        return der(0x30, der(0x30, EC_OIDS), der(3, b"\0", self.point))

    @property
    def sec1(self) -> bytes:
        """ECPrivateKey with curve and public key, 121 bytes."""
        return ec_private(self.d, self.point)

    @property
    def public_pem(self) -> bytes:
        return pem("PUBLIC KEY", self.spki)


def ec_private(scalar: int, point: bytes) -> bytes:
    """SEC 1 ECPrivateKey of a scalar and a point that need not belong together."""
    return der(
        0x30, integer(1), der(4, scalar.to_bytes(32, "big")), der(0xA0, EC_OIDS[9:]), der(0xA1, der(3, b"\0", point))
    )


def _rfc6979(private: int, digest: bytes) -> Iterator[int]:
    """The nonces of RFC 6979, section 3.2, with SHA-256 and a 256-bit group."""
    reduced = (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    seed = private.to_bytes(32, "big") + reduced
    value, key = b"\1" * 32, bytes(32)
    for marker in (b"\0", b"\1"):
        key = hmac.digest(key, value + marker + seed, "sha256")
        value = hmac.digest(key, value, "sha256")
    while True:
        value = hmac.digest(key, value, "sha256")
        candidate = int.from_bytes(value, "big")
        if 0 < candidate < N:
            yield candidate
        key = hmac.digest(key, value + b"\0", "sha256")
        value = hmac.digest(key, value, "sha256")


# ---- flash slots -------------------------------------------------------------------------------------------------


def slot(data: bytes, size: int, fill: int = 0xFF) -> bytes:
    """``data`` at the start of an otherwise erased flash slot."""
    return data + bytes((fill,)) * (size - len(data))


def server_slot(spki: bytes, address: bytes | str | None, port: int | None = None, size: int = 512) -> bytes:
    """What a device stores for its cloud: the key, and the address record at 384 (512-byte slot) or 192 (320-byte).

    ``address`` is 4 packed bytes, a host name or None (record lost). Layout: tcp.md 4.3 and dtls.md 6.3 (from
    particle-iot/device-os and particle-cli src/cmd/keys.js).
    """
    offset = 384 if size == 512 else 192
    blob = bytearray(slot(spki, size))
    if address is not None:
        record = b"\1" + bytes((len(address),)) + address.encode() if isinstance(address, str) else b"\0\4" + address
        blob[offset : offset + len(record)] = record
        if isinstance(address, str):
            blob[offset + len(record)] = 0
        if port is not None:
            blob[offset + 66 : offset + 68] = port.to_bytes(2, "big")
    return bytes(blob)
