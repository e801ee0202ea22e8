"""The slot in which a device keeps the cloud's public key and address, read as the firmware reads it.

Source: `init_rsa_context_with_public_key` in particle-iot/device-os communication/src/handshake.cpp (all tags), restoring
of blank slots in system/src/system_cloud_internal.cpp @ v0.7.0; slot sizes in particle-cli src/lib/keys-specs.js.
"""

from __future__ import annotations

from typing import Final

from analyzer.keys import address, der, ec, rsa
from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.key import Algorithm, KeyFinding, ServerAddress, Transport
from analyzer.keys.reading import EC_PRIVATE_SLOT, UDP_SERVER_SLOT, Reading, erased_from
from analyzer.keys.structure import Structure

#: The exponent behind the modulus.
_EXPONENT_SIZE: Final = 5
#: The algorithm is named within these bytes.
_HEAD: Final = 32
_KEY_SIZE: Final[dict[Transport, int]] = {"tcp": rsa.SERVER_MODULUS.stop + _EXPONENT_SIZE, "udp": ec.SPKI_SIZE}
_ALGORITHM: Final[dict[Transport, Algorithm]] = {"tcp": "rsa", "udp": "ec"}


def read_server_slot(blob: Blob, structure: Structure | None, problem: str | None) -> Reading:
    """The stored server key in ``blob`` with the address record behind it; ``problem`` says why ``structure`` is missing."""
    data = blob.data
    transport = blob.transport or _transport(data, structure)
    record = data[address.OFFSET[transport] :][: address.SIZE]
    where = address.read(record, transport)
    notes = list(_address_notes(where, len(record)))
    key_bytes = data[: _KEY_SIZE[transport]]
    if structure is None:
        kind = f"server key slot ({'RSA' if transport == 'tcp' else 'EC'})"
        if is_erased(key_bytes) or is_zeroed(key_bytes):
            problem = "zeroed: all 0x00" if is_zeroed(key_bytes) else "blank flash: all 0xFF"
            notes.append(lint.blank_server_key(zeroed=is_zeroed(key_bytes)))
            return Reading(kind, _ALGORITHM[transport], problem=problem, findings=tuple(notes), address=where)
        return _broken(blob, transport, problem or "no key", kind, notes, where)
    bad = _problem(data, structure, transport)
    if bad is not None:
        notes.append(lint.server_key_unusable("server-key-unfit", bad))
    return Reading(
        structure.kind, structure.algorithm, structure.bits, structure.spki, bad, tuple(notes), structure.rsa, structure.ec, where
    )  # fmt: skip


def _transport(data: bytes, structure: Structure | None) -> Transport:
    if len(data) == UDP_SERVER_SLOT:
        return "udp"
    if len(data) in (512, 768, 2048):
        return "tcp"
    if structure is not None and structure.algorithm is not None:
        return "udp" if structure.ec is not None else "tcp"
    if der.RSA_ENCRYPTION in data[:_HEAD]:
        return "tcp"
    return "udp" if (der.declared_size(data) or len(data)) <= EC_PRIVATE_SLOT else "tcp"


def _problem(data: bytes, structure: Structure, transport: Transport) -> str | None:
    """Why the device cannot use this (readable) key; None when it can."""
    if structure.private:
        return "a private key where the cloud's public key belongs"
    if structure.ec is not None:
        if transport == "tcp":
            return "an EC key in the RSA (TCP) server slot"
        if not structure.ec.on_curve:
            return "damaged: the public point is not on the curve"
        return None if structure.kind == _EC_SPKI else f"{structure.kind}: the device reads a bare 91-byte SPKI"
    if transport == "udp":
        return "an RSA key in the EC (UDP) server slot"
    assert structure.rsa is not None
    if structure.bits != rsa.SERVER_BITS:
        return f"RSA-{structure.bits}: the device reads a modulus of 2048 bits"
    if len(data) < rsa.SERVER_MODULUS.stop or rsa.read_server_slot(data).n != structure.rsa.n:
        return f"{structure.kind}: the modulus is not where the device reads it (in a 294-byte SPKI)"
    return None if structure.rsa.n % 2 else "damaged: the modulus is even, the device cannot encrypt with it"


_EC_SPKI: Final = "EC P-256 public key (SPKI)"


def _broken(
    blob: Blob,
    transport: Transport,
    problem: str,
    kind: str,
    notes: list[KeyFinding],
    where: ServerAddress | None,
) -> Reading:
    """No structure can be read; a TCP device does not ask for one, as long as the modulus is where it looks."""
    used, data = None, blob.data
    if transport == "tcp" and len(data) >= rsa.SERVER_MODULUS.stop:
        used = rsa.read_server_slot(data)
        erased = erased_from(data[rsa.SERVER_MODULUS])
        if used.bits == rsa.SERVER_BITS and used.n % 2 and erased is None:
            notes.append(lint.server_key_header())
            return Reading(kind, "rsa", used.bits, used.spki, None, tuple(notes), used, None, where)
        if erased is not None:
            problem = f"partly erased: 0xFF from byte {erased + rsa.SERVER_MODULUS.start} on"
        elif used.n % 2 == 0:
            problem = "damaged: the modulus is even, the device cannot encrypt with it"
        else:
            problem = f"damaged: {problem}"
    elif problem.startswith("cut off"):
        return Reading(
            kind,
            _ALGORITHM[transport],
            None,
            None,
            problem,
            (*notes, lint.read_again(problem, private=False) if blob.whole else lint.piece("server key")),
            used,
            None,
            where,
        )
    else:
        problem = f"damaged: {problem}"
    notes.append(lint.server_key_unusable("server-key-damaged", problem))
    return Reading(kind, _ALGORITHM[transport], None, None, problem, tuple(notes), used, None, where)


def _address_notes(where: ServerAddress | None, size: int) -> tuple[KeyFinding, ...]:
    if where is None:
        return ()
    if where.kind == "unset":
        return (lint.address_unset(where.transport),)
    if where.kind == "invalid":
        return (lint.address_invalid(where.type_byte),)
    return (lint.port_default(where.transport),) if where.port is None and size >= address.PORT_END else ()
