"""A bounded, tolerant reader of the little DER that keys use, and the writer of public keys.

How it works. Libraries refuse what devices accept (bytes behind the structure, integers with a leading zero too many,
a scalar of 33 bytes), so keys are read here, element by element; nothing is believed that lies outside the bytes at hand,
and nothing recurses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dissectors.errors import Malformed, Truncated

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1

#: rsaEncryption 1.2.840.113549.1.1.1, id-ecPublicKey 1.2.840.10045.2.1, prime256v1 1.2.840.10045.3.1.7 (RFC 8017, 5480).
RSA_ENCRYPTION: Final = bytes.fromhex("2a864886f70d010101")
EC_PUBLIC_KEY: Final = bytes.fromhex("2a8648ce3d0201")
PRIME256V1: Final = bytes.fromhex("2a8648ce3d030107")

_LONG_FORM: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
#: 16,384 bits: more than any key here, little enough to compute with.
_MAX_INTEGER: Final = 2049


@dataclass(frozen=True, slots=True)
class Element:
    """One tag-length-value: ``data[start:body]`` is its header, ``data[body:end]`` its content."""

    tag: int
    start: int
    body: int
    end: int


def element(data: bytes, offset: int = 0, limit: int | None = None) -> Element:
    """The element at ``offset``, which must end by ``limit`` (default: the end of ``data``).

    Raises:
        Truncated: the element says it is longer than what is there.
        Malformed: its length is not written in a way DER or BER knows.
    """
    end = len(data) if limit is None else min(limit, len(data))
    found = header(data, offset, end)
    if found.end > end:
        raise Truncated(
            f"an element at offset {offset} says {found.end - found.body} bytes, {end - found.body} are there"
        )
    return found


def expect(data: bytes, offset: int, tag: int, limit: int | None = None) -> Element:
    """Like :func:`element`, and Malformed when the tag is another one."""
    found = element(data, offset, limit)
    if found.tag != tag:
        raise Malformed(f"tag {found.tag:#04x} at offset {offset}, {tag:#04x} belongs there")
    return found


def children(data: bytes, parent: Element, limit: int = 16) -> list[Element]:
    """The elements inside ``parent``, at most ``limit`` of them. Raises Truncated and Malformed."""
    found: list[Element] = []
    offset = parent.body
    while offset < parent.end:
        if len(found) == limit:
            raise Malformed(f"more than {limit} elements in one structure")
        found.append(element(data, offset, parent.end))
        offset = found[-1].end
    return found


def declared_size(data: bytes) -> int | None:
    """How many bytes the structure at the start says it has in all; None when no SEQUENCE starts there."""
    try:
        found = header(data, 0)
    except (Truncated, Malformed):
        return None
    return found.end if found.tag == SEQUENCE else None


def integer(data: bytes, found: Element) -> int:
    """An INTEGER as the unsigned number that key structures mean. Raises Malformed for another tag or an absurd size."""
    if found.tag != INTEGER:
        raise Malformed(f"tag {found.tag:#04x} at offset {found.start}, an INTEGER belongs there")
    if not 0 < found.end - found.body <= _MAX_INTEGER:
        raise Malformed(f"an INTEGER of {found.end - found.body} bytes at offset {found.start}")
    return int.from_bytes(data[found.body : found.end], "big")


def content(data: bytes, found: Element) -> bytes:
    """The bytes inside an element."""
    return data[found.body : found.end]


def header(data: bytes, offset: int, limit: int | None = None) -> Element:
    """The element whose header is at ``offset``; its content may reach past what is there. Raises Truncated, Malformed."""
    end = len(data) if limit is None else min(limit, len(data))
    if offset + 2 > end:
        raise Truncated(f"no element at offset {offset}: the bytes end at {end}")
    first = data[offset + 1]
    if first < _LONG_FORM:
        return Element(data[offset], offset, offset + 2, offset + 2 + first)
    count = first & ~_LONG_FORM
    if not 0 < count <= _MAX_LENGTH_BYTES:
        raise Malformed(f"a length of {count} bytes at offset {offset}")
    body = offset + 2 + count
    if body > end:
        raise Truncated(f"the length at offset {offset} is cut")
    return Element(data[offset], offset, body, body + int.from_bytes(data[offset + 2 : body], "big"))


def wrap(tag: int, *parts: bytes) -> bytes:
    """A DER element around ``parts``."""
    body = b"".join(parts)
    if len(body) < _LONG_FORM:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(length))) + length + body


def unsigned(value: int) -> bytes:
    """A DER INTEGER holding a non-negative number."""
    return wrap(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))
