"""Captures of one ticket that hold the same session at two places (the device's network and the server): it is told once.

How it works. Sessions are compared by what they say (`conversations.copies`); clocks and, behind a NAT, addresses differ. The
capture nearer to the device stays, and is examined again with what only the other one has: by its clock, and with frame
numbers that count on from its last packet, as in a file that `mergecap -a` makes of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from analyzer.case import Case
from analyzer.conversations import TcpConversation, UdpConversation
from analyzer.conversations.copies import clocks_apart, further_out
from analyzer.conversations.model import Conversation
from analyzer.copies import shared
from analyzer.errors import InputError
from analyzer.flows import Flow
from analyzer.model import AlsoSeen, CaptureReport, InputProblem, Session
from analyzer.stories import tell

#: Captures of one ticket that are compared, each with each.
_MOST: Final = 16


#: What opens a capture again, and its name.
Opening = tuple[Callable[[], Path | BinaryIO], str]


class Reading(Protocol):
    """How a capture is read once more. Both raise InputError for what is no capture."""

    def conversations(self, capture: Opening, frames: int, later_ns: int) -> list[Conversation]:
        """Its conversations as if it stood behind ``frames`` packets of another, whose clock is ``later_ns`` ahead."""

    def report(self, capture: Opening, further: Sequence[Conversation]) -> CaptureReport:
        """The report on it, with conversations of another capture where they are copies of its own."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A capture's report, what opens it again, and the cases of its sessions, in their order (none: it is not compared)."""

    report: CaptureReport
    source: Callable[[], Path | BinaryIO]
    cases: Sequence[Case]

    @property
    def opening(self) -> Opening:
        """For `Reading`."""
        return self.source, self.report.path


def joined(taken: Sequence[Taken], reading: Reading) -> list[CaptureReport]:
    """The reports, each session in one of them."""
    waiting = list(taken)
    done: list[Taken] = []
    while waiting:
        item = waiting.pop(0)
        for place, other in enumerate(waiting) if len(taken) <= _MOST else ():
            pair = _joined(item, other, reading)
            if pair is not None:
                # The one that stays may share sessions with others; what is left of the further one, too.
                waiting[place : place + 1] = [] if pair[1] is None else [pair[1]]
                waiting.insert(0, pair[0])
                break
        else:
            done.append(item)
    return [item.report for item in done]


def _joined(one: Taken, other: Taken, reading: Reading) -> tuple[Taken, Taken | None] | None:
    """The nearer one with the sessions of both, and what is left of the further one (None: nothing); None: nothing in common."""
    pairs = shared(_conversations(one.cases), _conversations(other.cases))
    if not pairs:
        return None
    first, second = pairs[0]
    if further_out(first, second):
        one, other, pairs = other, one, [(second, first) for first, second in pairs]
    frames = one.report.packets
    name = other.report.path
    try:
        further = reading.conversations(other.opening, frames, clocks_apart(pairs))
        report = reading.report(one.opening, further)
    except InputError:
        return None  # it was read a moment ago
    sessions = tuple(
        replace(item, also_seen=tuple(_named(seen, frames, name) for seen in item.also_seen))
        for item in report.sessions
    )
    gone = {id(second) for _, second in pairs}
    rest = [
        (session, case)
        for session, case in zip(other.report.sessions, other.cases, strict=False)
        if id(_conversation(case)) not in gone
    ]
    text = (
        f"another capture of this ticket holds the same sessions at another place: each is told once; frames above {frames:,} "
        "are that capture's, counted on from the last of this one (as mergecap -a does)"
    )
    told = InputProblem("seen-from-two-sides", text)
    near = replace(
        report,
        inputs=one.report.inputs,
        joined=(*one.report.joined, *(() if rest else (name, *other.report.joined))),
        problems=(*report.problems, told),
        sessions=sessions,
    )
    return Taken(near, one.source, []), _left(other, rest) if rest else None


def _left(taken: Taken, rest: Sequence[tuple[Session, Case]]) -> Taken:
    sessions = tuple(session for session, _ in rest)
    return Taken(
        replace(taken.report, sessions=sessions, stories=tell(sessions)), taken.source, [case for _, case in rest]
    )


def _conversations(cases: Sequence[Case]) -> list[Conversation]:
    """Each once: a UDP conversation may hold several sessions."""
    found = (_conversation(case) for case in cases)
    return list({id(item): item for item in found if item is not None}.values())


def _conversation(case: Case) -> Conversation | None:
    held = case.conversation
    if isinstance(held, Flow):
        return held.whole
    return held if isinstance(held, TcpConversation | UdpConversation) else None


def _named(seen: AlsoSeen, frames: int, name: str) -> AlsoSeen:
    """What was seen in the further capture with its own frame numbers."""
    if seen.first_frame <= frames:
        return seen
    return replace(
        seen,
        first_frame=seen.first_frame - frames,
        last_frame=seen.last_frame - frames,
        frames=tuple(frame - frames for frame in seen.frames),
        capture=name,
    )
