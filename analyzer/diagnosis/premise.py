"""What a verdict takes on the word of the key folder, a log or an option: the capture does not show it.

A premise is a value; `words` is the one place that says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from analyzer.keys import Key


class Ground(Enum):
    """What is taken on somebody's word."""

    #: That this file is the key of the cloud at an address.
    CLOUD_KEY = "cloud-key"
    #: That this file is what that cloud has on file for the device.
    CLOUD_COPY = "cloud-copy"
    #: That this file is the private key in the device.
    DEVICE_KEY = "device-key"
    #: That this file is what the device has stored as its cloud's key.
    STORED_KEY = "stored-key"
    #: That the session is of the folder's only device.
    DEVICE = "device"
    #: That a message that no checksum in it vouches for arrives as it was sent, in every session.
    UNCHANGED = "unchanged"
    #: That a server's log is of this cloud and of this time.
    LOG = "log"


@dataclass(frozen=True, slots=True)
class Premise:
    """One thing taken on somebody's word: of which file, and about whom (an address, or a device's id)."""

    ground: Ground
    file: str
    about: str = ""


def cloud_key(key: Key, cloud: object) -> Premise:
    """That ``key`` is the key of the cloud at that endpoint."""
    return Premise(Ground.CLOUD_KEY, key.file, str(cloud))


def cloud_copy(key: Key, device_id: str | None) -> Premise:
    """That ``key`` is what the cloud has on file for this device."""
    return Premise(Ground.CLOUD_COPY, key.file, device_id or "")


def device_key(key: Key) -> Premise:
    """That ``key`` is the private key in the device."""
    return Premise(Ground.DEVICE_KEY, key.file)


def stored_key(key: Key) -> Premise:
    """That ``key`` is what the device has stored as its cloud's key."""
    return Premise(Ground.STORED_KEY, key.file)


def words(premise: Premise) -> str:
    """A premise as the report says it."""
    file, about = premise.file, premise.about
    match premise.ground:
        case Ground.CLOUD_KEY:
            return f"{file} is the key of the cloud at {about}"
        case Ground.CLOUD_COPY:
            return f"{file} is what this cloud has on file for {about or 'this device'}"
        case Ground.DEVICE_KEY:
            return f"{file} is the private key in this device"
        case Ground.STORED_KEY:
            return f"{file} is what this device has stored as its cloud's key"
        case Ground.DEVICE:
            return f"this is device {about}, the only one that the key folder knows"
        case Ground.UNCHANGED:
            return f"nothing on the way changes {about} in every session"
        case Ground.LOG:
            return f"{file} is the log of the cloud at {about}, of this time"
