"""What a device's log says, as types: events, attempts, the log. No secret is kept in any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from analyzer.firmware.lines import LineKind
from analyzer.model import Finding

Outcome = Literal["connected", "failed", "unfinished"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line that is known. ``time_ms`` is the device's clock since boot ``boot`` (counted from 0); ``number`` is the
    number in the line, signed; ``text`` is the message without its prefix, without secrets, at most 200 characters."""

    line: int
    time_ms: int | None
    boot: int
    kind: LineKind
    stage: str | None
    text: str
    number: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    spaces: tuple[str, ...] = ()
    family: str | None = None
    transport: str | None = None


@dataclass(frozen=True, slots=True)
class LogAttempt:
    """One attempt to reach the cloud, from "Cloud: connecting" (or what stands in its place) to the next.

    ``address_type`` is 0 for a stored IP address, 1 for a name, 255 for none.
    """

    index: int
    boot: int
    events: tuple[LogEvent, ...]
    outcome: Outcome
    device_id: str | None = None
    transport: Literal["tcp", "udp"] | None = None
    family: str | None = None
    host: str | None = None
    address: str | None = None
    port: int | None = None
    address_type: int | None = None

    @property
    def anchor_ms(self) -> int | None:
        """The device's clock at the instant that a capture shows best: the nonce's arrival (TCP); failing that, when the
        connection stood; when it was never made, when the device set out for it."""
        failed = any(e.stage == "connect" and e.kind is LineKind.FAILED for e in self.events)
        for stage in ("nonce", "connect"):
            at = self.time_of(stage)
            if at is not None and not failed:
                return at
        known = [e.time_ms for e in self.events if e.stage == "name-resolution" or e.kind is LineKind.ADDRESS]
        return known[-1] if known else self.events[0].time_ms

    @property
    def address_lost(self) -> bool:
        """The stored server address is erased."""
        return self.address_type not in (None, 0, 1)

    @property
    def resumed(self) -> bool:
        """A stored DTLS session went on instead of a handshake."""
        return any(
            e.stage == "resumed" or (e.kind is LineKind.SESSION and "restoreStatus=0" in e.text) for e in self.events
        )

    @property
    def resent(self) -> bool:
        """A message went out again and again, nothing came back, and no line says how it ended."""
        failed = (LineKind.FAILED, LineKind.RESULT, LineKind.CONNECTED)
        return (
            self.outcome == "failed"
            and not any(e.kind in failed for e in self.events)
            and any(e.kind is LineKind.SENT for e in self.events)
        )

    @property
    def first_line(self) -> int:
        """The number of its first line in the file, from 1."""
        return self.events[0].line

    @property
    def last_line(self) -> int:
        """The number of its last line in the file."""
        return self.events[-1].line

    def time_of(self, stage: str, kind: LineKind = LineKind.REACHED) -> int | None:
        """The device's clock when a stage was reached (or failed, waited for), or None."""
        return next((e.time_ms for e in self.events if e.stage == stage and e.kind is kind), None)

    def reached(self, stage: str) -> bool:
        """Whether a line says that this stage was reached."""
        return any(e.stage == stage and e.kind in (LineKind.REACHED, LineKind.CONNECTED) for e in self.events)

    def failure(self) -> LogEvent | None:
        """The line that says most about why it failed: a stage that failed, else the result, else how it was lost."""
        for kind in (LineKind.FAILED, LineKind.RESULT, LineKind.LOST):
            found = next((e for e in self.events if e.kind is kind), None)
            if found:
                return found
        return None


@dataclass(frozen=True, slots=True)
class DeviceLog:
    """A device's log. ``lines`` counts all lines read, known or not; ``cut`` says in words why not all of it was read
    (a limit, damaged gzip data). ``bytes`` and ``sha256`` are those of the input as stored."""

    name: str
    events: tuple[LogEvent, ...]
    attempts: tuple[LogAttempt, ...]
    device_ids: tuple[str, ...] = ()
    family: str | None = None
    version: str | None = None
    platform: str | None = None
    boots: int = 1
    lines: int = 0
    cut: str | None = None
    bytes: int = 0
    sha256: str | None = None
    findings: tuple[Finding, ...] = ()
    #: Other lines (number, text) that may speak of an LED or an error number: for a log without an attempt.
    loose: tuple[tuple[int, str], ...] = ()

    @property
    def device_id(self) -> str | None:
        """The one device this log is of; None when it names none or several."""
        return self.device_ids[0] if len(self.device_ids) == 1 else None
