"""Seeded mutation: the same seed gives the same inputs, so a finding can be made again."""

from __future__ import annotations

import random
import struct

_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """``data`` after one to eight random changes; ``other`` is a second seed to splice with."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        kind = rng.randrange(9)
        at = rng.randrange(len(found) + 1)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1 and found:
            found[at % len(found)] = rng.randrange(256)
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            del found[at : at + rng.randrange(1, 64)]
        elif kind == 4:
            found[at:at] = rng.randbytes(rng.randrange(1, 32))
        elif kind == 5:
            size = rng.choice((1, 2, 4))
            value = rng.choice(_INTERESTING) & ((1 << 8 * size) - 1)
            found[at : at + size] = value.to_bytes(size, rng.choice(("big", "little")))
        elif kind == 6:
            start = rng.randrange(len(other) + 1)
            found[at : at + rng.randrange(128)] = other[start : start + rng.randrange(128)]
        elif kind == 7:
            found[at:at] = found[at : at + rng.randrange(1, 64)] * rng.randrange(1, 6)
        else:
            found[at : at + 8] = bytes(rng.choice((0, 0xFF)) for _ in range(8))
    return bytes(found[:200_000])


def shuffled(data: bytes, rng: random.Random) -> bytes:
    """A pcap file (little-endian) whose packets were lost, repeated, reordered, cut short or put off: no byte is changed,
    so every checksum that can be checked still fits. Any other file comes back mutated."""
    records = _records(data)
    if not records:
        return mutated(data, data, rng)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(records)) if records else 0
        kind = rng.randrange(6)
        if not records:
            break
        if kind == 0:
            del records[at]
        elif kind == 1:
            del records[at : at + rng.randrange(1, 8)]
        elif kind == 2:
            records.insert(rng.randrange(len(records) + 1), records[at])
        elif kind == 3:
            records.insert(rng.randrange(len(records)), records.pop(at))
        elif kind == 4:
            head, body = records[at]
            kept = rng.randrange(len(body) + 1)
            records[at] = (head[:8] + struct.pack("<I", kept) + head[12:], body[:kept])
        else:
            head, body = records[at]
            seconds = (int.from_bytes(head[:4], "little") + rng.choice((-3600, -2, -1, 1, 2, 30, 3600))) & 0xFFFFFFFF
            records[at] = (struct.pack("<I", seconds) + head[4:], body)
    return data[:24] + b"".join(head + body for head, body in records)


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Header and bytes of each record of an undamaged little-endian pcap; empty for anything else."""
    if data[:4] not in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        return []
    found, at = [], 24
    while at + 16 <= len(data):
        size = int.from_bytes(data[at + 8 : at + 12], "little")
        found.append((data[at : at + 16], data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found
