"""One pseudonym for each thing that identifies somebody: the same in every file that is redacted with the same salt.

How it works. Every kind of identifier has a key of its own, derived from the salt, and a pseudonym is a keyed function of
the thing itself. So there is no table to keep, nothing can be turned back without the salt, and files agree.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from string import ascii_lowercase

from cryptography.hazmat.primitives.asymmetric import ec

from analyzer.exports.redaction.cryptopan import KEY_SIZE, CryptoPan
from dissectors.dtls import crypto
from dissectors.lightssl.messages import DEVICE_ID_SIZE

#: Networks that stay what they are: private (RFC 1918, RFC 6598), link-local, unique local; global IPv6 and mapped IPv4.
_WHOLE = (
    *("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    *("2000::/3", "fc00::/7", "fe80::/64", "::ffff:0:0/96", "64:ff9b::/96"),
)
#: Addresses that name nobody: this host, loopback, groups, broadcast, and the one the firmware's internet test goes to.
_FIXED = ("0.0.0.0/8", "8.8.8.8/32", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/127", "ff00::/8")
_BROADCAST = b"\xff" * 6
#: Order of the group of P-256 (SEC 2, section 2.4.2).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
#: Ports below are services, not clients.
_FIRST_CLIENT_PORT = 1024


class Pseudonyms:
    """Pseudonyms under a secret ``salt`` (any bytes; 16 random ones are enough)."""

    def __init__(self, salt: bytes) -> None:
        if not salt:
            raise ValueError("a salt of no bytes hides nothing")
        self._root = hmac.new(b"particle-handshake-analyzer redaction", salt, hashlib.sha256).digest()
        self._addresses = CryptoPan(self.derived("address", b"", KEY_SIZE), whole=_WHOLE, fixed=_FIXED)

    def derived(self, kind: str, thing: bytes, length: int) -> bytes:
        """``length`` pseudorandom bytes for a ``thing`` of some ``kind``."""
        seed = hmac.new(self._root, len(kind).to_bytes(1, "big") + kind.encode() + thing, hashlib.sha256).digest()
        out = b""
        while len(out) < length:
            out += hmac.new(seed, (len(out) // 32).to_bytes(4, "big"), hashlib.sha256).digest()
        return out[:length]

    def address(self, address: bytes) -> bytes:
        """An IPv4 or IPv6 address (4 or 16 bytes): prefix-preserving, private stays private."""
        return self._addresses(address)

    def mac(self, mac: bytes) -> bytes:
        """A MAC address (6 bytes): locally administered, so it names no maker; groups stay groups."""
        if mac in (_BROADCAST, bytes(6)):
            return mac
        out = self.derived("mac", mac, 6)
        return bytes((out[0] & 0xFC | 0x02 | mac[0] & 0x01,)) + out[1:]

    def device_id(self, device_id: bytes) -> bytes:
        """A device id (12 bytes)."""
        return self.derived("device-id", device_id, DEVICE_ID_SIZE)

    def label(self, label: bytes) -> bytes:
        """A label of a host name: as long, in lower-case letters; the same for capital letters."""
        letters = self.derived("label", label.lower(), len(label))
        return bytes(ord(ascii_lowercase[byte % 26]) for byte in letters)

    def connection_id(self, connection_id: bytes) -> bytes:
        """A DTLS connection id, of any length."""
        return self.derived("connection-id", connection_id, len(connection_id))

    def key(self, spki: bytes) -> ec.EllipticCurvePrivateKey:
        """The P-256 key that stands for a public key (DER SubjectPublicKeyInfo)."""
        number = int.from_bytes(self.derived("p256", spki, 48), "big")
        return ec.derive_private_key(number % (P256_ORDER - 1) + 1, ec.SECP256R1())

    def spki(self, spki: bytes) -> bytes:
        """The SubjectPublicKeyInfo that stands for a P-256 key; a point off the curve stays off the curve."""
        if crypto.is_on_curve(spki):
            numbers = self.key(spki).public_key().public_numbers()
            return crypto.spki_of(b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))
        head = spki[: min(len(spki), len(crypto.spki_of(b"")) + 1)]
        for attempt in range(256):
            out = head + self.derived("no-key", bytes((attempt,)) + spki, len(spki) - len(head))
            if not crypto.is_on_curve(out):
                return out
        raise AssertionError("every other point is off the curve")

    def port(self, port: int, known: frozenset[int]) -> int:
        """A client's port: another client's port, never two the same; service ports and ``known`` ones stay."""
        if port < _FIRST_CLIENT_PORT or port in known:
            return port
        return self._ports(known)[port]

    @lru_cache(maxsize=4)  # noqa: B019 - one table per run, and the object lives as long as the run
    def _ports(self, known: frozenset[int]) -> dict[int, int]:
        free = [port for port in range(_FIRST_CLIENT_PORT, 1 << 16) if port not in known]
        shuffled = sorted(free, key=lambda port: self.derived("port", port.to_bytes(2, "big"), 8))
        return dict(zip(free, shuffled, strict=True))
