"""Resets that the other side never sent: told from its own packets by their TTL, or by what it sends afterwards.

A firewall, proxy or load balancer that ends a connection forges the address, but its packets have travelled another
number of hops; and a host that has reset a connection sends nothing more on it (RFC 9293 3.10.7).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.case import Case
from analyzer.conversations import TcpConversation
from analyzer.conversations.model import Reset
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.model import Certainty, Code, Evidence, Finding
from dissectors.events import Direction, How

if TYPE_CHECKING:
    from analyzer.diagnosis.lightssl.view import View

#: Routes change by a hop now and then; less than this is no other sender.
_HOPS = 2
#: Packets may overtake each other by some milliseconds (ns).
_OVERTAKEN_NS = 100_000_000
#: Verdicts that rest on who ended the connection, and what they are if nobody at its ends did.
_WEAKENED = frozenset({Code.IDENTITY_REJECTED, Code.SERVER_FAULT, Code.SESSION_DISPLACED})


def middlebox_reset(case: Case, draft: Draft, context: Context) -> Finding | None:
    """``middlebox-reset``: a RST in this session is not by the side whose address it bears."""
    found = _evidence(case, context)
    if not found:
        return None
    frames = tuple(dict.fromkeys(frame for item in found for frame in item.frames))
    text = f"{'; '.join(item.text for item in found)}: a firewall, proxy or load balancer in between sent it"
    return Finding("middlebox-reset", Certainty.INFERRED, text, frames)


def explained(view: View, draft: Draft) -> Draft:
    """The verdict in the light of a forged reset: it says nothing of what the cloud thinks of the device."""
    case, context = view.case, view.context
    found = forged_end(case, context)
    if not found and draft.code is Code.CONNECT_REFUSED:
        found = [item for item in _evidence(case, context) if not case.ending.frame or case.ending.frame in item.frames]
    if not found:
        return draft
    evidence = (*draft.evidence, *found)
    who = "the cloud's" if case.ending.by == "cloud" else "the device's"
    if draft.code in (Code.CLOSED_BEFORE_NONCE, Code.SESSION_DROPPED, Code.CONNECT_REFUSED):
        summary = f"{draft.summary} The RST bears {who} address and comes from something in between."
        return replace(draft, evidence=evidence, summary=summary)
    if draft.code not in _WEAKENED:
        return draft
    weaker = Certainty.UNDETERMINED
    return replace(
        draft,
        certainty=weaker,
        evidence=evidence,
        summary=f"{draft.summary} But the RST comes from something in between: {case.cloud} may not have refused anything.",
        alternatives=tuple(dict.fromkeys((*draft.alternatives, Code.SESSION_DROPPED))),
        would_settle=(*draft.would_settle, "a capture on the cloud's side: does it send that RST?"),
    )


def forged_end(case: Case, context: Context) -> list[Evidence]:
    """What shows that the reset that ended this session is by neither side of it; nothing when no reset ended it."""
    if case.ending.how is not How.RST:
        return []
    return [item for item in _evidence(case, context) if not case.ending.frame or case.ending.frame in item.frames]


def _evidence(case: Case, context: Context) -> list[Evidence]:
    if not isinstance(case.conversation, TcpConversation):
        return []
    return [item for reset in case.conversation.facts.rsts for item in _of(reset, case, context)]


def _of(reset: Reset, case: Case, context: Context) -> Iterator[Evidence]:
    conversation: TcpConversation = case.conversation
    side = conversation.facts.of(reset.direction)
    who = "cloud" if reset.direction is Direction.DOWN else "device"
    forged = {other.ttl for other in conversation.facts.rsts if other.direction is reset.direction}
    own = set(side.ttls) - forged
    if not own and reset.direction is Direction.DOWN:
        own = context.cloud_ttls(case.server)
    # A TTL of 0 was not captured; one that is also the sender's own tells nothing.
    if reset.ttl and own and all(abs(reset.ttl - ttl) >= _HOPS for ttl in own):
        usual = ", ".join(str(ttl) for ttl in sorted(own)[:4])
        yield Evidence(f"the RST has TTL {reset.ttl}, the {who}'s other packets have {usual}", (reset.frame,))
    last = side.last_payload_ns
    if last is not None and last - reset.time_ns > _OVERTAKEN_NS:
        later = (last - reset.time_ns) / 1e9
        yield Evidence(f"the {who} still sends data {later:.1f} s after the RST that bears its address", (reset.frame,))
