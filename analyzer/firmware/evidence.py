"""What to say when evidence is missing: what, why usually, so what, and how to get it next time (evidence.toml)."""

from __future__ import annotations

from analyzer.firmware.case import Filler, RemedyContext
from analyzer.firmware.tables import strings, table
from analyzer.model import Remedy


def kinds_of_missing_evidence() -> tuple[str, ...]:
    """The names `missing_evidence` understands."""
    return tuple(table("evidence")["missing"])


def missing_evidence(what: str, context: RemedyContext) -> Remedy:
    """One short paragraph on absent evidence, and the lines that get it. Raises KeyError for an unknown name."""
    entry = table("evidence")["missing"][what]
    filled = Filler(context)
    paragraph = " ".join(entry[part] for part in ("what", "cause", "consequence", "next"))
    return Remedy(filled.text(paragraph), filled.commands(strings(entry, "commands")))
