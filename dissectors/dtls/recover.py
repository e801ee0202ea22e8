"""Which keys can have made an ECDSA signature: public key recovery on P-256.

Any signature fits at most two public keys (leaving aside a case of probability 2^-128). One signature alone proves
nothing, because random bytes give two keys as well; but when the candidates of two signatures over different messages
have a key in common, both were made by that key and neither was damaged on the way. So two handshakes tell who signs
them, without any key file.

Source: SEC 1 v2.0 section 4.1.6; curve constants FIPS 186-4 D.1.2.3. Only public values are computed here, so nothing
has to run in constant time.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_P: Final = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G: Final = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

#: X, Y, Z with x = X/Z^2, y = Y/Z^3; Z = 0 is the point at infinity.
_Jacobian = tuple[int, int, int]


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if not z or not y:
        return (1, 1, 0)
    zz, yy = z * z % _P, y * y % _P
    s = 4 * x * yy % _P
    m = 3 * (x - zz) * (x + zz) % _P
    x3 = (m * m - 2 * s) % _P
    return x3, (m * (s - x3) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(a: _Jacobian, b: _Jacobian) -> _Jacobian:
    if not a[2]:
        return b
    if not b[2]:
        return a
    za, zb = a[2] * a[2] % _P, b[2] * b[2] % _P
    ua, ub = a[0] * zb % _P, b[0] * za % _P
    sa, sb = a[1] * zb * b[2] % _P, b[1] * za * a[2] % _P
    if ua == ub:
        return _double(a) if sa == sb else (1, 1, 0)
    h, r = ub - ua, sb - sa
    hh = h * h % _P
    hhh, v = h * hh % _P, ua * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - sa * hhh) % _P, a[2] * b[2] * h % _P


def _multiply(factor: int, point: _Jacobian) -> _Jacobian:
    result: _Jacobian = (1, 1, 0)
    for bit in bin(factor)[2:]:
        result = _double(result)
        if bit == "1":
            result = _add(result, point)
    return result


def _encode(point: _Jacobian) -> bytes | None:
    if not point[2]:
        return None
    inverse = pow(point[2], -1, _P)
    x = point[0] * inverse * inverse % _P
    y = point[1] * inverse * inverse * inverse % _P
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def recover_keys(signature: bytes, digest: bytes) -> tuple[bytes, ...]:
    """The 65-byte points of the public keys this DER signature over ``digest`` (32 bytes) can have been made with.

    Two of them as a rule; none when the bytes are no signature or fit no key.
    """
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return ()
    if not (0 < r < _N and 0 < s < _N):
        return ()
    square = (r * r * r - 3 * r + _B) % _P
    y = pow(square, (_P + 1) // 4, _P)
    if y * y % _P != square:
        return ()
    inverse = pow(r, -1, _N)
    from_digest = _multiply(-int.from_bytes(digest, "big") * inverse % _N, (*_G, 1))
    scaled = _multiply(s * inverse % _N, (r, y, 1))
    negative = (scaled[0], -scaled[1] % _P, scaled[2])
    found = (_encode(_add(scaled, from_digest)), _encode(_add(negative, from_digest)))
    return tuple(point for point in found if point is not None)
