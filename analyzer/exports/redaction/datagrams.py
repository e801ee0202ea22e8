"""DTLS conversations: the identifiers that travel in clear, exchanged so that every check comes out as it did.

What is exchanged, and why nothing is noticed:
- the device id behind a type 254 record: nothing covers it;
- connection ids, in the ServerHello and in records: nothing that can be checked without the session's secrets;
- the device's public key: it becomes another key, always the same one for the same device, whose private half is known
  here. CertificateVerify is then signed anew over the handshake as it now reads, if the old one was valid. If it was not,
  but two handshakes show which other key made it, the key that stands for that one signs; else the old bytes stay, as
  wrong as they were. A new signature has the length of the old one;
- X.509 certificates a wrong server sends: their outer frame stays, their content does not.
The cloud's signature (ServerKeyExchange) stays with its randoms and parameters: it tells which cloud answered, which is
what a reader has to check, and cannot be made anew. Encrypted records stay; their tags no longer fit the handshake, which
only the holder of the session's secrets could notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from analyzer.conversations import UdpConversation
from analyzer.exports.redaction.masks import disguise
from analyzer.exports.redaction.pseudonyms import P256_ORDER, Pseudonyms
from dissectors.dtls import crypto
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.handshake import Dtls
from dissectors.dtls.messages import (
    Certificate,
    CertificateVerify,
    ExtensionKind,
    Fragment,
    Kind,
    ServerHello,
    SignatureAlgorithm,
    Signed,
)
from dissectors.dtls.record import CID_LENGTH, ContentType, WireRecord, read_datagram
from dissectors.dtls.recover import recover_keys
from dissectors.errors import WireError
from dissectors.wire import Cursor

#: Signatures that fit no certificate from which their signer is recovered; two suffice unless one was damaged.
_RECOVERED = 6
#: A DER signature of 70 to 72 bytes comes once in two to four tries, one of 69 once in some hundred.
_SIGNATURE_TRIES = 4096
_KINDS = frozenset(Kind)
#: Bytes of a handshake message's header.
_HEADER = 12
#: Bytes of a certificate's outer frame (tag and length), and of a bare key up to its point.
_DER_HEAD = 4
_KEY_HEAD = 3 + len(crypto.spki_of(b""))


@dataclass(frozen=True, slots=True)
class _Claim:
    """A device's CertificateVerify with the handshakes it may be over, and the key that came with it."""

    spki: bytes = field(repr=False)
    verify: CertificateVerify = field(repr=False)
    handshakes: tuple[bytes, ...] = field(repr=False)


@dataclass(slots=True)
class DatagramPlan:
    """What to do with the datagrams of one conversation, in the frames ``first`` to ``last``."""

    first: int
    last: int
    pseudonyms: Pseudonyms
    #: Handshake message type -> body -> the body that takes its place.
    bodies: dict[int, dict[bytes, bytes]] = field(default_factory=dict, repr=False)
    cid_length: int = CID_LENGTH
    claims: list[_Claim] = field(default_factory=list, repr=False)

    def payload(self, data: bytes, length: int) -> bytes:
        """A UDP payload (``length`` bytes on the wire), redacted."""
        parsed = read_datagram(data, length, self.cid_length)
        if parsed.keep_alive:
            return data
        if not parsed.records:
            mask = disguise(data, self.pseudonyms)
            return data if mask is None else mask(0, data)
        out = b"".join(self._record(record) for record in parsed.records)
        rest = data[len(out) :]
        return out + (rest[:1] + self.pseudonyms.derived("unread", rest, len(rest) - 1) if rest else b"")

    def _record(self, record: WireRecord) -> bytes:
        wire = replace(
            record,
            connection_id=self.pseudonyms.connection_id(record.connection_id),
            device_id=self.pseudonyms.device_id(record.device_id) if record.device_id is not None else None,
        )
        if record.content_type is ContentType.HANDSHAKE and not record.protected:
            wire = replace(wire, fragment=self._handshake(record))
        return wire.to_wire()

    def _handshake(self, record: WireRecord) -> bytes:
        cursor = Cursor(record.fragment)
        out = b""
        while len(cursor):
            start = cursor.offset
            try:
                fragment = Fragment.from_wire(cursor, record.missing)
            except WireError:  # damaged, so that nobody knows what is in it
                rest = record.fragment[start:]
                head = rest[: _HEADER if len(rest) >= _HEADER else 0]
                return out + head + self.pseudonyms.derived("unread", rest, len(rest) - len(head))
            header = record.fragment[start : cursor.offset - len(fragment.data)]
            out += header + self._fragment(fragment)
        return out

    def _fragment(self, fragment: Fragment) -> bytes:
        data, end = fragment.data, fragment.offset + len(fragment.data)
        for old, new in self.bodies.get(fragment.kind, {}).items():
            if len(old) == fragment.length and old[fragment.offset : end] == data:
                return new[fragment.offset : end]
        if fragment.kind == Kind.CERTIFICATE:
            # Part of a certificate whose rest is not in the capture.
            clear = data[: max(0, _KEY_HEAD - fragment.offset)]
            return clear + self.pseudonyms.derived("certificate", data, len(data) - len(clear))
        return data if fragment.kind in _KINDS else self.pseudonyms.derived("unread", data, len(data))


def plan(conversation: UdpConversation, pseudonyms: Pseudonyms) -> DatagramPlan:
    """The plan for ``conversation``, to be completed by :func:`settle`."""
    machine = Dtls(hint_port=True)
    for datagram in conversation.datagrams:
        if not datagram.duplicate:
            machine.datagram(datagram.direction, datagram.data, datagram.mark, datagram.length)
    found = DatagramPlan(conversation.first_frame, conversation.last_frame, pseudonyms)
    for attempt in machine.attempts():
        _exchange(attempt, found)
    return found


def _exchange(attempt: DtlsAttempt, found: DatagramPlan) -> None:
    """Enter what takes the place of the messages of one attempt."""
    bodies = found.bodies
    for flight in attempt.flights:
        if flight.hello is not None and flight.hello.connection_id:
            found.cid_length = len(flight.hello.connection_id)
            body = flight.hello.to_wire()
            bodies.setdefault(Kind.SERVER_HELLO, {})[body] = _server_hello(flight.hello, found.pseudonyms).to_wire()
        if flight.certificate is not None and flight.certificate.chain:
            chain = flight.certificate
            bodies.setdefault(Kind.CERTIFICATE, {})[chain.to_wire()] = _chain(chain, found.pseudonyms).to_wire()
    certificate = attempt.device_certificate
    if certificate is None:
        return
    if certificate.public_key is None:
        bodies.setdefault(Kind.CERTIFICATE, {})[certificate.to_wire()] = _chain(certificate, found.pseudonyms).to_wire()
        return
    other = Certificate(public_key=found.pseudonyms.spki(certificate.public_key))
    bodies.setdefault(Kind.CERTIFICATE, {})[certificate.to_wire()] = other.to_wire()
    if attempt.certificate_verify is not None:
        signed = tuple(flight.signed for flight in attempt.flights if flight.signed is not None)
        found.claims.append(_Claim(certificate.public_key, attempt.certificate_verify, signed))


def _server_hello(hello: ServerHello, pseudonyms: Pseudonyms) -> ServerHello:
    extensions = tuple(
        replace(e, data=e.data[:1] + pseudonyms.connection_id(e.data[1:]))
        if e.kind == ExtensionKind.CONNECTION_ID and len(e.data) > 1
        else e
        for e in hello.extensions
    )
    return replace(hello, extensions=extensions)


def _chain(certificate: Certificate, pseudonyms: Pseudonyms) -> Certificate:
    return Certificate(
        chain=tuple(
            der[:_DER_HEAD] + pseudonyms.derived("x509", der, max(len(der) - _DER_HEAD, 0)) for der in certificate.chain
        )
    )


def settle(plans: Iterable[DatagramPlan]) -> None:
    """Sign anew what was signed: needs all plans of the capture, because two handshakes may tell who signs them."""
    by_key: dict[bytes, list[tuple[_Claim, DatagramPlan]]] = {}
    for each in plans:
        for claim in each.claims:
            by_key.setdefault(claim.spki, []).append((claim, each))
    for spki, claims in by_key.items():
        refuted = [entry for entry in claims if not _sign(entry[0], spki, entry[1])]
        for signer in _signers([claim for claim, _ in refuted[:_RECOVERED]]):
            refuted = [entry for entry in refuted if not _sign(entry[0], signer, entry[1])]


def _signers(claims: list[_Claim]) -> list[bytes]:
    """Keys that made two or more of these signatures, recovered from the signatures."""
    made: dict[bytes, set[bytes]] = {}
    for claim in claims:
        if claim.verify.signed.algorithm == SignatureAlgorithm.ECDSA_SHA256:
            for handshake in claim.handshakes:
                for point in recover_keys(claim.verify.signed.signature, sha256(handshake).digest()):
                    made.setdefault(point, set()).add(handshake)
    return [crypto.spki_of(point) for point, handshakes in made.items() if len(handshakes) > 1]


def _sign(claim: _Claim, signer: bytes, found: DatagramPlan) -> bool:
    """If ``signer`` made this signature, let the key that stands for it make the one that takes its place."""
    old = claim.verify.signed
    if old.algorithm != SignatureAlgorithm.ECDSA_SHA256:
        return False
    for handshake in claim.handshakes:
        if crypto.verifies(signer, old, handshake):
            for exchanged in found.bodies.values():
                for before, after in exchanged.items():
                    handshake = handshake.replace(before, after)
            signature = _signature(found.pseudonyms.key(signer), handshake, len(old.signature), found.pseudonyms)
            if signature is not None:
                new = CertificateVerify(Signed(old.algorithm, signature))
                found.bodies.setdefault(Kind.CERTIFICATE_VERIFY, {})[claim.verify.to_wire()] = new.to_wire()
            return True
    return False


def _signature(key: ec.EllipticCurvePrivateKey, message: bytes, length: int, pseudonyms: Pseudonyms) -> bytes | None:
    """An ECDSA signature (FIPS 186-5 section 6.4.1) whose DER form has this length, the same one each time."""
    private = key.private_numbers().private_value
    digest = int.from_bytes(sha256(message).digest(), "big")
    for attempt in range(_SIGNATURE_TRIES):
        seed = attempt.to_bytes(4, "big") + private.to_bytes(32, "big") + message
        secret = int.from_bytes(pseudonyms.derived("signature", seed, 48), "big") % (P256_ORDER - 1) + 1
        r = ec.derive_private_key(secret, ec.SECP256R1()).public_key().public_numbers().x % P256_ORDER
        s = pow(secret, -1, P256_ORDER) * (digest + r * private) % P256_ORDER
        signature = encode_dss_signature(r, s)
        if len(signature) == length and r and s:
            return signature
    return None
