"""What comes back from a worker for one capture: its report as stored, and the columns that questions are asked of."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import astuple, dataclass, fields, replace
from ipaddress import ip_address, ip_network
from typing import Literal, NamedTuple

from analyzer.keys import KeyRing
from analyzer.model import CaptureReport, InputProblem, KeyRow, Session
from analyzer.reports.json import compact

#: Deflated JSON; the name because a field of :class:`Answer` is called ``bytes``.
Blob = bytes
#: How every stored report begins: its path is that of the capture, which can be in several places.
_HEAD = '{"path": ""'
#: Why a capture was given up: its limit of seconds or of megabytes, or a worker that died of it.
Stopped = Literal["time", "memory", "crash", "unreadable"]


class Known(NamedTuple):
    """What a result is known by in a run: SHA-256 of the content, and of keys that are not the run's (32 bytes, or none)."""

    content: bytes
    keys: bytes = b""

    @property
    def sha256(self) -> str:
        """The content's digest as the store has it."""
        return self.content.hex()

    @property
    def own_keys(self) -> str | None:
        """The fingerprint of the capture's own keys as the store has it; None where they are the run's."""
        return self.keys.hex() or None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session as columns; the names are those of the store's table."""

    number: int
    device: str
    device_id: str | None
    id_source: str | None
    device_address: str
    network: str
    transport: str
    protocol: str
    cloud_address: str
    cloud_port: int
    cloud_host: str | None
    stored_server: str | None
    start_time: str
    duration_s: float
    verdict: str
    certainty: str
    stage: str | None
    summary: str
    history: str
    ended_by: str
    ended_how: str
    family: str | None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding of a session as columns."""

    number: int
    code: str
    certainty: str
    summary: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The result for one capture. ``report`` is its JSON object, deflated, with an empty path.

    ``stopped`` says that the result is the fault of a circumstance, not of the capture's bytes; ``limit`` is the limit
    (seconds or megabytes) it was stopped at. ``uses`` are the questions the analysis asked of the keys.
    """

    path: str
    sha256: str | None
    status: str
    reason: str | None
    format: str | None
    packets: int
    bytes: int
    first_time: str | None
    last_time: str | None
    report: Blob
    sessions: tuple[SessionRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    stopped: Stopped | None = None
    limit: float | None = None
    uses: Blob = b""
    #: Fingerprint and rows of the keys, where the capture has keys of its own; None: those of the run.
    keys: str | None = None
    key_rows: tuple[KeyRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The capture at ``path`` has this content, whose result is in the store already."""

    path: str
    sha256: str
    keys: str | None = None


#: ``uses`` of a result that rests on no key at all.
NOTHING_ASKED = zlib.compress(b"{}")
SESSION_COLUMNS = tuple(field.name for field in fields(SessionRow))
FINDING_COLUMNS = tuple(field.name for field in fields(FindingRow))


def answer_of(
    report: CaptureReport,
    ring: KeyRing,
    *,
    sha256: str | None = None,
    stopped: Stopped | None = None,
    limit: float | None = None,
) -> Answer:
    """The answer that holds ``report``; ``ring`` tells where each device is supposed to go."""
    text = compact(replace(report, path=""))
    return Answer(
        path=report.path,
        sha256=report.sha256 or sha256,
        status=report.status,
        reason="; ".join(problem.message for problem in report.problems) or None,
        format=report.format,
        packets=report.packets,
        bytes=report.bytes,
        first_time=report.first_time,
        last_time=report.last_time,
        report=zlib.compress(text.encode("ascii"), 6),
        sessions=tuple(_row(number, session, ring) for number, session in enumerate(report.sessions, 1)),
        findings=tuple(
            FindingRow(number, finding.code, finding.certainty.value, finding.summary)
            for number, session in enumerate(report.sessions, 1)
            for finding in session.findings
        ),
        stopped=stopped,
        limit=limit,
    )


def given_up(
    path: str,
    code: str,
    message: str,
    *,
    known: Known | None = None,
    stopped: Stopped | None = None,
    limit: float | None = None,
) -> Answer:
    """The row of a capture that gave no report, with its reason."""
    report = CaptureReport(
        path=path,
        sha256=known.sha256 if known else None,
        format=None,
        status="failed",
        problems=(InputProblem(code, message),),
        packets=0,
        bytes=0,
        link_types=(),
        first_time=None,
        last_time=None,
        sessions=(),
    )
    answer = replace(answer_of(report, KeyRing(), stopped=stopped, limit=limit), keys=known.own_keys if known else None)
    # What is no capture is none with any keys; a defect of ours may well depend on them.
    return answer if stopped or code != "unreadable" else replace(answer, uses=NOTHING_ASKED)


def capture_json(path: str, report: bytes) -> str:
    """The stored report as one line of JSON, with the path put in. Raises ValueError when it is not one of ours."""
    text = zlib.decompress(report).decode("ascii")
    if not text.startswith(_HEAD):
        raise ValueError("not a stored report")
    return f'{{"path": {json.dumps(path)}{text[len(_HEAD) :]}'


def network_of(address: str) -> str:
    """The access network an address stands for: its /24, or /64 for IPv6; the text itself when it is no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 24 if parsed.version == 4 else 64), strict=False))


def family_of(summary: str) -> str:
    """The name of the family in a ``firmware-family`` finding, without how it is known and what else is."""
    return re.split(r":| \(|; ", summary, maxsplit=1)[0]


def _row(number: int, session: Session, ring: KeyRing) -> SessionRow:
    device, cloud, verdict = session.device, session.cloud, session.verdict
    stored = ring.server_address_for(device.id, session.transport) if device.id else None
    told = next((finding.summary for finding in session.findings if finding.code == "firmware-family"), None)
    return SessionRow(
        number=number,
        device=device.id or device.address,
        device_id=device.id,
        id_source=device.id_source,
        device_address=device.address,
        network=network_of(device.address),
        transport=session.transport,
        protocol=session.protocol,
        cloud_address=cloud.address,
        cloud_port=cloud.port,
        cloud_host=cloud.host,
        stored_server=str(stored) if stored is not None else None,
        start_time=session.start_time,
        duration_s=session.duration_s,
        verdict=verdict.code.value,
        certainty=verdict.certainty.value,
        stage=verdict.stage,
        summary=verdict.summary,
        history=session.history,
        ended_by=session.ending.by,
        ended_how=session.ending.how.value,
        family=family_of(told) if told else None,
    )


def cells(row: SessionRow | FindingRow) -> tuple[object, ...]:
    """The row's values in the order of its columns."""
    return astuple(row)
