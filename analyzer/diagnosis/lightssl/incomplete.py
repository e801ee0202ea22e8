"""The capture ends too early: the same answer at every stage."""

from __future__ import annotations

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl.view import View
from analyzer.model import Certainty, Code, Evidence


def too_short(view: View, stage: str, so_far: str) -> Draft:
    """``capture-incomplete`` because the capture ends soon after ``so_far`` and ``stage`` may still have come."""
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        stage,
        (view.conversation.first_frame, view.conversation.last_frame),
        f"The capture ends {view.watched_s:.1f} s after {so_far}: too early to say what comes next.",
        (Evidence("the session is still open when the capture ends", (view.conversation.last_frame,)),),
        would_settle=("a capture that goes on for a minute after the device starts to connect",),
    )
