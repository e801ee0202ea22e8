"""A key in an ordinary file: PEM, a server's key, a public half. No firmware reads these as they are."""

from __future__ import annotations

from analyzer.keys import findings as lint
from analyzer.keys.blob import Blob
from analyzer.keys.deviceslot import misread, positional
from analyzer.keys.key import KeyFinding
from analyzer.keys.reading import Reading, tail_notes
from analyzer.keys.rsa import DEVICE_BITS, RsaKey
from analyzer.keys.structure import Structure
from analyzer.model import Role
from dissectors.lightssl.messages import TAIL_SIZE, DeviceTail, TailKind


def read_file(blob: Blob, role: Role, structure: Structure, problem: str | None) -> Reading:
    """The key in a file that no firmware reads; ``problem`` is what keeps it shut."""
    notes: list[KeyFinding] = []
    rsa, ec = structure.rsa, structure.ec
    if rsa is not None and rsa.has_private:
        if rsa.faults:
            crt = "damaged: its CRT parts do not belong to its primes"
            problem = problem or ("damaged: N is not P times Q" if "n" in rsa.faults else crt)
        elif rsa.exponent_fits is False:
            notes.append(lint.exponent_damaged())
        if role is Role.DEVICE_PRIVATE and not rsa.faults and (shifted := _shifted(rsa)):
            notes.append(lint.would_shift(shifted))
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
                "Put the device's own public key here.",
            )
        )
    if role in (Role.DEVICE_PUBLIC, Role.CLOUD_COPY) and (bad := _no_modulus(blob)) is not None:
        problem = problem or bad[0]
        notes.append(
            lint.device_key_unusable("public-key-of-slot", bad[0], ec=False) if bad[1] else lint.pkcs8_in_tcp_device()
        )
    if blob.raw:
        notes += tail_notes(blob.data, structure.size)
    return Reading(structure.kind, structure.algorithm, structure.bits, structure.spki, problem, tuple(notes), rsa, ec)


#: What a "public key" really is that a TCP device made of other bytes than a modulus (tcp.md 1.3: slot bytes 11 to 138).
_NOT_A_MODULUS = {
    TailKind.ERASED: "blank flash (all 0xFF) in the place of a modulus: the device's private key slot is erased",
    TailKind.ZEROED: "zeroes in the place of a modulus: the device's private key slot is zeroed",
    TailKind.PKCS8: "the head of a PKCS#8 file in the place of a modulus: the device's slot holds PKCS#8, which it cannot read",
    TailKind.EC: (
        "bytes of an EC private key in the place of a modulus: the device's RSA (TCP) slot holds the key of a UDP device. "
        "Nothing can be encrypted to this, and it gives most of that EC key away: do not enrol it, do not pass it on"
    ),
}


def _no_modulus(blob: Blob) -> tuple[str, bool] | None:
    """Why a public key is none, and whether the device needs another (a PKCS#8 file only has to be written anew)."""
    kind = DeviceTail(blob.data[:TAIL_SIZE]).kind
    return (_NOT_A_MODULUS[kind], kind is not TailKind.PKCS8) if kind in _NOT_A_MODULUS else None


def read_unreadable(blob: Blob, role: Role, problem: str | None) -> Reading:
    """What no library takes for a key: a device may have sent it as its own all the same."""
    bad = _no_modulus(blob) if role in (Role.DEVICE_PUBLIC, Role.CLOUD_COPY) else None
    if bad is None:
        return Reading("unreadable", problem=problem)
    found = lint.device_key_unusable("public-key-of-slot", bad[0], ec=False)
    return Reading("RSA public key (SPKI)", "rsa", None, None, bad[0], (found,))


def _cloud_key_size(bits: int) -> KeyFinding:
    return lint.error(
        "cloud-key-size",
        f"RSA-{bits}: every device reads 256 bytes of modulus, so it cannot hold this cloud's key (Brewskey/spark-server made "
        "1024-bit keys until 2e1dde3, 2017-08-17)",
        "Let the server make a new key, and give the devices its public half.",
        fix="cloud-key",
    )


def _shifted(key: RsaKey) -> tuple[str, ...]:
    """The numbers a device would misread if this key were written to it."""
    written = key.pkcs1
    return () if key.bits != DEVICE_BITS or written is None else misread(key, positional(written))
