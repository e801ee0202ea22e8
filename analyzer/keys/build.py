"""From a blob and the claims of its name to a Key: role, what is wrong with it, and what the device makes of it.

How it works. The bytes are first read by their own structure. The role then comes from the manifest, the container or
the name, as long as the content can have it, else from the content. A key that lies in a device is at last read once
more, as the firmware reads it; what that gives is what decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from analyzer.keys import address, der, ec, protected, rsa
from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.deviceslot import read_device_slot
from analyzer.keys.key import Key, KeyFinding, Record
from analyzer.keys.key import fingerprint as fingerprint_of
from analyzer.keys.keyfile import read_file, read_unreadable
from analyzer.keys.published import PUBLISHED
from analyzer.keys.reading import PRIVATE_DUMPS, Reading
from analyzer.keys.roles import Claim, decide
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
#: The ids of Spark Cores (STM32F103 unique ids, as in support threads and issues): 53ff6f06..., 48ff6c06..., 55ff7406...
_CORE_ID = re.compile(r"[45][0-9a-f]ff[0-9a-f]{2}06[0-9a-f]{16}")
#: Slot sizes that only a Spark Core's dumps have.
_CORE_SLOTS = frozenset({(Role.DEVICE_PRIVATE, 1024), (Role.DEVICE_SERVER_KEY, 2048)})


def build(blob: Blob, claim: Claim, passphrases: Sequence[bytes] = ()) -> Key:
    """The key in ``blob``, usable or with its problem. Never raises on content."""
    structure, problem, notes = _structure(blob, passphrases)
    role, role_notes = decide(blob, claim, structure)
    if structure is None and blob.raw and address.alone(blob.data) is not None:
        role, role_notes = Role.DEVICE_SERVER_KEY, ()
    device_id = blob.device_id or claim.device_id or claim.hint.device_id
    if role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) and claim.device_id is None:
        device_id = None
    reading = _reading(blob, role, structure, problem)
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
        record=_record(blob, claim) if role is Role.CLOUD_COPY else None,
        rsa=reading.rsa,
        ec=reading.ec,
        slot=_slot(blob, role),
        whole=blob.whole or is_erased(blob.data) or is_zeroed(blob.data),
        public_prefix=_public_prefix(blob, role, reading),
    )


def _record(blob: Blob, claim: Claim) -> Record:
    """Whether more than the name `ID.pub.pem` says that this is what a server has on file."""
    kept = claim.hint.kept or Role.CLOUD_COPY in (claim.role, blob.role)
    return "kept" if kept else "named"


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
    if role in (Role.CLOUD_PRIVATE, Role.DEVICE_SERVER_KEY) and blob.raw and address.stamped(blob.data):
        yield lint.private_as_server_key()
    if (
        role is Role.DEVICE_PRIVATE
        and blob.raw
        and blob.whole
        and len(blob.data) % 2
        and len(blob.data) not in PRIVATE_DUMPS
    ):
        named_id = blob.device_id or claim.device_id or claim.hint.device_id
        if named_id is not None and _CORE_ID.fullmatch(named_id):
            yield lint.odd_length(len(blob.data), claim.file, named_id)
    if claim.hint.superseded:
        yield lint.note("cli-backup", "what the device held before particle-cli wrote another key (pre_, backup_)")
    named = claim.hint.device_id
    if blob.device_id is not None and named is not None and named != blob.device_id:
        yield lint.warning(
            "device-id-contradicted",
            f"the name says device {named}, the content says {blob.device_id}",
            "The content was believed; rename the file.",
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


def _reading(blob: Blob, role: Role, structure: Structure | None, problem: str | None) -> Reading:
    if role is Role.DEVICE_SERVER_KEY and structure is None and (where := address.alone(blob.data)) is not None:
        told = f"only the address part of a server key slot ({where.host}): no key is in it"
        return Reading("server address", None, None, None, told, (lint.address_part(where),), address=where)
    if role is Role.DEVICE_PRIVATE and (blob.raw or structure is None):
        return read_device_slot(blob, structure, problem)
    if role is Role.DEVICE_SERVER_KEY and (blob.raw or structure is None):
        return read_server_slot(blob, structure, problem)
    if structure is None:
        return read_unreadable(blob, role, problem)
    return read_file(blob, role, structure, problem)
