"""DTLS 1.2 handshake messages: what is in them, and the fragments they travel in.

Every message has ``from_wire`` (its body, without the 12-byte handshake header) and ``to_wire``. Short bodies raise
`Truncated`, others that are not the message raise `Malformed`.

Sources: RFC 5246 section 7.4, RFC 6347 section 4.2, RFC 7250 section 3 (raw public keys), RFC 8422 section 5; the bare
SubjectPublicKeyInfo in Certificate: `mbedtls_ssl_write_certificate` in device-os `communication/lib/mbedtls@v0.6.4`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from dissectors.dtls.record import DTLS_1_2
from dissectors.errors import Malformed, Truncated
from dissectors.wire import Cursor


class Kind(IntEnum):
    """Handshake message types (RFC 5246 section 7.4, RFC 6347 section 4.3.2)."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    HELLO_VERIFY_REQUEST = 3
    NEW_SESSION_TICKET = 4
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20
    CERTIFICATE_STATUS = 22


class ExtensionKind(IntEnum):
    """The extensions this profile uses; CONNECTION_ID is the draft's number, RFC 9146 took 54."""

    SUPPORTED_GROUPS = 10
    EC_POINT_FORMATS = 11
    SIGNATURE_ALGORITHMS = 13
    CLIENT_CERTIFICATE_TYPE = 19
    SERVER_CERTIFICATE_TYPE = 20
    CONNECTION_ID_RFC9146 = 54
    CONNECTION_ID = 254
    RENEGOTIATION_INFO = 0xFF01


#: RFC 7250: the certificate type that is a bare public key.
RAW_PUBLIC_KEY: Final = 2
#: A SubjectPublicKeyInfo of a P-256 key up to its 65-byte point (RFC 5480).
SPKI_P256_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def _done(cursor: Cursor, what: str) -> None:
    if len(cursor):
        raise Malformed(f"{len(cursor)} bytes too many in {what}")


def _block(data: bytes, length_size: int) -> bytes:
    return len(data).to_bytes(length_size, "big") + data


def _u16s(cursor: Cursor) -> tuple[int, ...]:
    if len(cursor) % 2:
        raise Malformed("a list of 16-bit numbers has an odd length")
    return tuple(cursor.u16() for _ in range(len(cursor) // 2))


@dataclass(frozen=True, slots=True)
class Fragment:
    """A handshake message or a piece of one. ``missing`` counts bytes of the piece that the capture does not hold."""

    kind: int
    length: int
    message_seq: int
    offset: int
    data: bytes = field(repr=False)
    missing: int = 0

    @classmethod
    def from_wire(cls, cursor: Cursor, missing: int = 0) -> Fragment:
        """Read one; ``missing`` is how many bytes of the record behind the cursor's end were not captured."""
        kind, length, message_seq = cursor.u8(), cursor.u24(), cursor.u16()
        offset, size = cursor.u24(), cursor.u24()
        if offset + size > length:
            raise Malformed(f"a fragment of {size} bytes at {offset} in a message of {length}")
        held = min(size, len(cursor))
        if size - held > missing:
            raise Truncated(f"a fragment of {size} bytes, {held} in the record")
        return cls(kind, length, message_seq, offset, cursor.take(held), size - held)

    def to_wire(self) -> bytes:
        """Header and data; a whole message when ``offset`` is 0 and nothing is missing."""
        return (
            bytes((self.kind,))
            + self.length.to_bytes(3, "big")
            + self.message_seq.to_bytes(2, "big")
            + self.offset.to_bytes(3, "big")
            + _block(self.data, 3)
        )


@dataclass(frozen=True, slots=True)
class Extension:
    """One hello extension, unread."""

    kind: int
    data: bytes

    @staticmethod
    def read_all(cursor: Cursor) -> tuple[Extension, ...]:
        """The extension block, which may be left out altogether."""
        if not len(cursor):
            return ()
        block = cursor.block(2)
        found = []
        while len(block):
            found.append(Extension(block.u16(), block.block(2).rest()))
        return tuple(found)

    @staticmethod
    def write_all(extensions: tuple[Extension, ...]) -> bytes:
        """The extensions on the wire, their length in front; nothing for none."""
        if not extensions:
            return b""
        return _block(b"".join(e.kind.to_bytes(2, "big") + _block(e.data, 2) for e in extensions), 2)


def _find(extensions: tuple[Extension, ...], kind: ExtensionKind) -> bytes | None:
    return next((e.data for e in extensions if e.kind == kind), None)


@dataclass(frozen=True, slots=True)
class ClientHello:
    """Message 1. ``version`` 0xFEFD is DTLS 1.2."""

    random: bytes
    session_id: bytes = b""
    cookie: bytes = b""
    cipher_suites: tuple[int, ...] = ()
    compressions: bytes = b"\0"
    extensions: tuple[Extension, ...] = ()
    version: int = DTLS_1_2

    def extension(self, kind: ExtensionKind) -> bytes | None:
        """The extension's data, or None when it is not offered."""
        return _find(self.extensions, kind)

    @property
    def signature_algorithms(self) -> tuple[int, ...]:
        """Hash and signature pairs as 16-bit numbers (`SignatureAlgorithm`); empty when absent or malformed."""
        data = self.extension(ExtensionKind.SIGNATURE_ALGORITHMS)
        try:
            return () if data is None else _u16s(Cursor(data).block(2))
        except (Truncated, Malformed):
            return ()

    @property
    def offers_connection_id(self) -> bool:
        """Whether the device offers connection ids, in either numbering."""
        return any(
            e.kind in (ExtensionKind.CONNECTION_ID, ExtensionKind.CONNECTION_ID_RFC9146) for e in self.extensions
        )

    @classmethod
    def from_wire(cls, body: bytes) -> ClientHello:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        version, random = cursor.u16(), cursor.take(32)
        session_id, cookie = cursor.block(1).rest(), cursor.block(1).rest()
        suites = _u16s(cursor.block(2))
        compressions = cursor.block(1).rest()
        extensions = Extension.read_all(cursor)
        _done(cursor, "ClientHello")
        return cls(random, session_id, cookie, suites, compressions, extensions, version)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        suites = b"".join(suite.to_bytes(2, "big") for suite in self.cipher_suites)
        head = self.version.to_bytes(2, "big") + self.random + _block(self.session_id, 1) + _block(self.cookie, 1)
        return head + _block(suites, 2) + _block(self.compressions, 1) + Extension.write_all(self.extensions)


@dataclass(frozen=True, slots=True)
class HelloVerifyRequest:
    """The cookie exchange that proves the client's address."""

    cookie: bytes
    version: int = DTLS_1_2

    @classmethod
    def from_wire(cls, body: bytes) -> HelloVerifyRequest:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        version, cookie = cursor.u16(), cursor.block(1).rest()
        _done(cursor, "HelloVerifyRequest")
        return cls(cookie, version)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return self.version.to_bytes(2, "big") + _block(self.cookie, 1)


@dataclass(frozen=True, slots=True)
class ServerHello:
    """What the cloud chose."""

    random: bytes
    session_id: bytes = b""
    cipher_suite: int = 0xC0AE
    compression: int = 0
    extensions: tuple[Extension, ...] = ()
    version: int = DTLS_1_2

    def extension(self, kind: ExtensionKind) -> bytes | None:
        """The extension's data, or None when it is absent."""
        return _find(self.extensions, kind)

    @property
    def connection_id(self) -> bytes | None:
        """The id the cloud wants in the device's records, or None without (or with a malformed) extension."""
        for kind in (ExtensionKind.CONNECTION_ID, ExtensionKind.CONNECTION_ID_RFC9146):
            data = self.extension(kind)
            if data and data[0] == len(data) - 1:
                return data[1:]
        return None

    @classmethod
    def from_wire(cls, body: bytes) -> ServerHello:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        version, random, session_id = cursor.u16(), cursor.take(32), cursor.block(1).rest()
        suite, compression = cursor.u16(), cursor.u8()
        extensions = Extension.read_all(cursor)
        _done(cursor, "ServerHello")
        return cls(random, session_id, suite, compression, extensions, version)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        head = self.version.to_bytes(2, "big") + self.random + _block(self.session_id, 1)
        head += self.cipher_suite.to_bytes(2, "big") + bytes((self.compression,))
        return head + Extension.write_all(self.extensions)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A bare public key (RFC 7250), or an X.509 chain, possibly empty. One of the two."""

    public_key: bytes | None = None
    chain: tuple[bytes, ...] = ()

    @classmethod
    def from_wire(cls, body: bytes) -> Certificate:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        block = cursor.block(3)
        _done(cursor, "Certificate")
        # A SubjectPublicKeyInfo starts with 0x30; as the first of three length bytes that would be a 3 MB certificate.
        if len(block) and body[3] == 0x30:
            return cls(public_key=block.rest())
        chain = []
        while len(block):
            chain.append(block.block(3).rest())
        return cls(chain=tuple(chain))

    def to_wire(self) -> bytes:
        """The body on the wire."""
        if self.public_key is not None:
            return _block(self.public_key, 3)
        return _block(b"".join(_block(certificate, 3) for certificate in self.chain), 3)


class SignatureAlgorithm(IntEnum):
    """Hash and signature as one number (RFC 5246 section 7.4.1.4.1), as far as devices and clouds speak of them."""

    RSA_SHA1 = 0x0201
    ECDSA_SHA1 = 0x0203
    RSA_SHA224 = 0x0301
    ECDSA_SHA224 = 0x0303
    RSA_SHA256 = 0x0401
    ECDSA_SHA256 = 0x0403
    ECDSA_SHA384 = 0x0503


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature with its algorithm (`SignatureAlgorithm`, or a number that is none of them)."""

    algorithm: int
    signature: bytes

    @classmethod
    def read(cls, cursor: Cursor) -> Signed:
        """What stands at the cursor. Raises Truncated or Malformed."""
        return cls(cursor.u16(), cursor.block(2).rest())

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return self.algorithm.to_bytes(2, "big") + _block(self.signature, 2)


@dataclass(frozen=True, slots=True)
class ServerKeyExchange:
    """The cloud's ephemeral key, signed. What is signed is client random, server random and ``parameters``."""

    group: int
    point: bytes
    signed: Signed

    @property
    def parameters(self) -> bytes:
        """The bytes under the signature behind the two randoms (69 of them for P-256)."""
        return b"\x03" + self.group.to_bytes(2, "big") + _block(self.point, 1)

    @classmethod
    def from_wire(cls, body: bytes) -> ServerKeyExchange:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        if (curve_type := cursor.u8()) != 3:
            raise Malformed(f"curve type {curve_type} is not a named curve")
        group, point = cursor.u16(), cursor.block(1).rest()
        signed = Signed.read(cursor)
        _done(cursor, "ServerKeyExchange")
        return cls(group, point, signed)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return self.parameters + self.signed.to_wire()


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What the cloud asks the device to prove itself with."""

    types: bytes
    algorithms: tuple[int, ...]
    authorities: bytes = b""

    @classmethod
    def from_wire(cls, body: bytes) -> CertificateRequest:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        types = cursor.block(1).rest()
        algorithms, authorities = _u16s(cursor.block(2)), cursor.block(2).rest()
        _done(cursor, "CertificateRequest")
        return cls(types, algorithms, authorities)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        algorithms = b"".join(algorithm.to_bytes(2, "big") for algorithm in self.algorithms)
        return _block(self.types, 1) + _block(algorithms, 2) + _block(self.authorities, 2)


@dataclass(frozen=True, slots=True)
class ClientKeyExchange:
    """The device's ephemeral key."""

    point: bytes

    @classmethod
    def from_wire(cls, body: bytes) -> ClientKeyExchange:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        point = cursor.block(1).rest()
        _done(cursor, "ClientKeyExchange")
        return cls(point)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return _block(self.point, 1)


@dataclass(frozen=True, slots=True)
class CertificateVerify:
    """The device's signature over the handshake so far."""

    signed: Signed

    @classmethod
    def from_wire(cls, body: bytes) -> CertificateVerify:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        signed = Signed.read(cursor)
        _done(cursor, "CertificateVerify")
        return cls(signed)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return self.signed.to_wire()


@dataclass(frozen=True, slots=True)
class Finished:
    """The proof that both sides saw the same handshake; travels encrypted."""

    verify_data: bytes

    @classmethod
    def from_wire(cls, body: bytes) -> Finished:
        """The message in ``body``. Raises Truncated or Malformed."""
        cursor = Cursor(body)
        verify_data = cursor.take(12)
        _done(cursor, "Finished")
        return cls(verify_data)

    def to_wire(self) -> bytes:
        """The body on the wire."""
        return self.verify_data
