"""From the cases of a capture, or of a moment of one, to sessions with their verdicts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.verdict import judge
from analyzer.examine import name_devices
from analyzer.keys import KeyRing
from analyzer.model import Session
from analyzer.names import Probe
from analyzer.sessions import assemble


def in_context(
    cases: list[Case], ring: KeyRing, end_ns: int, probes: Sequence[Probe], joints: Sequence[int] = ()
) -> Context:
    """What is known of all ``cases`` together: opened where that takes several of them, named, and gathered.

    ``end_ns`` is where the capture ends, or how far it got; ``probes`` are the internet tests seen; ``joints`` the frames
    (ascending) with which further captures begin in it.
    """
    if joints:
        _part(cases, joints)
    if any(case.handshake == "dtls" for case in cases):
        from analyzer.flows import open_all

        open_all(cases, ring)
    name_devices(cases, ring)
    context = Context(ring, end_ns=end_ns, probes=probes)
    for case in cases:
        context.register(case)
    context.settle()
    return context


def _part(cases: Iterable[Case], joints: Sequence[int]) -> None:
    """Tell the captures in one file apart. Where a session goes on across a joint they are pieces of one."""
    cases = list(cases)
    apart = [frame for frame in joints if not any(case.first_frame < frame <= case.last_frame for case in cases)]
    for case in cases:
        case.part = bisect_right(apart, case.first_frame)


def judged(cases: Iterable[Case], context: Context, digits: int, first: int = 1) -> tuple[Session, ...]:
    """The session of each case, numbered from ``first``; times with ``digits`` decimals."""
    return tuple(
        assemble(case, judge(case, context), context, f"s{number}", digits) for number, case in enumerate(cases, first)
    )
