"""Captures on which a worker fails in a way of its own: by their name, inside the worker, after their content is known."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.keys import KeyRing


class Odd:
    """In the place of :class:`~analyzer.fleet.tickets.Tickets`: asked for the keys of each capture, it fails as named."""

    def ring(self, path: str) -> KeyRing:
        match Path(path).stem:
            case "defect":
                raise ZeroDivisionError("a secret may be in here")
            case "large":
                bytearray(4 << 30)  # not touched, so not resident: the parent cannot see it coming
            case "refused":
                raise MemoryError
            case "leaves":
                os._exit(7)
        return KeyRing()
