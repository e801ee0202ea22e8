"""The one place that gives *proven*. A rule claims; here it is checked what the claim needs and what speaks against it.

A key is proven wrong only when four things hold. Somebody refused: the side that would, having received what it refused,
at a time at which it refuses (`Standing.refused_by`). The claim explains that refusal (`Claim.refused_by`). The bytes it
rests on are those that were sent (`Standing.unsound`). And nothing in the capture speaks against it: the same device got in
with the same keys, the cloud used another key (`Standing.against`, `Claim.against`). What it takes on somebody's word it
says (`Claim.premises`). A claim whose bytes alone show the fault (a blank key opens the message) needs no refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from analyzer.diagnosis import premise
from analyzer.diagnosis.draft import Draft
from analyzer.model import Certainty, Evidence
from dissectors.events import Direction

CHECKSUM = (
    "the TCP checksum of these frames is wrong: they changed after they were sent, so what they hold proves nothing"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the wire itself allows to be concluded about a session, whatever the keys say."""

    #: Who refused, having received what it refused, in the way and time in which it refuses. None: nobody did.
    refused_by: Direction | None = None
    #: Why the bytes may not be those that were sent (a checksum fails): one sentence each.
    unsound: tuple[Evidence, ...] = ()
    #: What speaks against any key of this device or cloud being wrong.
    against: tuple[Evidence, ...] = ()
    #: Frames whose checksum fails: a verdict on one of them proves nothing either.
    damaged: frozenset[int] = frozenset()


class Judged(Protocol):
    """A session as its rules see it."""

    @property
    def standing(self) -> Standing:
        """What the wire allows to be concluded."""


def passed(view: Judged, draft: Draft) -> Draft:
    """`tried` in the standing of this session."""
    return tried(draft, view.standing)


def tried(draft: Draft, standing: Standing) -> Draft:
    """``draft`` with the certainty that it can bear: *proven* when its claim holds in this standing, else at most inferred."""
    claim = draft.claim
    if claim is None or draft.certainty is Certainty.UNDETERMINED:
        return replace(draft, certainty=min(draft.certainty, Certainty.INFERRED, key=lambda item: item.rank))
    against = (*claim.against, *standing.against) if claim.refused_by is not None else claim.against
    damaged = tuple(sorted(standing.damaged & set(draft.frames)))
    unsound = standing.unsound or ((Evidence(CHECKSUM, damaged),) if damaged else ())
    doubts = (*unsound, *against)
    refused = claim.refused_by is None or standing.refused_by is claim.refused_by
    proven = refused and not doubts
    shown = {item.text for item in draft.evidence}
    return replace(
        draft,
        certainty=Certainty.PROVEN if proven else Certainty.INFERRED,
        evidence=(*draft.evidence, *(item for item in doubts if item.text not in shown)),
        against=(*draft.against, *doubts),
        premises=tuple(dict.fromkeys((*draft.premises, *map(premise.words, claim.premises)))),
    )
