"""Firmware families and how the wire shows them, platforms, and the names devices ask DNS for (families.toml)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from analyzer.firmware.tables import table

#: Where firmware before 2.0 looks whether there is an internet at all: a TCP connection (device-os system_task.cpp).
INTERNET_TEST = ("8.8.8.8", 53)
#: The address built into Spark Core firmware for when DNS fails (seed thread 001; tcp.md 4.5).
HISTORIC_CLOUD_ADDRESS = "54.208.229.4"


@dataclass(frozen=True, slots=True)
class Family:
    """A group of firmware versions that behave alike on the wire."""

    name: str
    title: str
    versions: str
    transport: str
    note: str
    platforms: tuple[int, ...]
    hello: tuple[int, ...] = ()
    seed: Literal["big", "little"] | None = None
    client_hello: tuple[int, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of device: its id in the Hello, its name and the transport it uses unless it was told otherwise."""

    id: int
    name: str
    transport: str


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
    result = {}
    for entry in table("families")["family"]:
        sizes: dict[str, Any] = {
            key: tuple(entry.get(key, ())) for key in ("platforms", "hello", "client_hello", "aliases")
        }
        result[entry["name"]] = Family(**(entry | sizes))
    return result


@cache
def platforms() -> dict[int, Platform]:
    """All platforms by the id they send in the Hello."""
    return {int(key): Platform(int(key), **entry) for key, entry in table("families")["platforms"].items()}


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
