"""How much one capture may cost. Whatever stops short of the whole input says so in the report's ``problems``.

========================  ==============  ============================  =======================================================
environment               default         code in ``problems``          what happens
========================  ==============  ============================  =======================================================
ANALYZE_SECONDS           3600            limit-time *                  reading stops; what was read is judged
ANALYZE_MEMORY            4G              limit-memory *                reading stops; what was read is judged (bytes resident)
ANALYZE_PACKETS           4294967295      limit-packets *               the packets behind are not read (frame numbers: 32 bits)
ANALYZE_EXPANDED          64G             limit-bytes *                 the rest of the gzip file is not expanded
ANALYZE_CONVERSATIONS     4096            too-many-conversations        the oldest open conversation is ended early
ANALYZE_FLOWS             500000          too-many-flows                later flows get no stream number
ANALYZE_CONVERSATION      1M              limit-conversation *          TCP payload per direction, UDP four times that in all
ANALYZE_FRAGMENTS         4096            limit-fragments *             the oldest unfinished IP datagram is given up
ANALYZE_REPORT            256M            limit-report *                later sessions are reported without their messages
(fixed)                   65536           limit-handshake *             a longer DTLS handshake message is not put together
========================  ==============  ============================  =======================================================

``*``: something was not used, so the capture's status is "partial" and the exit status 3. A number may end in K, M or G
(1024 each); 0 means no limit where that makes sense (SECONDS, MEMORY, EXPANDED, REPORT). ``analyze batch`` adds a limit of
time and memory per worker process (`analyzer.fleet`), which ends the work and not only the reading.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from analyzer.capture import records
from analyzer.case import Case
from analyzer.conversations import options as conversation_options
from analyzer.errors import InputError
from analyzer.model import Session
from analyzer.packet import Problem
from dissectors.events import Status

PREFIX = "ANALYZE_"
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
#: Codes of this module after which something of the input was not used; `records.FATAL` has those of the file reader.
PARTIAL = frozenset({"limit-time", "limit-memory", "limit-conversation", "limit-fragments", "limit-report", "limit-handshake"})  # fmt: skip
#: Of a DTLS handshake message (dissectors/dtls/assembly.py MAX_MESSAGE).
HANDSHAKE = 1 << 16
#: UDP payload kept of a conversation, as a multiple of TCP's for one direction.
_UDP_SHARE = 4
#: Bytes of a report that a message, incident or log line takes beside its text.
ROW_COST = 220
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Limits:
    """The table above; each field is set by the variable of its name. 0: no limit."""

    seconds: int = 3600
    memory: int = 4 << 30
    packets: int = 0xFFFFFFFF
    expanded: int = 64 << 30
    conversations: int = 4096
    flows: int = 500_000
    conversation: int = 1 << 20
    fragments: int = 4096
    report: int = 256 << 20

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The defaults with what the environment says otherwise. Raises InputError for a value that is no number."""
        given = {}
        for field in fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            if text is not None:
                given[field.name] = _number(PREFIX + field.name.upper(), text, may_be_zero=field.name in _MAY_BE_ZERO)
        return cls(**given)

    def of_capture(self, stop: Callable[[], Problem | None]) -> records.Limits:
        """What the file reader is told."""
        return records.Limits(self.packets, self.expanded or None, self.fragments, stop)

    def of_conversations(self, tcp_ports: frozenset[int], udp_ports: frozenset[int]) -> conversation_options.Options:
        """What the conversation table is told."""
        return conversation_options.Options(
            tcp_ports=tcp_ports,
            udp_ports=udp_ports,
            conversations=self.conversations,
            flows=self.flows,
            tcp_payload=self.conversation,
            udp_payload=self.conversation * _UDP_SHARE,
        )


_MAY_BE_ZERO = frozenset({"seconds", "memory", "expanded", "report"})


def _number(name: str, text: str, *, may_be_zero: bool) -> int:
    word = text.strip().upper()
    unit = _UNITS.get(word[-1:], 1)
    digits = word[:-1] if word[-1:] in _UNITS else word
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 15) or (int(digits) == 0 and not may_be_zero):
        problem = f"{name}={text[:40]!r} is no limit"
        raise InputError("the environment", problem, "a whole number, which may end in K, M or G")
    return int(digits) * unit


class Watch:
    """Time and memory since the work on one capture began."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._begun = clock()

    def over(self) -> Problem | None:
        """Why reading has to stop now; None while there is no reason."""
        limits = self._limits
        if limits.seconds and self._clock() - self._begun > limits.seconds:
            return Problem(
                "limit-time",
                f"reading stopped after {limits.seconds:,} s ({PREFIX}SECONDS); what was read until then was used",
            )
        if limits.memory and resident() > limits.memory:
            size = f"{limits.memory >> 20:,} MiB"
            return Problem(
                "limit-memory",
                f"reading stopped at {size} of memory ({PREFIX}MEMORY); what was read until then was used",
            )
        return None


def resident() -> int:
    """Bytes of memory this process has in use; 0 where the system does not tell."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def of_cases(cases: Iterable[Case]) -> list[Problem]:
    """The line for a DTLS handshake message that is longer than what is put together: the first one."""
    for case in cases:
        for step in case.transcript.steps if case.handshake == "dtls" else ():
            length = len(step.data) + step.missing
            if step.status is Status.MALFORMED and length > HANDSHAKE:
                text = (
                    f"a DTLS handshake message declares {length:,} bytes; more than {HANDSHAKE:,} are not put together"
                )
                return [Problem("limit-handshake", text, step.frames[0] if step.frames else None)]
    return []


def trimmed(sessions: tuple[Session, ...], limits: Limits) -> tuple[tuple[Session, ...], list[Problem]]:
    """The sessions with as many rows (messages, incidents) as a report may hold, in order; every verdict stays."""
    left = limits.report
    found: list[Session] = []
    first: Session | None = None
    for session in sessions:
        cost = sum(ROW_COST + len(row.summary) for row in session.messages) + ROW_COST * len(session.incidents)
        if limits.report and cost > left:
            first = first or session
            session = replace(session, messages=(), incidents=())
        else:
            left -= cost
        found.append(session)
    if first is None:
        return sessions, []
    text = f"the report would be too long ({PREFIX}REPORT): from session {first.id} on, long lists of messages are left out"
    return tuple(found), [Problem("limit-report", text, first.first_frame)]
