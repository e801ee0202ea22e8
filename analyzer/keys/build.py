"""From a blob and the claims of its name to a Key: role, what is wrong with it, and what the device makes of it.

How it works. The bytes are first read by their own structure. The role then comes from the manifest, the container or
the name, as long as the content can have it, else from the content. A key that lies in a device is at last read once
more, as the firmware reads it; what that gives is what decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from analyzer.keys import der, ec, protected, rsa
from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.deviceslot import read_device_slot
from analyzer.keys.key import Key, KeyFinding
from analyzer.keys.key import fingerprint as fingerprint_of
from analyzer.keys.names import NameHint
from analyzer.keys.published import PUBLISHED
from analyzer.keys.reading import PRIVATE_DUMPS, SERVER_DUMPS, Reading, role_by_size, tail_notes
from analyzer.keys.serverslot import read_server_slot
from analyzer.keys.structure import Structure, classify
from analyzer.model import Role
from dissectors.errors import WireError

#: Where the public number lies in what a device stores.
_PUBLIC_PLACES: Final[dict[tuple[Role, str | None], slice]] = {
    (Role.DEVICE_PRIVATE, "rsa"): rsa.TAIL,
    (Role.DEVICE_SERVER_KEY, "rsa"): rsa.SERVER_MODULUS,
    (Role.DEVICE_SERVER_KEY, "ec"): slice(ec.SPKI_SIZE - ec.POINT_SIZE + 1, ec.SPKI_SIZE),
}
#: Bytes of a public number that no two keys share by chance.
_MIN_PREFIX = 16
#: A structure does not claim more than this but by damage.
_MAX_DECLARED = 1 << 20
_EC_DUMP = 192
#: Slot sizes that only a Spark Core's dumps have.
_CORE_SLOTS = frozenset({(Role.DEVICE_PRIVATE, 1024), (Role.DEVICE_SERVER_KEY, 2048)})
_PRIVATE = frozenset({Role.DEVICE_PRIVATE, Role.CLOUD_PRIVATE})
_PUBLIC = frozenset({Role.DEVICE_PUBLIC, Role.CLOUD_COPY, Role.CLOUD_PUBLIC, Role.DEVICE_SERVER_KEY})


@dataclass(frozen=True, slots=True)
class Claim:
    """What manifest and name say of a file, before anyone looked inside."""

    file: str
    hint: NameHint
    role: Role | None = None
    device_id: str | None = None


def build(blob: Blob, claim: Claim, passphrases: Sequence[bytes] = ()) -> Key:
    """The key in ``blob``, usable or with its problem. Never raises on content."""
    structure, problem, notes = _structure(blob, passphrases)
    role, role_notes = _role(blob, claim, structure)
    device_id = blob.device_id or claim.device_id or claim.hint.device_id
    if role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) and claim.device_id is None:
        device_id = None
    reading = _reading(blob, role, structure, problem, claim.file, device_id)
    spki = reading.spki
    print_ = None if spki is None else fingerprint_of(spki)
    found = (*blob.findings, *notes, *role_notes, *reading.findings, *_remarks(blob, claim, role, print_))
    return Key(
        file=claim.file,
        role=role,
        device_id=device_id,
        kind=reading.kind,
        algorithm=reading.algorithm,
        bits=reading.bits,
        fingerprint=print_,
        status="ok" if reading.problem is None else "unusable",
        problem=reading.problem,
        findings=found,
        part=blob.part,
        offset=blob.offset,
        encoding=blob.encoding,
        spki=spki,
        server_address=reading.address,
        superseded=claim.hint.superseded,
        rsa=reading.rsa,
        ec=reading.ec,
        slot=_slot(blob, role),
        whole=blob.whole or is_erased(blob.data) or is_zeroed(blob.data),
        public_prefix=_public_prefix(blob, role, reading),
    )


def _slot(blob: Blob, role: Role) -> bytes | None:
    """The bytes as the device holds them, when enough of them are there."""
    if not blob.raw or role not in (Role.DEVICE_PRIVATE, Role.DEVICE_SERVER_KEY):
        return None
    return blob.data if blob.whole or len(blob.data) >= rsa.SERVER_MODULUS.stop else None


def _public_prefix(blob: Blob, role: Role, reading: Reading) -> bytes | None:
    """What a cut piece shows of the public number: enough to tell two keys apart."""
    place = _PUBLIC_PLACES.get((role, reading.algorithm))
    if blob.whole or place is None or reading.spki is not None:
        return None
    piece = blob.data[place]
    return piece if len(piece) >= _MIN_PREFIX and not is_erased(piece) and not is_zeroed(piece) else None


def _remarks(blob: Blob, claim: Claim, role: Role, fingerprint: str | None) -> Iterator[KeyFinding]:
    """What is worth knowing besides: whose key it is, what era, what the name tells."""
    if fingerprint in PUBLISHED:
        yield lint.note("published-key", f"this is Particle's own key: {PUBLISHED[fingerprint]}")
    if blob.raw and (role, len(blob.data)) in _CORE_SLOTS or blob.part.startswith("Core flash"):
        yield lint.core_era()
    if claim.hint.superseded:
        yield lint.note("cli-backup", "what the device held before particle-cli wrote another key (pre_, backup_)")
    named = claim.hint.device_id
    if blob.device_id is not None and named is not None and named != blob.device_id:
        yield lint.warning(
            "device-id-contradicted",
            f"the name says device {named}, the content says {blob.device_id}",
            "the content was believed; rename the file",
        )


def _structure(blob: Blob, passphrases: Sequence[bytes]) -> tuple[Structure | None, str | None, tuple[KeyFinding, ...]]:
    """The structure, or why there is none."""
    data = blob.data
    notes: tuple[KeyFinding, ...] = ()
    if blob.protected is not None:
        opened = protected.open_pem(blob.protected, passphrases)
        if opened is None:
            return Structure("encrypted private key (PEM)", 0, encrypted=True), _locked(passphrases), ()
        data, notes = opened, (_was_encrypted(),)
    if not data:
        return None, blob.problem or "empty", ()
    if is_erased(data):
        return None, "blank flash: all 0xFF", ()
    if is_zeroed(data):
        return None, "zeroed: all 0x00", ()
    try:
        found = classify(data)
        if found.encrypted:
            opened = protected.open_der(data[: found.size], passphrases)
            if opened is None:
                return found, _locked(passphrases), ()
            found, notes = replace(classify(opened), size=found.size), (_was_encrypted(),)
    except WireError as error:
        return None, cut_off(blob, data) or str(error), notes
    if blob.protected is not None and found.pkcs8:
        # The encrypted PEM held PKCS#1 or SEC1; PKCS#8 is only how it came out of the library.
        found = replace(found, kind=found.kind.replace("PKCS#8", "encrypted PEM"), size=0)
    return found, None, notes


def cut_off(blob: Blob, data: bytes) -> str | None:
    """The problem of a structure that is longer than what is there; None when it is not."""
    declared = der.declared_size(data)
    if declared is None or not len(data) < declared <= _MAX_DECLARED or blob.encoding == "flash":
        return None
    if len(data) in PRIVATE_DUMPS and (len(data) > _EC_DUMP or declared < 2 * _EC_DUMP):
        return None  # a whole slot: it is the length that is damaged, or the slot that is too small
    where = {"log": "the log line", "pem": "the PEM text", "hex": "the text", "base64": "the text"}
    return f"cut off: DER says {declared} bytes, {where.get(blob.encoding, 'file')} has {len(data)}"


def _locked(passphrases: Sequence[bytes]) -> str:
    return (
        "encrypted: none of the passphrases opens it"
        if passphrases
        else "encrypted: give its passphrase with --passphrase-file"
    )


def _was_encrypted() -> KeyFinding:
    return lint.note("encrypted", "the file is encrypted; a passphrase at hand opened it")


def _role(blob: Blob, claim: Claim, structure: Structure | None) -> tuple[Role, tuple[KeyFinding, ...]]:
    named = claim.hint
    if structure is None:
        return claim.role or blob.role or _role_without_content(blob, named), ()
    fitting = _PRIVATE if structure.private else _PUBLIC
    by_name = named.private if structure.private else named.public
    notes: list[KeyFinding] = []
    if claim.role is not None and claim.role not in fitting:
        notes.append(_contradiction("keys.toml", claim.role, structure))
    if blob.role is not None:
        pass  # a slot of an image is what it is, whatever the image is called
    elif structure.private and named.says_public:
        notes.append(_private_in_public_name(claim.file))
    elif not structure.private and named.says_private:
        notes.append(_contradiction("the name", named.private or Role.DEVICE_PRIVATE, structure))
        by_name = None
    if by_name is Role.CLOUD_PUBLIC and blob.raw and len(blob.data) in SERVER_DUMPS:
        by_name = Role.DEVICE_SERVER_KEY  # `keys server K --host H` leaves K-H-rsa.der: a slot's image, not a key file
    for role in (claim.role, blob.role, by_name):
        if role is not None and role in fitting:
            return role, tuple(notes)
    if blob.role is Role.DEVICE_SERVER_KEY or claim.role is Role.DEVICE_SERVER_KEY:
        return Role.DEVICE_SERVER_KEY, tuple(notes)
    return _role_by_content(blob, structure, named.device_id), tuple(notes)


def _role_without_content(blob: Blob, named: NameHint) -> Role:
    """The role of bytes that nobody can read: by name, unless their size says that they are a device's slot."""
    by_size = role_by_size(blob.data) if blob.raw else Role.UNKNOWN
    if named.role is Role.CLOUD_PRIVATE and by_size is Role.DEVICE_SERVER_KEY:
        return by_size
    return named.role or by_size


def _contradiction(who: str, role: Role, structure: Structure) -> KeyFinding:
    return lint.warning(
        "role-contradicted",
        f"{who} says {role.value}, but this is: {structure.kind}",
        "rename the file or correct keys.toml",
    )


def _private_in_public_name(file: str) -> KeyFinding:
    return lint.error(
        "private-key-named-public",
        "a private key in a file that is named as a public one: whoever was sent this file has the key",
        "make the public half anew, and treat this key as given away if the file left your hands",
        (f"openssl pkey -in {lint.quoted(file)} -pubout -out public.pem",),
    )


def _role_by_content(blob: Blob, structure: Structure, device_id: str | None) -> Role:
    if structure.private:
        return Role.CLOUD_PRIVATE if (structure.bits or 0) >= 2048 and device_id is None else Role.DEVICE_PRIVATE
    if structure.rsa is not None and structure.rsa.bits >= 2048:
        stored = device_id is not None or len(blob.data) > structure.size
        return Role.DEVICE_SERVER_KEY if stored and blob.raw else Role.CLOUD_PUBLIC
    if structure.ec is not None and len(blob.data) > structure.size and blob.raw:
        return Role.DEVICE_SERVER_KEY
    if structure.rsa is not None or device_id is not None:
        return Role.DEVICE_PUBLIC
    return Role.UNKNOWN


def _reading(
    blob: Blob, role: Role, structure: Structure | None, problem: str | None, file: str, device_id: str | None
) -> Reading:
    if role is Role.DEVICE_PRIVATE and (blob.raw or structure is None):
        return read_device_slot(blob, structure, problem, file, device_id)
    if role is Role.DEVICE_SERVER_KEY and (blob.raw or structure is None):
        return read_server_slot(blob, structure, problem)
    if structure is None:
        return Reading("unreadable", problem=problem)
    return _plain(blob, role, structure, problem)


def _plain(blob: Blob, role: Role, structure: Structure, problem: str | None) -> Reading:
    """A key in a file that no firmware reads."""
    notes: list[KeyFinding] = []
    rsa, ec = structure.rsa, structure.ec
    if rsa is not None and rsa.has_private:
        if rsa.faults:
            problem = (
                problem or "damaged: N is not P times Q"
                if "n" in rsa.faults
                else "damaged: its CRT parts do not belong to its primes"
            )
        elif rsa.exponent_fits is False:
            notes.append(lint.exponent_damaged())
    if ec is not None and ec.consistent is False:
        problem = problem or "the private scalar does not belong to the public point in the same file"
    if ec is not None and not ec.on_curve:
        problem = problem or "the public point is not on the curve"
    if role is Role.CLOUD_PRIVATE and rsa is not None and rsa.bits != 2048:
        notes.append(_cloud_key_size(rsa.bits))
    if role is Role.CLOUD_COPY and rsa is not None and rsa.bits != 1024:
        notes.append(
            lint.error(
                "not-a-device-key",
                f"RSA-{rsa.bits}: a device's key has 1024 bits, this cannot be one",
                "put the device's own public key here",
            )
        )
    if blob.raw:
        notes += tail_notes(blob.data, structure.size)
    return Reading(structure.kind, structure.algorithm, structure.bits, structure.spki, problem, tuple(notes), rsa, ec)


def _cloud_key_size(bits: int) -> KeyFinding:
    return lint.error(
        "cloud-key-size",
        f"RSA-{bits}: every device reads 256 bytes of modulus, so it cannot hold this cloud's key (Brewskey/spark-server made "
        "1024-bit keys until 2e1dde3, 2017-08-17)",
        "let the server make a new key, and write its public half to the devices",
        ("particle keys server default_key.pub.pem --host HOST --port 5683",),
    )
