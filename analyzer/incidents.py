"""What happened below the stages of a session, for the ladder: data sent again, bytes not captured, ICMP errors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from analyzer.case import Case
from analyzer.conversations import Gap, TcpConversation
from analyzer.model import Incident
from analyzer.times import seconds

if TYPE_CHECKING:
    from analyzer.flows import Flow

#: More of them tell nothing more; the findings count them all.
KEPT = 200


def incidents(case: Case, digits: int) -> tuple[Incident, ...]:
    """Up to ``KEPT`` incidents in frame order; offsets in seconds from the session's start with ``digits`` decimals.

    Repeated SYNs and ClientHellos are left out, because the ``connect`` and ``client-hello`` stages have their frames.
    """
    conversation = case.conversation
    if isinstance(conversation, TcpConversation):
        found = _of(conversation, case.start_ns, digits)
    elif case.protocol == "dtls":
        found = _of_flow(conversation, case.start_ns, digits)
    else:
        return ()
    return tuple(islice(sorted(found, key=lambda item: item.frames), KEPT))


def _of_flow(flow: Flow, start_ns: int, digits: int) -> Iterator[Incident]:
    """One row for each datagram with handshake messages sent before, and for each ICMP error."""
    again = {(repeat.mark, repeat.direction) for repeat in flow.attempt.repeats if repeat.stage != "client-hello"}
    for mark, direction in again:
        yield Incident("retransmission", direction, mark.frames, seconds(mark.time_ns, start_ns, digits))
    for note in flow.icmp:
        yield Incident("icmp", note.about.other, (note.frame,), seconds(note.time_ns, start_ns, digits))


def _of(conversation: TcpConversation, start_ns: int, digits: int) -> Iterator[Incident]:
    facts = conversation.facts
    connecting = {frame for mark in facts.syn for frame in mark.frames}
    for frame, direction in facts.retransmissions:
        if frame not in connecting:
            yield Incident("retransmission", direction, (frame,))
    for piece in conversation.pieces:
        if isinstance(piece, Gap):
            offset = seconds(piece.mark.time_ns, start_ns, digits)
            yield Incident("cut" if piece.cut else "gap", piece.direction, piece.mark.frames, offset, piece.length)
    for note in facts.icmp:
        offset = seconds(note.time_ns, start_ns, digits)
        yield Incident("icmp", note.about.other, (note.frame,), offset)
