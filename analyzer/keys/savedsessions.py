"""A saved DTLS session against the device's keys: it carries a checksum of the keys it was made with.

Source: `keys_checksum`, particle-iot/device-os communication/src/dtls_message_channel.cpp @ v0.6.4 (reference: CRC-32 of
the two DER structures). A device discards a saved session whose checksum is not that of its keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.keys import der
from analyzer.keys import findings as lint
from analyzer.keys.key import FileFinding, Key
from analyzer.keys.report import Pair
from analyzer.keys.ring import KeyRing
from analyzer.keys.rows import Row
from analyzer.model import Role
from dissectors.dtls.persist import keys_checksum


def check(row: Row, ring: KeyRing, found: list[FileFinding]) -> Iterator[Pair]:
    """Whether the saved sessions of this device (or the nameless ones) were made with the keys in the row."""
    servers = [body for key in row.of(Role.DEVICE_SERVER_KEY) if (body := _der(key)) is not None]
    privates = [body for key in row.of(Role.DEVICE_PRIVATE) if (body := _der(key)) is not None]
    if row.transport != "udp" or not servers or not privates:
        return
    sums = {keys_checksum(server, private) for server in servers for private in privates}
    for key in ring.by_role(Role.SESSION_SECRETS):
        if key.device_id not in (row.id, None):
            continue
        for secret in key.secrets:
            if secret.persisted is None:
                continue
            fits = secret.persisted.keys_checksum in sums
            if fits:
                yield Pair("session-secrets", "device-private", True, f"{key.file} was made with these two keys")
            elif key.device_id is not None:
                text = "made with other keys than these: the device has since been given another key, or these files are not its own"
                found.append(FileFinding(key.file, lint.warning("session-keys-differ", text), row.id))
                yield Pair("session-secrets", "device-private", None, f"{key.file} was {text}")


def _der(key: Key) -> bytes | None:
    """The stored structure without the slot's filling."""
    if key.slot is None:
        return None
    size = der.declared_size(key.slot)
    return key.slot[:size] if size is not None and size <= len(key.slot) else None
