"""A sound RSA key out of a damaged slot, when enough of its parts are intact, and which parts are damaged.

How it works. A PKCS#1 private key says everything several times: N = P Q, D and DP and DQ are tied to the primes by the
exponent. Any one of these pairs gives the whole key back: N with one prime; both primes, vouched for by DP, DQ or D; N
with D (whoever knows both can factor); N with DP or DQ (e DP - 1 is a multiple of P - 1 by less than e). A result is
returned only when such a tie holds, so it is the key that was written there, not one made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from math import gcd
from typing import Final

from analyzer.keys import der
from analyzer.keys.rsa import EXPONENT, PRIVATE_SLOT, RsaKey, from_primes, read_private, read_slot
from dissectors.errors import Malformed, Truncated

_MIN_PRIME_BITS: Final = 200
#: Nothing larger lies in a slot, and these powers cost the cube of it.
_MAX_BITS: Final = 4096
_BASES: Final = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)


def repair(slot: bytes) -> RsaKey | None:
    """The sound RSA key that ``slot`` (as stored in the device, possibly damaged or cut) held, or None.

    A PKCS#8 structure gives the key inside it. Takes up to 20 ms for an RSA-1024 slot. Never raises, whatever the bytes.
    """
    readings = list(_readings(slot))
    for key in readings:
        if key.consistent and key.n.bit_length() >= 2 * _MIN_PRIME_BITS:
            return key if key.exponent_fits or key.e != EXPONENT else _build(key.p or 0, key.q or 0)
    for rebuild in (_from_primes, _from_exponent, _from_crt_exponents):
        for key in readings:
            whole = rebuild(key)
            if whole is not None:
                return whole
    return None


def damaged_parts(slot: bytes, whole: RsaKey) -> tuple[str, ...]:
    """Which numbers of ``slot``, read as the firmware does, differ from the key it should hold: out of N, D, P, Q, DP, DQ, QINV."""
    try:
        read = read_slot(slot.ljust(PRIVATE_SLOT, b"\xff"))
    except Truncated:
        return ()
    swapped = whole.q is not None and read.p == whole.q and read.q == whole.p
    expected = from_primes(whole.q, whole.p) if swapped and whole.p and whole.q else whole
    return tuple(
        name.upper()
        for name in ("n", "d", "p", "q", "dp", "dq", "qinv")
        if getattr(read, name) != getattr(expected, name)
    )


def _readings(slot: bytes) -> Iterator[RsaKey]:
    """What the bytes may mean: by structure, the structure inside PKCS#8, by position."""
    inner = pkcs8_content(slot)
    for structure in (slot, inner or b""):
        with suppress(Truncated, Malformed):
            yield read_private(structure)
    if inner is not None:
        yield read_slot(inner.ljust(PRIVATE_SLOT + 64, b"\xff"))
    yield read_slot(slot.ljust(PRIVATE_SLOT + 64, b"\xff"))


def pkcs8_content(data: bytes) -> bytes | None:
    """What a PKCS#8 PrivateKeyInfo carries, also when it is cut; None when ``data`` does not begin like one."""
    try:
        outer = der.header(data, 0)
        version = der.expect(data, outer.body, der.INTEGER)
        algorithm = der.expect(data, version.end, der.SEQUENCE)
        carried = der.header(data, algorithm.end)
    except (Truncated, Malformed):
        return None
    if outer.tag != der.SEQUENCE or carried.tag != der.OCTET_STRING:
        return None
    return data[carried.body : carried.end]


def _prime_sized(value: int | None) -> bool:
    return value is not None and value.bit_length() >= _MIN_PRIME_BITS and value % 2 == 1


def _is_prime(value: int) -> bool:
    """Miller-Rabin. Without it, blank flash has "primes": 2^1024 - 1 is a product as well."""
    odd = value - 1
    halvings = (odd & -odd).bit_length() - 1
    for base in _BASES[:4]:
        power = pow(base, odd >> halvings, value)
        if power in (1, value - 1):
            continue
        for _ in range(halvings - 1):
            power = power * power % value
            if power == value - 1:
                break
        else:
            return False
    return True


def _build(p: int, q: int) -> RsaKey | None:
    if not (_prime_sized(p) and _prime_sized(q)) or p == q or not (_is_prime(p) and _is_prime(q)):
        return None
    try:
        return from_primes(p, q)
    except ValueError:
        return None


def _from_primes(key: RsaKey) -> RsaKey | None:
    """N with one prime, or both primes vouched for by an exponent."""
    p, q = key.p or 0, key.q or 0
    for prime in (p, q):
        if _prime_sized(prime) and key.n % prime == 0:
            other = key.n // prime
            # In the order the slot keeps, as far as one is intact.
            found = _build(other, prime) if prime == q else _build(prime, other)
            if found is not None:
                return found
    if (
        _prime_sized(p)
        and _prime_sized(q)
        and all(_tied(prime, exponent, key.d) for prime, exponent in ((p, key.dp), (q, key.dq)))
    ):
        return _build(p, q)
    return None


def _tied(prime: int, crt_exponent: int | None, exponent: int | None) -> bool:
    return any(value and value * EXPONENT % (prime - 1) == 1 for value in (crt_exponent, exponent))


def _from_exponent(key: RsaKey) -> RsaKey | None:
    """N with D: e D - 1 is a multiple of the group's order, and a root of 1 other than -1 splits N."""
    if not key.d or key.n % 2 == 0 or not _prime_sized(key.n) or key.n.bit_length() > _MAX_BITS:
        return None
    order = key.d * EXPONENT - 1
    halvings = (order & -order).bit_length() - 1
    for base in _BASES:
        value = pow(base, order >> halvings, key.n)
        for _ in range(halvings):
            square = value * value % key.n
            if square == 1 and value not in (1, key.n - 1):
                prime = gcd(value - 1, key.n)
                return _ordered(key, prime, key.n // prime)
            value = square
        if value != 1:
            return None
    return None


def _ordered(key: RsaKey, one: int, other: int) -> RsaKey | None:
    """The key with its primes in the slot's order: what is left of P lies nearer to one of them."""
    stored = key.p or 0
    return _build(one, other) if abs(stored - one) <= abs(stored - other) else _build(other, one)


def _from_crt_exponents(key: RsaKey) -> RsaKey | None:
    """N with DP or DQ: P - 1 divides e DP - 1, and the quotient is below e."""
    if key.n % 2 == 0 or not _prime_sized(key.n) or key.n.bit_length() > _MAX_BITS:
        return None
    for exponent, is_first in ((key.dp, True), (key.dq, False)):
        if not exponent:
            continue
        multiple = exponent * EXPONENT - 1
        # The group's order kills every base, so this product is 0 modulo P exactly when the exponent is P's.
        prime = gcd(pow(2, multiple, key.n) - 1, key.n)
        if 1 < prime < key.n:
            other = key.n // prime
            return _build(prime, other) if is_first else _build(other, prime)
    return None
