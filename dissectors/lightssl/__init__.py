"""The RSA/AES session over TCP ("lightssl", port 5683): framing, handshake, keys, records."""

from dissectors.lightssl.handshake import LightSsl
from dissectors.lightssl.stages import STAGES, Stage
from dissectors.lightssl.transcript import contiguous

__all__ = ["STAGES", "LightSsl", "Stage", "contiguous"]
