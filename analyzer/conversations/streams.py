"""Wireshark's stream numbers (tcp.stream, udp.stream), counted along.

How it works: Wireshark counts conversations in order of their first packet. A UDP conversation is a pair of ends for the
whole capture. A TCP conversation ends where a SYN comes whose sequence number is not the one its sender started with
(epan/dissectors/packet-tcp.c; version 4.0, checked against tshark packet by packet). A number is needed for every flow
of the capture, wanted or not, so its state is one int: the number, the base sequence number of each side, two flags.
"""

from __future__ import annotations

from analyzer.packet import ACK, SYN

_MASK = 0xFFFFFFFF
#: The number of a flow that was not counted.
_NONE = _MASK
_BASE = (32, 64)
_SET = (1 << 96, 1 << 97)


class Counter:
    """Hands out numbers in order; once `lose` was called (something was not counted), none."""

    __slots__ = ("_exact", "_next")

    def __init__(self) -> None:
        self._next = 0
        self._exact = True

    def lose(self) -> None:
        """From now on numbers are not exact, so none is given."""
        self._exact = False

    def new(self) -> int:
        """The state of a flow that starts here."""
        if not self._exact:
            return _NONE
        self._next += 1
        return self._next - 1


def number(state: int) -> int | None:
    """The stream number in a state."""
    found = state & _MASK
    return None if found == _NONE else found


def follow(state: int, counter: Counter, side: int, flags: int, sequence: int, acknowledgement: int) -> int:
    """The state of a TCP flow after a segment of ``side`` (0 or 1)."""
    if starts_anew(state, side, flags, sequence):
        state = counter.new()
    if flags & (SYN | ACK) == SYN | ACK:
        state &= ~(_MASK << _BASE[side] | _SET[side])
    if not state & _SET[side]:
        base = sequence if flags & SYN else (sequence - 1) & _MASK
        state |= base << _BASE[side] | _SET[side]
    if not state & _SET[1 - side] and flags & ACK:
        state |= ((acknowledgement - 1) & _MASK) << _BASE[1 - side] | _SET[1 - side]
    return state


def starts_anew(state: int, side: int, flags: int, sequence: int) -> bool:
    """Wireshark takes this segment for the first of another conversation."""
    if flags & (SYN | ACK) != SYN or not state & _SET[side]:
        return False
    return (state >> _BASE[side]) & _MASK != sequence
