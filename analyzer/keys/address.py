"""The server address record that a device keeps behind its server key (128 bytes).

Source: `parseServerAddressData`, particle-iot/device-os system/src/system_cloud_internal.cpp; offsets from
platform/MCU/STM32F2xx/SPARK_Firmware_Driver/inc/dct.h @ v0.6.4 and particle-cli src/lib/keys-specs.js.
"""

from __future__ import annotations

from typing import Final

from analyzer.keys.key import ServerAddress, Transport
from dissectors.handshakes import usual_port

#: Where the record lies, counted from the start of the server key's slot.
OFFSET: Final[dict[Transport, int]] = {"tcp": 384, "udp": 192}
SIZE: Final = 128
_PORT: Final = 66
#: A record that is shorter has no port.
PORT_END: Final = 68
_TEXT: Final = 64
#: Sizes of what particle-cli makes for the TCP slot.
_SLOTS: Final = frozenset({512, 1024, 2048})
_IP, _DOMAIN, _BLANK = 0, 1, 0xFF
_PARTICLE: Final = ("particle.io", "spark.io")


def is_particle(host: str | None) -> bool:
    """Whether a host is one of Particle's own, by its name."""
    return host is not None and any(host == name or host.endswith(f".{name}") for name in _PARTICLE)


def read(record: bytes, transport: Transport) -> ServerAddress | None:
    """The record that starts at the first byte; None when fewer than 2 bytes are there. Never raises."""
    if len(record) < 2:
        return None
    kind, length = record[0], record[1]
    value = record[2 : 2 + length]
    port = int.from_bytes(record[_PORT:PORT_END], "big") if len(record) >= PORT_END else 0
    stored = None if port in (0, 0xFFFF) else port
    if kind == _BLANK:
        return ServerAddress("unset", None, None, transport, kind)
    if kind == _IP and length == 4 and len(value) == length and 0 < value[0] < 224:
        return ServerAddress("ip", ".".join(map(str, value)), stored, transport, kind)
    if kind == _DOMAIN and 0 < length <= _TEXT and len(value) == length and value.isascii():
        text = value.decode("ascii")
        if text.isprintable() and " " not in text:
            return ServerAddress("domain", text, stored, transport, kind)
    return ServerAddress("invalid", None, None, transport, kind)


def alone(data: bytes) -> ServerAddress | None:
    """The address of a dump that holds the slot's address part and no key: 128 bytes at most; None for anything else."""
    if not PORT_END <= len(data) <= SIZE or data[:1] not in (b"\0", b"\1"):
        return None
    found = read(data, "tcp")
    if found is None or found.host is None:
        return None
    filling = data[2 + data[1] : _PORT]
    if filling.strip(b"\0") and filling.strip(b"\xff"):
        return None
    is_udp = ".udp" in found.host or found.host.startswith("udp") or found.port == usual_port("udp")
    return read(data, "udp" if is_udp else "tcp")


def stamped(data: bytes) -> bool:
    """Whether a private RSA key's file was made into a server key slot's: filled to its size, or with an address written into it.

    particle-cli writes the record at byte 384 of whatever it is given, which lies inside a private key.
    """
    if data[:1] != b"\x30" or data[4:7] != b"\2\1\0":
        return False
    record = data[OFFSET["tcp"] :][:SIZE]
    found = read(record, "tcp") if len(record) >= PORT_END else None
    if found is None or found.host is None:
        return len(data) in _SLOTS
    filling = record[2 + record[1] : _PORT]
    return not filling.strip(b"\0") or not filling.strip(b"\xff")
