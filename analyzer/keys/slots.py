"""Slots of a device's flash, read as the firmware reads them, with everything that keeps it from working.

Source: positions in particle-iot/device-os communication/src/handshake.cpp (v0.4.0 to v6.2.0), slot sizes in
platform/MCU/STM32F2xx/SPARK_Firmware_Driver/inc/dct.h @ v0.6.4 and particle-cli src/lib/keys-specs.js.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from analyzer.keys import address, der, ec, repair, rsa
from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.ec import EcKey
from analyzer.keys.key import Algorithm, KeyFinding, ServerAddress, Transport
from analyzer.keys.rsa import RsaKey
from analyzer.keys.structure import Structure
from analyzer.model import Role
from dissectors.errors import WireError

_EC_SLOT: Final = 192
_UDP_SERVER_SLOT: Final = 320
_PRIVATE_SIZES: Final = frozenset({612, 1024, _EC_SLOT})
_SERVER_SIZES: Final = frozenset({294, _UDP_SERVER_SLOT, 512, 768, 2048})
#: A random number ends in this many 0xFF bytes once in 2^64 times: it is flash that was erased.
_ERASED_RUN: Final = 8
_CRT_BITS: Final = rsa.DEVICE_BITS // 2


@dataclass(frozen=True, slots=True)
class Reading:
    """What a slot or file gives: the key, or its problem, or both."""

    kind: str
    algorithm: Algorithm | None = None
    bits: int | None = None
    spki: bytes | None = None
    problem: str | None = None
    findings: tuple[KeyFinding, ...] = ()
    rsa: RsaKey | None = field(default=None, repr=False)
    ec: EcKey | None = field(default=None, repr=False)
    address: ServerAddress | None = None


def roles_by_size(data: bytes) -> Role:
    """The slot that has this size, when the bytes themselves say nothing."""
    if len(data) in _PRIVATE_SIZES:
        return Role.DEVICE_PRIVATE
    return Role.DEVICE_SERVER_KEY if len(data) in _SERVER_SIZES else Role.UNKNOWN


# --- the device's private key ---------------------------------------------------------------------------------------


def read_device_slot(
    blob: Blob, structure: Structure | None, problem: str | None, file: str, device_id: str | None
) -> Reading:
    """The private-key slot in ``blob``; ``problem`` says why ``structure`` is missing."""
    if structure is not None and structure.encrypted:
        return Reading(structure.kind, problem=problem)
    if structure is None:
        return _broken_device_slot(blob, problem or "no key", device_id)
    tail = _tail_notes(blob.data, structure.size)
    if structure.ec is not None:
        return _ec_device_slot(blob, structure, structure.ec, tail, device_id)
    if structure.rsa is None:
        return Reading(structure.kind, problem=structure.kind)
    if not structure.private:
        problem = "a public key where the device's private key belongs"
        return Reading(structure.kind, "rsa", structure.bits, structure.spki, problem, tail, structure.rsa)
    return _rsa_device_slot(blob, structure, structure.rsa, tail, file, device_id)


def _rsa_device_slot(
    blob: Blob, structure: Structure, meant: RsaKey, tail: tuple[KeyFinding, ...], file: str, device_id: str | None
) -> Reading:
    used = positional(blob.data)
    notes = list(tail)
    problem: str | None = None
    if structure.pkcs8:
        problem = "PKCS#8: a TCP device reads PKCS#1 by position and cannot use it"
        notes.append(lint.pkcs8_in_tcp_device(file, device_id))
    elif meant.bits != rsa.DEVICE_BITS:
        problem = f"RSA-{meant.bits}: the device's slot takes RSA-1024"
    elif meant.faults:
        problem = _fault(meant.faults)
    elif not same_for_device(meant, used):
        problem = "a number shorter than usual shifts what the device reads: libraries accept this key, the device cannot use it"
    elif meant.e != rsa.EXPONENT:
        problem = f"exponent {meant.e}: the device always uses 65537"
    elif meant.exponent_fits is False:
        notes.append(lint.exponent_damaged())
    if problem is not None and not structure.pkcs8:
        notes.append(
            lint.device_key_unusable(
                "device-key-damaged" if meant.faults else "device-key-unfit", problem, device_id, ec=False
            )
        )
    spki = None if "n" in meant.faults else meant.spki
    return Reading(structure.kind, "rsa", meant.bits, spki, problem, tuple(notes), used)


def _fault(faults: tuple[str, ...]) -> str:
    if "n" in faults and len(faults) == 1:
        return "damaged: N is not P times Q"
    if "n" not in faults:
        return (
            "damaged: "
            + ", ".join(name.upper() for name in faults)
            + " does not belong to the primes (the CRT parts a device computes with)"
        )
    return "damaged: N is not P times Q, and the CRT parts do not fit either"


def positional(slot: bytes) -> RsaKey:
    """The slot as the firmware reads it; what the dump does not hold is taken as blank flash."""
    return rsa.read_slot(slot.ljust(rsa.PRIVATE_SLOT + 64, b"\xff"))


def same_for_device(meant: RsaKey, used: RsaKey) -> bool:
    """Whether reading by position gives the numbers the structure holds (D aside, which no device reads)."""
    return all(getattr(meant, name) == getattr(used, name) for name in ("n", "p", "q", "dp", "dq", "qinv"))


def _ec_device_slot(
    blob: Blob, structure: Structure, key: EcKey, tail: tuple[KeyFinding, ...], device_id: str | None
) -> Reading:
    notes = list(tail)
    problem: str | None = None
    if not structure.private:
        problem = "a public key where the device's private key belongs"
    elif blob.transport == "tcp" or len(blob.data) in (rsa.PRIVATE_SLOT, 1024):
        problem = "an EC key in the RSA (TCP) slot"
    elif not key.on_curve:
        problem = "the public point in it is not on the curve"
    elif key.consistent is False:
        problem = "the private scalar does not belong to the public point in the same file"
    elif structure.pkcs8:
        notes.append(
            lint.warning(
                "pkcs8-ec-key",
                "PKCS#8: devices are given SEC1",
                "convert it",
                ("openssl ec -inform DER -in KEY -outform DER -out KEY.sec1.der",),
            )
        )
    if problem is not None and structure.private:
        notes.append(
            lint.device_key_unusable(
                "device-key-damaged" if key.consistent is False else "device-key-unfit",
                problem,
                device_id,
                ec=blob.transport != "tcp",
            )
        )
    if key.scalar_size is not None and key.scalar_size != 32:
        notes.append(
            lint.note(
                "scalar-length",
                f"the private scalar has {key.scalar_size} bytes, as mbedTLS up to 2.16 writes it: devices take it, most libraries do not",
            )
        )
    return Reading(structure.kind, "ec", ec.BITS, key.spki, problem, tuple(notes), None, key)


def _broken_device_slot(blob: Blob, problem: str, device_id: str | None) -> Reading:
    """A private-key slot in which no structure can be read."""
    data = blob.data
    is_ec = _is_ec_slot(blob)
    kind = "EC private key slot" if is_ec else "RSA private key slot"
    algorithm: Algorithm = "ec" if is_ec else "rsa"
    declared = der.declared_size(data)
    cut = declared is not None and len(data) < declared <= 2048
    if cut and not is_erased(data):
        problem = f"cut off: DER says {declared} bytes, {'the log line' if blob.encoding == 'log' else 'file'} has {len(data)}"
        return _cut_device_slot(data, kind, algorithm, problem, is_ec=is_ec)
    if is_erased(data):
        found = lint.device_key_unusable(
            "blank-device-key",
            "the private key is blank flash: firmware makes a new key at its next start, or (key generation off) presents 0xFF",
            device_id,
            ec=is_ec,
        )
    elif is_zeroed(data):
        found = lint.device_key_unusable(
            "zeroed-device-key",
            "the private key is all zeroes, which firmware takes for a key: it is never made anew",
            device_id,
            ec=is_ec,
        )
    else:
        start = erased_from(data[:declared] if declared and declared <= len(data) else data)
        if start is not None and start < 600:
            problem = f"partly erased: 0xFF from byte {start} on"
        elif data[:1] != b"\x30":
            problem = f"damaged: begins with {data[0]:02x} instead of a DER sequence (30)"
        else:
            problem = f"damaged: {problem}"
        found = lint.device_key_unusable("device-key-damaged", problem, device_id, ec=is_ec)
    used = None if is_ec or is_erased(data) or is_zeroed(data) else positional(data)
    return Reading(kind, algorithm, None, None, problem, (found,), used)


def _cut_device_slot(data: bytes, kind: str, algorithm: Algorithm, problem: str, *, is_ec: bool) -> Reading:
    """A short read: the device may hold the rest. The key is rebuilt from what is there, where that is enough."""
    advice = lint.error("cut-off", problem, "read the whole slot again (private key: 612 bytes at 34, on a Core 1024 at 0x2000, UDP: 192 at 3106)",
                        ("particle keys save DEVICE_ID",))  # fmt: skip
    if is_ec:
        try:
            key = ec.read_cut(data)
        except WireError:
            return Reading(kind, algorithm, None, None, problem, (advice,))
        return Reading(kind, algorithm, ec.BITS, key.spki, problem, (advice,), None, key)
    whole = repair.repair(data)
    if whole is None:
        return Reading(kind, algorithm, None, None, problem, (advice,))
    rebuilt = lint.note("rebuilt", "the missing part was computed from what is there")
    return Reading(kind, algorithm, whole.bits, whole.spki, problem, (advice, rebuilt), whole)


def _is_ec_slot(blob: Blob) -> bool:
    if blob.transport is not None:
        return blob.transport == "udp"
    return len(blob.data) <= _EC_SLOT and (der.declared_size(blob.data) or 0) <= _EC_SLOT


def erased_from(data: bytes) -> int | None:
    """Where blank flash begins that runs to the end of ``data``; None when it does not end in blank flash."""
    kept = len(data.rstrip(b"\xff"))
    return kept if len(data) - kept >= _ERASED_RUN else None


def _tail_notes(data: bytes, size: int) -> tuple[KeyFinding, ...]:
    rest = data[size:]
    if not rest:
        return ()
    if is_erased(rest) or is_zeroed(rest):
        return (
            lint.note(
                "slot-tail",
                f"{len(rest)} bytes of {'0xFF' if rest[0] else '0x00'} behind the key: a slot dump, devices ignore them",
            ),
        )
    return (lint.note("trailing-bytes", f"{len(rest)} bytes behind the key were ignored, as the device does"),)


# --- the cloud's key, as the device stores it -----------------------------------------------------------------------


def read_server_slot(blob: Blob, structure: Structure | None, problem: str | None) -> Reading:
    """The stored server key in ``blob`` with the address record behind it."""
    data = blob.data
    transport = blob.transport or _server_transport(data, structure)
    start = address.OFFSET[transport]
    record = data[start : start + address.SIZE]
    where = address.read(record, transport)
    notes = list(_address_notes(where, len(data)))
    key_bytes = data[: min(start, rsa.SERVER_MODULUS.stop + 5 if transport == "tcp" else ec.SPKI_SIZE)]
    kind = f"server key slot ({'RSA' if transport == 'tcp' else 'EC'})"
    algorithm: Algorithm = "rsa" if transport == "tcp" else "ec"
    bad: str | None = None
    if is_erased(key_bytes):
        bad, code = "blank flash: all 0xFF", "blank-server-key"
        told = "the stored server key is blank flash: firmware up to 0.6.4 encrypts with it all the same, 0.7.0 and later puts Particle's own key there"
        return Reading(kind, algorithm, None, None, bad, (*notes, lint.server_key_unusable(code, told)), address=where)
    if is_zeroed(key_bytes):
        told = "the stored server key is all zeroes: the device cannot encrypt and sends nothing"
        return Reading(
            kind,
            algorithm,
            None,
            None,
            "zeroed: all 0x00",
            (*notes, lint.server_key_unusable("zeroed-server-key", told)),
            address=where,
        )
    if structure is not None and structure.private:
        bad = "a private key where the cloud's public key belongs"
        notes.append(lint.server_key_unusable("private-key-in-server-slot", bad))
        return Reading(
            structure.kind,
            structure.algorithm,
            structure.bits,
            structure.spki,
            bad,
            tuple(notes),
            structure.rsa,
            structure.ec,
            where,
        )
    if structure is None:
        return _broken_server_slot(data, transport, problem or "no key", kind, algorithm, notes, where)
    if structure.ec is not None:
        if transport == "tcp":
            bad = "an EC key in the RSA (TCP) server slot"
        elif not structure.ec.on_curve:
            bad = "the public point is not on the curve"
    elif transport == "udp":
        bad = "an RSA key in the EC (UDP) server slot"
    else:
        bad = _rsa_server_problem(data, structure)
    if bad is not None:
        notes.append(lint.server_key_unusable("server-key-unfit", bad))
    return Reading(
        structure.kind,
        structure.algorithm,
        structure.bits,
        structure.spki,
        bad,
        tuple(notes),
        structure.rsa,
        structure.ec,
        where,
    )


def _server_transport(data: bytes, structure: Structure | None) -> Transport:
    if len(data) == _UDP_SERVER_SLOT:
        return "udp"
    if len(data) in (512, 768, 2048):
        return "tcp"
    if structure is not None and structure.algorithm is not None:
        return "udp" if structure.ec is not None else "tcp"
    return "udp" if len(data) <= _EC_SLOT else "tcp"


def _rsa_server_problem(data: bytes, structure: Structure) -> str | None:
    assert structure.rsa is not None
    if structure.bits != rsa.SERVER_BITS:
        return f"RSA-{structure.bits}: the device reads a modulus of 2048 bits"
    if len(data) < rsa.SERVER_MODULUS.stop or rsa.read_server_slot(data).n != structure.rsa.n:
        return f"{structure.kind}: the modulus is not where the device reads it (a 294-byte SPKI)"
    return None if structure.rsa.n % 2 else "the modulus is even: the device cannot encrypt with it"


def _broken_server_slot(
    data: bytes,
    transport: Transport,
    problem: str,
    kind: str,
    algorithm: Algorithm,
    notes: list[KeyFinding],
    where: ServerAddress | None,
) -> Reading:
    """No structure can be read; a TCP device does not ask for one, as long as the modulus is where it looks."""
    if transport == "tcp" and len(data) >= rsa.SERVER_MODULUS.stop:
        used = rsa.read_server_slot(data)
        erased = erased_from(data[rsa.SERVER_MODULUS])
        if used.bits == rsa.SERVER_BITS and used.n % 2 and erased is None:
            notes.append(
                lint.warning(
                    "server-key-header-damaged",
                    "the DER around the modulus is damaged; the device reads the modulus by position and works",
                )
            )
            return Reading(kind, "rsa", used.bits, used.spki, None, tuple(notes), used, None, where)
        if erased is not None:
            problem = f"partly erased: 0xFF from byte {erased + rsa.SERVER_MODULUS.start} on"
        elif used.n % 2 == 0:
            problem = "damaged: the modulus is even, the device cannot encrypt with it"
        notes.append(lint.server_key_unusable("server-key-damaged", problem))
        return Reading(kind, "rsa", None, None, problem, tuple(notes), used, None, where)
    declared = der.declared_size(data)
    if declared is not None and len(data) < declared:
        problem = f"cut off: DER says {declared} bytes, file has {len(data)}"
    notes.append(lint.server_key_unusable("server-key-damaged", problem))
    return Reading(kind, algorithm, None, None, problem, tuple(notes), None, None, where)


def _address_notes(where: ServerAddress | None, size: int) -> tuple[KeyFinding, ...]:
    if where is None:
        return ()
    if where.kind == "unset":
        return (lint.address_unset(where.transport),)
    if where.kind == "invalid":
        return (lint.address_invalid(where.type_byte),)
    if where.port is None and size >= address.OFFSET[where.transport] + address.SIZE // 2 + 4:
        return (lint.port_default(where.transport),)
    return ()
