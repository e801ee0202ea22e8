"""What can be wrong with bytes. Any other exception out of a dissector is a bug."""

from __future__ import annotations


class WireError(ValueError):
    """Bytes that do not follow the protocol."""


class Truncated(WireError):
    """The bytes end before the structure does."""


class Malformed(WireError):
    """The bytes are all there and still not this structure."""
