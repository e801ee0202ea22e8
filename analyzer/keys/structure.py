"""What one DER structure is: every form of key that arrives in a ticket, told by its shape and not by its label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from analyzer.keys import der, ec, rsa
from analyzer.keys.ec import EcKey
from analyzer.keys.key import Algorithm
from analyzer.keys.rsa import RsaKey
from dissectors.errors import Malformed

_SHAPE_LIMIT: Final = 16
_SEQ, _INT, _OCTETS, _BITS = der.SEQUENCE, der.INTEGER, der.OCTET_STRING, der.BIT_STRING
_PKCS12_VERSION: Final = 3


@dataclass(frozen=True, slots=True)
class Structure:
    """A key read by its structure. ``size`` is how many bytes it takes; what lies behind was ignored."""

    kind: str
    size: int
    algorithm: Algorithm | None = None
    rsa: RsaKey | None = field(default=None, repr=False)
    ec: EcKey | None = field(default=None, repr=False)
    #: PKCS#8 that needs a passphrase: nothing else is known of it.
    encrypted: bool = False

    @property
    def private(self) -> bool:
        """Whether it holds a private half (an encrypted one counts)."""
        if self.encrypted:
            return True
        return (self.rsa is not None and self.rsa.has_private) or (self.ec is not None and self.ec.has_private)

    @property
    def pkcs8(self) -> bool:
        """Whether it is the form that no TCP device reads."""
        return "PKCS#8" in self.kind

    @property
    def bits(self) -> int | None:
        """Size of the key."""
        key = self.rsa or self.ec
        return None if key is None else key.bits

    @property
    def spki(self) -> bytes | None:
        """The public half as SubjectPublicKeyInfo DER."""
        key = self.rsa or self.ec
        return None if key is None else key.spki


def classify(data: bytes) -> Structure:
    """The key at the start of ``data``; bytes behind it are ignored.

    Raises:
        Truncated: the structure says it is longer than ``data``.
        Malformed: it holds no key known here; the text says what it is instead, as far as that can be told.
    """
    outer = der.expect(data, 0, _SEQ)
    items = der.children(data, outer, _SHAPE_LIMIT)
    body = data[: outer.end]
    match tuple(item.tag for item in items):
        case (0x02, 0x02, 0x02, 0x02, *_):
            return Structure("RSA private key (PKCS#1)", outer.end, "rsa", rsa.read_private(body))
        case (0x02, 0x02):
            return Structure("RSA public key (PKCS#1)", outer.end, "rsa", rsa.read_public(body))
        case (0x02, 0x04, *_):
            return Structure("EC P-256 private key (SEC1)", outer.end, "ec", None, ec.read_private(body))
        case (0x02, 0x30, 0x04, *_):
            return _pkcs8(body, items)
        case (0x02, 0x30, *_) if der.integer(body, items[0]) == _PKCS12_VERSION:
            raise Malformed("a PKCS#12 container: extract the key with openssl pkcs12 first")
        case (0x30, 0x04):
            return Structure("encrypted private key (PKCS#8)", outer.end, encrypted=True)
        case (0x30, 0x03):
            return _spki(body, items)
        case (0x30, 0x30, 0x03):
            return _certificate(body)
        case _:
            raise Malformed("a DER structure that is no key")


def _algorithm(data: bytes, item: der.Element) -> bytes:
    parts = der.children(data, item)
    if not parts or parts[0].tag != der.OID:
        raise Malformed("no algorithm identifier where one belongs")
    oid = der.content(data, parts[0])
    if oid == der.EC_PUBLIC_KEY and len(parts) > 1 and der.content(data, parts[1]) != der.PRIME256V1:
        raise Malformed("an EC key of another curve than P-256")
    return oid


def _pkcs8(data: bytes, items: list[der.Element]) -> Structure:
    oid, inner = _algorithm(data, items[1]), der.content(data, items[2])
    if oid == der.RSA_ENCRYPTION:
        return Structure("RSA private key (PKCS#8)", len(data), "rsa", rsa.read_private(inner))
    if oid == der.EC_PUBLIC_KEY:
        return Structure("EC P-256 private key (PKCS#8)", len(data), "ec", None, ec.read_private(inner))
    raise Malformed("a private key that is neither RSA nor EC P-256")


def _spki(data: bytes, items: list[der.Element]) -> Structure:
    oid = _algorithm(data, items[0])
    if oid == der.RSA_ENCRYPTION:
        return Structure("RSA public key (SPKI)", len(data), "rsa", rsa.read_public(der.content(data, items[1])[1:]))
    if oid == der.EC_PUBLIC_KEY:
        return Structure("EC P-256 public key (SPKI)", len(data), "ec", None, ec.read_point(data, items[1]))
    raise Malformed("a public key that is neither RSA nor EC P-256")


def _certificate(data: bytes) -> Structure:
    from cryptography import x509  # takes longer to import than all of a small capture's keys take to read
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        public = x509.load_der_x509_certificate(data).public_key()
        inner = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("shaped like an X.509 certificate, but not readable as one") from None
    found = classify(inner)
    return Structure(f"certificate (X.509, {found.kind})", len(data), found.algorithm, found.rsa, found.ec)
