"""What was not looked into, counted by name: for `problems`, most frequent first."""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.packet import Problem

#: Kinds of encapsulation counted by name; further ones are counted together.
_MOST_NAMES = 64
_OTHERS = "other encapsulations"

#: Codes, with what is said of them: how many packets are what, the way out.
ENCRYPTED, UNKNOWN, WIRELESS, BAD_FCS, CUT, LINK, DEEP = (
    "encrypted-tunnel", "unread-encapsulation", "encrypted-wireless", "bad-fcs", "cut-packets", "unsupported-link-type", "nested-too-deep",
)  # fmt: skip
#: Not used although they might hold a session: with none that could be used, nothing was looked into.
CODES = frozenset({ENCRYPTED, UNKNOWN, WIRELESS, BAD_FCS, CUT, LINK, DEEP})


class Unread:
    """Counts by code and name; the first frame of each."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def count(self, code: str, name: str, number: int, length: int = 0) -> None:
        """One packet more; ``length``: of a cut one, what is there."""
        entry = self._counts.get((code, name))
        if entry is None:
            if len(self._counts) >= _MOST_NAMES:
                name = _OTHERS
            entry = self._counts.setdefault((code, name), [0, number, length])
        entry[0] += 1
        entry[2] = max(entry[2], length)

    def problems(self) -> Iterator[Problem]:
        """A line for each name, most frequent first."""
        rows = sorted(self._counts.items(), key=lambda item: (-item[1][0], item[1][1], item[0]))
        for (code, name), (count, frame, length) in rows:
            yield Problem(code, _sentence(code, name, count, frame, length), frame, count)


def told(code: str, frame: int, count: int) -> list[Problem]:
    """The line for ``count`` packets of one kind."""
    return [Problem(code, _sentence(code, "", count, frame, 0), frame, count)]


def _sentence(code: str, name: str, count: int, frame: int, length: int) -> str:
    packets = "1 packet is" if count == 1 else f"{count:,} packets are"
    frames = "1 frame is" if count == 1 else f"{count:,} frames are"
    first = f"(the first is frame {frame})"
    if code == ENCRYPTED:
        return f"{packets} {name}: encrypted, so what is inside cannot be seen {first}; capture at an end of the tunnel, inside it"
    if code == WIRELESS:
        return (
            f"{frames} encrypted 802.11 {first}: nothing inside can be read. With the network's password in Wireshark "
            "(Preferences, Protocols, IEEE 802.11, Decryption keys) and each device's connecting in the capture, --engine tshark reads them"
        )
    if code == BAD_FCS:
        return f"{frames} damaged on the air, by the receiver's own mark {first}: left out"
    if code == CUT:
        return f"{packets} cut to at most {length:,} bytes, in front of the end of the TCP or UDP header {first}; capture whole packets (tcpdump -s 0)"
    if code == DEEP:
        return f"{packets} nested deeper than is looked into {first}"
    if code == LINK:
        them = "it" if count == 1 else "them"
        return f"{packets} of link type {name} {first}, which cannot be read here; Wireshark's tshark may read {them}: install it, or capture on another interface"
    return f"{packets} {name}, which is not looked into {first}"
