"""One connection seen at several points: both sides of a NAT, ``tcpdump -i any``, merged captures, mirrored ports.

How it works. Addresses, ports and TTL change on the way, what the ends say does not: initial sequence numbers, or 40 random
bytes answered by 256, or a datagram with a random in it. Conversations that share such a thing and contradict each other
nowhere are one. The fullest copy is taken, and where it lacks bytes, or has them only with a checksum that fails, another
fills them in. The addresses are those nearest to the device: a router counts the TTL down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple, TypeVar

from analyzer.conversations.intervals import Intervals
from analyzer.conversations.model import (
    Chunk,
    Close,
    Conversation,
    Datagram,
    Elsewhere,
    Gap,
    Piece,
    SideFacts,
    TcpConversation,
    TcpFacts,
    UdpConversation,
)
from analyzer.conversations.roles import IDENTITY, NONCE, looks_random
from dissectors.events import Direction, Mark

_MASK = 0xFFFFFFFF
#: What holds no random bytes is the same only when it is seen this close together (ns); so is a packet of a flow that is.
_TOGETHER_NS = 2_000_000_000
#: Bytes in common that cannot be chance, and how many of them may differ for each that does (damage).
_SURE, _AGREE = 16, 8
#: Initial sequence numbers below this are not chosen by chance.
_BY_CHANCE = 1 << 20
#: Different byte values in a datagram that holds something random or encrypted; none of the fixed messages has as many.
_DISTINCT = 20
#: Datagrams that are compared, and one of how many must be in both flows (each capture may have lost some).
_COMPARED, _IN_COMMON = 24, 3
#: Captured bytes by which a datagram is found again in a copy.
_HEAD = 64
#: Chunks and datagrams of a conversation that are looked up.
_LOOKED_UP = 8
_DIRECTIONS = (Direction.UP, Direction.DOWN)
_C = TypeVar("_C", TcpConversation, UdpConversation)


def grouped(conversations: Sequence[_C], files: Sequence[int] = ()) -> list[list[_C]]:
    """The conversations, those that are copies of one another together; in order of the first of each.

    ``files``: the capture file of each, where there are several: between two of them the same ends are no sign of two flows.
    """
    parent = list(range(len(conversations)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for alike in _sharing(conversations):
        for place, other in enumerate(alike[1:], 1):
            for first in alike[max(0, place - _LOOKED_UP) : place]:
                if root(first) == root(other):
                    break
                apart = bool(files) and files[first] != files[other]
                if _one(conversations[first], conversations[other], apart=apart):
                    parent[max(root(first), root(other))] = min(root(first), root(other))
                    break
    groups: defaultdict[int, list[_C]] = defaultdict(list)
    for index, conversation in enumerate(conversations):
        groups[root(index)].append(conversation)
    return list(groups.values())


def clocks_apart(pairs: Iterable[tuple[Conversation, Conversation]]) -> int:
    """What is added to a time of the second ones to have it by the clock of the first (ns): the middle of what their packets
    tell, in which the way there and the way back weigh the same."""
    apart: list[int] = []
    for one, other in pairs:
        if isinstance(one, TcpConversation) and isinstance(other, TcpConversation):
            apart += _apart(one, other) or [one.start_ns - other.start_ns]
        elif isinstance(one, UdpConversation) and isinstance(other, UdpConversation):
            apart += _unique(one.datagrams, other) or [one.start_ns - other.start_ns]
    apart.sort()
    return apart[len(apart) // 2] if apart else 0


def joined_tcp(copies: Sequence[TcpConversation]) -> TcpConversation:
    """One connection of its copies."""
    near = _nearest(copies)
    base = max(copies, key=lambda item: (_fullness(item), item is near))
    whole = base
    for other in copies:
        if other is not base:
            whole = _filled(whole, other)
    return replace(
        whole,
        device=near.device,
        cloud=near.cloud,
        stream=near.stream,
        filter=_either(copies, near),
        first_frame=min(item.first_frame for item in copies),
        last_frame=max(item.last_frame for item in copies),
        also=tuple(
            Elsewhere(item.device, item.cloud, item.stream, tuple((frame, frame) for frame in item.frames))
            for item in copies
            if item is not near
        ),
    )


def joined_udp(copies: Sequence[UdpConversation]) -> UdpConversation:
    """One flow of its copies."""
    near = _nearest(copies)
    base = max(copies, key=lambda item: (len(item.datagrams), item is near, -item.first_frame))
    datagrams = list(base.datagrams)
    #: Of each copy the frames, each with the frame of the same datagram that is used.
    frames: dict[int, list[tuple[int, int]]] = {
        id(base): [(d.mark.frames[0], d.mark.frames[0]) for d in base.datagrams]
    }
    for other in copies:
        if other is not base:
            frames[id(other)] = _taken(datagrams, other)
    datagrams.sort(key=lambda item: (item.mark.time_ns, item.mark.frames[0]))
    bad = {frame for item in copies for frame in item.checksum_bad}
    return replace(
        base,
        device=near.device,
        cloud=near.cloud,
        stream=near.stream,
        filter=_either(copies, near),
        datagrams=tuple(datagrams),
        icmp=base.icmp or next((item.icmp for item in copies if item.icmp), ()),
        first_frame=min(item.first_frame for item in copies),
        last_frame=max(item.last_frame for item in copies),
        checksum_bad=tuple(sorted(bad & {item.mark.frames[0] for item in datagrams})),
        also=tuple(
            Elsewhere(item.device, item.cloud, item.stream, tuple(frames[id(item)]))
            for item in copies
            if item is not near
        ),
    )


# -- which are one -------------------------------------------------------------------------------------------------------


def _sharing(conversations: Sequence[Conversation]) -> Iterator[list[int]]:
    """Indices of conversations that share something, for each thing that is shared."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    late: dict[int, list[int]] = defaultdict(list)
    for index, item in enumerate(conversations):
        for key in _keys(item):
            found[key].append(index)
        if isinstance(item, TcpConversation) and item.facts.mid_stream:
            for sequence, _ in _chunks(item)[:_LOOKED_UP]:
                late[sequence].append(index)
    for index, item in enumerate(conversations) if late else ():
        if isinstance(item, TcpConversation):
            for sequence, data in _chunks(item):
                if sequence in late:
                    found[sequence, data].append(index)
    yield from (list(dict.fromkeys(indices)) for indices in found.values() if len(set(indices)) > 1)


def _keys(item: Conversation) -> Iterator[Hashable]:
    if isinstance(item, UdpConversation):
        for datagram in item.datagrams[:_LOOKED_UP]:
            if _telling(datagram):
                yield datagram.direction, datagram.length, datagram.data
        return
    if not item.facts.mid_stream:
        yield from ((direction, origin) for direction, origin in zip(_DIRECTIONS, item.origins, strict=True) if origin)
    nonce, identity = _start(item, Direction.DOWN, NONCE), _start(item, Direction.UP, IDENTITY)
    if len(nonce) == NONCE and len(identity) == IDENTITY and looks_random(nonce):
        yield nonce, identity


def _telling(datagram: Datagram) -> bool:
    return len(set(datagram.data)) >= _DISTINCT and not datagram.duplicate and not datagram.damaged


def _said(item: UdpConversation) -> set[tuple[Direction, int, bytes]]:
    """The first datagrams that tell."""
    telling = (datagram for datagram in item.datagrams if _telling(datagram))
    return {(each.direction, each.length, each.data) for each in islice(telling, _COMPARED)}


def _chunks(item: TcpConversation) -> list[tuple[int, bytes]]:
    """Where chunks long enough to tell stand by their sequence number, and how they begin."""
    origins = dict(zip(_DIRECTIONS, item.origins, strict=True))
    found = []
    for piece in item.pieces:
        if isinstance(piece, Chunk) and len(piece.data) >= _SURE:
            origin = origins[piece.direction]
            if origin is not None:
                found.append(((origin + piece.offset) & _MASK, piece.data[: 2 * _SURE]))
    return found


def _start(item: TcpConversation, direction: Direction, size: int) -> bytes:
    """The first bytes of a direction, as far as they are captured without a gap."""
    data = b""
    for piece in item.pieces:
        if isinstance(piece, Close) or piece.direction is not direction:
            continue
        if isinstance(piece, Gap) or len(data) >= size:
            break
        data += piece.data
    return data[:size]


def _one(one: Conversation, other: Conversation, *, apart: bool) -> bool:
    """Whether two conversations that share something are the same one: nothing they hold speaks against it.

    ``apart``: they are of two captures, whose clocks may differ.
    """
    if isinstance(one, UdpConversation) or isinstance(other, UdpConversation):
        assert isinstance(one, UdpConversation) and isinstance(other, UdpConversation)
        # A device's certificate is the same in each of its attempts: much of what was said must be.
        mine, theirs = _said(one), _said(other)
        translated = (one.device.address, one.cloud.address) != (other.device.address, other.cloud.address)
        return (translated or apart) and len(mine & theirs) * _IN_COMMON >= min(len(mine), len(theirs))
    agree, differ = 0, 0
    for direction in _DIRECTIONS:
        same, others = _compared(one, other, direction)
        agree, differ = agree + same, differ + others
    if differ * _AGREE > agree:
        return False
    if agree >= _SURE:
        return True
    # Nothing encrypted in common. Two attempts of one device have other ports and the same addresses.
    if (one.device.address, one.cloud.address) == (other.device.address, other.cloud.address) and not apart:
        return False
    pairs = [pair for pair in zip(one.origins, other.origins, strict=True) if None not in pair]
    if any(mine != theirs for mine, theirs in pairs):
        return False
    if apart:
        return any((mine or 0) >= _BY_CHANCE for mine, _ in pairs)
    by_two = len(pairs) > 1 and min(mine or 0 for mine, _ in pairs) >= _BY_CHANCE
    return by_two or abs(one.start_ns - other.start_ns) <= _TOGETHER_NS


def _compared(one: TcpConversation, other: TcpConversation, direction: Direction) -> tuple[int, int]:
    """Bytes that both captured: how many are the same, how many are not."""
    shift = _shift(one, other, direction)
    if shift is None:
        return 0, 0
    theirs = [piece for piece in other.pieces if isinstance(piece, Chunk) and piece.direction is direction]
    same = differ = at = 0
    for piece in one.pieces:
        if not isinstance(piece, Chunk) or piece.direction is not direction:
            continue
        low, high = piece.offset + shift, piece.offset + shift + len(piece.data)
        while at < len(theirs) and theirs[at].offset + len(theirs[at].data) <= low:
            at += 1
        for chunk in theirs[at:]:
            if chunk.offset >= high:
                break
            first, last = max(low, chunk.offset), min(high, chunk.offset + len(chunk.data))
            a, b = piece.data[first - low : last - low], chunk.data[first - chunk.offset : last - chunk.offset]
            equal = len(a) if a == b else sum(x == y for x, y in zip(a, b, strict=True))
            same, differ = same + equal, differ + len(a) - equal
    return same, differ


def _shift(one: TcpConversation, other: TcpConversation, direction: Direction) -> int | None:
    """What is added to an offset of ``one`` to have that of the same byte in ``other``; None: they share no numbering."""
    mine, theirs = one.origins[direction is Direction.DOWN], other.origins[direction is Direction.DOWN]
    if mine is None or theirs is None:
        return None
    shift = ((mine - theirs + 0x80000000) & _MASK) - 0x80000000
    if shift and not one.facts.mid_stream and not other.facts.mid_stream:
        return 0  # a firewall that makes the sequence numbers anew; both begin at their first byte
    return shift


# -- which is taken ------------------------------------------------------------------------------------------------------


def _fullness(item: TcpConversation) -> tuple[int, ...]:
    """More is better: both directions, captured bytes, the opening."""
    bad = set(item.facts.checksum_bad)
    captured = sum(
        len(piece.data) for piece in item.pieces if isinstance(piece, Chunk) and bad.isdisjoint(piece.mark.frames)
    )
    opened = bool(item.facts.syn) + (item.facts.syn_ack is not None)
    return not item.facts.one_direction_only, captured, opened


def _nearest(copies: Sequence[_C]) -> _C:
    """The copy that is nearest to the device."""

    return max(copies, key=_nearness)


def further_out(one: Conversation, other: Conversation) -> bool:
    """Whether of two captures of one conversation the second was nearer to the device; False where nothing tells."""
    return _nearness(one)[:3] < _nearness(other)[:3]


def _nearness(item: Conversation) -> tuple[int, ...]:
    up, down = item.ttls
    private = ip_address(item.device.address).is_private
    return max(up, default=0), -min(down, default=0), private, -item.start_ns, -item.first_frame


def _either(copies: Sequence[_C], near: _C) -> str:
    """A display filter for all of them, ``near`` first."""
    filters = dict.fromkeys((near.filter, *(item.filter for item in copies)))
    return " or ".join(f"({text})" for text in filters) if len(filters) > 1 else near.filter


# -- TCP: what one has and the other lacks -------------------------------------------------------------------------------


class _Placed(NamedTuple):
    """A piece with its place in the order of the connection."""

    place: float
    piece: Piece


def _filled(base: TcpConversation, other: TcpConversation) -> TcpConversation:
    """``base`` with the bytes and closes that only ``other`` has."""
    later = _later(base, other)
    placed = [_Placed(place, piece) for place, piece in enumerate(base.pieces)]
    changed = False
    for direction in _DIRECTIONS:
        shift = _shift(base, other, direction)
        if shift is None and any(not isinstance(p, Close) and p.direction is direction for p in base.pieces):
            continue
        mine = [item for item in placed if item.piece.direction is direction and not isinstance(item.piece, Close)]
        new = _with(mine, base, other, direction, shift or 0, later)
        if new != mine:
            changed = True
            placed = [item for item in placed if item not in mine] + new
    closed = {(piece.direction, piece.how) for piece in base.pieces if isinstance(piece, Close)}
    for piece in other.pieces:
        if isinstance(piece, Close) and (piece.direction, piece.how) not in closed:
            changed = True
            time_ns = piece.mark.time_ns + later
            placed.append(_Placed(_place(base, time_ns), replace(piece, mark=Mark(piece.mark.frames, time_ns))))
    facts = _facts(base, other)
    if not changed:
        return base if facts == base.facts else replace(base, facts=facts)
    pieces = tuple(item.piece for item in sorted(placed, key=lambda item: item.place))
    return replace(base, pieces=pieces, facts=facts, origins=_origins(base, other))


def _origins(base: TcpConversation, other: TcpConversation) -> tuple[int | None, int | None]:
    """Where both directions begin in the two together."""
    found = []
    for direction, mine, theirs in zip(_DIRECTIONS, base.origins, other.origins, strict=True):
        shift = _shift(base, other, direction)
        found.append(theirs if mine is None or (shift or 0) > 0 else mine)
    return found[0], found[1]


def _with(
    mine: list[_Placed], base: TcpConversation, other: TcpConversation, direction: Direction, shift: int, later: int
) -> list[_Placed]:
    """The pieces of one direction (ascending), what they lack taken from ``other``; offsets begin at 0 again."""
    bad = set(base.facts.checksum_bad)
    doubted = set(other.facts.checksum_bad)
    theirs = [
        piece
        for piece in other.pieces
        if isinstance(piece, Chunk) and piece.direction is direction and doubted.isdisjoint(piece.mark.frames)
    ]
    held = Intervals()
    for chunk in theirs:
        held.add(chunk.offset - shift, chunk.offset - shift + len(chunk.data))
    # What stays of ``mine``: all it captured, unless damaged where the other is sound.
    kept: list[_Placed] = []
    have = Intervals()
    for item in mine:
        piece = item.piece
        if isinstance(piece, Chunk):
            damaged = not bad.isdisjoint(piece.mark.frames)
            if not (damaged and held.covers(piece.offset, piece.offset + len(piece.data))):
                kept.append(item)
                have.add(piece.offset, piece.offset + len(piece.data))
    places = [(_end(item.piece), item.place) for item in mine]
    for number, chunk in enumerate(theirs):
        start = chunk.offset - shift
        for low, high in _missing(have, start, start + len(chunk.data)):
            have.add(low, high)
            place = next((place for end, place in places if end > low), None)
            if low < (_begin(mine[0].piece) if mine else 0):
                place = -1.0
            elif place is None:
                place = places[-1][1] + 0.25 if places else _place(base, chunk.mark.time_ns + later)
            data = chunk.data[low - start : high - start]
            mark = Mark(chunk.mark.frames, chunk.mark.time_ns + later)
            kept.append(_Placed(place + number * 1e-6, Chunk(direction, low, data, mark)))
    for item in mine:
        piece = item.piece
        if isinstance(piece, Gap):
            for low, high in _missing(have, piece.offset, piece.offset + piece.length):
                have.add(low, high)
                kept.append(_Placed(item.place, replace(piece, offset=low, length=high - low)))
    kept.sort(key=lambda item: _begin(item.piece))
    first = min((_begin(item.piece) for item in kept), default=0)
    # Offsets ascend with places, and begin at 0 also where ``other`` begins earlier.
    found: list[_Placed] = []
    place = float("-inf")
    for item in kept:
        place = max(place, item.place)
        piece = item.piece
        assert not isinstance(piece, Close)
        found.append(_Placed(place, replace(piece, offset=piece.offset - first) if first else piece))
    return found


def _place(base: TcpConversation, time_ns: int) -> float:
    """Where in its order something belongs that happened at this time."""
    return next((place - 0.5 for place, own in enumerate(base.pieces) if own.mark.time_ns > time_ns), len(base.pieces))


def _missing(have: Intervals, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of [start, end) that are not in ``have``."""
    found = []
    at = start
    while at < end:
        covered = have.end_of(at)
        if covered > at:
            at = covered
            continue
        following = have.next_start(at)
        stop = end if following is None else min(end, following)
        found.append((at, stop))
        at = stop
    return found


def _begin(piece: Piece) -> int:
    return 0 if isinstance(piece, Close) else piece.offset


def _end(piece: Piece) -> int:
    if isinstance(piece, Close):
        return 0
    return piece.offset + (len(piece.data) if isinstance(piece, Chunk) else piece.length)


def _later(base: TcpConversation, other: TcpConversation) -> int:
    """What is added to a time of ``other`` to have it by the clock of ``base``: two captures, two clocks."""
    return _clock(_apart(base, other), base.start_ns - other.start_ns)


def _apart(base: TcpConversation, other: TcpConversation) -> list[int]:
    """By how much the same bytes are later in ``base``."""
    marks = {
        (piece.direction, piece.offset): piece.mark.time_ns for piece in base.pieces if not isinstance(piece, Close)
    }
    apart = []
    for piece in other.pieces:
        if not isinstance(piece, Close):
            shift = _shift(base, other, piece.direction)
            mine = marks.get((piece.direction, piece.offset - (shift or 0)))
            if mine is not None:
                apart.append(mine - piece.mark.time_ns)
    return apart


def _clock(apart: list[int], otherwise: int) -> int:
    """How far two clocks are apart; 0 for what a network between them explains."""
    middle = sorted(apart)[len(apart) // 2] if apart else otherwise
    return middle if abs(middle) > _TOGETHER_NS else 0


def _facts(base: TcpConversation, other: TcpConversation) -> TcpFacts:
    """What TCP tells in both copies together."""
    one, two = base.facts, other.facts
    reset = {item.direction for item in one.rsts}
    both = one.one_direction_only and two.one_direction_only and bool(one.up.packets) != bool(two.up.packets)
    return replace(
        one,
        syn=one.syn or two.syn,
        syn_ack=one.syn_ack or two.syn_ack,
        established=one.established or two.established,
        rsts=(*one.rsts, *(item for item in two.rsts if item.direction not in reset)),
        fins=one.fins or two.fins,
        icmp=one.icmp or two.icmp,
        one_direction_only=one.one_direction_only and two.one_direction_only and not both,
        mid_stream=one.mid_stream and two.mid_stream,
        up=_side(one.up, two.up),
        down=_side(one.down, two.down),
    )


def _side(one: SideFacts, two: SideFacts) -> SideFacts:
    return one if one.packets else two


# -- UDP -----------------------------------------------------------------------------------------------------------------


def _places(datagrams: Sequence[Datagram]) -> defaultdict[tuple[Direction, int, bytes], list[int]]:
    """Where what was sent stands."""
    found: defaultdict[tuple[Direction, int, bytes], list[int]] = defaultdict(list)
    for place, item in enumerate(datagrams):
        found[item.direction, item.length, item.data[:_HEAD]].append(place)
    return found


def _unique(datagrams: Sequence[Datagram], other: UdpConversation) -> list[int]:
    """By how much datagrams that were sent once are later in ``datagrams`` than in ``other``."""
    waiting = _places(datagrams)
    return [
        datagrams[places[0]].mark.time_ns - item.mark.time_ns
        for item in other.datagrams
        if len(places := waiting.get((item.direction, item.length, item.data[:_HEAD]), [])) == 1
    ]


def _taken(datagrams: list[Datagram], other: UdpConversation) -> list[tuple[int, int]]:
    """Adds to ``datagrams`` what only ``other`` has; of each of its datagrams the frame, behind that of the one used."""
    waiting = _places(datagrams)
    later = _clock(_unique(datagrams, other), 0)
    pairs = []
    for item in other.datagrams:
        frame, time_ns = item.mark.frames[0], item.mark.time_ns + later
        places = waiting.get((item.direction, item.length, item.data[:_HEAD]), [])
        near = [place for place in places if abs(datagrams[place].mark.time_ns - time_ns) <= _TOGETHER_NS]
        if near:
            place = min(near, key=lambda place: abs(datagrams[place].mark.time_ns - time_ns))
            places.remove(place)
            used = datagrams[place]
            pairs.append((used.mark.frames[0], frame))
            if (len(item.data), not item.damaged) > (len(used.data), not used.damaged):
                datagrams[place] = replace(used, data=item.data, damaged=item.damaged)
        else:
            pairs.append((frame, frame))
            datagrams.append(replace(item, mark=Mark(item.mark.frames, time_ns)))
    return pairs


def together(conversations: Iterable[UdpConversation]) -> list[UdpConversation]:
    """UDP conversations, each once."""
    return [joined_udp(group) if len(group) > 1 else group[0] for group in grouped(list(conversations))]
