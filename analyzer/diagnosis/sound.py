"""A verdict is no surer than the packets it rests on are sound: a checksum that fails weakens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.diagnosis.draft import Draft
from analyzer.model import Certainty, Code, Evidence

if TYPE_CHECKING:
    from analyzer.diagnosis.dtls.view import View as DtlsView


def datagrams(view: DtlsView, draft: Draft) -> Draft:
    """UDP: the frames of the verdict, of its evidence and of the handshake."""
    if not view.flow.checksum_bad:
        return draft
    used = {*draft.frames, *(frame for item in draft.evidence for frame in item.frames)}
    used.update(frame for step in view.case.transcript.steps for frame in step.frames)
    why = "the UDP checksum of these frames is wrong or missing: they changed after they were sent, so what they hold proves nothing"
    return _weakened(draft, used & set(view.flow.checksum_bad), why)


def _weakened(draft: Draft, bad: set[int], why: str) -> Draft:
    if not bad or draft.code is Code.HEALTHY:
        return draft
    return draft.weakened(Certainty.INFERRED, Evidence(why, tuple(sorted(bad))))
