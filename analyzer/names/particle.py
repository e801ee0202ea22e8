"""Names that only a device of Particle's own cloud asks for, and what they say of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Names a device of Particle's own cloud asks for (tcp.md 6, dtls.md 6.3): id and firmware major are in some of them.
_PARTICLE = re.compile(
    r"(?:(?P<id>[0-9a-f]{24})(?:\.v(?P<major>\d{1,2}))?\.(?:udp|udp-mesh)\.particle\.io"
    r"|(?:device\.spark\.io|device\.tcp\.particle\.io|(?:udp|udp-mesh)\.particle\.io))\.?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ParticleName:
    """What one of Particle's own names says of the device that asks for it."""

    device_id: str | None
    major: int | None


def particle_name(name: str) -> ParticleName | None:
    """The device id and firmware major in a Particle cloud name; None for any other name."""
    match = _PARTICLE.fullmatch(name)
    if match is None:
        return None
    device_id, major = match["id"], match["major"]
    return ParticleName(device_id.lower() if device_id else None, int(major) if major else None)
