"""ICMP errors in words."""

from __future__ import annotations

from analyzer.conversations import IcmpNote

#: RFC 792 and RFC 1122 3.2.2.1 (type 3), RFC 4443 3.1 (type 1).
_V4 = {
    0: "network unreachable",
    1: "host unreachable",
    3: "port unreachable",
    9: "network prohibited",
    10: "host prohibited",
    13: "filtered by a firewall",
}
_V6 = {0: "no route", 1: "filtered by a firewall", 3: "address unreachable", 4: "port unreachable"}


def icmp_text(note: IcmpNote) -> str:
    """What the error says and who sent it."""
    names = _V4 if note.kind == 3 else _V6 if note.kind == 1 else {}
    said = names.get(note.code, f"type {note.kind} code {note.code}")
    return f"{said}, from {note.sender}"
