"""What a device's log alone says about an attempt: rules as data (judgements.toml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from analyzer.firmware.tables import strings, table
from analyzer.model import Certainty, Code


@dataclass(frozen=True, slots=True)
class Judgement:
    """One rule: its conditions (None or empty = not asked) and its answer."""

    code: Code
    certainty: Certainty
    summary: str
    stage: str | None = None
    alternatives: tuple[Code, ...] = ()
    settle: tuple[str, ...] = ()
    transport: str | None = None
    outcome: str | None = None
    failed: str | None = None
    n: tuple[int, ...] = ()
    result: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    lost_any: bool = False
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    resumed: bool | None = None
    resent: bool | None = None
    address_lost: bool | None = None


@cache
def judgements() -> tuple[Judgement, ...]:
    """All rules in the order in which they are tried."""
    return tuple(_judgement(entry) for entry in table("judgements")["rule"])


@cache
def settles() -> dict[str, str]:
    """The sentences that the names in `Judgement.settle` stand for."""
    return {name: str(text) for name, text in table("judgements")["settles"].items()}


#: The sentences that ask for a key, which a key folder may hold already.
_KEYS = ("cloud-private", "device-private", "device-slot", "server-slot", "cloud-record")


@cache
def asks_for_keys() -> frozenset[str]:
    """The sentences of `settles` that ask for a key or a slot."""
    return frozenset(settles()[name] for name in _KEYS)


def _judgement(entry: dict[str, Any]) -> Judgement:
    lost = entry.get("lost", [])
    asked: dict[str, Any] = {
        key: entry[key]
        for key in ("stage", "transport", "outcome", "failed", "resumed", "resent", "address_lost")
        if key in entry
    }
    return Judgement(
        code=Code(entry["code"]),
        certainty=Certainty(entry["certainty"]),
        summary=entry["summary"],
        alternatives=tuple(Code(code) for code in strings(entry, "alternatives")),
        settle=tuple(settles()[name] for name in strings(entry, "settle")),
        n=_numbers(entry, "n"),
        result=_numbers(entry, "result"),
        lost=tuple(value for value in lost if isinstance(value, int)),
        lost_any="any" in lost,
        seen=strings(entry, "seen"),
        unseen=strings(entry, "unseen"),
        **asked,
    )


def _numbers(entry: dict[str, Any], key: str) -> tuple[int, ...]:
    return tuple(value if isinstance(value, int) else int(value, 16) for value in entry.get(key, ()))
