"""Checksums after bytes were changed: right ones stay right, wrong ones stay as wrong as they were.

In one's complement arithmetic a sum over 16-bit words is the number itself modulo 65535, and a checksum is the negative
of a sum. So the difference that a change makes is all that is needed, also when the packet is cut or its checksum was
wrong (RFC 1624). A checksum that was left to the network card is the sum of the pseudo header alone, not negated.
"""

from __future__ import annotations

_MODULUS = 0xFFFF


def total(data: bytes) -> int:
    """The one's complement sum of ``data``, taken from an even offset, as a number below 65535."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % _MODULUS


def adjusted(field: bytes, change: int) -> bytes:
    """The checksum ``field`` (2 bytes) after the sum under it changed by ``change``; 0 (none) stays 0."""
    if field == b"\0\0":
        return field
    return _field((int.from_bytes(field, "big") - change) % _MODULUS)


def adjusted_partial(field: bytes, change: int) -> bytes:
    """The same for the sum of a pseudo header that waits for the network card."""
    return _field((int.from_bytes(field, "big") + change) % _MODULUS)


def is_partial(field: bytes, addresses: bytes, protocol: int, length: int) -> bool:
    """Whether ``field`` is the sum of the pseudo header of a segment of ``length`` bytes (or of one without length)."""
    pseudo = total(addresses) + protocol
    return int.from_bytes(field, "big") % _MODULUS in ((pseudo + length) % _MODULUS, pseudo % _MODULUS)


def _field(number: int) -> bytes:
    # Zero would say "no checksum"; all ones is the same number.
    return (number or _MODULUS).to_bytes(2, "big")
