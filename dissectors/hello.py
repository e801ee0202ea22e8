"""The device's Hello payload, all generations (device-os communication/src/messages.cpp hello()).

| payload bytes | sent by |
|---|---|
| 6 | Core, communication library of 2013-2015: no platform |
| 8 | TCP, v0.4.0..v2.x |
| 20 | TCP, v3.0.0 and later |
| 22 | UDP, v0.4.8-rc.2..v2.x: with the device id |
| 24 | UDP, v3.0.0 alpha builds: id and message size |
| 32 | UDP, v3.0.0-rc.2 and later |
"""

from __future__ import annotations

from dataclasses import dataclass

from dissectors.errors import Malformed
from dissectors.events import Fact
from dissectors.wire import Cursor

#: Platform ids (device-os hal/shared/platforms.h@v5.9.0; older: platforms.h@v0.4.9).
PLATFORMS = {
    0: "Core", 3: "virtual device (gcc)", 6: "Photon", 8: "P1", 10: "Electron", 12: "Argon", 13: "Boron", 14: "Xenon",
    15: "E-SoM-X", 22: "A-SoM", 23: "B-SoM", 25: "B5-SoM", 26: "Tracker", 28: "TrackerM", 32: "P2", 35: "M-SoM",
    60000: "newhal",
}  # fmt: skip

#: Bits of the flags field; the high byte is reserved before v3.0.0.
FLAGS = {
    0x01: "update succeeded", 0x02: "diagnostics", 0x04: "immediate updates", 0x10: "goodbye",
    0x20: "describes itself", 0x40: "compressed updates", 0x80: "OTA v3",
}  # fmt: skip

UNSET = 0xFFFF


def platform_name(platform: int) -> str:
    """The product's name for a platform id."""
    return PLATFORMS.get(platform, f"platform {platform}")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a device says of itself. None: this generation does not say."""

    product: int
    firmware_version: int
    flags: int
    platform: int | None = None
    device_id: str | None = None
    system_version: int | None = None
    max_message: int | None = None
    max_binary: int | None = None
    ota_chunk: int | None = None

    @classmethod
    def from_wire(cls, payload: bytes) -> Hello:
        """Parse a Hello's payload; raises Truncated or Malformed."""
        cursor = Cursor(payload)
        product, version, flags = cursor.u16(), cursor.u16(), cursor.u16()
        if not len(cursor):
            return cls(product, version, flags)
        platform = cursor.u16()
        if not len(cursor):
            return cls(product, version, flags, platform)
        id_length = cursor.u16()
        if id_length not in (0, 12):
            raise Malformed(f"device id of {id_length} bytes")
        device_id = cursor.take(id_length).hex() or None
        if not len(cursor):
            return cls(product, version, flags, platform, device_id)
        if len(cursor) == 2:
            return cls(product, version, flags, platform, device_id, max_message=cursor.u16())
        system, message, binary, chunk = cursor.u16(), cursor.u16(), cursor.u32(), cursor.u16()
        if len(cursor):
            raise Malformed(f"{len(cursor)} bytes after the Hello")
        return cls(product, version, flags, platform, device_id, system, message, binary, chunk)

    def to_wire(self) -> bytes:
        """The payload, in the shortest generation that holds what is set."""
        parts = [value.to_bytes(2, "big") for value in (self.product, self.firmware_version, self.flags)]
        if self.platform is not None:
            parts.append(self.platform.to_bytes(2, "big"))
        device_id = bytes.fromhex(self.device_id or "")
        if self.device_id is not None or self.max_message is not None:
            parts += [len(device_id).to_bytes(2, "big"), device_id]
        if self.system_version is not None:
            parts.append(self.system_version.to_bytes(2, "big"))
        if self.max_message is not None:
            parts.append(self.max_message.to_bytes(2, "big"))
        if self.system_version is not None:
            parts += [(self.max_binary or 0).to_bytes(4, "big"), (self.ota_chunk or 0).to_bytes(2, "big")]
        return b"".join(parts)

    @property
    def flag_names(self) -> tuple[str, ...]:
        """The names of the bits that are set; unknown bits by number."""
        known = [name for bit, name in FLAGS.items() if self.flags & bit]
        return (*known, *(f"bit {bit}" for bit in range(16) if self.flags & (1 << bit) and (1 << bit) not in FLAGS))

    @property
    def generation(self) -> str:
        """Which firmware sends a Hello of this shape."""
        if self.platform is None:
            return "Core of 2013-2015"
        return "v3.0.0 or later" if self.max_message is not None else "v0.4.0 to v2.x"

    @property
    def summary(self) -> str:
        """One line for people."""
        parts = [platform_name(self.platform)] if self.platform is not None else ["Core"]
        parts.append("product unset" if self.product == UNSET else f"product {self.product}")
        unset = self.firmware_version == UNSET
        parts.append("firmware version unset" if unset else f"firmware version {self.firmware_version}")
        if self.system_version is not None:
            parts.append(f"system version {self.system_version}")
        if self.device_id:
            parts.append(f"id {self.device_id}")
        if self.flags:
            parts.append("flags: " + ", ".join(self.flag_names))
        return ", ".join(parts)

    @property
    def facts(self) -> dict[str, Fact]:
        """All fields that are there."""
        found: dict[str, Fact] = {
            "product": self.product,
            "firmware_version": self.firmware_version,
            "flags": self.flags,
            "flag_names": self.flag_names,
            "generation": self.generation,
        }
        if self.platform is not None:
            found |= {"platform": self.platform, "platform_name": platform_name(self.platform)}
        for name in ("device_id", "system_version", "max_message", "max_binary", "ota_chunk"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value
        return found
