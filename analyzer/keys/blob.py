"""A run of bytes that should hold one key, cut out of whatever file it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from analyzer.keys.key import KeyFinding, Transport
from analyzer.model import Role

Encoding = Literal["pem", "der", "hex", "base64", "log", "flash", "text"]
ERASED = 0xFF


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes and what their container says of them.

    ``role`` and ``transport`` are set where the place itself decides (a slot of a flash image, a labelled log line);
    ``whole`` is False when the container cut them off; ``protected`` is PEM text that needs a passphrase.
    """

    data: bytes = field(repr=False)
    encoding: Encoding = "der"
    part: str = ""
    #: Where in the file these bytes begin, for a slot of an image.
    offset: int | None = None
    role: Role | None = None
    device_id: str | None = None
    transport: Transport | None = None
    whole: bool = True
    protected: bytes | None = field(default=None, repr=False)
    #: Set where the container already knows that there is no key.
    problem: str | None = None
    findings: tuple[KeyFinding, ...] = ()

    @property
    def raw(self) -> bool:
        """Whether these are bytes as they lie in a device, not a rewriting of them."""
        return self.encoding not in ("pem", "text")


def is_erased(data: bytes) -> bool:
    """Blank flash: every byte 0xFF."""
    return bool(data) and data.count(ERASED) == len(data)


def is_zeroed(data: bytes) -> bool:
    """Every byte 0x00."""
    return bool(data) and data.count(0) == len(data)
