"""TCP conversations: which bytes of which direction have to change, and what to.

How it works. The nonce, the ciphertexts and the records of a session say nothing to anybody without a key, and stay. Two
things do not: what a side says in another protocol, and an identity under a blank key. Both are found once, from the
reassembled conversation, and become edits by stream offset, so that a byte that is sent twice, or split elsewhere,
becomes the same byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.conversations import Chunk, TcpConversation
from analyzer.exports.redaction import identity
from analyzer.exports.redaction.masks import Disguise, disguise, is_text, masked_text
from analyzer.exports.redaction.pseudonyms import Pseudonyms
from analyzer.packet import SYN, Packet
from dissectors.events import Direction
from dissectors.lightssl.messages import CLOUD_BLOCK, DEVICE_BLOCK, NONCE_SIZE

_HEAD = 4096
#: Where messages begin that another protocol may stand in place of.
_LEGS = {Direction.UP: (0, CLOUD_BLOCK), Direction.DOWN: (0, NONCE_SIZE, NONCE_SIZE + DEVICE_BLOCK + CLOUD_BLOCK)}
_NUMBERS = 1 << 32
_FAR = 1 << 40


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to do with the payload of one connection, in the frames ``first`` to ``last``.

    ``bases`` are the sequence numbers of stream offset 0.
    """

    first: int
    last: int
    device: tuple[bytes, int]
    bases: Mapping[Direction, int]
    #: From which offset on a direction is masked, and how.
    disguises: Mapping[Direction, tuple[int, Disguise]]
    #: Takes the place of the device's first 256 bytes.
    identity: bytes | None = field(default=None, repr=False)
    #: Takes the place of what a balancer put before them.
    header: bytes = b""

    def payload(self, source: tuple[bytes, int], sequence: int, syn: bool, data: bytes) -> bytes:
        """The payload of a segment, redacted."""
        direction = Direction.UP if source == self.device else Direction.DOWN
        start, mask = self.disguises.get(direction, (0, None))
        base = self.bases.get(direction)
        if base is None:
            # Where this is in the stream is not known: then all of what needs a mask gets it.
            hidden = direction is Direction.UP and (self.identity is not None or self.header)
            return mask(_FAR, data) if mask is not None else bytes(len(data)) if hidden else _untold(data)
        offset = (sequence + syn - base) % _NUMBERS
        if offset >= _NUMBERS // 2:
            offset -= _NUMBERS
        if direction is Direction.UP and offset < 0 and self.header:
            before, data = data[:-offset], data[-offset:]
            rest = self.payload(source, sequence - offset, syn, data) if data else b""
            return _placed(self.header, offset + len(self.header), before) + rest
        if mask is not None:
            clear = data[: max(start - offset, 0)]
            return clear + mask(max(offset + len(clear) - start, 0), data[len(clear) :])
        if direction is Direction.UP and self.identity is not None:
            data = _placed(self.identity, offset, data)
        return _untold(data)


def _untold(data: bytes) -> bytes:
    """Ciphertext as it is; text has no business here, and is masked."""
    return masked_text(data) if is_text(data) else data


def _placed(message: bytes, offset: int, data: bytes) -> bytes:
    """``data`` at ``offset`` with ``message``, which is at offset 0, in its place."""
    start, stop = max(-offset, 0), min(len(message) - offset, len(data))
    if stop <= start:
        return data
    return data[:start] + message[offset + start : offset + stop] + data[stop:]


def plan(
    conversation: TcpConversation,
    device: tuple[bytes, int],
    segments: Mapping[int, Packet],
    pseudonyms: Pseudonyms,
) -> StreamPlan:
    """The plan for ``conversation``; ``segments`` are packets of its flow by frame number, enough to find the offsets in."""
    bases: dict[Direction, int] = {}
    disguises: dict[Direction, tuple[int, Disguise]] = {}
    heads: dict[Direction, bytes] = {}
    for direction in Direction:
        chunks = [piece for piece in conversation.pieces if isinstance(piece, Chunk) and piece.direction is direction]
        heads[direction] = _head(chunks)
        base = next((base for chunk in chunks if (base := _base(chunk, segments)) is not None), None)
        if base is not None:
            bases[direction] = base
        for start in _LEGS[direction]:
            mask = disguise(heads[direction][start:], pseudonyms) if len(heads[direction]) > start else None
            if mask is not None:
                disguises[direction] = start, mask
                break
    sent = heads[Direction.UP][:CLOUD_BLOCK]
    other = identity.redacted(sent, pseudonyms) if len(sent) == CLOUD_BLOCK else None
    header = conversation.proxy.without_names() if conversation.proxy is not None else b""
    return StreamPlan(conversation.first_frame, conversation.last_frame, device, bases, disguises, other, header)


def _head(chunks: list[Chunk]) -> bytes:
    """The first bytes of a direction, up to its first gap."""
    head = b""
    for chunk in chunks:
        if chunk.offset != len(head) or len(head) >= _HEAD:
            break
        head += chunk.data
    return head[:_HEAD]


def _base(chunk: Chunk, segments: Mapping[int, Packet]) -> int | None:
    """The sequence number of offset 0, as the segment that brought this chunk shows it."""
    packet = segments.get(chunk.mark.frames[-1])
    if packet is None:
        return None
    at = 0 if packet.payload == chunk.data else packet.payload.find(chunk.data)
    if at < 0:
        return None
    return (packet.sequence + bool(packet.flags & SYN) + at - chunk.offset) % _NUMBERS
