"""What the device itself shows for a verdict: the LED pattern and log lines to look for, per firmware (shows.toml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from analyzer.firmware.case import Transport
from analyzer.firmware.families import families_named
from analyzer.firmware.tables import strings, table
from analyzer.model import Code
from dissectors.events import How

#: More lines than this help nobody; the newest firmware comes last in the table, so both ends are kept.
_MOST = 6


@dataclass(frozen=True, slots=True)
class Sight:
    """An LED pattern or a run of log lines, the firmware versions it holds for, and the families (empty: all)."""

    text: str
    eras: str
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """All that a device shows in one situation."""

    name: str
    lights: tuple[Sight, ...]
    logs: tuple[Sight, ...]
    note: str | None = None


@cache
def pictures() -> dict[str, Picture]:
    """All pictures of shows.toml by name."""
    return {name: _picture(name, entry) for name, entry in table("shows")["pictures"].items()}


def picture_of(code: Code, transport: Transport, how: How | None = None, stage: str | None = None) -> Picture:
    """The picture a verdict leads to. Where the firmware tells them apart, ``stage`` (at which it failed) or else ``how``
    (the session's ending) chooses."""
    choice = table("shows")["verdicts"][code.value][transport]
    if isinstance(choice, dict):
        choice = choice.get(stage) or choice.get(how.value if how else "fin", choice["other"])
    return pictures()[choice]


@lru_cache(maxsize=1024)
def device_shows(
    code: Code, transport: Transport, *, family: str | None = None, how: How | None = None, stage: str | None = None
) -> tuple[str, ...]:
    """Lines like ``LED fast cyan, one red flash (0.4.4-1.5)`` and ``log "..." (era)``, then what not to take it for.

    ``family`` is a name or alias of families.toml and narrows the answer; ``how`` is the way the session ended,
    ``stage`` where it failed. May be empty.
    """
    picture = picture_of(code, transport, how, stage)
    lights = [f"LED {sight.text}{_era(sight)}" for sight in _for_family(picture.lights, family, transport)]
    logs = [f"log {sight.text}{_era(sight)}" for sight in _for_family(picture.logs, family, transport)]
    lines = (lights + logs)[:_MOST]
    return (*lines, picture.note) if picture.note else tuple(lines)


def _for_family(sights: tuple[Sight, ...], family: str | None, transport: Transport) -> tuple[Sight, ...]:
    usual = tuple(sight for sight in sights if _on(sight, transport))
    if family is None:
        return usual
    named = families_named(family)
    return tuple(sight for sight in usual if not sight.families or named & set(sight.families)) or usual


def _on(sight: Sight, transport: Transport) -> bool:
    if not sight.families:
        return True
    return any(name.startswith("dtls") == (transport == "udp") for name in sight.families)


def _era(sight: Sight) -> str:
    return "" if sight.eras == "all" else f" ({sight.eras})"


def _picture(name: str, entry: dict[str, Any]) -> Picture:
    lights = tuple(Sight(item["led"], item["eras"], strings(item, "families")) for item in entry["light"])
    logs = tuple(
        Sight(" | ".join(f'"{line}"' for line in item["lines"]), item["eras"], strings(item, "families"))
        for item in entry["log"]
    )
    return Picture(name, lights, logs, entry.get("note"))
