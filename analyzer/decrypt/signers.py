"""Who signed: ServerKeyExchange against the server keys in hand, CertificateVerify against the device's.

How it works. Long-term keys cannot open an ECDHE session, but every one of them can be held against a signature that is
in the clear. A key that verifies is proved. A key that does not is refuted only together with one that does: a damaged
packet fails under every key. When no key in hand verifies, the signers of two attempts are recovered from the signatures
themselves (`dissectors.dtls.recover`): a key common to both is the signer's, and shows that neither was damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from analyzer.keys import Key, KeyRing
from analyzer.keys.ec import point_of, spki_of_point
from analyzer.model import Role
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.crypto import key_exchange_message, verifies
from dissectors.dtls.messages import SignatureAlgorithm, Signed
from dissectors.dtls.recover import recover_keys

#: Distinct server keys held against one signature.
MAX_SERVER_KEYS = 256
#: Attempts of one signer whose signatures are recovered from; two suffice unless one was damaged.
MAX_RECOVERED = 6

#: The only algorithm whose signer is recovered.
_RECOVERABLE = SignatureAlgorithm.ECDSA_SHA256

_SERVER_ROLES = (Role.DEVICE_SERVER_KEY, Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC)


def exchanges(attempt: DtlsAttempt) -> Iterator[tuple[Signed, bytes, tuple[int, ...]]]:
    """The cloud's signatures of an attempt, also of copies that differ: signature, what it is over, frames."""
    if attempt.client_random is None:
        return
    for flight in attempt.flights:
        if flight.hello is not None and flight.key_exchange is not None:
            for exchange in (flight.key_exchange, *flight.other_exchanges):
                message = key_exchange_message(attempt.client_random, flight.hello.random, exchange)
                yield exchange.signed, message, flight.key_exchange_frames


def signed_exchange(attempt: DtlsAttempt, key: Key) -> bool | None:
    """Whether this server key signed the cloud's answer; None when it cannot be checked."""
    return signed_by(attempt, key.spki) if key.spki is not None else None


def signed_by(attempt: DtlsAttempt, spki: bytes) -> bool | None:
    """Whether the key in ``spki`` signed (one of) the cloud's answers; None when it cannot be checked."""
    answers = [verifies(spki, signed, message) for signed, message, _ in exchanges(attempt)]
    if True in answers:
        return True
    return False if answers and None not in answers else None


def server_keys(ring: KeyRing, device_id: str | None) -> list[tuple[Key, int]]:
    """Server keys worth trying, each public half once per kind of file, with the number of further files that hold it.

    The device's own key stands for its public half; the published one comes last.
    """
    own = {id(key) for key in ring.for_device(device_id, Role.DEVICE_SERVER_KEY)}
    groups: dict[tuple[str, bool], list[Key]] = {}
    for role in _SERVER_ROLES:
        for key in ring.by_role(role, "ec"):
            if key.spki is not None and key.fingerprint is not None:
                groups.setdefault((key.fingerprint, role is Role.DEVICE_SERVER_KEY), []).append(key)
    for key in ring.published:
        if key.algorithm == "ec" and key.fingerprint is not None and (key.fingerprint, False) not in groups:
            groups[key.fingerprint, False] = [key]
    chosen = [(next((key for key in keys if id(key) in own), keys[0]), len(keys) - 1) for keys in groups.values()]
    chosen.sort(key=lambda pair: id(pair[0]) not in own)
    return chosen[:MAX_SERVER_KEYS]


def proves_possession(attempt: DtlsAttempt, spki: bytes) -> bool | None:
    """Whether CertificateVerify holds under a key; None when it, or the handshake it signs, is not all there.

    Copies of a message that differ make a failure mean nothing, so then it is None as well.
    """
    verify = attempt.certificate_verify
    if verify is None:
        return None
    answers = []
    for flight in attempt.flights:
        if flight.signed is not None:
            holds = verifies(spki, verify.signed, flight.signed)
            answers.append(None if holds is False and flight.disputed else holds)
    if True in answers:
        return True
    return False if answers and None not in answers else None


def signing_scalar(attempt: DtlsAttempt, keys: Iterable[Key]) -> Key | None:
    """The private key whose scalar made CertificateVerify, whatever public point is stored beside it."""
    for key in keys:
        if key.ec is None or key.ec.private is None:
            continue
        point = point_of(key.ec.private)
        if point is not None and proves_possession(attempt, spki_of_point(point)):
            return key
    return None


def common_signer(signatures: Iterable[tuple[Signed, bytes]]) -> bytes | None:
    """The SPKI of the key that made at least two of these signatures over different messages, or None."""
    seen: dict[bytes, bytes] = {}
    for signed, message in signatures:
        if signed.algorithm != _RECOVERABLE:
            continue
        for point in recover_keys(signed.signature, sha256(message).digest()):
            if seen.get(point, message) != message:
                return spki_of_point(point)
            seen[point] = message
    return None
