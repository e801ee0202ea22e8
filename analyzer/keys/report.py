"""The types of a key report: one row per device, what was compared, what is wrong. Free of secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from analyzer.keys.key import FileFinding, Key, ServerAddress
from analyzer.keys.ring import Skipped

RowTransport = Literal["tcp", "udp", "unknown"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two things that should belong together. ``text`` is the verdict in words; ``fits`` None: not enough in hand.

    ``code`` is that of the finding that says the same, with what to do about it. One that fits or not, nobody knows, and
    yet has a code is a doubt: a person should look at it.
    """

    left: str
    right: str
    fits: bool | None
    text: str
    code: str = ""

    @property
    def doubtful(self) -> bool:
        """Whether this may be wrong, and the folder cannot tell."""
        return self.fits is None and bool(self.code)


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """Everything in hand about one device on one transport. The first key of a role is the one that counts."""

    id: str
    transport: RowTransport
    private: tuple[Key, ...]
    public: tuple[Key, ...]
    cloud_copy: tuple[Key, ...]
    server_key: tuple[Key, ...]
    address: ServerAddress | None
    #: SHA-256 of the public half the device has, as far as anything in hand tells.
    own_fingerprint: str | None
    pairs: tuple[Pair, ...]
    verdict: str
    #: Whether something in this row keeps the device from connecting.
    bad: bool

    @property
    def doubtful(self) -> bool:
        """Whether something in this row may be wrong, and the folder cannot tell."""
        return not self.bad and any(pair.doubtful for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class KeysReport:
    """What is in a key folder."""

    keys: tuple[Key, ...]
    skipped: tuple[Skipped, ...]
    devices: tuple[DeviceKeys, ...]
    findings: tuple[FileFinding, ...] = field(default=())

    @property
    def troubled(self) -> bool:
        """Whether a file is unusable or two halves disagree (exit status 1)."""
        unusable = any(key.status == "unusable" and key.whole for key in self.keys)
        return unusable or any(device.bad for device in self.devices) or self.errors > 0

    @property
    def errors(self) -> int:
        """Findings that keep something from working."""
        return sum(found.finding.severity == "error" for found in self.findings)
