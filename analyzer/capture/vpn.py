"""How the conversations of encrypted tunnels begin, on whatever port: told by their first datagram.

On the ports that are theirs `encapsulation` counts every packet; elsewhere only the first datagram of a conversation is
asked, so that the index over big captures may pass over the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.capture.unread import ENCRYPTED
from analyzer.packet import Problem

WIREGUARD, OPENVPN, QUIC = "WireGuard", "OpenVPN", "QUIC (HTTP/3, or a VPN in it)"
#: The white paper, section 5.4: a handshake's two messages, by type and size.
_WIREGUARD = {b"\1\0\0\0": 148, b"\2\0\0\0": 92}
#: The protocol page: a hard reset of the client (version 2 and 3) is opcode << 3, and a session id of eight bytes.
_RESETS = frozenset({0x38, 0x50})
#: Bytes of one without tls-auth: an empty list of acknowledgements and packet 0 end it.
_BARE = 14
#: Of one with tls-auth (the hash has 20, 32 or 64 bytes) or tls-crypt: the number of the first packet stands behind the id or
#: behind the hash.
_KEYED = {42: 29, 54: 41, 86: 73}
_CRYPTED, _FIRST = 54, (b"\0\0\0\1", b"\x0f\0\0\1")
#: RFC 9000 section 17.2, RFC 9369: long header with the fixed bit, and the version.
_QUIC = (b"\0\0\0\1", b"\x6b\x33\x43\xcf")
_QUIC_LEAST = 1200
#: First bytes of any of them, for who looks at many datagrams at once.
FIRST_BYTES = frozenset({1, 2, *_RESETS, *range(0xC0, 0x100)})


def begun(payload: bytes, length: int) -> str | None:
    """Whose conversation a datagram begins; ``length`` is its payload's on the wire. None: nobody's who is known."""
    first = payload[:1]
    if first in (b"\1", b"\2"):
        return WIREGUARD if _WIREGUARD.get(payload[:4]) == length else None
    if not first or len(payload) < _BARE:
        return None
    if payload[0] in _RESETS:
        bare = length == _BARE and payload[9:14] == bytes(5)
        at = _KEYED.get(length)
        keyed = at is not None and payload[at : at + 4] == _FIRST[0] and payload[length - 5 : length] == bytes(5)
        return OPENVPN if bare or keyed or (length == _CRYPTED and payload[9:13] in _FIRST) else None
    if payload[0] & 0xF0 == 0xC0 and payload[1:5] in _QUIC and length >= _QUIC_LEAST:
        return QUIC
    return None


class Begun:
    """The conversations that began so, counted by name; the first frame and port of each."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}

    def look(self, payload: bytes, length: int, frame: int, port: int) -> None:
        """The first datagram of a conversation."""
        name = begun(payload, length)
        if name is not None:
            self._found.setdefault(name, [0, frame, port])[0] += 1

    def problems(self, *, nothing_else: bool) -> Iterator[Problem]:
        """A line for each, most frequent first. QUIC is everywhere: it is named where there is ``nothing_else``."""
        for name, (count, frame, port) in sorted(self._found.items(), key=lambda item: (-item[1][0], item[1][1])):
            if name == QUIC and not nothing_else:
                continue
            one = "1 UDP conversation begins" if count == 1 else f"{count:,} UDP conversations begin"
            text = (
                f"{one} as {name} does (the first with frame {frame}, port {port}): encrypted, so what is inside cannot"
                " be seen; capture at an end of the tunnel, inside it"
            )
            yield Problem(ENCRYPTED, text, frame)
