"""The numbers a device prints, in every era's meaning (numbers.toml)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from analyzer.firmware.tables import strings, table
from analyzer.model import Code

#: mbedTLS adds a low-level code (below 0x80) to a high-level one (a multiple of 0x80); mbedtls/error.h.
_LOW = 0x7F


@dataclass(frozen=True, slots=True)
class Number:
    """One number of one space. ``value`` is signed; ``verdicts`` are the codes it speaks for."""

    space: str
    value: int
    name: str
    text: str
    since: str | None = None
    verdicts: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Space:
    """A family of numbers: where they are printed, what tells them from others; ``hexadecimal`` as in -4e00."""

    name: str
    title: str
    where: tuple[str, ...]
    tells: str
    source: str
    hexadecimal: bool
    numbers: dict[int, Number]

    def shown(self, value: int) -> str:
        """The number as the firmware prints it, hexadecimal ones with the decimal form behind."""
        return f"{'-' if value < 0 else ''}{abs(value):x} ({value})" if self.hexadecimal else str(value)


@cache
def spaces() -> dict[str, Space]:
    """All spaces of numbers.toml by name."""
    return {name: _space(name, entry) for name, entry in table("numbers")["spaces"].items()}


def number(space: str, value: int) -> Number | None:
    """The meaning of ``value`` in that space, or None. mbedTLS sums of a high- and a low-level code are taken apart."""
    known = spaces()[space].numbers
    if value in known or space != "mbedtls" or value >= 0:
        return known.get(value)
    high, low = known.get(-(-value & ~_LOW)), known.get(-(-value & _LOW))
    if not high or not low:
        return None
    return Number(space, value, f"{high.name} + {low.name}", f"{high.text} {low.text}", None, high.verdicts)


def meanings(value: int) -> Iterator[tuple[Space, Number]]:
    """Every meaning of exactly this signed number, over all spaces; hexadecimal ones when given in decimal, too."""
    for name, space in spaces().items():
        found = number(name, value)
        if found:
            yield space, found


def _space(name: str, entry: dict[str, Any]) -> Space:
    hexadecimal = entry["shape"] == "hex"
    numbers = {}
    for key, item in entry["values"].items():
        value = int(key, 16 if hexadecimal else 10)
        verdicts = tuple(Code(code) for code in item.get("verdicts", ()))
        numbers[value] = Number(name, value, item["name"], item["text"], item.get("since"), verdicts)
    return Space(name, entry["title"], strings(entry, "where"), entry["tells"], entry["source"], hexadecimal, numbers)
