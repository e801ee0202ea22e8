"""Packets into conversations: TCP reassembled, UDP grouped, gaps kept as values. `Conversations` is the way in."""

from analyzer.conversations.model import (
    Carried,
    Chunk,
    Close,
    Conversation,
    Datagram,
    Elsewhere,
    Ended,
    Gap,
    IcmpNote,
    Keepalive,
    Piece,
    Reset,
    RoleSource,
    SideFacts,
    TcpConversation,
    TcpFacts,
    UdpConversation,
)
from analyzer.conversations.options import Options
from analyzer.conversations.table import Conversations

__all__ = [
    "Carried",
    "Chunk",
    "Close",
    "Conversation",
    "Conversations",
    "Datagram",
    "Elsewhere",
    "Ended",
    "Gap",
    "IcmpNote",
    "Keepalive",
    "Options",
    "Piece",
    "Reset",
    "RoleSource",
    "SideFacts",
    "TcpConversation",
    "TcpFacts",
    "UdpConversation",
]
