"""Whole flash images: a device's DCT, a Spark Core's external flash; cut into the slots that hold keys.

How it works. An image is known by what must lie at fixed places: the DER of a server key or of a private key. A dump
may begin before the part that matters (a raw flash sector) or in it (dfu-util reads to the end of the flash when it is
given no size), so the server key's frame is searched for and its place gives the start.

Source: platform/MCU/STM32F2xx/SPARK_Firmware_Driver/inc/dct.h @ v0.4.0 to v5.9.0 (offsets are asserted there), the same
for platform/MCU/nRF52840; EXTERNAL_FLASH_* in hw_config.h @ v0.4.0 for the Core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.keys import address
from analyzer.keys.blob import Blob, is_erased, is_zeroed
from analyzer.keys.key import Transport
from analyzer.model import Role


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in an image. A server slot's size includes the address record behind the key."""

    name: str
    offset: int
    size: int
    role: Role
    transport: Transport


DCT: Final = (
    Slot("TCP private key", 34, 612, Role.DEVICE_PRIVATE, "tcp"),
    Slot("TCP public key", 1250, 384, Role.DEVICE_PUBLIC, "tcp"),
    Slot("TCP server key", 2082, 768, Role.DEVICE_SERVER_KEY, "tcp"),
    Slot("UDP public key", 2978, 128, Role.DEVICE_PUBLIC, "udp"),
    Slot("UDP private key", 3106, 192, Role.DEVICE_PRIVATE, "udp"),
    Slot("UDP server key", 3298, 192 + address.SIZE, Role.DEVICE_SERVER_KEY, "udp"),
)
DCT_DEVICE_ID: Final = slice(3618, 3630)
DCT_TRANSPORT: Final = 2977
#: From here on an image can be a DCT (the device id may lie behind the end of an old one).
MIN_SIZE: Final = 3618
CORE: Final = (
    Slot("server key", 0x1000, 512, Role.DEVICE_SERVER_KEY, "tcp"),
    Slot("private key", 0x2000, 1024, Role.DEVICE_PRIVATE, "tcp"),
)
CORE_FLASH: Final = 2 * 1024 * 1024

#: Frame of an RSA-2048 SPKI up to its modulus, of a P-256 SPKI up to its point.
_RSA_FRAME: Final = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
_EC_FRAME: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_PKCS1: Final = bytes.fromhex("020100028181")
_SEC1: Final = bytes.fromhex("0201010420")
_SEARCH: Final = 64


def blobs(data: bytes) -> tuple[Blob, ...]:
    """The key slots of an image; empty when ``data`` is none."""
    if len(data) < MIN_SIZE:
        return ()
    start = _dct_start(data)
    if start is not None:
        return _dct(data, start)
    start = _core_start(data)
    if start is not None:
        return _cut(data, CORE, start, None, "Core flash")
    return ()


def _private_at(data: bytes, offset: int, inner: bytes) -> bool:
    """Whether a private key begins here: a SEQUENCE whose first elements are ``inner``."""
    return offset >= 0 and data[offset : offset + 1] == b"\x30" and inner in data[offset + 2 : offset + 4 + len(inner)]


def _dct_start(data: bytes) -> int | None:
    """Where the DCT's first byte lies, found by two of its slots agreeing, or by one at the exact place."""
    for candidate in _candidates(data):
        hits = sum((
            _private_at(data, candidate + 34, _PKCS1),
            data.startswith(_RSA_FRAME, candidate + 2082),
            _private_at(data, candidate + 3106, _SEC1),
            data.startswith(_EC_FRAME, candidate + 3298),
        ))  # fmt: skip
        if hits >= (1 if candidate == 0 else 2):
            return candidate
    return None


def _candidates(data: bytes) -> list[int]:
    found = [0]
    for frame, offset in ((_RSA_FRAME, 2082), (_EC_FRAME, 3298)):
        position = data.find(frame)
        for _ in range(_SEARCH):
            if position < 0:
                break
            if position > offset:
                found.append(position - offset)
            position = data.find(frame, position + 1)
    return found


def _dct(data: bytes, start: int) -> tuple[Blob, ...]:
    raw_id = data[start + DCT_DEVICE_ID.start : start + DCT_DEVICE_ID.stop]
    device_id = raw_id.hex() if len(raw_id) == 12 and not is_erased(raw_id) and not is_zeroed(raw_id) else None
    found = _cut(data, DCT, start, device_id, "DCT")
    uses_udp = any(blob.transport == "udp" and not _blank(blob.data[:64]) for blob in found)
    over_tcp = data[start + DCT_TRANSPORT : start + DCT_TRANSPORT + 1] == b"\0"
    needed: Transport = "udp" if uses_udp and not over_tcp else "tcp"
    # A slot of the transport that the device does not use is blank by rights.
    return tuple(
        blob
        for blob in found
        if blob.transport == needed and blob.role is not Role.DEVICE_PUBLIC or not _blank(blob.data[:64])
    )


def _core_start(data: bytes) -> int | None:
    for begins in (0, 0x1000, 0x2000):
        server, private = 0x1000 - begins, 0x2000 - begins
        has_server = server >= 0 and data.startswith(_RSA_FRAME, server)
        if has_server and (begins == 0 or _private_at(data, private, _PKCS1)):
            return -begins
        if begins in (0, 0x2000) and _private_at(data, private, _PKCS1) and len(data) >= 0x1000:
            return -begins
    return 0 if len(data) == CORE_FLASH else None


def _cut(data: bytes, slots: tuple[Slot, ...], start: int, device_id: str | None, what: str) -> tuple[Blob, ...]:
    return tuple(
        Blob(
            data[start + slot.offset : start + slot.offset + slot.size],
            "flash",
            f"{what}: {slot.name} at {start + slot.offset}",
            start + slot.offset,
            slot.role,
            device_id,
            slot.transport,
        )
        for slot in slots
        if 0 <= start + slot.offset < len(data)
    )


def _blank(data: bytes) -> bool:
    return is_erased(data) or is_zeroed(data)
