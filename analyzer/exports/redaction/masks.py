"""Bytes of other protocols, made unreadable with the fault kept: what is not a Particle cloud must still be seen as that.

Text keeps its punctuation and loses its letters and digits; binary data keeps a short head and becomes pseudorandom. How
much of the head has to stay is found by asking the detector: as little as still gives the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from analyzer.exports.redaction.pseudonyms import Pseudonyms
from dissectors.detect import foreign, looks_random, printable_share

#: Bytes that may stay in clear at the start: a status line, a version, a record header.
_HEADS = (0, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64)
#: Least for what carries a status worth reading: "HTTP/1.1 302", a TLS alert.
_LEAST = {"http": 12, "tls": 7, "ssh": 8}
_TEXT = 0.85
_RUNS = re.compile(rb"[ -~]{6,}")
_TEXT_LENGTH = 40
_LETTERS = bytes.maketrans(
    bytes(range(256)),
    bytes(
        ord("x") if chr(b).islower() else ord("X") if chr(b).isupper() else ord("0") if chr(b).isdigit() else b
        for b in range(128)
    )
    + b"x" * 128,
)


def masked_text(data: bytes) -> bytes:
    """Text without what it says: letters become x, digits 0."""
    return data.translate(_LETTERS)


def is_text(data: bytes) -> bool:
    """Whether these bytes are text that somebody could read; of so many random ones less than one in 10^8 passes."""
    return len(data) >= _TEXT_LENGTH and printable_share(data) >= _TEXT


@dataclass(frozen=True, slots=True)
class Disguise:
    """How one direction of a conversation is masked, byte by byte, so that segments may cut it anywhere."""

    keep: int
    mask: Callable[[int, bytes], bytes] = field(repr=False)

    def __call__(self, offset: int, data: bytes) -> bytes:
        """``data``, which is at ``offset`` of the direction, masked."""
        clear = data[: max(0, self.keep - offset)]
        return clear + self.mask(offset + len(clear), data[len(clear) :])


def disguise(head: bytes, pseudonyms: Pseudonyms) -> Disguise | None:
    """The mask for a direction that begins with ``head``; None when that may be this protocol and stays as it is."""
    answer = foreign(head)
    if answer is None:
        return None
    mask = _mask(head, answer.kind, pseudonyms)
    tried = Disguise(_HEADS[-1], mask)
    for keep in _HEADS:
        if keep < _LEAST.get(answer.kind, 0):
            continue
        tried = Disguise(keep, mask)
        after = tried(0, head)
        found = foreign(after)
        if found is not None and found.kind == answer.kind and looks_random(after) == looks_random(head):
            break
    return tried


def _mask(head: bytes, kind: str, pseudonyms: Pseudonyms) -> Callable[[int, bytes], bytes]:
    if printable_share(head) >= _TEXT:
        return lambda offset, data: masked_text(data)
    if kind == "pattern":
        # It may be a nonce from a bad generator, which the device echoes: only what can be read goes.
        return lambda offset, data: _RUNS.sub(lambda run: masked_text(run[0]), data)
    seed = head[:64]
    return lambda offset, data: _stream(pseudonyms, seed, offset, len(data))


def _stream(pseudonyms: Pseudonyms, seed: bytes, offset: int, length: int) -> bytes:
    """Bytes ``offset`` .. of an endless pseudorandom string."""
    first, last = offset // 32, (offset + length + 31) // 32
    blocks = b"".join(pseudonyms.derived("binary", n.to_bytes(8, "big") + seed, 32) for n in range(first, last))
    return blocks[offset - 32 * first :][:length]
