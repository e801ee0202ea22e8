"""Wireshark display filters that select one conversation and nothing else."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from analyzer.model import Endpoint

#: More frames than this are not listed one by one.
_MAX_LISTED = 32


@dataclass(frozen=True, slots=True)
class Selection:
    """What is known of where a conversation's packets are.

    ``stream`` is None when no stream number holds it alone; ``frames`` is the range it shares its ends with others in,
    if it does; ``strays`` are frames of it that Wireshark gives no stream number (ICMP errors with a short quote).
    """

    transport: str
    ends: tuple[Endpoint, Endpoint]
    stream: int | None
    frames: tuple[int, int] | None = None
    strays: tuple[int, ...] = ()


def display_filter(selection: Selection) -> str:
    """The filter, in a form that can be pasted into Wireshark."""
    if selection.stream is not None:
        text = f"{selection.transport}.stream eq {selection.stream}"
    else:
        a, b = selection.ends
        family = "ipv6" if ":" in a.address else "ip"
        text = (
            f"{family}.addr eq {a.address} and {family}.addr eq {b.address} and "
            f"{selection.transport}.port eq {a.port} and {selection.transport}.port eq {b.port}"
        )
    if selection.frames:
        first, last = selection.frames
        text += f" and frame.number ge {first} and frame.number le {last}"
    if selection.stream is not None and 0 < len(selection.strays) <= _MAX_LISTED:
        listed = ", ".join(str(frame) for frame in selection.strays)
        text = f"({text}) or frame.number in {{{listed}}}"
    return text


def endpoint(address: bytes, port: int) -> Endpoint:
    """An end as text; ``address`` has 4 or 16 bytes."""
    return Endpoint(socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address), port)
