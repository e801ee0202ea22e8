"""DNS messages with other names and addresses in the same places, so that no length and no pointer changes.

Labels are exchanged one by one, whatever name they are part of: compression (RFC 1035 section 4.1.4) lets names share
labels, so a label must become the same thing everywhere. What Particle's own names consist of stays readable.
"""

from __future__ import annotations

import re

from analyzer.exports.redaction.pseudonyms import Pseudonyms

_HEADER = 12
_A, _NS, _CNAME, _SOA, _PTR, _MX, _AAAA, _SRV, _OPT = 1, 2, 5, 6, 12, 15, 28, 33, 41
#: Bytes of rdata in front of the name it holds.
_NAMED = {_NS: 0, _CNAME: 0, _PTR: 0, _MX: 2, _SRV: 6}
_PUBLIC = frozenset(
    {b"particle", b"spark", b"device", b"udp", b"udp-mesh", b"tcp", b"staging", b"api", b"pool", b"ntp"}
    | {b"io", b"com", b"net", b"org", b"local", b"lan", b"home", b"arpa", b"example", b"test", b"invalid"}
)
#: A firmware's major version, the number of a time server.
_VERSION = re.compile(rb"v\d{1,2}|\d", re.IGNORECASE)
_DEVICE_ID = re.compile(rb"[0-9a-f]{24}", re.IGNORECASE)
_MAX_RECORDS = 512
_MAX_LABELS = 128


class _Unreadable(Exception):
    """Not DNS, or cut."""


def question(message: bytes) -> str | None:
    """The name that a DNS message asks for (or answers), or None."""
    labels: list[bytes] = []
    at = _HEADER
    if len(message) < _HEADER or message[4:6] == b"\0\0":
        return None
    while at < len(message) and 0 < message[at] < 64 and len(labels) < _MAX_LABELS:
        labels.append(message[at + 1 : at + 1 + message[at]])
        at += 1 + message[at]
    if at >= len(message) or message[at]:
        return None
    return b".".join(labels).decode("latin-1")


def pseudonym(label: bytes, pseudonyms: Pseudonyms) -> bytes:
    """What a label of a host name becomes."""
    if label.lower() in _PUBLIC or _VERSION.fullmatch(label):
        return label
    if _DEVICE_ID.fullmatch(label):
        known = pseudonyms.device_id(bytes.fromhex(label.decode("ascii"))).hex()
        return (known.upper() if label.isupper() else known).encode("ascii")
    return pseudonyms.label(label)


def redacted(message: bytes, pseudonyms: Pseudonyms) -> bytes | None:
    """The message with pseudonyms for its names and addresses; None when it cannot be read to its end."""
    if len(message) < _HEADER:
        return None
    out = bytearray(message)
    counts = [int.from_bytes(message[at : at + 2], "big") for at in (4, 6, 8, 10)]
    if sum(counts) > _MAX_RECORDS:
        return None
    try:
        at = _HEADER
        for _ in range(counts[0]):
            at = _name(out, at, pseudonyms) + 4
        for _ in range(sum(counts[1:])):
            at = _record(out, at, pseudonyms)
    except _Unreadable:
        return None
    if at > len(out):
        return None
    out[at:] = bytes(len(out) - at)
    return bytes(out)


def _name(out: bytearray, at: int, pseudonyms: Pseudonyms) -> int:
    """Rewrite the labels of the name at ``at``; where it ends."""
    for _ in range(_MAX_LABELS):
        if at >= len(out):
            raise _Unreadable
        length = out[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        if length >= 0x40 or at + 1 + length > len(out):
            raise _Unreadable
        out[at + 1 : at + 1 + length] = pseudonym(bytes(out[at + 1 : at + 1 + length]), pseudonyms)
        at += 1 + length
    raise _Unreadable


def _record(out: bytearray, at: int, pseudonyms: Pseudonyms) -> int:
    at = _name(out, at, pseudonyms)
    if at + 10 > len(out):
        raise _Unreadable
    kind = int.from_bytes(out[at : at + 2], "big")
    start = at + 10
    end = start + int.from_bytes(out[at + 8 : start], "big")
    if end > len(out):
        raise _Unreadable
    size = end - start
    if (kind, size) in ((_A, 4), (_AAAA, 16)):
        out[start:end] = pseudonyms.address(bytes(out[start:end]))
    elif kind in _NAMED and size > _NAMED[kind]:
        _name(out, start + _NAMED[kind], pseudonyms)
    elif kind == _SOA:
        _name(out, _name(out, start, pseudonyms), pseudonyms)
    elif kind == _OPT:
        _empty_options(out, start, end)
    else:
        out[start:end] = bytes(size)
    return end


def _empty_options(out: bytearray, start: int, end: int) -> None:
    """Options of EDNS (RFC 6891): client subnets and cookies become padding of the same length (RFC 7830)."""
    while start + 4 <= end:
        length = int.from_bytes(out[start + 2 : start + 4], "big")
        out[start : start + 2] = b"\0\x0c"
        stop = min(start + 4 + length, end)
        out[start + 4 : stop] = bytes(stop - start - 4)
        start = stop
