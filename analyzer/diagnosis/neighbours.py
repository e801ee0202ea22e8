"""What other sessions prove about the keys of this one: of the same device, and of other devices with the same cloud.

Keys change: a success before and one after this session clear them, one alone says when something changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from analyzer.case import Case
from analyzer.diagnosis.context import Context, Outcomes
from analyzer.diagnosis.draft import Draft
from analyzer.model import Certainty, Code, Evidence, Finding

if TYPE_CHECKING:
    from analyzer.diagnosis.lightssl.view import View

#: Verdicts whose cause is open between the device's keys, the cloud's record of them, and the cloud itself.
_OPEN = frozenset({Code.IDENTITY_REJECTED, Code.SESSION_KEY_UNUSABLE, Code.NO_SESSION_KEY})
#: Causes on the cloud's side, put first when every device meets the same.
_CLOUDS = (Code.SERVER_FAULT, Code.SERVER_KEY_MISMATCH)
_MOST = 4


def weighed(view: View, draft: Draft) -> Draft:
    """The verdict with what the neighbouring sessions say for or against its causes."""
    case, context = view.case, view.context
    if draft.code in _OPEN and draft.certainty is Certainty.UNDETERMINED:
        return _others(case, _own(case, draft, context), context)
    if draft.code is Code.SERVER_KEY_MISMATCH:
        return _whose_key(case, draft, context)
    return draft


def _own(case: Case, draft: Draft, context: Context) -> Draft:
    """The same device got through before or after: when something changed."""
    before, after = context.same_cloud(case).around(case)
    for other, text in (
        (before, "got through with this cloud {} earlier: since then a key changed on one side, or the cloud failed"),
        (after, "gets through with this cloud {} later: what was wrong was repaired in between, or it passed"),
    ):
        if other is not None and not any(other.first_frame in item.frames for item in draft.evidence):
            apart = _apart(abs(other.start_ns - case.start_ns) / 1e9)
            said = Evidence(f"the same device {text.format(apart)}", (other.first_frame,))
            draft = replace(draft, evidence=(*draft.evidence, said))
    return draft


def _others(case: Case, draft: Draft, context: Context) -> Draft:
    """Other devices with this cloud: one that gets through clears the cloud, many that do not accuse it."""
    seen = context.outcomes(case.server)
    through, refused = _without(case, seen.through), _without(case, seen.refused)
    if through:
        text = f"{_devices(through.count)} through with this cloud in the same capture: its key and its software work, the fault lies with this device or the cloud's record of it"
        return replace(draft, evidence=(*draft.evidence, Evidence(text, through.frames)))
    if refused.count < 1 or draft.code is not Code.IDENTITY_REJECTED:
        return draft
    text = f"{refused.count + 1} devices meet the same at this cloud and none gets through: the cloud's own key or software is likelier at fault than all of them"
    alternatives = tuple(
        dict.fromkeys((*(code for code in _CLOUDS if code in draft.alternatives), *draft.alternatives))
    )
    return replace(
        draft,
        evidence=(*draft.evidence, Evidence(text, refused.frames)),
        alternatives=alternatives,
        would_settle=(*draft.would_settle, "was the server's default_key.pem replaced, or its Node updated?"),
    )


def _whose_key(case: Case, draft: Draft, context: Context) -> Draft:
    """A wrong server key: is it this device's slot, or did the cloud change its key under all of them?"""
    seen = context.outcomes(case.server)
    through, refused = _without(case, seen.through), _without(case, seen.refused)
    if through:
        text = f"{_devices(through.count)} through with this cloud: its key is the one they hold, only this device holds another"
        return replace(draft, evidence=(*draft.evidence, Evidence(text, through.frames)))
    if not refused:
        return draft
    text = f"{refused.count + 1} devices are turned away by {case.cloud} and none gets through: if they worked before, the cloud's own key was changed; putting the old one back repairs them all at once"
    finding = Finding("cloud-key-changed", Certainty.INFERRED, text, refused.frames)
    return replace(draft, findings=(*draft.findings, finding))


@dataclass(frozen=True, slots=True)
class _Others:
    """Devices other than one: how many, and frames of the first."""

    count: int
    frames: tuple[int, ...]

    def __bool__(self) -> bool:
        return self.count > 0


def _without(case: Case, devices: dict[str, int]) -> _Others:
    """Without a look at all of them: each of a thousand devices asks."""
    own = Outcomes.name(case)
    frames = islice((frame for device, frame in devices.items() if device != own), _MOST)
    return _Others(len(devices) - (own in devices), tuple(frames))


def _devices(count: int) -> str:
    return "another device gets" if count == 1 else f"{count} other devices get"


def _apart(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
