"""What a slot or file gives, and the signs of flash that lost bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from analyzer.keys import findings as lint
from analyzer.keys.blob import is_erased, is_zeroed
from analyzer.keys.ec import EcKey
from analyzer.keys.key import Algorithm, KeyFinding, ServerAddress
from analyzer.keys.rsa import RsaKey
from analyzer.model import Role

EC_PRIVATE_SLOT: Final = 192
UDP_SERVER_SLOT: Final = 320
#: Sizes of private slot dumps: Photon and later, Spark Core, UDP.
PRIVATE_DUMPS: Final = frozenset({612, 1024, EC_PRIVATE_SLOT})
#: Sizes of server slot dumps: key, blank flash, address record (particle-cli pads to 320, 512 and 1024).
SERVER_DUMPS: Final = frozenset({UDP_SERVER_SLOT, 512, 768, 1024, 2048})
_BARE_SERVER_KEY: Final = 294
#: A random number ends in this many 0xFF bytes once in 2^64 times: it is flash that was erased.
_ERASED_RUN: Final = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """The key in a slot or file, or its problem, or both."""

    kind: str
    algorithm: Algorithm | None = None
    bits: int | None = None
    spki: bytes | None = None
    problem: str | None = None
    findings: tuple[KeyFinding, ...] = ()
    rsa: RsaKey | None = field(default=None, repr=False)
    ec: EcKey | None = field(default=None, repr=False)
    address: ServerAddress | None = None


def role_by_size(data: bytes) -> Role:
    """The slot that has this size, when the bytes themselves say nothing."""
    if len(data) in PRIVATE_DUMPS:
        return Role.DEVICE_PRIVATE
    return Role.DEVICE_SERVER_KEY if len(data) in SERVER_DUMPS or len(data) == _BARE_SERVER_KEY else Role.UNKNOWN


def erased_from(data: bytes) -> int | None:
    """Where blank flash begins that runs to the end of ``data``; None when it does not end in blank flash."""
    kept = len(data.rstrip(b"\xff"))
    return kept if len(data) - kept >= _ERASED_RUN else None


def tail_notes(data: bytes, size: int) -> tuple[KeyFinding, ...]:
    """What lies behind a structure of ``size`` bytes: a slot's filling, or something else that was ignored."""
    rest = data[size:]
    if not rest or not size:
        return ()
    if is_erased(rest) or is_zeroed(rest):
        filling = "0xFF" if rest[0] else "0x00"
        text = f"{len(rest)} bytes of {filling} behind the key: a slot dump, devices ignore them"
        return (lint.note("slot-tail", text),)
    return (lint.note("trailing-bytes", f"{len(rest)} bytes behind the key were ignored"),)
