"""Firmware families by name, and the names devices ask DNS for (families.toml)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from analyzer.firmware.tables import strings, table

#: Where firmware before 2.0 looks whether there is an internet at all: a TCP connection (device-os system_task.cpp).
INTERNET_TEST = ("8.8.8.8", 53)
#: The address built into Spark Core firmware for when DNS fails (seed thread 001; tcp.md 4.5).
HISTORIC_CLOUD_ADDRESS = "54.208.229.4"


@dataclass(frozen=True, slots=True)
class Family:
    """A group of firmware versions that behave alike on the wire."""

    name: str
    title: str
    note: str
    versions: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownHost:
    """What a DNS name tells. ``device`` is 24 hex digits, ``major`` the firmware's major version, when the name has them."""

    name: str
    transport: str
    particle: bool
    text: str
    device: str | None = None
    major: int | None = None


@cache
def families() -> dict[str, Family]:
    """All families by name."""
    entries = table("families")["family"]
    return {entry["name"]: Family(**(entry | {"aliases": strings(entry, "aliases")})) for entry in entries}


def families_named(name: str) -> frozenset[str]:
    """The names of the families that go by ``name``: its own, or an alias that several share. Empty when unknown."""
    return frozenset(family.name for family in families().values() if name in (family.name, *family.aliases))


def known_host(name: str) -> KnownHost | None:
    """What ``name`` tells, or None for a name that is neither Particle's nor the internet test's."""
    plain = name.strip().rstrip(".").lower()[:256]
    for entry in table("families")["host"]:
        found = re.fullmatch(entry["pattern"], plain)
        if found:
            values = found.groupdict()
            major = values.get("major")
            return KnownHost(
                plain,
                entry["transport"],
                entry["particle"],
                entry["text"],
                values.get("device"),
                int(major) if major else None,
            )
    return None
