"""Cases of which each session is one, however often and under however many addresses the capture holds its packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from analyzer.case import Case
from analyzer.conversations import TcpConversation, UdpConversation
from analyzer.conversations.copies import grouped, joined_tcp, joined_udp, together
from analyzer.conversations.model import Conversation
from analyzer.examine import examine_tcp
from analyzer.keys import KeyRing
from analyzer.packet import Problem

#: Damage makes single packets; where more have wrong checksums, the sender left them to its network card, or they were rewritten.
_FEW = 3
_C = TypeVar("_C", TcpConversation, UdpConversation)


def once(cases: list[Case], ring: KeyRing, further: Sequence[TcpConversation] = ()) -> list[Case]:
    """TCP: copies of one session as one case, examined again where one copy filled in what another lacks.

    ``further``: conversations of another capture, which are only used as copies of these. (UDP conversations are joined
    before they are dissected: one of them may hold several sessions.)
    """
    told = [case for case in cases if isinstance(case.conversation, TcpConversation)]
    by_conversation = {id(case.conversation): case for case in told}
    gone: set[int] = set()
    new: list[Case] = []
    for all_copies in _grouped([case.conversation for case in told], list(further)):
        group = [item for item in all_copies if id(item) in by_conversation]
        if not group or len(all_copies) < 2:
            continue
        if len(all_copies) > len(group):
            case = _filled(all_copies, ring)
            gone.update(id(by_conversation[id(item)]) for item in group)
            if case is not None:
                new.append(case)
            continue
        whole = joined_tcp(group)
        same = next((by_conversation[id(item)] for item in group if _equal(item, whole)), None)
        case = same if same is not None else examine_tcp(whole, ring)
        gone.update(id(by_conversation[id(item)]) for item in group)
        if case is not None:
            _place(case, whole)
            new.append(case)
    return [case for case in cases if id(case) not in gone] + new if gone else cases


def _grouped(own: list[_C], further: list[_C]) -> list[list[_C]]:
    return grouped(own + further, [0] * len(own) + [1] * len(further) if further else ())


def _filled(group: Sequence[TcpConversation], ring: KeyRing) -> Case | None:
    """The case of a session that two captures hold."""
    whole = joined_tcp(group)
    case = examine_tcp(whole, ring)
    if case is not None:
        _place(case, whole)
    return case


def each_flow(own: list[UdpConversation], further: list[UdpConversation]) -> list[UdpConversation]:
    """UDP conversations, each once; of ``further``, of another capture, only what is a copy of one of these."""
    if not further:
        return together(own)
    mine = {id(item) for item in own}
    groups = (group for group in _grouped(own, further) if any(id(item) in mine for item in group))
    return [joined_udp(group) if len(group) > 1 else group[0] for group in groups]


def shared(one: Sequence[Conversation], other: Sequence[Conversation]) -> list[tuple[Conversation, Conversation]]:
    """Pairs of conversations of two captures that are one."""
    return [
        *_pairs(
            [item for item in one if isinstance(item, TcpConversation)],
            [item for item in other if isinstance(item, TcpConversation)],
        ),
        *_pairs(
            [item for item in one if isinstance(item, UdpConversation)],
            [item for item in other if isinstance(item, UdpConversation)],
        ),
    ]


def _pairs(one: list[_C], other: list[_C]) -> Iterator[tuple[_C, _C]]:
    own = {id(item) for item in one}
    for group in _grouped(one, other) if one and other else ():
        here = [item for item in group if id(item) in own]
        there = [item for item in group if id(item) not in own]
        if here:
            yield from ((here[0], item) for item in there)


def _equal(one: TcpConversation, whole: TcpConversation) -> bool:
    return one.pieces is whole.pieces and one.facts is whole.facts


def _place(case: Case, whole: TcpConversation) -> None:
    """The case where the conversation as a whole stands."""
    case.conversation = whole
    case.device, case.cloud = whole.device, whole.cloud
    case.stream, case.filter = whole.stream, whole.filter
    case.first_frame, case.last_frame = whole.first_frame, whole.last_frame
    seen = (other.within(whole.first_frame, whole.last_frame) for other in whole.also)
    case.also = tuple(other for other in seen if other is not None)


def sound(
    conversations: Iterable[TcpConversation | UdpConversation],
) -> tuple[list[TcpConversation | UdpConversation], list[Problem]]:
    """Without those made of nothing but damaged packets: an address or port that changed on the way is no other device."""
    conversations = list(conversations)
    known = {end.address for item in conversations if item.checksums[0] for end in (item.device, item.cloud)}
    kept, problems = [], []
    for item in conversations:
        right, wrong = item.checksums
        if 0 < wrong <= _FEW and not right and known & {item.device.address, item.cloud.address}:
            text = f"a checksum of all packets between {item.device} and {item.cloud} is wrong: no receiver takes them, they are left out"
            problems.append(Problem("damaged-packets", text, item.first_frame))
        else:
            kept.append(item)
    return kept, problems
