"""Finding the private key that opens a ciphertext when nothing on the wire names its owner.

How it works. Each key is asked in the cheapest order: the ciphertext's length against the modulus's, its value against
the modulus, then one decryption by OpenSSL whose answer's *length* is looked at (a wrong key gives junk of a random
length, the wanted one once in about a hundred tries). Only what passes is handed out, to be looked at exactly
(:meth:`RsaKey.raw_private` and the padding), which costs ten times as much. OpenSSL works outside Python's lock, so
threads keep all cores busy; keys come out in the order they went in.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from analyzer.keys.key import Key

#: Below this many keys threads cost more than they bring.
_ALONE: Final = 256
_CHUNK: Final = 128


def may_open(
    keys: Sequence[Key], ciphertext: bytes, lengths: Collection[int], *, jobs: int | None = None
) -> Iterator[Key]:
    """Those of ``keys`` (private RSA, in their order) that may hold a message of one of ``lengths`` bytes in ``ciphertext``.

    Every key that opens it is among them; nearly all others are not, and damaged keys always are. ``jobs`` threads work
    ahead of the caller (default: one per core), who may stop at any time.
    """
    workers = jobs if jobs is not None else os.cpu_count() or 1
    if workers <= 1 or len(keys) <= _ALONE:
        yield from _pass(keys, ciphertext, lengths)
        return
    from concurrent.futures import ThreadPoolExecutor

    chunks = [keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_pass, chunk, ciphertext, lengths) for chunk in chunks[:workers]]
        try:
            for index in range(len(chunks)):
                passed = waiting.pop(0).result()
                if index + workers < len(chunks):
                    waiting.append(pool.submit(_pass, chunks[index + workers], ciphertext, lengths))
                yield from passed
        finally:
            for future in waiting:
                future.cancel()


def _pass(keys: Sequence[Key], ciphertext: bytes, lengths: Collection[int]) -> list[Key]:
    return [
        key for key in keys if key.rsa is not None and key.rsa.has_private and key.rsa.may_open(ciphertext, lengths)
    ]
