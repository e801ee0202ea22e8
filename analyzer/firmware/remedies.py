"""What to do about a verdict: the steps of remedies.toml with this device's real names in them.

*How it works*: a verdict names steps, a step has variants (Particle or custom cloud, TCP or UDP, with or without a file
in hand), and every variant whose conditions hold becomes one Remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from analyzer.firmware.case import Filler, RemedyContext, Transport
from analyzer.firmware.evidence import missing_evidence
from analyzer.firmware.tables import strings, table
from analyzer.model import Code, Remedy


@dataclass(frozen=True, slots=True)
class StepVariant:
    """One entry of ``[[steps.NAME]]`` in remedies.toml."""

    text: str
    commands: tuple[str, ...] = ()
    transport: str | None = None
    cloud: str | None = None
    server: str | None = None
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    older_text: str | None = None
    older_commands: tuple[str, ...] = ()

    def fits(self, context: RemedyContext, known: Mapping[str, bool]) -> bool:
        """Whether this way applies to the case; a condition that cannot be decided holds."""
        kind = None if context.is_particle_cloud is None else "particle" if context.is_particle_cloud else "custom"
        asked = ((self.transport, context.transport), (self.cloud, kind), (self.server, context.server))
        if any(wanted and given and wanted != given for wanted, given in asked):
            return False
        return all(known[name] for name in self.needs) and not any(known[name] for name in self.lacks)


@cache
def steps() -> dict[str, tuple[StepVariant, ...]]:
    """All steps of remedies.toml by name."""
    return {name: tuple(_variant(entry) for entry in entries) for name, entries in table("remedies")["steps"].items()}


def plan(code: Code, transport: Transport) -> tuple[str, ...]:
    """The names of the steps for a verdict, in the order in which to try them."""
    return strings(table("remedies")["verdicts"][code.value], transport)


@lru_cache(maxsize=1024)
def remedy(code: Code, context: RemedyContext) -> tuple[Remedy, ...]:
    """What to do about ``code`` in this case, in order; empty for a healthy session.

    Commands carry the real id and file names where they are known and placeholders in capitals where they are not.
    Then comes what differs with an older particle-cli, once; then a paragraph for each of ``context.missing``.
    """
    absent = [missing_evidence(what, context) for what in context.missing]
    return tuple(dict.fromkeys([*_carried_out(plan(code, context.transport), context), *absent]))


@lru_cache(maxsize=1024)
def finding_remedy(finding: str, context: RemedyContext) -> tuple[Remedy, ...]:
    """What to do about a finding, such as ``server-address-lost``; empty when there is nothing to do or it is unknown."""
    return tuple(_carried_out(strings(table("remedies")["findings"], finding), context))


def _carried_out(names: Iterable[str], context: RemedyContext) -> list[Remedy]:
    filled = Filler(context)
    result: list[Remedy] = []
    older: list[str] = []
    commands: list[str] = []
    for step in names:
        for variant in steps()[step]:
            if not variant.fits(context, filled.known):
                continue
            result.append(Remedy(filled.text(variant.text), filled.commands(variant.commands)))
            if variant.older_text:
                older.append(filled.text(variant.older_text))
                commands += filled.commands(variant.older_commands)
    if older:
        text = f"With an older particle-cli: {'; '.join(dict.fromkeys(older))}."
        result.append(Remedy(text, tuple(dict.fromkeys(commands))))
    return result


def _variant(entry: dict[str, Any]) -> StepVariant:
    lists: dict[str, Any] = {key: strings(entry, key) for key in ("commands", "needs", "lacks", "older_commands")}
    return StepVariant(**(entry | lists))
