"""Which TCP flows on unknown ports may be a device's session: decided early, so that the rest of a capture costs nothing.

How it works: the server speaks first, 40 random bytes; the client answers with exactly 256. With both initial sequence
numbers known, each segment alone can contradict that, in whatever order they come: its acknowledgement says what its
sender had received by then. Without them (the capture starts in the middle, a direction is missing) a few segments are
held and looked at as a whole (`tcp.TcpFlow.is_session`).
"""

from __future__ import annotations

from analyzer.conversations.roles import IDENTITY, NONCE, looks_random
from analyzer.packet import ACK, RST, SYN, Packet

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


class Shape:
    """Follows one flow until `observe` knows."""

    __slots__ = ("_client", "_nonce", "_origin", "_reached")

    def __init__(self) -> None:
        #: Sequence number of each side's first byte; which side opened the connection.
        self._origin: list[int | None] = [None, None]
        self._client: int | None = None
        self._reached = [0, 0]
        self._nonce = b""

    @property
    def opened(self) -> bool:
        """Both sides' SYN were seen."""
        return None not in self._origin

    def observe(self, packet: Packet, side: int) -> bool | None:
        """True: a device's session. False: certainly none. None: not known yet."""
        flags = packet.flags
        if flags & RST:
            return None
        if flags & (SYN | ACK) == SYN and packet.length:
            return False  # TCP Fast Open (RFC 7413): the client speaks first
        if flags & SYN and self._origin[side] is None:
            self._origin[side] = (packet.sequence + 1) & _MASK
            self._client = 1 - side if flags & ACK else side
        mine, theirs = self._origin[side], self._origin[1 - side]
        if not packet.length or mine is None or theirs is None or self._client is None or not flags & ACK:
            return None
        start = (packet.sequence - mine) & _MASK
        received = (packet.acknowledgement - theirs) & _MASK
        if start >= _HALF or received >= _HALF or flags & SYN:
            return None
        end = start + packet.length
        if side == self._client:
            if received < NONCE or (end > IDENTITY and received <= NONCE):
                return False
        else:
            if end > NONCE and received < IDENTITY:
                return False
            if start == 0 and len(packet.payload) > len(self._nonce):
                self._nonce = packet.payload[:NONCE]
                if not looks_random(self._nonce):
                    return False
        self._reached[side] = max(self._reached[side], end)
        if self._reached[self._client] >= IDENTITY and self._reached[1 - self._client] >= NONCE:
            return True
        return None
