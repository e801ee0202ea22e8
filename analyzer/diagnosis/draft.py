"""A verdict before remedy and device view are added to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analyzer.diagnosis.premise import Premise
from analyzer.model import Cause, Certainty, Code, Evidence, Finding
from dissectors.events import Direction


@dataclass(frozen=True, slots=True)
class Claim:
    """What a rule offers as proof; `trial` decides whether it holds. Without one a verdict is at most inferred.

    ``refused_by`` is the side whose refusal the verdict explains; None when the bytes alone show the fault.
    """

    refused_by: Direction | None = None
    premises: tuple[Premise, ...] = ()
    #: What this rule itself knows to speak against it.
    against: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule concludes. ``evidence`` is in the order in which a reader should meet it.

    ``certainty`` is as a rule gives it at most inferred: *proven* comes from ``claim`` alone (`trial`).
    """

    code: Code
    certainty: Certainty
    stage: str | None
    frames: tuple[int, ...]
    summary: str
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[Code, ...] = ()
    would_settle: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    claim: Claim | None = None
    #: What speaks against it, also where that did not suffice.
    against: tuple[Evidence, ...] = ()
    premises: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()

    def weakened(self, certainty: Certainty, why: Evidence) -> Draft:
        """The same conclusion, at most as certain as ``certainty``, with the reason added."""
        if self.certainty.rank <= certainty.rank:
            return self
        return replace(self, certainty=certainty, evidence=(*self.evidence, why), against=(*self.against, why))
