"""The slot of a device's private key, read as the firmware reads it, with everything that keeps it from working.

How it works. A key that a library takes can be useless to a device (PKCS#8; a number shorter than usual, which shifts all
that follows), and one that a library refuses can work (a damaged D). So the numbers read by structure are held against
those read by position; the device's own are kept, and any difference is the problem.

Source: positions in particle-iot/device-os communication/src/handshake.cpp (v0.4.0 to v6.2.0); what a bad EC key does:
communication/src/dtls_protocol.cpp, dtls_message_channel.cpp @ v0.6.4.
"""

from __future__ import annotations

from typing import Final

from analyzer.keys import der, ec, repair, rsa
from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.ec import EcKey
from analyzer.keys.key import Algorithm, KeyFinding
from analyzer.keys.reading import EC_PRIVATE_SLOT, Reading, erased_from, tail_notes
from analyzer.keys.rsa import RsaKey
from analyzer.keys.structure import Structure
from dissectors.errors import WireError

_CORE_SLOT: Final = 1024
#: QINV of a usual key ends before this byte.
_USUAL_END: Final = 611
_SCALAR: Final = 32
#: The numbers a device computes with; D is not among them.
_USED: Final = ("n", "p", "q", "dp", "dq", "qinv")


def read_device_slot(blob: Blob, structure: Structure | None, problem: str | None) -> Reading:
    """The private key in ``blob``; ``problem`` says why ``structure`` is missing or locked."""
    if structure is None:
        return _broken(blob, problem or "no key")
    if structure.encrypted:
        return Reading(structure.kind, problem=problem)
    tail = tail_notes(blob.data, structure.size)
    if structure.ec is not None:
        return _ec(blob, structure, structure.ec, tail)
    assert structure.rsa is not None  # a public key has another role (`roles`), so what is here is private
    return _rsa(blob, structure, structure.rsa, tail)


def positional(slot: bytes) -> RsaKey:
    """The slot as the firmware reads it; what the dump does not hold is taken as blank flash."""
    return rsa.read_slot(slot.ljust(rsa.PRIVATE_SLOT + 64, b"\xff"))


def misread(meant: RsaKey, used: RsaKey) -> tuple[str, ...]:
    """The numbers that the device reads otherwise than the structure has them."""
    return tuple(name for name in _USED if getattr(meant, name) != getattr(used, name))


def _rsa(blob: Blob, structure: Structure, meant: RsaKey, tail: tuple[KeyFinding, ...]) -> Reading:
    used = positional(blob.data)
    notes = list(tail)
    problem: str | None = None
    code = "device-key-unfit"
    if structure.pkcs8:
        problem = _PKCS8
        notes.append(lint.pkcs8_in_tcp_device())
    elif meant.bits != rsa.DEVICE_BITS:
        problem = f"wrong size: RSA-{meant.bits}, {structure.size} bytes; the slot takes RSA-1024, at most {rsa.PRIVATE_SLOT} bytes"
    elif meant.faults:
        problem, code = _fault(meant.faults), "device-key-damaged"
    elif shifted := misread(meant, used):
        names = ", ".join(name.upper() for name in shifted)
        problem = f"a number shorter than usual shifts what the device reads as {names}: sound for a library, useless to the device"
        code = "device-key-shifted"
    elif meant.e != rsa.EXPONENT:
        problem = f"exponent {meant.e}: the device always uses {rsa.EXPONENT}"
    elif meant.exponent_fits is False:
        notes.append(lint.exponent_damaged())
    if problem is not None and not structure.pkcs8:
        notes.append(lint.device_key_unusable(code, problem, ec=False))
    spki = None if "n" in meant.faults else meant.spki
    return Reading(structure.kind, "rsa", meant.bits, spki, problem, tuple(notes), used)


_PKCS8: Final = "PKCS#8: a TCP device reads PKCS#1 by position and cannot use it"


def _fault(faults: tuple[str, ...]) -> str:
    crt = ", ".join(name.upper() for name in faults if name != "n")
    if "n" not in faults:
        return f"damaged: {crt} not of this key (a device computes with these parts)"
    return "damaged: N is not P times Q" + (f", and {crt} do not fit either" if crt else "")


def _ec(blob: Blob, structure: Structure, key: EcKey, tail: tuple[KeyFinding, ...]) -> Reading:
    notes = list(tail)
    problem: str | None = None
    damaged = False
    in_rsa_slot = blob.transport == "tcp" or len(blob.data) in (rsa.PRIVATE_SLOT, _CORE_SLOT)
    if in_rsa_slot:
        problem = "an EC key in the RSA (TCP) slot"
    elif not key.on_curve:
        problem, damaged = "damaged: the public point in it is not on the curve", True
    elif key.consistent is False:
        problem, damaged = "the private scalar does not belong to the public point in the same file", True
    elif structure.size > EC_PRIVATE_SLOT:
        problem = f"{structure.size} bytes: the slot has {EC_PRIVATE_SLOT}"
    if problem is not None:
        code = "device-key-damaged" if damaged else "wrong-algorithm" if in_rsa_slot else "device-key-unfit"
        notes.append(lint.device_key_unusable(code, problem, ec=not in_rsa_slot))
    if structure.pkcs8:
        notes.append(lint.pkcs8_ec())
    if key.scalar_size != _SCALAR:
        notes.append(lint.scalar_length(key.scalar_size or 0))
    return Reading(structure.kind, "ec", ec.BITS, key.spki, problem, tuple(notes), None, key)


# --- no structure can be read ---------------------------------------------------------------------------------------


def _broken(blob: Blob, problem: str) -> Reading:
    data = blob.data
    if not data:
        return Reading("device private key", problem=problem)
    is_ec = _is_ec_slot(blob)
    kind = "EC private key slot" if is_ec else "RSA private key slot"
    algorithm: Algorithm = "ec" if is_ec else "rsa"
    if is_erased(data) or is_zeroed(data):
        known = blob.whole or blob.transport is not None
        told = lint.blank_device_key(zeroed=is_zeroed(data), ec=is_ec if known else None)
        return Reading(
            kind if known else "private key slot", algorithm if known else None, problem=problem, findings=(told,)
        )
    if not is_ec and repair.pkcs8_content(data) is not None:
        return _cut_pkcs8(data)
    if problem.startswith("cut off"):
        return _cut(blob, kind, algorithm, problem)
    declared = der.declared_size(data)
    start = erased_from(data[:declared] if declared and declared <= len(data) else data)
    if start is not None and start < _USUAL_END:
        problem = f"partly erased: 0xFF from byte {start} on"
    elif data[:1] != b"\x30":
        problem = f"damaged: begins with {data[0]:02x}, not with a DER sequence (30)"
    else:
        problem = f"damaged: {problem}"
    found = lint.device_key_unusable("device-key-damaged", problem, ec=is_ec)
    return Reading(kind, algorithm, None, None, problem, (found,), None if is_ec else positional(data))


def _cut_pkcs8(data: bytes) -> Reading:
    """PKCS#8 that does not end inside the 612-byte slot: the key is still whole enough to be told."""
    whole = repair.repair(data)
    told = lint.pkcs8_in_tcp_device()
    spki = None if whole is None else whole.spki
    bits = None if whole is None else whole.bits
    kind = "RSA private key (PKCS#8, cut)"
    return Reading(
        kind, "rsa", bits, spki, f"{_PKCS8}; it is also cut off by the slot's end", (told,), positional(data)
    )


def _cut(blob: Blob, kind: str, algorithm: Algorithm, problem: str) -> Reading:
    """A short read: the device may hold the rest. The key is rebuilt from what is there, where that is enough."""
    advice = lint.read_again(problem, private=True) if blob.whole else lint.piece("private key")
    rebuilt = lint.note("rebuilt", "what is missing was computed from what is there")
    if algorithm == "ec":
        try:
            key = ec.read_cut(blob.data)
        except WireError:
            return Reading(kind, algorithm, problem=problem, findings=(advice,))
        told = problem if blob.whole else None
        return Reading(kind, algorithm, ec.BITS, key.spki, told, (advice, rebuilt), None, key)
    whole = repair.repair(blob.data) if blob.whole else None
    if whole is None:
        return Reading(kind, algorithm, problem=problem, findings=(advice,))
    return Reading(kind, algorithm, whole.bits, whole.spki, problem, (advice, rebuilt), whole)


def _is_ec_slot(blob: Blob) -> bool:
    if blob.transport is not None:
        return blob.transport == "udp"
    return len(blob.data) <= EC_PRIVATE_SLOT and (der.declared_size(blob.data) or 0) <= EC_PRIVATE_SLOT
