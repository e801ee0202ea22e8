"""The report, as types. Field names are those of the JSON contract; `analyzer.reports.json` writes them as they are.

Everything is frozen, printable and free of secrets: nothing in here can leak a key by being shown. The one exception
says so in its name: `Session.secrets`, filled only by `--show-secrets`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal

from dissectors.events import Direction, Fact, How, Status


class Certainty(StrEnum):
    """PROVEN follows from the protocol's own redundancy with a key in hand, or from public facts; INFERRED from shape,
    timing or silence; UNDETERMINED: more than one cause fits."""

    PROVEN = "proven"
    INFERRED = "inferred"
    UNDETERMINED = "undetermined"

    @property
    def rank(self) -> int:
        """0 for the weakest."""
        return ("undetermined", "inferred", "proven").index(self.value)


class Code(StrEnum):
    """The closed list of verdicts (contract, section 4)."""

    HEALTHY = "healthy"
    SERVER_KEY_MISMATCH = "server-key-mismatch"
    SERVER_KEY_ERASED = "server-key-erased"
    SERVER_SIGNATURE_MISMATCH = "server-signature-mismatch"
    DEVICE_KEY_MISMATCH = "device-key-mismatch"
    DEVICE_UNKNOWN = "device-unknown"
    DEVICE_KEY_CORRUPT = "device-key-corrupt"
    IDENTITY_REJECTED = "identity-rejected"
    SESSION_KEY_UNUSABLE = "session-key-unusable"
    NONCE_MISMATCH = "nonce-mismatch"
    NOT_THE_CLOUD = "not-the-cloud"
    NO_NONCE = "no-nonce"
    CLOSED_BEFORE_NONCE = "closed-before-nonce"
    NO_IDENTITY = "no-identity"
    NO_SESSION_KEY = "no-session-key"
    SESSION_KEY_TRUNCATED = "session-key-truncated"
    HELLO_UNANSWERED = "hello-unanswered"
    CONNECT_REFUSED = "connect-refused"
    CONNECT_UNANSWERED = "connect-unanswered"
    HANDSHAKE_REJECTED = "handshake-rejected"
    HANDSHAKE_STALLED = "handshake-stalled"
    PROFILE_MISMATCH = "profile-mismatch"
    RECORD_CORRUPT = "record-corrupt"
    SESSION_LOST = "session-lost"
    SESSION_DISPLACED = "session-displaced"
    SESSION_DROPPED = "session-dropped"
    SERVER_FAULT = "server-fault"
    CAPTURE_INCOMPLETE = "capture-incomplete"


class Outcome(StrEnum):
    """What came of trying a key on a stage."""

    PROVED = "proved"
    REFUTED = "refuted"
    NO_KEY = "no-key"
    NOT_REACHED = "not-reached"
    UNDECIDED = "undecided"


class Proof(StrEnum):
    """The redundancy an outcome rests on. PROVED and REFUTED never come with NONE."""

    NONE = "none"
    NONCE_ECHO = "nonce-echo"
    PADDING = "padding"
    RANGE = "range"
    SIGNATURE = "signature"
    HMAC = "hmac"
    MAC = "mac"
    PARSED = "parsed"
    FINGERPRINT = "fingerprint"
    BLANK_KEY = "blank-key"
    CHECKSUM = "checksum"


class Role(StrEnum):
    """What a key is in this story (contract, section 2)."""

    DEVICE_PRIVATE = "device-private"
    DEVICE_PUBLIC = "device-public"
    CLOUD_COPY = "cloud-copy"
    CLOUD_PRIVATE = "cloud-private"
    CLOUD_PUBLIC = "cloud-public"
    DEVICE_SERVER_KEY = "device-server-key"
    SESSION_SECRETS = "session-secrets"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address (as text) and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Device:
    """The device's side; ``id`` is 24 hex digits when known, ``id_source`` says how it is known."""

    address: str
    port: int
    id: str | None = None
    id_source: str | None = None
    #: How it was decided which side is the device: "content", "syn" or "port".
    role_source: str | None = None


@dataclass(frozen=True, slots=True)
class Cloud:
    """The cloud's side; ``host`` is the name it was looked up by, when that is in the capture."""

    address: str
    port: int
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the ladder. ``time`` is RFC 3339, ``offset_s`` counts from the session's start."""

    stage: str
    status: Status
    direction: Direction
    frames: tuple[int, ...] = ()
    time: str | None = None
    offset_s: float | None = None
    bytes: int = 0
    fields: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One key tried on one stage. ``key`` names a file (and role), never key material."""

    stage: str
    key: str
    outcome: Outcome
    proof: Proof = Proof.NONE
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One decrypted message (or one that would not decrypt, as type ``undecryptable``)."""

    direction: Direction
    frames: tuple[int, ...]
    time: str
    type: str
    summary: str
    offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Who ended it and how; ``after_s`` counts from the last payload before it."""

    by: Literal["device", "cloud", "network", "capture"]
    how: How
    frame: int | None = None
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One claim and the frames that show it."""

    text: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, in words and as commands."""

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause that the verdict names or leaves open, with what speaks for it and against it."""

    code: Code
    pro: tuple[Evidence, ...] = field(default=(), metadata={"json": "for"})
    con: tuple[Evidence, ...] = field(default=(), metadata={"json": "against"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one session.

    ``premises`` is what it takes on the word of the key folder, a log or an option, and the capture does not show: empty
    when nothing but the capture and mathematics is needed. ``evidence`` is the case for it; ``causes`` hold the case against
    it, and the cases for and against the alternatives, where there is something to say (absent from the JSON when not).
    """

    code: Code
    certainty: Certainty
    stage: str | None
    frames: tuple[int, ...]
    summary: str
    alternatives: tuple[Code, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    would_settle: tuple[str, ...] = ()
    remedy: tuple[Remedy, ...] = ()
    device_shows: tuple[str, ...] = ()
    premises: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """An addition to a verdict; ``code`` is stable kebab-case."""

    code: str
    certainty: Certainty
    summary: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """Everything said of one session.

    One that only a log tells has no frames (``first_frame`` 0). A device knows no time of day, so its times count from the
    device's start, as if that had been at 1970-01-01T00:00:00Z; a server does.
    """

    id: str
    transport: Literal["tcp", "udp"]
    protocol: Literal["lightssl", "dtls", "coap", "unknown"]
    stream: int | None
    filter: str
    device: Device
    cloud: Cloud
    first_frame: int
    last_frame: int
    start_time: str
    duration_s: float
    history: str
    stages: tuple[Stage, ...]
    attempts: tuple[Attempt, ...]
    messages: tuple[Message, ...]
    ending: Ending
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    #: Lines of the device's own log that belong to stages of this session.
    log: tuple[LogLine, ...] = ()
    #: What happened below the stages, in frame order; a report draws it between them.
    incidents: tuple[Incident, ...] = ()
    #: Where else the capture holds the same packets (the other side of a NAT, a mirrored port): the session is told once.
    #: Absent from the JSON when empty.
    also_seen: tuple[AlsoSeen, ...] = ()
    #: Only with `--show-secrets`: what decrypts this session. Absent from the JSON when empty.
    secrets: tuple[ShownSecret, ...] = ()

    @property
    def begins(self) -> str:
        """When it began, for people: the time, or (``+5:04.420``) how long after the device's start; a server's log may know
        neither."""
        if self.first_frame:
            return self.start_time
        if self.log and all(line.witness == "server" for line in self.log):
            return "time unknown" if self.start_time.startswith("1970-01-01") else self.start_time
        return since_start(self.start_time)


@dataclass(frozen=True, slots=True)
class AlsoSeen:
    """The same session under other addresses: its ends there, the frames (the first of them, ``count`` in all); ``capture``
    where that is another file of the ticket, with frames of its own (absent from the JSON when not)."""

    device: Endpoint
    cloud: Endpoint
    stream: int | None
    first_frame: int
    last_frame: int
    frames: tuple[int, ...]
    count: int
    capture: str = ""

    @property
    def ends(self) -> str:
        """Both ends, for people; and the file, where it is another."""
        return f"{self.device} → {self.cloud}" + (f" in {self.capture}" if self.capture else "")


def since_start(time: str) -> str:
    """A time that counts from a device's start (`Session`) for people: ``+5:04.420``, ``+26:00:00.000`` after a day and more."""
    found = re.fullmatch(r"1970-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{3})\d*Z", time)
    if found is None:
        return time
    month, day, hour, minute, second = map(int, found.groups()[:5])
    hours = (date(1970, month, day) - date(1970, 1, 1)).days * 24 + hour
    return f"+{f'{hours}:{minute:02d}' if hours else minute}:{second:02d}{found[6]}"


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A session secret that was asked for: what it is, and its value as other programs take it."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something below the stages: data sent again, bytes that are not in the capture, an ICMP error.

    ``bytes`` counts what a gap lacks; ``direction`` is that of the data concerned.
    """

    kind: Literal["retransmission", "gap", "cut", "icmp", "reset", "keepalive", "zero-window", "out-of-order"]
    direction: Direction
    frames: tuple[int, ...]
    offset_s: float | None = None
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log's line beside the stage it belongs to; ``time_ms`` is the device's own clock, since boot. A server's line has
    ``offset_s`` instead: seconds from the session's start, on the capture's clock."""

    file: str
    line: int
    time_ms: int | None
    stage: str | None
    text: str
    agrees: bool | None = None
    witness: Literal["device", "server"] = "device"
    offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """All attempts of one device, in time order."""

    device: str
    sessions: tuple[str, ...]
    attempts: int
    cadence_s: tuple[float, ...]
    summary: str
    #: True when no id or key ties the sessions together and only an address does.
    guess: bool = False
    #: Addresses it came from, in order of appearance.
    addresses: tuple[str, ...] = ()
    #: When the failures began that it ends with, as far as the capture goes back; None when it ends well.
    failing_since: str | None = None
    #: The last session that was good before a bad one, that bad one, and what both show differently, in words.
    last_good: str | None = None
    first_bad: str | None = None
    changed: tuple[str, ...] = ()
    #: How many failures in a row the last attempt is, by the firmware's ladder of waits: least and most (without
    #: the latter where there is no limit).
    failures_in_a_row: tuple[int, ...] = ()
    #: Seconds after which the next attempt would follow: shortest and longest.
    next_wait_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of the folder as the report names it."""

    file: str
    role: Role
    device_id: str | None
    kind: str
    bits: int | None
    fingerprint: str | None
    status: Literal["ok", "unusable"]
    problem: str | None = None
    #: How commands name the file. In no report: for what has to find it in a command again.
    reached: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class InputProblem:
    """Something that limits what can be said about a capture."""

    code: str
    message: str
    frame: int | None = None
    #: How many packets, where they are counted.
    packets: int | None = None


class TakenAs(StrEnum):
    """What a file of a ticket was taken for."""

    CAPTURE = "capture"
    KEY = "key"
    DEVICE_LOG = "device-log"
    SERVER_LOG = "server-log"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class TicketInput:
    """A file of the ticket, by its path in it, and what it was taken for."""

    path: str
    taken_as: TakenAs


@dataclass(frozen=True, slots=True)
class CaptureReport:
    """One capture file."""

    path: str
    sha256: str | None
    format: str | None
    status: Literal["ok", "partial", "failed"]
    problems: tuple[InputProblem, ...]
    packets: int
    bytes: int
    link_types: tuple[str, ...]
    first_time: str | None
    last_time: str | None
    sessions: tuple[Session, ...]
    stories: tuple[Story, ...] = ()
    #: What to do when there is no session to judge. Absent from the JSON when there is nothing to say.
    advice: tuple[Remedy, ...] = ()
    #: For a capture of a ticket: the ticket's files. Absent from the JSON for any other.
    inputs: tuple[TicketInput, ...] = ()
    #: The further files that were read with it: they go on from it (a ring buffer's), or hold nothing but its sessions at
    #: another place. Absent when there is none.
    joined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """Who made the report."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all captures."""

    captures: int
    sessions: int
    verdicts: Mapping[str, int]


#: What `CaptureReport.format` says of a report that comes from a device's log.
LOG_FORMAT = "device-log"
#: The same for a server's.
SERVER_LOG_FORMAT = "server-log"
#: The name of the report's JSON form, and of the program that writes it.
SCHEMA_NAME = "handshake-report/1"
TOOL_NAME = "particle-handshake-analyzer"


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report; ``schema`` names its JSON form."""

    schema: str
    tool: Tool
    keys: tuple[KeyRow, ...]
    captures: tuple[CaptureReport, ...]
    totals: Totals
    #: Devices that more than one capture shows; ``sessions`` are then PATH#ID.
    stories: tuple[Story, ...] = ()
    #: The report holds session secrets, as was asked for. Absent from the JSON when false.
    secrets_shown: bool = False
