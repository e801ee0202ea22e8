"""Seeded mutation: the same seed gives the same inputs, so a finding can be made again."""

from __future__ import annotations

import random

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
