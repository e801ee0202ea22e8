"""Writes pcapng blocks, and reads just enough of them to put a comment into one that is there.

Times are given in nanoseconds and written with the precision that the interface declares. Every function returns bytes:
where they go is the caller's business. Source: IETF draft-ietf-opsawg-pcapng; secrets: wireshark:wiretap/secrets-types.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct

SECTION, INTERFACE, OLD_PACKET, NAMES, ENHANCED, SECRETS = 0x0A0D0D0A, 1, 2, 4, 6, 10
#: LINKTYPE_WIRESHARK_UPPER_PDU: what follows is a tag list that names the dissector.
UPPER_PDU = 252
_MAGIC = 0x1A2B3C4D
_TLS_KEY_LOG = 0x544C534B
_END, _COMMENT, _USER_APPLICATION, _NAME, _RESOLUTION = 0, 1, 4, 2, 9
_NAME_IPV4, _NAME_IPV6 = 1, 2
#: An option's length field has 16 bits; UTF-8 is cut before that, at a character.
_MAX_OPTION = 0xFFFF
#: Bytes of a packet block's body in front of the packet: interface, time, two lengths.
_PACKET_HEADER = 20

Order = str
Options = Iterable[tuple[int, bytes]]


class PcapngWriter:
    """Blocks in one byte order: ``"<"`` or ``">"``, as in :mod:`struct`."""

    def __init__(self, order: Order = "<") -> None:
        self._order = order
        self._pair = Struct(order + "II")
        self._option = Struct(order + "HH")

    def block(self, kind: int, body: bytes) -> bytes:
        """A block around ``body``, padded to four bytes."""
        padded = body + bytes(-len(body) % 4)
        total = len(padded) + 12
        return self._pair.pack(kind, total) + padded + Struct(self._order + "I").pack(total)

    def section(self, comments: Iterable[str] = (), application: str | None = None) -> bytes:
        """A section header: it begins a file. ``application`` is the program that wrote it."""
        fixed = Struct(self._order + "IHHq").pack(_MAGIC, 1, 0, -1)
        options = [(_COMMENT, _text(comment)) for comment in comments]
        if application:
            options.append((_USER_APPLICATION, _text(application)))
        return self.block(SECTION, fixed + self.options(options))

    def interface(self, link_type: int, *, digits: int = 9, snap_length: int = 0, name: str | None = None) -> bytes:
        """An interface description. ``digits``: decimals of a second its packets' times are written with, 6 or 9."""
        fixed = Struct(self._order + "HHI").pack(link_type, 0, snap_length)
        options = [(_RESOLUTION, bytes((digits,)))]
        if name:
            options.insert(0, (_NAME, _text(name)))
        return self.block(INTERFACE, fixed + self.options(options))

    def packet(
        self, interface: int, time_ns: int, data: bytes, length: int, *, digits: int = 9, comments: Iterable[str] = ()
    ) -> bytes:
        """An enhanced packet block. ``length`` is the packet's on the wire; ``digits`` as the interface says."""
        ticks = time_ns // 10 ** (9 - digits)
        fixed = Struct(self._order + "IIIII").pack(
            interface, ticks >> 32 & 0xFFFFFFFF, ticks & 0xFFFFFFFF, len(data), length
        )
        options = self.options([(_COMMENT, _text(comment)) for comment in comments])
        return self.block(ENHANCED, fixed + data + bytes(-len(data) % 4) + options)

    def names(self, names: Mapping[bytes, str]) -> bytes:
        """A name resolution block: address (4 or 16 bytes) -> host name."""
        body = b""
        for address, name in names.items():
            value = address + _text(name) + b"\0"
            kind = _NAME_IPV4 if len(address) == 4 else _NAME_IPV6
            body += self._option.pack(kind, len(value)) + value + bytes(-len(value) % 4)
        return self.block(NAMES, body + self._option.pack(0, 0))

    def secrets(self, key_log: bytes) -> bytes:
        """A decryption secrets block with a TLS key log (NSS format)."""
        return self.block(SECRETS, self._pair.pack(_TLS_KEY_LOG, len(key_log)) + key_log)

    def options(self, options: Options) -> bytes:
        """A list of options with its end mark; nothing at all when it is empty."""
        encoded = b"".join(
            self._option.pack(code, len(value)) + value + bytes(-len(value) % 4) for code, value in options
        )
        return encoded + self._option.pack(_END, 0) if encoded else b""

    def commented(self, kind: int, body: bytes, comments: Iterable[str]) -> bytes:
        """The block with these comments behind the ones it has. ``kind`` is a section header or a block with a packet."""
        if kind == SECTION:
            # The section's length, if it was given, is no longer true.
            body = body[:8] + b"\xff" * 8 + body[16:]
            start = 16
        else:
            captured = Struct(self._order + "I").unpack_from(body, 12)[0]
            start = _PACKET_HEADER + captured + -captured % 4
        added = [(_COMMENT, _text(comment)) for comment in comments]
        return self.block(kind, body[:start] + self.options([*self.read_options(body, start), *added]))

    def read_options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        """The options of a block body from ``at`` on; a list that runs over the end stops there."""
        while at + 4 <= len(body):
            code, length = self._option.unpack_from(body, at)
            if code == _END or at + 4 + length > len(body):
                return
            yield code, body[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "replace")
    return encoded if len(encoded) <= _MAX_OPTION else encoded[:_MAX_OPTION].decode("utf-8", "ignore").encode("utf-8")
