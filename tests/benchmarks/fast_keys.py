"""The captures' keys with OpenSSL's arithmetic behind them: the same bytes, twenty times faster.

`tests/test_gateway.py` holds them against the plain ones.
"""

from __future__ import annotations

from functools import cached_property

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from captures.synth.keys import EcKey, RsaKey


class FastRsaKey(RsaKey):
    """An RSA key whose signatures OpenSSL makes."""

    @classmethod
    def of(cls, key: RsaKey) -> FastRsaKey:
        return cls(key.p, key.q)

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        loaded = load_der_private_key(self.pkcs1, None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        return loaded

    def private(self, value: int) -> int:
        """Only for a padded 20-byte digest: what a server signs."""
        digest = (value & (1 << 160) - 1).to_bytes(20, "big")
        return int.from_bytes(self._private.sign(digest, padding.PKCS1v15(), NoDigestInfo()), "big")


class FastEcKey(EcKey):
    """A P-256 key whose points and signatures OpenSSL computes."""

    @cached_property
    def _private(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.d, ec.SECP256R1())

    @cached_property
    def point(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(self, point: bytes) -> bytes:
        other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return self._private.exchange(ec.ECDH(), other)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
