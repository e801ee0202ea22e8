"""The RSA/AES session over TCP ("lightssl", port 5683): framing, handshake, keys, records."""

from dissectors.lightssl.handshake import LightSsl
from dissectors.lightssl.stages import STAGES, Stage

__all__ = ["STAGES", "LightSsl", "Stage"]
