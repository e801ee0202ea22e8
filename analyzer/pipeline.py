"""From a capture file to its report: read, group, dissect, decrypt, compare sessions with each other, judge, write down.

How it works. Packets stream through; a conversation is dissected and decrypted as soon as it ends, and only what the
rules need is kept of it. Verdicts come last, because one session is evidence about another.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from shlex import split
from typing import TYPE_CHECKING, BinaryIO

from analyzer import __version__, conversations, limits
from analyzer.capture import Capture, open_capture, records
from analyzer.case import Case
from analyzer.conversations import TcpConversation, UdpConversation
from analyzer.conversations.model import Conversation
from analyzer.copies import each_flow, once, sound
from analyzer.errors import InputError
from analyzer.examination import Examination
from analyzer.examine import resolve
from analyzer.judging import in_context, judged
from analyzer.keys import KeyRing
from analyzer.keys.folder import merged
from analyzer.limits import Limits, Watch
from analyzer.model import (
    SCHEMA_NAME,
    TOOL_NAME,
    CaptureReport,
    InputProblem,
    KeyRow,
    Remedy,
    Report,
    Session,
    Tool,
    Totals,
)
from analyzer.names import NameLog
from analyzer.packet import Problem
from analyzer.stories import stories_across, tell
from analyzer.tickets.ticket import Ticket
from analyzer.times import rfc3339
from analyzer.unreached import advice, lonely_tests, silent_devices, stored_hosts, unreached

if TYPE_CHECKING:
    from analyzer.capture.tshark_reader import TsharkCapture
    from analyzer.sides import Opening

#: Captures of a ticket that are compared with each other: bytes of all of them.
_COMPARED = 256 << 20
#: A capture of so many bytes may hold sessions enough for helpers.
_MANY_SESSIONS = 64 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may be told. ``ports`` are further (transport, port) hints; content decides."""

    ports: tuple[tuple[str, int], ...] = ()
    engine: str = "auto"
    logs: tuple[Path, ...] = field(default=())
    #: Processes for one big capture; None: one for each core.
    jobs: int | None = None
    #: None: the environment's (`analyzer.limits`).
    limits: Limits | None = None
    #: Put what decrypts a session into its row.
    show_secrets: bool = False


def analyze_paths(paths: Iterable[str], ring: KeyRing, options: Options = Options()) -> Report:  # noqa: B008 - frozen
    """Analyse captures in order. A capture that cannot be read is a row with its reason, never the end of the run."""
    if not options.logs:
        return report_of([_one(path, ring, options) for path in paths], ring)
    from analyzer.logged import with_logs
    from analyzer.witnesses import read_logs

    logs = read_logs(options.logs)
    options = replace(options, logs=())
    return report_of(with_logs([_one(path, ring, options) for path in paths], logs, ring), ring)


def analyze_inputs(inputs: Iterable[str | Ticket], ring: KeyRing, options: Options = Options()) -> Report:  # noqa: B008
    """Captures and tickets in order. A ticket's keys and logs are for its captures; ``ring`` and ``options`` come on top."""
    inputs = tuple(inputs)
    if not any(isinstance(item, Ticket) for item in inputs):
        return analyze_paths([str(item) for item in inputs], ring, options)
    captures: list[CaptureReport] = []
    keys: dict[KeyRow, None] = dict.fromkeys(ring.rows())
    alone = sum(isinstance(item, Ticket) for item in inputs) == 1
    for item in inputs:
        if isinstance(item, str):
            captures += analyze_paths([item], ring, options).captures
            continue
        both = merged(ring, item.ring, "ticket") if ring.keys else item.ring
        captures += _of_ticket(item, both, options)
        rows = both.rows() if ring.keys else item.ring.rows()
        keys.update(dict.fromkeys(rows if alone else (replace(row, file=f"{item.place}/{row.file}") for row in rows)))
    return replace(report_of(captures, ring), keys=tuple(keys))


def _of_ticket(ticket: Ticket, ring: KeyRing, options: Options) -> tuple[CaptureReport, ...]:
    from analyzer.logged import log_reports, with_logs
    from analyzer.sides import Taken, joined
    from analyzer.witnesses import read_logs

    logs = ticket.logs + read_logs(options.logs)
    told = replace(options, logs=())
    if not ticket.captures:
        return log_reports(logs, ring)
    small = sum(item.size for capture in ticket.captures for item in capture.files) <= _COMPARED
    taken = []
    for capture in ticket.captures:
        report, cases = _with_cases(capture.name, ring, told, capture.source)
        report = replace(report, inputs=ticket.inputs, joined=capture.joined)
        taken.append(Taken(report, capture.source, cases if small else []))
    captures = with_logs(joined(taken, _Again(ring, told)), logs, ring)
    return tuple(_unpacked_first(capture, ticket) for capture in captures) if ticket.packed else tuple(captures)


def _unpacked_first(capture: CaptureReport, ticket: Ticket) -> CaptureReport:
    """With a step before commands that read files of an archive: they are not there until it is unpacked."""
    names = {key.reached for key in ticket.ring.keys}
    text = f"The key files named here are inside {Path(ticket.place).name}: unpack it first, and type the commands in the folder it makes."

    def of(session: Session) -> Session:
        words = {word for step in session.verdict.remedy for command in step.commands for word in split(command)}
        if names.isdisjoint(words):
            return session
        return replace(session, verdict=replace(session.verdict, remedy=(Remedy(text), *session.verdict.remedy)))

    return replace(capture, sessions=tuple(map(of, capture.sessions)))


def analyze_logs(paths: Iterable[Path], ring: KeyRing) -> Report:
    """Logs of devices and servers without any capture. Raises InputError for one that cannot be opened."""
    from analyzer.logged import log_reports
    from analyzer.witnesses import read_logs

    return report_of(log_reports(read_logs(paths), ring), ring)


def report_of(captures: Iterable[CaptureReport], ring: KeyRing) -> Report:
    """The whole report around these captures."""
    captures = tuple(captures)
    counts = Counter(session.verdict.code.value for capture in captures for session in capture.sessions)
    rows: tuple[KeyRow, ...] = ring.rows()
    return Report(
        schema=SCHEMA_NAME,
        tool=Tool(TOOL_NAME, __version__),
        keys=rows,
        captures=captures,
        totals=Totals(len(captures), sum(counts.values()), dict(sorted(counts.items()))),
        stories=stories_across(captures) if len(captures) > 1 else (),
        secrets_shown=any(session.secrets for capture in captures for session in capture.sessions),
    )


def _one(
    path: str, ring: KeyRing, options: Options, opened: Callable[[], Path | BinaryIO] | None = None
) -> CaptureReport:
    """The report on one capture, whatever becomes of it; ``opened`` gives what to read where ``path`` is only its name."""
    return _with_cases(path, ring, options, opened)[0]


def _with_cases(
    path: str, ring: KeyRing, options: Options, opened: Callable[[], Path | BinaryIO] | None = None
) -> tuple[CaptureReport, list[Case]]:
    try:
        source = opened() if opened is not None else sys.stdin.buffer if path == "-" else Path(path)
        return examined(source, ring, options, name=path)
    except InputError as error:
        problem = error.problem + (f" ({error.hint})" if error.hint else "")
        failed = CaptureReport(
            path=path,
            sha256=None,
            format=None,
            status="failed",
            problems=(InputProblem("unreadable", problem),),
            packets=0,
            bytes=0,
            link_types=(),
            first_time=None,
            last_time=None,
            sessions=(),
        )
        return failed, []


def analyze_capture(
    source: Path | BinaryIO, ring: KeyRing, options: Options = Options(), *, name: str | None = None
) -> CaptureReport:  # noqa: B008
    """One capture, with the logs of ``options``. Raises InputError for a file that is no capture at all and for a log
    that cannot be opened; a damaged capture is used as far as it goes."""
    return examined(source, ring, options, name=name)[0]


def examined(
    source: Path | BinaryIO,
    ring: KeyRing,
    options: Options = Options(),
    *,
    name: str | None = None,  # noqa: B008
    further: Sequence[Conversation] = (),
) -> tuple[CaptureReport, list[Case]]:
    """`analyze_capture`, and the cases behind its sessions: for exports, which need what no report holds.

    ``further``: conversations of another capture, used where they are copies of this one's (`analyzer.sides`).
    """
    path = name if name is not None else str(source)
    allowed = options.limits or Limits.from_environment()
    capture = _opened(source, path, options, allowed.of_capture(Watch(allowed).over))
    names = NameLog()
    cases, problems = _cases(capture, ring, options, names, allowed, further)
    lookups = names.lookups({ip_address(case.device.address).packed for case in cases}, stored_hosts(ring))
    resolve(cases, lookups)
    cases += unreached(cases, lookups, ring, capture.last_ns or 0)
    cases.sort(key=lambda case: (case.first_frame, case.last_frame))
    if (
        options.engine == "auto"
        and isinstance(source, Path)
        and not further
        and any(item.code == "unsupported-link-type" for item in capture.problems)
    ):
        again = _by_tshark(source, ring, options, path)
        if again is not None:
            return again
    digits = capture.digits
    context = in_context(
        cases, ring.with_secrets(capture.secrets), capture.last_ns or 0, names.probes(), capture.joints
    )
    sessions, too_much = limits.trimmed(judged(cases, context, digits, jobs=options.jobs), allowed)
    problems = [*capture.problems, *problems, *limits.of_cases(cases), *too_much]
    if options.show_secrets:
        sessions = _with_secrets(sessions, cases)
    first, last = capture.first_ns, capture.last_ns
    lonely = lonely_tests(cases, names.probes())
    why = () if sessions else (*lonely, *silent_devices(ring))
    report = CaptureReport(
        path=path,
        sha256=capture.sha256,
        format=capture.format,
        status="partial" if _left_out(problems, any(sessions)) else capture.status,
        problems=(
            *(InputProblem(problem.code, problem.message, problem.frame, problem.packets) for problem in problems),
            *(why or lonely),
        ),
        packets=capture.packets,
        bytes=capture.bytes,
        link_types=tuple(capture.link_types),
        first_time=rfc3339(first, digits) if first is not None else None,
        last_time=rfc3339(last, digits) if last is not None else None,
        sessions=sessions,
        stories=tell(sessions),
        advice=advice(why, ring),
    )
    if options.logs:
        from analyzer.logged import with_logs
        from analyzer.witnesses import read_logs

        report = with_logs([report], read_logs(options.logs), ring)[0]
    return report, cases


def _by_tshark(source: Path, ring: KeyRing, options: Options, name: str) -> tuple[CaptureReport, list[Case]] | None:
    """The same with `--engine tshark`, for link types that only Wireshark reads; None where it cannot."""
    from analyzer.capture.tshark_reader import available

    if not available():
        return None
    try:
        report, cases = examined(source, ring, replace(options, engine="tshark"), name=name)
    except InputError:
        return None
    told = InputProblem(
        "read-by-wireshark", f"packets of link type {', '.join(report.link_types)} are read by way of tshark"
    )
    return replace(report, problems=(told, *report.problems)), cases


def _with_secrets(sessions: tuple[Session, ...], cases: list[Case]) -> tuple[Session, ...]:
    from analyzer.disclosure import disclosed

    return tuple(replace(session, secrets=disclosed(case)) for session, case in zip(sessions, cases, strict=True))


def _opened(source: Path | BinaryIO, name: str, options: Options, reading: records.Limits) -> Capture | TsharkCapture:
    if options.engine == "tshark":
        from analyzer.capture.tshark_reader import TsharkCapture

        return TsharkCapture(source, name=name, limits=reading)
    if options.engine == "scapy":
        from analyzer.capture.scapy_link import ScapyDecoder

        return open_capture(source, name=name, limits=reading, foreign=False, decoder=ScapyDecoder)
    return open_capture(source, name=name, limits=reading)


def _cases(
    capture: Capture | TsharkCapture,
    ring: KeyRing,
    options: Options,
    names: NameLog,
    allowed: Limits,
    further: Sequence[Conversation] = (),
) -> tuple[list[Case], list[Problem]]:
    held: list[UdpConversation] = []
    secrets = 0
    examination = Examination(ring, options.jobs)
    if isinstance(capture, Capture) and capture.stored_bytes >= _MANY_SESSIONS:
        examination.expect_many()

    def examine(conversation: TcpConversation | UdpConversation) -> None:
        nonlocal ring, secrets
        if len(capture.secrets) != secrets:
            secrets = len(capture.secrets)
            ring = ring.with_secrets(capture.secrets)
            examination.with_ring(ring)
        if isinstance(conversation, TcpConversation):
            examination.take(conversation)
        else:
            held.append(conversation)

    told = _told(options, allowed)
    table = conversations.Conversations(told, on_other=names.observe, words=names.words(stored_hosts(ring)))
    for packet in capture.screened(table):
        for conversation in table.feed(packet):
            examine(conversation)
    for conversation in table.finish():
        examine(conversation)
    cases, damaged = _each_once(examination.cases(), held, ring, told.cloud_udp, further, capture.joints)
    cases.sort(key=lambda case: (case.first_frame, case.last_frame))
    return cases, [*table.problems, *damaged, *table.begun.problems(nothing_else=not cases)]


def _told(options: Options, allowed: Limits) -> conversations.Options:
    ports = {
        transport: frozenset(port for kind, port in options.ports if kind == transport) for transport in ("tcp", "udp")
    }
    return allowed.of_conversations(ports["tcp"], ports["udp"])


@dataclass(frozen=True, slots=True)
class _Again:
    """How captures of a ticket are read once more (`analyzer.sides.Reading`)."""

    ring: KeyRing
    options: Options

    def conversations(self, capture: Opening, frames: int, later_ns: int) -> list[Conversation]:
        opened, name = capture
        allowed = self.options.limits or Limits.from_environment()
        read = _opened(opened(), name, self.options, allowed.of_capture(Watch(allowed).over))
        table = conversations.Conversations(_told(self.options, allowed))
        found: list[Conversation] = []
        for packet in read:
            found += table.feed(packet._replace(number=packet.number + frames, time_ns=packet.time_ns + later_ns))
        return [*found, *table.finish()]

    def report(self, capture: Opening, further: Sequence[Conversation]) -> CaptureReport:
        opened, name = capture
        return examined(opened(), self.ring, self.options, name=name, further=further)[0]


def _left_out(problems: Iterable[Problem], found: bool) -> bool:
    """Whether something of the capture was not used; what is cut off matters when there is no session at all."""
    codes = {problem.code for problem in problems}
    return not codes.isdisjoint(limits.PARTIAL) or ("cut-conversations" in codes and not found)


def _each_once(
    cases: list[Case],
    held: list[UdpConversation],
    ring: KeyRing,
    udp_ports: frozenset[int],
    further: Sequence[Conversation] = (),
    joints: Sequence[int] = (),
) -> tuple[list[Case], list[Problem]]:
    """The cases of TCP and those that UDP conversations make, each session once; what only damage made is left out."""
    kept, problems = sound([*(case.conversation for case in cases), *held])
    standing = {id(conversation) for conversation in kept}
    more_tcp = [item for item in further if isinstance(item, TcpConversation)]
    more_udp = [item for item in further if isinstance(item, UdpConversation)]
    cases = once([case for case in cases if id(case.conversation) in standing], ring, more_tcp)
    if held:
        from analyzer.flows import dissect

        unread = []
        for conversation in each_flow([item for item in held if id(item) in standing], more_udp):
            found = dissect(conversation, udp_ports, joints)
            cases.extend(found)
            if not found and any(len(item.data) < item.length for item in conversation.datagrams):
                unread.append(conversation)
        if unread:
            flows = "1 UDP conversation" if len(unread) == 1 else f"{len(unread):,} UDP conversations"
            text = f"{flows} with a cloud's port: all that tells a session is cut off, so none can be seen in them; capture whole packets (tcpdump -s 0)"
            problems.append(Problem("cut-conversations", text, unread[0].first_frame))
    return cases, problems
