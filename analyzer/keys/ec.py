"""EC P-256 keys: SEC1 in every length that devices write, and the public key that a device derives from it.

How it works. mbedTLS up to 2.16 writes the private scalar as an INTEGER under an OCTET STRING's tag, so the scalar has
33 bytes (a leading zero) in half of all keys and 31 in one of 256; libraries refuse both. The public key that a device
shows on the wire is the point embedded in its private key, never one computed from the scalar, so the two are kept
apart and compared.

Source: particle-iot/device-os communication/src/eckeygen.cpp, dtls_protocol.cpp @ v0.6.4; RFC 5915, RFC 5480.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec as library

from analyzer.keys import der
from dissectors.errors import Malformed

BITS: Final = 256
SPKI_SIZE: Final = 91
#: Everything of a P-256 SPKI before the point (RFC 5480).
SPKI_HEAD: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
#: An uncompressed point: 04, X, Y.
POINT_SIZE: Final = 65
_POINT_HEAD: Final = b"\x03\x42\x00\x04"
_VERSION_1: Final = b"\x02\x01\x01"
_SCALAR_SIZE: Final = 32
#: A scalar of mbedTLS <= 2.16 may carry one leading zero.
_MAX_SCALAR: Final = 33
_CURVE: Final = library.SECP256R1()


@dataclass(frozen=True, slots=True)
class EcKey:
    """A P-256 key. ``spki`` (91 bytes) is what the device shows: the embedded point, or the scalar's when none is embedded.

    ``private`` is the scalar; ``consistent`` says whether scalar times G is the embedded point (None: one of them is
    missing). ``on_curve`` is False when the point is no point of the curve.
    """

    spki: bytes
    private: int | None = field(default=None, repr=False)
    point: bytes | None = None
    consistent: bool | None = None
    on_curve: bool = True
    #: Bytes the scalar has in the structure: 32, or what an old mbedTLS wrote (31, 33); None for a public key.
    scalar_size: int | None = None

    @property
    def bits(self) -> int:
        """256."""
        return BITS

    @property
    def has_private(self) -> bool:
        """Whether the scalar is there."""
        return self.private is not None


def spki_of_point(point: bytes) -> bytes:
    """SubjectPublicKeyInfo DER around an uncompressed point (65 bytes)."""
    return SPKI_HEAD + point


def on_curve(point: bytes) -> bool:
    """Whether these bytes are an uncompressed point of P-256."""
    try:
        library.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
    except ValueError:
        return False
    return len(point) == POINT_SIZE


def point_of(scalar: int) -> bytes | None:
    """scalar times G as an uncompressed point, or None when the scalar is no private key of this curve."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        public = library.derive_private_key(scalar, _CURVE).public_key()
    except ValueError:
        return None
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def from_point(point: bytes) -> EcKey:
    """A public key. Raises Malformed when ``point`` is not 65 uncompressed bytes."""
    if len(point) != POINT_SIZE or point[0] != 4:
        raise Malformed(f"a P-256 point of {len(point)} bytes, not the 65 of the uncompressed form")
    return EcKey(spki_of_point(point), None, point, None, on_curve(point))


def from_scalar(scalar: int, point: bytes | None = None, scalar_size: int = _SCALAR_SIZE) -> EcKey:
    """A private key from its scalar, with the point that was stored beside it, if any.

    Raises Malformed when there is no point and the scalar gives none.
    """
    own = point_of(scalar)
    if point is None:
        if own is None:
            raise Malformed("the private scalar is out of range")
        return EcKey(spki_of_point(own), scalar, None, None, True, scalar_size)
    return EcKey(spki_of_point(point), scalar, point, own == point, on_curve(point), scalar_size)


def read_private(data: bytes) -> EcKey:
    """A SEC1 ECPrivateKey; bytes behind it are ignored, a scalar of 1 to 33 bytes is taken.

    Raises:
        Truncated: the structure is cut.
        Malformed: it is no ECPrivateKey, or of another curve.
    """
    items = der.children(data, der.expect(data, 0, der.SEQUENCE))
    if len(items) < 2 or der.integer(data, items[0]) != 1 or items[1].tag != der.OCTET_STRING:
        raise Malformed("not an EC private key")
    raw = der.content(data, items[1])
    if not 0 < len(raw) <= _MAX_SCALAR or (len(raw) == _MAX_SCALAR and raw[0]):
        raise Malformed(f"a private scalar of {len(raw)} bytes: not P-256")
    point: bytes | None = None
    for item in items[2:]:
        inner = der.element(data, item.body, item.end)
        if item.tag == der.CONTEXT_0 and inner.tag == der.OID and der.content(data, inner) != der.PRIME256V1:
            raise Malformed("another curve than P-256")
        if item.tag == der.CONTEXT_1:
            point = _point(data, inner)
    return from_scalar(int.from_bytes(raw, "big"), point, len(raw))


def read_cut(data: bytes) -> EcKey:
    """A SEC1 key that is cut behind its scalar (a log line, a short read): scalar, and the point computed from it.

    Raises Truncated when the scalar is not whole, Malformed when it is no such key or when the part of the stored point
    that is there is another one's.
    """
    outer = der.header(data, 0)
    if outer.tag != der.SEQUENCE or data[outer.body : outer.body + 3] != _VERSION_1:
        raise Malformed("not an EC private key")
    raw = der.content(data, der.expect(data, outer.body + 3, der.OCTET_STRING))
    if not 0 < len(raw) <= _MAX_SCALAR:
        raise Malformed(f"a private scalar of {len(raw)} bytes: not P-256")
    key = from_scalar(int.from_bytes(raw, "big"), None, len(raw))
    marker = data.find(_POINT_HEAD, outer.body)
    stored = data[marker + 3 : marker + 3 + POINT_SIZE] if marker >= 0 else b""
    if not key.spki[len(SPKI_HEAD) :].startswith(stored):
        raise Malformed("the scalar does not belong to the part of the public point that is there")
    return key


def _point(data: bytes, found: der.Element) -> bytes:
    raw = der.content(data, found)
    if found.tag != der.BIT_STRING or len(raw) != POINT_SIZE + 1 or raw[0] != 0 or raw[1] != 4:
        raise Malformed("no uncompressed P-256 point where the public key belongs")
    return raw[1:]


def read_point(data: bytes, found: der.Element) -> EcKey:
    """The public key inside a BIT STRING. Raises Malformed."""
    return from_point(_point(data, found))
