"""SessionPersist: the DTLS session a device keeps in retained memory so that a reset needs no new handshake.

How it works. The structure is packed and little-endian, and grew at its end from release to release, so its first two
bytes (its own size) say which fields follow. Builds for 64-bit hosts (the virtual device) differ in one place only:
the session id's length takes 8 bytes instead of 4, which moves everything behind it. A RAM dump holds the structure
somewhere: the cipher suite (c0ae, the only one devices speak) followed by a zero compression word marks it.

Source: particle-iot/device-os `communication/src/dtls_session_persist.h` (`inc/` from v0.6.1) at v0.4.8-rc.2, v0.5.0,
v0.6.0, v0.6.1, v1.2.1, v2.0.0, v3.0.0, v3.1.0; unchanged up to v6.2.0.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from dissectors.errors import Malformed, Truncated

#: TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8.
CIPHER_SUITE: Final = 0xC0AE
#: ``ciphersuite`` and ``compression`` as they lie in memory, 104 bytes into the structure.
_MARKER: Final = CIPHER_SUITE.to_bytes(4, "little") + bytes(4)
_MARKER_OFFSET: Final = 104
_ID_SLOT: Final = 32
_WIDE: Final = 4
#: Size of the fields every layout has (32-bit).
_BASE: Final = 208

#: Total size of the 32-bit layout -> device-os releases that write it. 64-bit builds are 4 bytes longer.
LAYOUTS: Final = {
    208: "v0.4.8-rc.2 to v0.5.x",
    220: "v0.6.0 to v1.5.x",
    228: "v2.0.0 to v2.3.x",
    238: "v3.0.x",
    262: "v3.1.0 to v6.2.0",
}


@dataclass(frozen=True, slots=True)
class SessionPersist:
    """One saved session. Fields an older layout does not have are None.

    ``layout`` is the 32-bit size of the layout it was read with, ``wide`` says that it came from a 64-bit build. A size
    word of 0 means the device has discarded the session (``valid`` is False); the rest still describes what it was.
    """

    layout: int
    wide: bool
    valid: bool
    persistent: int
    use_counter: int
    connection: bytes
    keys_checksum: int
    client_random: bytes
    server_random: bytes
    session_id: bytes
    master_secret: bytes = field(repr=False)
    in_epoch: int
    out_epoch: int
    #: Sequence number of the NEXT record from the device.
    out_sequence: int
    next_coap_id: int
    subscriptions_crc: int | None = None
    describe_app_crc: int | None = None
    describe_system_crc: int | None = None
    protocol_flags: int | None = None
    app_state_flags: int | None = None
    max_binary_size: int | None = None
    system_version: int | None = None
    max_message_size: int | None = None
    ota_chunk_size: int | None = None
    in_window_top: int | None = None
    in_window: int | None = None
    #: The cloud's 8-byte connection id; None when this layout has none or it is all zero.
    connection_id: bytes | None = None

    @property
    def releases(self) -> str:
        """The device-os releases that write this layout."""
        return LAYOUTS[self.layout]

    @property
    def cloud(self) -> tuple[str, int] | None:
        """Address and port of the cloud, or None when the saved socket address is of a kind not known here.

        v0.6.x keeps family (u16), port, IPv4; lwIP platforms keep length, family, port, then the address
        (`hal/inc/socket_hal.h@v0.6.4`, `system_cloud_connection.h@v5.9.0`).
        """
        family = self.connection[0] if self.connection[1] == 0 else self.connection[1]
        port = int.from_bytes(self.connection[2:4], "big")
        if family == 2:
            return str(ipaddress.IPv4Address(self.connection[4:8])), port
        if family == 10 and self.connection[0] == 28:
            return str(ipaddress.IPv6Address(self.connection[8:24])), port
        return None

    @classmethod
    def from_wire(cls, data: bytes) -> SessionPersist:
        """Read a structure that starts at the first byte of ``data``; bytes behind it are ignored.

        Raises:
            Truncated: ``data`` ends before the structure does.
            Malformed: the size word, the cipher suite or the session id's length is not one of a saved session.
        """
        if len(data) < _BASE:
            raise Truncated(f"a saved session has at least {_BASE} bytes, {len(data)} are there")
        if data[_MARKER_OFFSET : _MARKER_OFFSET + 8] != _MARKER:
            raise Malformed("no cipher suite c0ae where a saved session has it")
        size = int.from_bytes(data[:2], "little")
        if size == 0:
            wide = data[116:120] == bytes(4) and data[112] <= _ID_SLOT
            layout, size = _BASE, _BASE + _WIDE * wide
        else:
            wide = size not in LAYOUTS
            layout = size - _WIDE * wide
            if layout not in LAYOUTS:
                raise Malformed(f"{size} is not the size of any known saved session")
        if len(data) < size:
            raise Truncated(f"the saved session says {size} bytes, {len(data)} are there")
        return _read(data[:size], layout, wide)

    def to_wire(self) -> bytes:
        """The structure as the device keeps it."""
        size = self.layout + _WIDE * self.wide if self.valid else 0
        head = size.to_bytes(2, "little") + bytes((self.persistent, self.use_counter)) + self.connection
        head += self.keys_checksum.to_bytes(4, "little") + self.client_random + self.server_random + _MARKER
        head += len(self.session_id).to_bytes(8 if self.wide else 4, "little") + self.session_id.ljust(_ID_SLOT, b"\0")
        head += self.master_secret + self.in_epoch.to_bytes(2, "little")
        head += self.out_epoch.to_bytes(2, "big") + self.out_sequence.to_bytes(6, "big")
        head += self.next_coap_id.to_bytes(2, "little")
        for name, start, length in _TAIL:
            if start >= self.layout:
                break
            head += (getattr(self, name) or 0).to_bytes(length, "little")
        if self.layout >= 262:
            head += self.connection_id or bytes(8)
        return head


#: Name, 32-bit offset and size of the integers behind the base.
_TAIL: Final = (
    ("subscriptions_crc", 208, 4),
    ("describe_app_crc", 212, 4),
    ("describe_system_crc", 216, 4),
    ("protocol_flags", 220, 4),
    ("app_state_flags", 224, 4),
    ("max_binary_size", 228, 4),
    ("system_version", 232, 2),
    ("max_message_size", 234, 2),
    ("ota_chunk_size", 236, 2),
    ("in_window_top", 238, 8),
    ("in_window", 246, 8),
)


def _read(data: bytes, layout: int, wide: bool) -> SessionPersist:
    id_length = int.from_bytes(data[112 : 120 if wide else 116], "little")
    if id_length > _ID_SLOT:
        raise Malformed(f"a session id of {id_length} bytes does not fit its {_ID_SLOT}-byte place")
    shift = _WIDE * wide
    tail: dict[str, int] = {
        name: int.from_bytes(data[start + shift : start + shift + length], "little")
        for name, start, length in _TAIL
        if start + length <= layout
    }
    connection_id = data[254 + shift : 262 + shift] if layout >= 262 else b""
    return SessionPersist(
        layout=layout,
        wide=wide,
        valid=data[:2] != b"\0\0",
        persistent=data[2],
        use_counter=data[3],
        connection=data[4:36],
        keys_checksum=int.from_bytes(data[36:40], "little"),
        client_random=data[40:72],
        server_random=data[72:104],
        session_id=data[116 + shift : 116 + shift + id_length],
        master_secret=data[148 + shift : 196 + shift],
        in_epoch=int.from_bytes(data[196 + shift : 198 + shift], "little"),
        out_epoch=int.from_bytes(data[198 + shift : 200 + shift], "big"),
        out_sequence=int.from_bytes(data[200 + shift : 206 + shift], "big"),
        next_coap_id=int.from_bytes(data[206 + shift : 208 + shift], "little"),
        connection_id=connection_id if any(connection_id) else None,
        **tail,
    )


def find_sessions(dump: bytes, limit: int = 64) -> list[tuple[int, SessionPersist]]:
    """The first ``limit`` saved sessions in a RAM or retained-memory dump, each with its offset; empty without any.

    A master secret of zeroes is no session (memory that was cleared), and is left out.
    """
    found: list[tuple[int, SessionPersist]] = []
    position = dump.find(_MARKER)
    while position >= 0 and len(found) < limit:
        start = position - _MARKER_OFFSET
        if start >= 0:
            try:
                session = SessionPersist.from_wire(dump[start : start + max(LAYOUTS) + _WIDE])
            except (Truncated, Malformed):
                session = None
            if session is not None and any(session.master_secret):
                found.append((start, session))
        position = dump.find(_MARKER, position + 1)
    return found


def keys_checksum(server_public: bytes, device_private: bytes) -> int:
    """The checksum a device stores with a session to know whether its keys are still the ones it was made with.

    ``server_public`` and ``device_private`` are the DER structures as stored in the device, cut to their DER length
    (`communication/src/dtls_message_channel.cpp` and `Compute_CRC32` in `hw_config.c`, device-os v0.6.4).
    """
    parts = crc32(server_public).to_bytes(4, "little") + crc32(device_private).to_bytes(4, "little")
    return crc32(parts)
