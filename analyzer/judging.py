"""From the cases of a capture, or of a moment of one, to sessions with their verdicts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.verdict import judge
from analyzer.examination import helpers
from analyzer.examine import name_devices
from analyzer.keys import KeyRing
from analyzer.model import Session
from analyzer.names import Probe
from analyzer.sessions import assemble

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess


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
    cases = sorted(cases, key=lambda case: case.first_frame)
    firsts = [case.first_frame for case in cases]
    # How far the sessions reach that began by then: a hostile file has as many joints as it likes.
    reach = [0, *accumulate((case.last_frame for case in cases), max)]
    apart = [frame for frame in joints if reach[bisect_left(firsts, frame)] < frame]
    for case in cases:
        case.part = bisect_right(apart, case.first_frame)


#: Sessions from which on judging them is worth further processes.
_MANY = 300


def judged(
    cases: Sequence[Case], context: Context, digits: int, first: int = 1, jobs: int | None = 1
) -> tuple[Session, ...]:
    """The session of each case, numbered from ``first``; times with ``digits`` decimals. ``jobs``: processes to use.

    A verdict asks the context and changes nothing: forked processes judge each their share, with the same result.
    """
    beside = helpers(jobs) if jobs != 1 and len(cases) >= _MANY else 0
    shares = [range(start, len(cases), beside + 1) for start in range(beside + 1)]
    sent = [_sent(cases, context, digits, first, share) for share in shares[1:]]
    found: dict[int, Session] = {}
    for share, answer in zip(shares, [None, *sent], strict=True):
        got = _received(answer) if answer is not None else None
        found.update(zip(share, got or _judged(cases, context, digits, first, share), strict=True))
    return tuple(found[place] for place in range(len(cases)))


def _judged(
    cases: Sequence[Case], context: Context, digits: int, first: int, share: Iterable[int]
) -> Sequence[Session]:
    return [
        assemble(cases[place], judge(cases[place], context), context, f"s{first + place}", digits) for place in share
    ]


_Answer = tuple["Connection", "BaseProcess"]


def _sent(cases: Sequence[Case], context: Context, digits: int, first: int, share: range) -> _Answer | None:
    """A process at work on ``share``; None where none can be had."""
    import multiprocessing

    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)

    def work() -> None:
        here.close()
        there.send(_judged(cases, context, digits, first, share))
        there.close()

    process = fork.Process(target=work, daemon=True)
    try:
        process.start()
    except OSError:
        here.close()
        return None
    finally:
        there.close()
    return here, process


def _received(answer: _Answer) -> Sequence[Session] | None:
    """What that process found; None when it ended without an answer: killed, or no memory for it."""
    pipe, process = answer
    try:
        found: Sequence[Session] = pipe.recv()
    except (EOFError, OSError):
        return None
    finally:
        pipe.close()
        process.join()
    return found
