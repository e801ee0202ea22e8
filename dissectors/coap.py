"""CoAP messages (RFC 7252), as Particle uses them over lightssl records and DTLS datagrams.

Structure is checked strictly, manners are not: genuine servers and firmware send empty messages with a token
(spark-protocol js/lib/Messages.js@2c797c1) and payload markers with nothing behind (device-os messages.cpp event()
with empty data), both errors by RFC 7252. Such a message parses and names what it breaks in ``violations``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from dissectors.errors import Malformed, Truncated
from dissectors.wire import Cursor

#: Options a message may carry here; a hostile one could hold thousands of empty ones.
MAX_OPTIONS = 256

URI_PATH, MAX_AGE, URI_QUERY, BLOCK2, BLOCK1 = 11, 14, 15, 23, 27

EMPTY = 0x00
GET, POST, PUT, DELETE = 0x01, 0x02, 0x03, 0x04
CHANGED, CONTENT = 0x44, 0x45

#: RFC 7252 section 12.1.
CODE_NAMES = {
    0x00: "Empty", 0x01: "GET", 0x02: "POST", 0x03: "PUT", 0x04: "DELETE",
    0x41: "Created", 0x42: "Deleted", 0x43: "Valid", 0x44: "Changed", 0x45: "Content", 0x5F: "Continue",
    0x80: "Bad Request", 0x81: "Unauthorized", 0x82: "Bad Option", 0x83: "Forbidden", 0x84: "Not Found",
    0x85: "Method Not Allowed", 0x86: "Not Acceptable", 0x88: "Request Entity Incomplete",
    0x8C: "Precondition Failed", 0x8D: "Request Entity Too Large", 0x8F: "Unsupported Content-Format",
    0xA0: "Internal Server Error", 0xA1: "Not Implemented", 0xA2: "Bad Gateway", 0xA3: "Service Unavailable",
    0xA4: "Gateway Timeout", 0xA5: "Proxying Not Supported",
}  # fmt: skip


class Type(IntEnum):
    """RFC 7252 section 3."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


@dataclass(frozen=True, slots=True)
class Block:
    """A Block1 or Block2 option (RFC 7959 section 2.2): number, more to come, block size in bytes."""

    number: int
    more: bool
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """One CoAP message. ``options`` in wire order as (number, value)."""

    type: Type
    code: int
    message_id: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = field(default=b"", repr=False)
    #: What of RFC 7252 it breaks and still parses: "empty-with-content", "empty-payload", "reserved-code".
    violations: tuple[str, ...] = ()

    @property
    def code_text(self) -> str:
        """The code as RFCs write it: "0.01", "2.05"."""
        return f"{self.code >> 5}.{self.code & 31:02d}"

    @property
    def code_name(self) -> str:
        """The code's name, or the code where none is registered."""
        return CODE_NAMES.get(self.code, self.code_text)

    @property
    def is_request(self) -> bool:
        """Class 0 other than empty."""
        return 0 < self.code < 0x20

    @property
    def is_response(self) -> bool:
        """Class 2, 4 or 5."""
        return self.code >> 5 in (2, 4, 5)

    def values(self, number: int) -> tuple[bytes, ...]:
        """All values of an option, in order."""
        return tuple(value for option, value in self.options if option == number)

    @property
    def path(self) -> tuple[str, ...]:
        """The Uri-Path segments; bytes that are no UTF-8 are replaced."""
        return tuple(value.decode("utf-8", "replace") for value in self.values(URI_PATH))

    def block(self, number: int) -> Block | None:
        """The Block1 or Block2 option, None when absent or not of 0..3 bytes."""
        for value in self.values(number):
            if len(value) <= 3:
                bits = int.from_bytes(value, "big")
                return Block(bits >> 4, bool(bits & 8), 1 << ((bits & 7) + 4))
        return None

    @classmethod
    def from_wire(cls, data: bytes) -> Message:
        """Parse a whole message; raises Truncated (bytes end early) or Malformed (they are no CoAP)."""
        cursor = Cursor(data)
        first, code, message_id = cursor.u8(), cursor.u8(), cursor.u16()
        if first >> 6 != 1:
            raise Malformed(f"CoAP version {first >> 6}, 1 wanted")
        if first & 15 > 8:
            raise Malformed(f"token length {first & 15} is reserved")
        token = cursor.take(first & 15)
        options, marked = _read_options(cursor)
        payload = cursor.rest()
        broken = []
        if code == EMPTY and (token or options or marked):
            broken.append("empty-with-content")
        if marked and not payload:
            broken.append("empty-payload")
        if code >> 5 in (1, 3, 6, 7):
            broken.append("reserved-code")
        return cls(Type(first >> 4 & 3), code, message_id, token, options, payload, tuple(broken))

    def to_wire(self) -> bytes:
        """The message's bytes; options are sorted by number, those of one number keep their order."""
        head = bytes((0x40 | self.type << 4 | len(self.token), self.code)) + self.message_id.to_bytes(2, "big")
        parts = [head, self.token]
        last = 0
        for number, value in sorted(self.options, key=lambda option: option[0]):
            delta, delta_more = _nibble(number - last)
            length, length_more = _nibble(len(value))
            parts += [bytes((delta << 4 | length,)), delta_more, length_more, value]
            last = number
        if self.payload or "empty-payload" in self.violations:
            parts += [b"\xff", self.payload]
        return b"".join(parts)


def _read_options(cursor: Cursor) -> tuple[tuple[tuple[int, bytes], ...], bool]:
    """The options, and whether a payload marker ended them."""
    options: list[tuple[int, bytes]] = []
    number = 0
    while len(cursor):
        first = cursor.u8()
        if first == 0xFF:
            return tuple(options), True
        number += _extended(cursor, first >> 4)
        length = _extended(cursor, first & 15)
        if len(options) == MAX_OPTIONS:
            raise Malformed(f"more than {MAX_OPTIONS} options")
        options.append((number, cursor.take(length)))
        if number > 0xFFFF:
            raise Malformed(f"option number {number}")
    return tuple(options), False


def _extended(cursor: Cursor, nibble: int) -> int:
    """RFC 7252 section 3.1: 13 and 14 announce one and two more bytes, 15 is reserved."""
    if nibble < 13:
        return nibble
    if nibble == 13:
        return cursor.u8() + 13
    if nibble == 14:
        return cursor.u16() + 269
    raise Malformed("option nibble 15 outside the payload marker")


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def parse(data: bytes) -> Message | Malformed | Truncated:
    """Like :meth:`Message.from_wire`, with the error as a value: bad bytes are data."""
    try:
        return Message.from_wire(data)
    except (Malformed, Truncated) as error:
        return error
