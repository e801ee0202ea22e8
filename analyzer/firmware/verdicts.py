"""What verdicts and findings mean, and the failures met in the wild (verdicts.toml, situations.toml)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from analyzer.firmware.case import Transport
from analyzer.firmware.tables import strings, table
from analyzer.model import Code


@dataclass(frozen=True, slots=True)
class VerdictText:
    """A verdict in plain words: what it means, what the wire shows, what settles it, the fix in one line; and the
    transports on which it can occur."""

    code: Code
    means: str
    wire: str
    proof: str
    fix: str
    transports: tuple[Transport, ...] = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class FindingText:
    """A finding in plain words and what to do with it."""

    code: str
    means: str
    next: str


@dataclass(frozen=True, slots=True)
class Situation:
    """One row of failure-modes.md: what people see and type, what it is, what helps."""

    row: int
    words: tuple[str, ...]
    symptom: str
    cause: str
    fix: str
    verdicts: tuple[Code, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A question that people ask beside the failures, or a command they paste, and its answer."""

    words: tuple[str, ...]
    question: str
    answer: str
    fix: str | None = None
    verdicts: tuple[Code, ...] = ()
    findings: tuple[str, ...] = ()


@cache
def verdict_texts() -> dict[Code, VerdictText]:
    """The explanation of every verdict."""
    result = {}
    for code, entry in table("verdicts")["verdicts"].items():
        given = {"transports": tuple(entry["transports"])} if "transports" in entry else {}
        result[Code(code)] = VerdictText(Code(code), **(entry | given))
    return result


@cache
def finding_texts() -> dict[str, FindingText]:
    """The explanation of every finding known here, by its code."""
    return {code: FindingText(code, **entry) for code, entry in table("verdicts")["findings"].items()}


@cache
def situations() -> tuple[Situation, ...]:
    """The failures met in the wild, in the order of failure-modes.md."""
    return tuple(
        Situation(
            entry["row"],
            strings(entry, "words"),
            entry["symptom"],
            entry["cause"],
            entry["fix"],
            tuple(Code(code) for code in strings(entry, "verdicts")),
            strings(entry, "findings"),
        )
        for entry in table("situations")["situation"]
    )


@cache
def answers() -> tuple[Answer, ...]:
    """The questions of situations.toml."""
    return tuple(
        Answer(
            strings(entry, "words"),
            entry["question"],
            entry["answer"],
            entry.get("fix"),
            tuple(Code(code) for code in strings(entry, "verdicts")),
            strings(entry, "findings"),
        )
        for entry in table("situations")["answer"]
    )
