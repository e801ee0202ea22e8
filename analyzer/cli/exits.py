"""Exit statuses (contract, section 1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.model import CaptureReport

HEALTHY = 0
FAILING = 1
USAGE = 2
UNREADABLE = 3
EMPTY = 4


class UsageError(Exception):
    """Options that make no sense together, or a value that is none; the text says what is expected. Ends with USAGE."""


def status_of(captures: Iterable[CaptureReport]) -> int:
    """The status for these captures: 3 outranks 1, and 4 means that no session was found anywhere."""
    from analyzer.model import Code

    captures = tuple(captures)
    sessions = [session for capture in captures for session in capture.sessions]
    if any(capture.status != "ok" for capture in captures):
        return UNREADABLE
    if not sessions:
        return EMPTY
    return FAILING if any(session.verdict.code is not Code.HEALTHY for session in sessions) else HEALTHY
