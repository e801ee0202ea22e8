"""What a conversation table is told: ports that are hints, and how much it may hold."""

from __future__ import annotations

from dataclasses import dataclass

from dissectors.handshakes import HANDSHAKES

TCP_PORTS, UDP_PORTS = (
    frozenset().union(*(item.ports for item in HANDSHAKES.values() if item.transport == transport))
    for transport in ("tcp", "udp")
)

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """``tcp_ports`` and ``udp_ports`` are further cloud ports, beside those known. The rest bounds memory."""

    tcp_ports: frozenset[int] = frozenset()
    udp_ports: frozenset[int] = frozenset()
    #: Silence after which an open conversation is handed out; what comes later makes another one. None: never. A file
    #: ends by itself, and splitting a session that was only quiet (a cellular keep-alive: 23 minutes) costs more than
    #: holding it, so this is for live captures.
    tcp_idle_ns: int | None = None
    udp_idle_ns: int | None = None
    #: Silence after both FINs or an RST: until then, late retransmissions still belong to it.
    closed_ns: int = 60 * _SECOND
    #: Kept of one conversation: payload bytes per direction and segments (TCP), datagrams and their bytes (UDP).
    tcp_payload: int = 1 << 20
    tcp_segments: int = 50_000
    udp_datagrams: int = 20_000
    udp_payload: int = 4 << 20
    #: Conversations held at a time, flows whose kind is still open, and roughly the bytes in them.
    conversations: int = 4096
    undecided: int = 4096
    undecided_held: int = 32 << 20
    held: int = 256 << 20
    #: Flows counted for Wireshark's stream numbers, per transport; later ones get no number.
    flows: int = 500_000

    @property
    def cloud_tcp(self) -> frozenset[int]:
        """All TCP ports on which a cloud may listen."""
        return TCP_PORTS | self.tcp_ports

    @property
    def cloud_udp(self) -> frozenset[int]:
        """All UDP ports on which a cloud may listen."""
        return UDP_PORTS | self.udp_ports
