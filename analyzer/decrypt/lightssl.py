"""The keys in hand against one lightssl (RSA/AES over TCP) session.

How it works. Nothing here trusts a library's "decrypted without error": OpenSSL's implicit rejection returns junk for a
wrong key. A cloud private key is proved by the nonce that the device echoes; a device private key by the HMAC inside the
signature or, where no server key is at hand, by the next record parsing; a server public key by the shape of the
signature block (233 bytes of FF). What fails these checks is refuted only when the ciphertext is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from analyzer.keys import Key, KeyRing, RsaKey, repair
from analyzer.keys.rsa import EXPONENT as DEVICE_EXPONENT
from analyzer.model import Attempt, Outcome, Proof, Role
from dissectors import coap, particle
from dissectors.errors import WireError
from dissectors.events import Direction, Record, Status, Step, Transcript
from dissectors.lightssl import cipher, crypto
from dissectors.lightssl.messages import (
    CLOUD_BLOCK,
    CREDENTIALS_SIZE,
    DEVICE_BLOCK,
    LONG_IDENTITY,
    SHORT_IDENTITY,
    Credentials,
    IdentityPlaintext,
    SessionKeyMessage,
)

_SERVER_BITS = 8 * CLOUD_BLOCK
#: Plaintext lengths the two RSA messages can have.
IDENTITY_SIZES = (SHORT_IDENTITY, LONG_IDENTITY)
SESSION_KEY_SIZES = (CREDENTIALS_SIZE,)


@dataclass(frozen=True, slots=True)
class IdentityOpening:
    """The device's 256 bytes, opened: by ``key``, or by the factors of a blank slot when ``key`` is None."""

    plaintext: IdentityPlaintext = field(repr=False)
    key: Key | None
    nonce_echoed: bool
    #: It opens only with the private exponent that belongs to 65537, which is not that of the file.
    forced_exponent: bool = False


@dataclass(frozen=True, slots=True)
class SessionOpening:
    """The cloud's 128-byte ciphertext, opened with a device key.

    ``hmac`` tells whether the signed digest is the HMAC of this ciphertext under these credentials (None: no server key
    at hand opens the signature). ``repaired`` marks a key that was rebuilt from the intact parts of a damaged slot: the
    device itself cannot use it.
    """

    credentials: Credentials = field(repr=False)
    key: Key
    hmac: bool | None
    repaired: bool


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """One record after decryption. ``message`` is None when it does not decrypt or parse, and ``error`` says why.

    ``damaged`` says that the record itself is at fault, not the capture.
    """

    record: Record
    message: coap.Message | None = field(repr=False)
    summary: particle.MessageSummary | None
    error: str | None = None
    damaged: bool = False
    #: The plaintext. Secret: it goes nowhere but into an export that is asked for.
    content: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class LightSslDecryption:
    """Everything the keys say about one session."""

    attempts: list[Attempt] = field(default_factory=list)
    identity: IdentityOpening | None = None
    #: Cloud keys that provably do not open the (complete) identity.
    identity_refuted: list[Key] = field(default_factory=list)
    session: SessionOpening | None = None
    #: Sound device keys that provably do not open the (complete) session key.
    session_refuted: list[Key] = field(default_factory=list)
    #: Who signed: the key under which the signature block has its shape.
    signer: Key | None = None
    signature_refuted: list[Key] = field(default_factory=list)
    #: The key that signed in a form that no device takes, and how many bytes its signature is over (20 are wanted).
    signed_otherwise: tuple[Key, int] | None = None
    records: list[OpenedRecord] = field(default_factory=list)
    #: The first record that should decrypt and does not.
    bad_record: OpenedRecord | None = None
    family: str | None = None


def decrypt(transcript: Transcript, ring: KeyRing) -> LightSslDecryption:
    """Try the keys of ``ring`` on ``transcript``. Never raises on any bytes."""
    result = LightSslDecryption()
    _open_identity(transcript, ring, result)
    device_id = result.identity.plaintext.device_id if result.identity else None
    _open_session_key(transcript, ring, device_id, result)
    if result.session is not None:
        _open_records(transcript, result)
    elif transcript.records:
        result.attempts.append(Attempt("session", "-", Outcome.NOT_REACHED, detail="no session key in hand"))
    return result


def complete(step: Step | None) -> bool:
    """Whether every byte of the step is there."""
    return step is not None and step.status is Status.SEEN and step.missing == 0


def server_keys(ring: KeyRing) -> Iterable[Key]:
    """Every server public key at hand (each public half once), folder keys first, then the published ones."""
    known = _server_keys.get(ring)
    if known is None:
        known = _server_keys[ring] = tuple(_collected(ring))
    return known


#: Rings have thousands of files with the same few server keys, and every session asks.
_server_keys: WeakKeyDictionary[KeyRing, tuple[Key, ...]] = WeakKeyDictionary()


def _collected(ring: KeyRing) -> Iterator[Key]:
    seen: set[str | None] = set()
    for role in (Role.DEVICE_SERVER_KEY, Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC):
        for key in ring.by_role(role, "rsa"):
            if key.rsa is not None and key.bits == _SERVER_BITS and key.fingerprint not in seen:
                seen.add(key.fingerprint)
                yield key
    for key in ring.published:
        if key.rsa is not None and key.fingerprint not in seen:
            yield key


# --- the device's 256 bytes -----------------------------------------------------------------------------------------


def _open_identity(transcript: Transcript, ring: KeyRing, result: LightSslDecryption) -> None:
    step = transcript.step("identity")
    if step is None or step.status is Status.ABSENT:
        return
    if not complete(step) or len(step.data) != CLOUD_BLOCK:
        result.attempts.append(
            Attempt("identity", "-", Outcome.UNDECIDED, detail="the 256 bytes are not complete in the capture")
        )
        return
    nonce_step = transcript.step("nonce")
    nonce = nonce_step.data if complete(nonce_step) and nonce_step is not None else None
    tried = False
    for key in server_private_keys(ring):
        tried = True
        opening = _try_identity(step.data, nonce, key, result)
        if opening is not None:
            result.identity = opening
            return
    blank = crypto.open_with_blank_key(step.data)
    if isinstance(blank, IdentityPlaintext):
        echoed = nonce is not None and blank.nonce == nonce
        result.identity = IdentityOpening(blank, None, echoed)
        result.attempts.append(
            Attempt(
                "identity",
                "blank server key (all 0xFF)",
                Outcome.PROVED if echoed else Outcome.UNDECIDED,
                Proof.BLANK_KEY if echoed else Proof.NONE,
                "opens with the factors of 2^2048-1" + (" and echoes the nonce" if echoed else ""),
            )
        )
    elif not tried:
        result.attempts.append(Attempt("identity", "-", Outcome.NO_KEY, detail="no cloud private key in hand"))
    value = int.from_bytes(step.data, "big")
    for key in ring.by_role(Role.DEVICE_SERVER_KEY, "rsa"):
        if key.rsa is not None and value >= key.rsa.n:
            result.attempts.append(
                Attempt(
                    "identity",
                    key.file,
                    Outcome.REFUTED,
                    Proof.RANGE,
                    "the 256 bytes are larger than this key's modulus: not encrypted with it",
                )
            )


def server_private_keys(ring: KeyRing) -> Iterable[Key]:
    """The cloud private keys of the ring that can open an identity."""
    for key in ring.by_role(Role.CLOUD_PRIVATE, "rsa"):
        if key.rsa is not None and key.rsa.has_private and key.bits == _SERVER_BITS:
            yield key


def _identity(ciphertext: bytes, nonce: bytes | None, rsa: RsaKey) -> IdentityPlaintext | crypto.OpenFailure:
    """Opened by the library where the nonce proves it, else by hand; a certain no is told by the library alone."""
    if crypto.in_range(ciphertext, rsa.n):
        message = rsa.library_message(ciphertext)
        if message is not None and len(message) in IDENTITY_SIZES and nonce is not None and message.startswith(nonce):
            return IdentityPlaintext.from_wire(message)
        if not rsa.may_open(ciphertext, IDENTITY_SIZES):
            return crypto.OpenFailure(crypto.Reason.PADDING, "does not open with this key")
    return crypto.open_identity(ciphertext, rsa.raw_private, rsa.n)


def _try_identity(data: bytes, nonce: bytes | None, key: Key, result: LightSslDecryption) -> IdentityOpening | None:
    rsa = key.rsa
    assert rsa is not None
    opened = _identity(data, nonce, rsa)
    forced = (
        rsa.with_device_exponent() if rsa.e != DEVICE_EXPONENT and not isinstance(opened, IdentityPlaintext) else None
    )
    if forced is not None:
        opened = _identity(data, nonce, forced)
    if not isinstance(opened, IdentityPlaintext):
        result.identity_refuted.append(key)
        result.attempts.append(
            Attempt(
                "identity",
                key.file,
                Outcome.REFUTED,
                Proof.RANGE if opened.reason is crypto.Reason.RANGE else Proof.PADDING,
                opened.detail,
            )
        )
        return None
    if nonce is None:
        result.attempts.append(
            Attempt(
                "identity", key.file, Outcome.PROVED, Proof.PADDING, "opens; the nonce it echoes is not in the capture"
            )
        )
        return IdentityOpening(opened, key, nonce_echoed=False, forced_exponent=forced is not None)
    echoed = opened.nonce == nonce
    detail = "opens and echoes the nonce" if echoed else "opens, but the nonce in it is not the one that was sent"
    if forced is not None:
        detail += f" (with the exponent for 65537, not with that of the file, whose public one is {rsa.e})"
    result.attempts.append(
        Attempt("identity", key.file, Outcome.PROVED, Proof.NONCE_ECHO if echoed else Proof.PADDING, detail)
    )
    return IdentityOpening(opened, key, echoed, forced is not None)


# --- the cloud's 384 bytes ------------------------------------------------------------------------------------------


def _open_session_key(transcript: Transcript, ring: KeyRing, device_id: str | None, result: LightSslDecryption) -> None:
    step = transcript.step("session-key")
    if step is None or step.status is Status.ABSENT:
        return
    if not complete(step) or len(step.data) != DEVICE_BLOCK + CLOUD_BLOCK:
        result.attempts.append(
            Attempt("session-key", "-", Outcome.UNDECIDED, detail="the 384 bytes are not complete in the capture")
        )
        return
    message = SessionKeyMessage.from_wire(step.data)
    digests = _open_signature(message, ring, result)
    tried = False
    damaged: list[Key] = []
    for key in _device_private(ring, device_id):
        rsa = key.rsa
        if rsa is None or not rsa.has_private:
            continue
        tried = True
        opened = _credentials(message.ciphertext, rsa, [digest for _, digest in digests])
        if isinstance(opened, Credentials):
            hmac = _hmac(opened, message, digests)
            if hmac is not True and _first_records_parse(transcript, opened) is False:
                result.attempts.append(
                    Attempt(
                        "session-key",
                        key.file,
                        Outcome.UNDECIDED,
                        detail="opens, but the records that follow are not encrypted with what is inside",
                    )
                )
                continue
            result.session = SessionOpening(opened, key, hmac, repaired=False)
            proof = Proof.HMAC if hmac else Proof.PADDING
            told = {
                True: "opens, and the signed HMAC is over it",
                False: "opens, but the signature is not over it",
                None: "opens; no server key at hand to check the signature",
            }
            result.attempts.append(Attempt("session-key", key.file, Outcome.PROVED, proof, told[hmac]))
            return
        if key.status == "ok" and rsa.consistent:
            result.session_refuted.append(key)
        else:
            damaged.append(key)
        result.attempts.append(
            Attempt(
                "session-key",
                key.file,
                Outcome.REFUTED,
                Proof.RANGE if opened.reason is crypto.Reason.RANGE else Proof.PADDING,
                opened.detail,
            )
        )
    for key in damaged:
        whole = repair(key.slot) if key.slot is not None else None
        if whole is None:
            continue
        opened = _credentials(message.ciphertext, whole, [])
        if isinstance(opened, Credentials):
            hmac = _hmac(opened, message, digests)
            result.session = SessionOpening(opened, key, hmac, repaired=True)
            result.attempts.append(
                Attempt(
                    "session-key",
                    key.file,
                    Outcome.PROVED,
                    Proof.HMAC if hmac else Proof.PADDING,
                    "opens only after the damaged parts of the key are rebuilt from the intact ones",
                )
            )
            return
    if not tried:
        result.attempts.append(Attempt("session-key", "-", Outcome.NO_KEY, detail="no device private key in hand"))


def _credentials(ciphertext: bytes, rsa: RsaKey, digests: Sequence[bytes]) -> Credentials | crypto.OpenFailure:
    """Opened by the library where a signed HMAC proves it, else by hand."""
    if not crypto.in_range(ciphertext, rsa.n):
        return crypto.OpenFailure(
            crypto.Reason.RANGE, "the 128 bytes are larger than this key's modulus: not encrypted for it"
        )
    quick = rsa.library_message(ciphertext) if digests else None
    if quick is not None and len(quick) in SESSION_KEY_SIZES:
        credentials = Credentials.from_wire(quick)
        if crypto.session_hmac(credentials, ciphertext) in digests:
            return credentials
    if not rsa.may_open(ciphertext, SESSION_KEY_SIZES):
        return crypto.OpenFailure(crypto.Reason.PADDING, "does not open with this key")
    return crypto.open_session_key(ciphertext, rsa.raw_private)


def _device_private(ring: KeyRing, device_id: str | None) -> Iterable[Key]:
    own = ring.for_device(device_id, Role.DEVICE_PRIVATE) if device_id else []
    yield from own
    if not own:
        yield from ring.trial_order(Role.DEVICE_PRIVATE, "rsa")


def _open_signature(message: SessionKeyMessage, ring: KeyRing, result: LightSslDecryption) -> list[tuple[Key, bytes]]:
    digests: list[tuple[Key, bytes]] = []
    for key in server_keys(ring):
        rsa = key.rsa
        assert rsa is not None
        digest = crypto.signed_message(message.signature, rsa.n)
        if digest is not None and len(digest) != crypto.HMAC_SIZE:
            result.signed_otherwise = result.signed_otherwise or (key, len(digest))
            told = f"signed with this server key, but over {len(digest)} bytes where devices want {crypto.HMAC_SIZE}"
            result.attempts.append(Attempt("session-key", key.file, Outcome.PROVED, Proof.SIGNATURE, told))
        elif digest is None:
            result.signature_refuted.append(key)
            result.attempts.append(
                Attempt(
                    "session-key", key.file, Outcome.REFUTED, Proof.SIGNATURE, "the signature is not by this server key"
                )
            )
        else:
            digests.append((key, digest))
            if result.signer is None:
                result.signer = key
            result.attempts.append(
                Attempt("session-key", key.file, Outcome.PROVED, Proof.SIGNATURE, "signed with this server key")
            )
    return digests


def _hmac(credentials: Credentials, message: SessionKeyMessage, digests: list[tuple[Key, bytes]]) -> bool | None:
    if not digests:
        return None
    expected = crypto.session_hmac(credentials, message.ciphertext)
    return any(digest == expected for _, digest in digests)


# --- records --------------------------------------------------------------------------------------------------------


def _records(transcript: Transcript) -> tuple[Record, ...]:
    """The records that the session key is to open: a device that goes on under a key of zeros never took it."""
    if "stray-ping" not in transcript.notes:
        return transcript.records
    return tuple(record for record in transcript.records if record.direction is not Direction.UP)


def _first_records_parse(transcript: Transcript, credentials: Credentials) -> bool | None:
    """Whether the first record of a direction parses under these credentials; None when there is none to try."""
    firsts = [
        record
        for record in _records(transcript)
        if record.index == 0 and record.status is Status.SEEN and not record.after_gap
    ]
    if not firsts:
        return None
    return any(_parsed(item) is not None for item in cipher.open_records(credentials, firsts))


def _parsed(item: cipher.OpenedRecord) -> coap.Message | None:
    if item.data is None or not item.whole:
        return None
    try:
        return coap.Message.from_wire(item.data)
    except WireError:
        return None


def _open_records(transcript: Transcript, result: LightSslDecryption) -> None:
    session = result.session
    assert session is not None
    hello: coap.Message | None = None
    namer = particle.Namer()
    for item in cipher.open_records(session.credentials, _records(transcript)):
        opened = _read(item, namer)
        result.records.append(opened)
        if opened.damaged and result.bad_record is None:
            result.bad_record = opened
        if (
            hello is None
            and opened.message is not None
            and item.record.direction is Direction.UP
            and item.record.index == 0
        ):
            hello = opened.message
    if hello is not None:
        result.family = cipher.firmware_family(session.credentials.salt, hello.message_id)


def _read(item: cipher.OpenedRecord, namer: particle.Namer) -> OpenedRecord:
    record = item.record
    if item.problem is cipher.Problem.CUT:
        return OpenedRecord(record, None, None, "not complete in the capture")
    if item.problem is cipher.Problem.LENGTH:
        return OpenedRecord(record, None, None, "its length is not possible", damaged=True)
    if item.data is None:
        return OpenedRecord(record, None, None, "does not decrypt: the padding is wrong", damaged=not record.after_gap)
    if not item.whole:
        return OpenedRecord(
            record, None, None, "its first 16 bytes need the record before it, which is not in the capture"
        )
    message = _parsed(item)
    if message is None:
        return OpenedRecord(record, None, None, "decrypts, but is no CoAP message", damaged=True)
    return OpenedRecord(record, message, namer.name(item.data, record.direction), content=item.data)
