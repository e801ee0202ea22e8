"""A verdict before remedy and device view are added to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from analyzer.model import Certainty, Code, Evidence, Finding


@dataclass(frozen=True, slots=True)
class Draft:
    """What a rule concludes. ``evidence`` is in the order in which a reader should meet it."""

    code: Code
    certainty: Certainty
    stage: str | None
    frames: tuple[int, ...]
    summary: str
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[Code, ...] = ()
    would_settle: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    def weakened(self, certainty: Certainty, why: Evidence) -> Draft:
        """The same conclusion, at most as certain as ``certainty``, with the reason added."""
        if self.certainty.rank <= certainty.rank:
            return self
        return replace(self, certainty=certainty, evidence=(*self.evidence, why))
