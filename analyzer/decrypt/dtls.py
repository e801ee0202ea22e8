"""The keys in hand against one DTLS attempt: every applicable key is tried, every attempt kept with its proof.

How it works. A session secret is proved by a record's tag (and by the Finished messages, which hash the whole handshake);
long-term keys are held against the two signatures in the clear and against the public key the device shows. What the
rules conclude from that is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.decrypt.signers import proves_possession, server_keys, signed_exchange, signing_scalar
from analyzer.decrypt.vault import Held, Vault
from analyzer.keys import Key, KeyRing, fingerprint
from analyzer.model import Attempt, Outcome, Proof, Role
from dissectors.alerts import FATAL, alert_name
from dissectors.dtls.attempt import DtlsAttempt
from dissectors.dtls.crypto import content_type_name, is_on_curve, verify_data
from dissectors.dtls.messages import Finished
from dissectors.dtls.record import ContentType, WireRecord
from dissectors.errors import WireError
from dissectors.events import Direction, Record, Status
from dissectors.particle import MessageSummary, Namer

#: What opens a session and what can not.
NO_SECRET = "no session secret in hand: the keys are agreed by ECDHE, so no private key, of device or cloud, can open the records"
_HANDSHAKE_HEADER = 12
#: Records that do not open and are still tried with other sessions' secrets.
_LATE_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """One protected record after decryption. ``content`` is None when it does not decrypt, and ``error`` says why."""

    record: Record
    content_type: int | None = None
    content: bytes | None = field(default=None, repr=False)
    summary: MessageSummary | None = None
    error: str | None = None

    @property
    def direction(self) -> Direction:
        """Who sent it."""
        return self.record.direction

    @property
    def type(self) -> str:
        """What it is, as a message row names it; empty for what is no message (Finished)."""
        if self.content is None:
            return "undecryptable"
        return self.summary.type if self.summary is not None else ""


@dataclass(slots=True)
class DtlsDecryption:
    """Everything the keys say about one attempt."""

    attempts: list[Attempt] = field(default_factory=list)
    #: The server key that signed the cloud's answer, and those that provably did not.
    signer: Key | None = None
    server_refuted: list[Key] = field(default_factory=list)
    #: SPKI of the cloud's key recovered from the signatures of two attempts, when no key in hand is it.
    recovered_server: bytes | None = None
    #: The public key the device shows, and the keys in hand that have it.
    shown_key: bytes | None = None
    shown_as: list[Key] = field(default_factory=list)
    #: Whether the device proves that it holds the private half; None when that is not in the capture.
    possession: bool | None = None
    #: The private key file whose scalar made the signature although the public key beside it is another.
    scalar: Key | None = None
    #: SPKI of the key the device really signs with, recovered from two attempts.
    recovered_device: bytes | None = None
    held: Held | None = None
    #: Whether Finished holds the hash of the handshake as captured; None when not opened or not all there.
    finished: dict[Direction, bool] = field(default_factory=dict)
    records: list[OpenedRecord] = field(default_factory=list)
    bad_records: list[OpenedRecord] = field(default_factory=list)
    #: Records of an earlier session that came late.
    late_records: list[OpenedRecord] = field(default_factory=list)
    hello: OpenedRecord | None = None
    device_id: str | None = None
    family: str | None = None

    @property
    def good(self) -> list[OpenedRecord]:
        """Records that decrypted."""
        return [item for item in self.records if item.content is not None]

    @property
    def shown_fingerprint(self) -> str | None:
        """The fingerprint of the public key that the device shows, or None."""
        return fingerprint(self.shown_key) if self.shown_key is not None else None


def decrypt(attempt: DtlsAttempt, ring: KeyRing, vault: Vault) -> DtlsDecryption:
    """Try the keys of ``ring`` and the secrets of ``vault`` on one attempt. Never raises on any bytes."""
    result = DtlsDecryption()
    if attempt.generation is not None:
        result.family = f"dtls-{attempt.generation.hello_sizes[0]}"
    _open_session(attempt, vault, result)
    _shown_key(attempt, ring, result)
    _possession(attempt, ring, result)
    own = next((key.device_id for key in result.shown_as if key.role is not Role.CLOUD_COPY and key.device_id), None)
    _server_key(attempt, ring, result.device_id or own, result)
    return result


# -- the session's secret ------------------------------------------------------------------------------------------------


def _open_session(attempt: DtlsAttempt, vault: Vault, result: DtlsDecryption) -> None:
    records = attempt.transcript.records
    if not records:
        return
    refuted: list[Held] = []
    for held in vault.for_handshake(attempt):
        if held.opens(records):
            result.held = held
            break
        refuted.append(held)
    if result.held is None:
        result.held = vault.for_records(attempt)
    for held in refuted:
        detail = "names this handshake, and opens none of its records"
        result.attempts.append(
            Attempt(_stage_of_records(attempt), held.source.file, Outcome.REFUTED, Proof.MAC, detail)
        )
    if result.held is None:
        result.attempts.append(Attempt(_stage_of_records(attempt), "-", Outcome.NO_KEY, detail=NO_SECRET))
        return
    _open_records(attempt, vault, result.held, result)
    good = len(result.good)
    detail = f"opens {good} of {len(records)} records"
    if all(result.finished.get(direction) for direction in Direction):
        detail += "; both Finished messages fit the handshake as captured"
    result.attempts.append(
        Attempt(_stage_of_records(attempt), result.held.source.file, Outcome.PROVED, Proof.MAC, detail)
    )


def _stage_of_records(attempt: DtlsAttempt) -> str:
    return "resumed" if attempt.kind == "resumed" else "device-finished"


def _open_records(attempt: DtlsAttempt, vault: Vault, held: Held, result: DtlsDecryption) -> None:
    namer = Namer()
    device_finished = b""
    for record in attempt.transcript.records:
        opened = _open_record(record, held, namer)
        if opened.content is None and opened.error is not None and record.status is Status.SEEN:
            if len(result.bad_records) < _LATE_LOOKED_AT and vault.opens_elsewhere(record, held) is not None:
                opened = OpenedRecord(record, error="belongs to another session of this device")
                result.late_records.append(opened)
            else:
                result.bad_records.append(opened)
        result.records.append(opened)
        if opened.content_type == ContentType.HANDSHAKE and opened.content is not None:
            _check_finished(attempt, held, opened, device_finished, result)
            if record.direction is Direction.UP:
                device_finished = device_finished or opened.content
        if opened.type == "hello" and record.direction is Direction.UP and result.hello is None:
            result.hello = opened
            told = opened.summary.facts.get("device_id") if opened.summary is not None else None
            result.device_id = told if isinstance(told, str) else None


def _open_record(record: Record, held: Held, namer: Namer) -> OpenedRecord:
    if record.status is not Status.SEEN:
        return OpenedRecord(record, error="not complete in the capture")
    opened = held.keys.open(record.direction, WireRecord.from_parts(record.header, record.fragment))
    if opened is None:
        return OpenedRecord(record, error="its authentication tag does not verify: it was changed on the way")
    summary: MessageSummary | None = None
    if opened.content_type == ContentType.APPLICATION_DATA:
        summary = namer.name(opened.content, record.direction)
    elif opened.content_type == ContentType.ALERT and len(opened.content) == 2:
        level, code = opened.content
        said = f"{alert_name(code)} ({'fatal' if level == FATAL else 'warning'})"
        summary = MessageSummary("alert", said, {"level": level, "code": code})
    elif opened.content_type != ContentType.HANDSHAKE:
        summary = MessageSummary("unknown", content_type_name(opened.content_type), {})
    return OpenedRecord(record, opened.content_type, opened.content, summary)


def _check_finished(
    attempt: DtlsAttempt, held: Held, opened: OpenedRecord, device_finished: bytes, result: DtlsDecryption
) -> None:
    """Hold a Finished against the handshake as captured."""
    direction = opened.direction
    flight = next((f for f in attempt.flights if f.hello and f.hello.random == held.secret.server_random), None)
    if flight is None or flight.finished is None or opened.content is None or direction in result.finished:
        return
    try:
        told = Finished.from_wire(opened.content[_HANDSHAKE_HEADER:]).verify_data
    except WireError:
        return
    if direction is Direction.DOWN and not device_finished:
        return
    seen = flight.finished + (device_finished if direction is Direction.DOWN else b"")
    result.finished[direction] = told == verify_data(held.secret.master, direction, seen)


# -- the device's key ------------------------------------------------------------------------------------------------------


def _shown_key(attempt: DtlsAttempt, ring: KeyRing, result: DtlsDecryption) -> None:
    certificate = attempt.device_certificate
    if certificate is None or certificate.public_key is None:
        if len(ring) and attempt.kind == "handshake":
            detail = "the device does not show its key in the capture: no device key can be compared"
            result.attempts.append(Attempt("device-certificate", "-", Outcome.NOT_REACHED, detail=detail))
        return
    result.shown_key = _sound_copy(attempt, ring, certificate.public_key)
    known = ring.by_spki(result.shown_key)
    device_roles = (Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY)
    result.shown_as = [key for role in device_roles for key in known if key.role is role]
    stage = "device-certificate"
    for key in result.shown_as:
        what = {
            Role.DEVICE_PRIVATE: "the device shows the public key in this private key file",
            Role.DEVICE_PUBLIC: "the device shows this key",
            Role.CLOUD_COPY: "the key on file at the cloud is the one the device shows",
        }[key.role]
        result.attempts.append(Attempt(stage, key.file, Outcome.PROVED, Proof.FINGERPRINT, what))
    if not result.shown_as:
        some = any(ring.by_role(role, "ec") for role in device_roles)
        detail = "no key in the folder is the one the device shows" if some else "no device key in hand to compare with"
        result.attempts.append(Attempt(stage, "-", Outcome.UNDECIDED if some else Outcome.NO_KEY, detail=detail))


def _sound_copy(attempt: DtlsAttempt, ring: KeyRing, first: bytes) -> bytes:
    """The public key of the copy that arrived undamaged, where copies differ: one that is known, or proves itself."""
    copies = [first, *(copy.public_key for copy in attempt.other_certificates if copy.public_key is not None)]
    if len(copies) == 1:
        return first
    sound = (key for key in copies if ring.by_spki(key) or proves_possession(attempt, key))
    return next(sound, next((key for key in copies if is_on_curve(key)), first))


def _possession(attempt: DtlsAttempt, ring: KeyRing, result: DtlsDecryption) -> None:
    if result.shown_key is None or attempt.certificate_verify is None:
        return
    result.possession = proves_possession(attempt, result.shown_key)
    stage, key = "certificate-verify", f"the key shown in the capture (SHA256:{fingerprint(result.shown_key)[:16]})"
    if result.possession is None:
        detail = "cannot be checked: the handshake it signs is not whole and undisputed in the capture"
        result.attempts.append(Attempt(stage, key, Outcome.UNDECIDED, detail=detail))
    elif result.possession:
        detail = "signed with the private half of the key shown"
        result.attempts.append(Attempt(stage, key, Outcome.PROVED, Proof.SIGNATURE, detail))
    else:
        detail = "not signed with the private half of the key shown"
        result.attempts.append(Attempt(stage, key, Outcome.REFUTED, Proof.SIGNATURE, detail))
        shown = [item for item in result.shown_as if item.has_private]
        odd = [
            item for item in ring.by_role(Role.DEVICE_PRIVATE, "ec") if item.ec is not None and not item.ec.consistent
        ]
        result.scalar = signing_scalar(attempt, [*shown, *(item for item in odd if item not in shown)])
        if result.scalar is not None:
            detail = "signed with the scalar of this file, which does not belong to the public key stored beside it"
            result.attempts.append(Attempt(stage, result.scalar.file, Outcome.PROVED, Proof.SIGNATURE, detail))


# -- the cloud's key -------------------------------------------------------------------------------------------------------


def _server_key(attempt: DtlsAttempt, ring: KeyRing, device_id: str | None, result: DtlsDecryption) -> None:
    stage = "server-key-exchange"
    step = attempt.transcript.step(stage)
    if step is None or step.status is Status.ABSENT:
        if len(ring) and attempt.kind == "handshake":
            detail = "the cloud's signed answer is not in the capture: no server key can be held against it"
            result.attempts.append(Attempt(stage, "-", Outcome.NOT_REACHED, detail=detail))
        return
    rows: list[Attempt] = []
    for key, more in server_keys(ring, device_id):
        holds = signed_exchange(attempt, key)
        also = f" (the same key is in {more} more file{'s' * (more > 1)})" if more else ""
        if holds is True:
            result.signer = result.signer or key
            rows.append(Attempt(stage, key.file, Outcome.PROVED, Proof.SIGNATURE, "signed with this server key" + also))
        elif holds is False:
            result.server_refuted.append(key)
            rows.append(
                Attempt(stage, key.file, Outcome.REFUTED, Proof.SIGNATURE, "not signed with this server key" + also)
            )
    published = {key.file for key in ring.published}
    if len(rows) > 1:
        # That a custom cloud does not use Particle's key needs no saying when its own key is there.
        rows = [row for row in rows if row.key not in published or row.outcome is Outcome.PROVED]
    if not rows:
        rows = [
            Attempt(
                stage,
                "-",
                Outcome.UNDECIDED,
                detail="cannot be checked: a hello or the message is not whole in the capture",
            )
        ]
    result.attempts.extend(rows)
