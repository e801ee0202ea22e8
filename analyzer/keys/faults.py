"""What the folder alone says is wrong with one device, as the verdicts it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from analyzer.keys.key import Key, Transport
from analyzer.keys.ring import KeyRing
from analyzer.model import Code, Role

if TYPE_CHECKING:
    from analyzer.keys.report import DeviceKeys

_ALGORITHM: Final[dict[Transport, str]] = {"tcp": "rsa", "udp": "ec"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a device's keys: the verdict it leads to, the file that shows it, and the words of `analyze keys`."""

    code: Code
    file: str
    text: str


def only_device(ring: KeyRing) -> str | None:
    """The one device that the folder holds keys of, if there is just one."""
    ids = {key.device_id for key in ring.keys if key.device_id is not None}
    return ids.pop() if len(ids) == 1 else None


def faults_of(ring: KeyRing, device_id: str, transport: Transport) -> tuple[Fault, ...]:
    """What is wrong with this device's keys for this transport, by the files in hand."""
    from analyzer.keys.pairing import compare  # only where a log leaves something open: it takes as long as a table

    clouds = [key for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in ring.by_role(role)]
    rows = compare(KeyRing([*ring.for_device(device_id), *clouds])).devices
    return tuple(fault for row in rows if row.transport == transport for fault in _faults(row))


def _faults(row: DeviceKeys) -> list[Fault]:
    found = []
    for pair in row.pairs:
        if pair.fits is not False:
            continue
        sides = (pair.left, pair.right)
        if sides == ("device-private", "device"):
            found.append(Fault(Code.DEVICE_KEY_CORRUPT, row.private[0].file, pair.text))
        elif sides == ("device-private", "cloud-copy") and row.cloud_copy[0].status == "ok":
            found.append(Fault(Code.DEVICE_KEY_MISMATCH, row.cloud_copy[0].file, pair.text))
        elif sides == ("device-server-key", "cloud"):
            sound = row.server_key[0].status == "ok"
            code = Code.SERVER_KEY_MISMATCH if sound else Code.SERVER_KEY_ERASED
            found.append(Fault(code, row.server_key[0].file, pair.text))
    return found


def is_unparsable(key: Key) -> bool:
    """Whether this is a UDP device's private key that its firmware cannot parse, so that it sends nothing to its cloud.

    A blank slot is not (the device makes itself a new key), nor is a private number that belongs to another point (it
    parses). Source: reference/dtls.md 4.4; captures/dtls-05b-device-key-broken-der (firmware v0.6.4).
    """
    if key.role is not Role.DEVICE_PRIVATE or key.algorithm != _ALGORITHM["udp"] or key.superseded or not key.whole:
        return False
    damaged = any(finding.code == "device-key-damaged" for finding in key.findings)
    return key.status == "unusable" and damaged and (key.ec is None or not key.ec.on_curve)
