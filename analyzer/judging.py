"""From the cases of a capture, or of a moment of one, to sessions with their verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.verdict import judge
from analyzer.examine import name_devices
from analyzer.keys import KeyRing
from analyzer.model import Session
from analyzer.names import Probe
from analyzer.sessions import assemble


def in_context(cases: list[Case], ring: KeyRing, end_ns: int, probes: Sequence[Probe]) -> Context:
    """What is known of all ``cases`` together: opened where that takes several of them, named, and gathered.

    ``end_ns`` is where the capture ends, or how far it got; ``probes`` are the internet tests seen.
    """
    if any(case.handshake == "dtls" for case in cases):
        from analyzer.flows import open_all

        open_all(cases, ring)
    name_devices(cases, ring)
    context = Context(ring, end_ns=end_ns, probes=probes)
    for case in cases:
        context.register(case)
    context.settle()
    return context


def judged(cases: Iterable[Case], context: Context, digits: int, first: int = 1) -> tuple[Session, ...]:
    """The session of each case, numbered from ``first``; times with ``digits`` decimals."""
    return tuple(
        assemble(case, judge(case, context), context, f"s{number}", digits) for number, case in enumerate(cases, first)
    )
