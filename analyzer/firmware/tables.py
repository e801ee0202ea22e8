"""The facts about firmware, servers and tools live in the TOML files beside this module; this reads them.

A support engineer can correct a fact there without reading the program. Each file opens with its sources.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """The parsed content of ``name``.toml in this package.

    Raises FileNotFoundError or tomllib.TOMLDecodeError when the package itself is damaged.
    """
    # Not by importlib.resources: its import alone takes as long as a table.
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"))


def strings(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of strings of a TOML entry as a tuple; absent is empty, a single string is a list of one."""
    value = entry.get(key, ())
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)
