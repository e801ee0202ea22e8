"""What a report says, sorted to the frames it says it of: one list of remarks per frame, and a summary for the file.

Everything comes from the report, so a redacted report gives redacted remarks. Texts that stem from the capture are made
printable, and there is a bound on remarks per frame and on their length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import ip_address

from analyzer.model import Attempt, CaptureReport, Outcome, Session, Stage, Verdict
from analyzer.safe import printable
from dissectors.events import Status

_MAX_LENGTH = 600
_MAX_PER_FRAME = 24
_MAX_SESSIONS = 200
_MAX_NAME = 63
_TRIED = {Outcome.PROVED: "fits", Outcome.REFUTED: "does not fit", Outcome.UNDECIDED: "undecided"}


class Remarks:
    """Remarks by frame number, in the order they were made, none twice."""

    def __init__(self) -> None:
        self._by_frame: dict[int, dict[str, None]] = defaultdict(dict)

    def add(self, frames: Iterable[int], text: str) -> None:
        """Put a remark on each of ``frames``."""
        line = _line(text)
        for frame in frames:
            here = self._by_frame[frame]
            if len(here) < _MAX_PER_FRAME:
                here[line] = None

    def of(self, frame: int) -> tuple[str, ...]:
        """The remarks on a frame."""
        return tuple(self._by_frame.get(frame, ()))

    @property
    def frames(self) -> set[int]:
        """The frames there are remarks on."""
        return set(self._by_frame)


def remarks(report: CaptureReport) -> Remarks:
    """The remarks of all sessions of a capture."""
    found = Remarks()
    for session in report.sessions:
        _remark(session, found)
    return found


def _remark(session: Session, found: Remarks) -> None:
    at = {stage.stage: stage.frames for stage in session.stages if stage.frames}
    for stage in session.stages:
        _stage(session, stage, found)
    for attempt in session.attempts:
        frames = at.get(attempt.stage)
        if frames and attempt.outcome in _TRIED:
            found.add(frames[-1:], f"{session.id} {attempt.stage}: {_attempt(attempt)}")
    for message in session.messages:
        summary = f": {message.summary}" if message.summary else ""
        found.add(message.frames[-1:], f"{session.id} {message.direction}: {message.type}{summary}")
    if session.ending.frame is not None:
        found.add((session.ending.frame,), f"{session.id}: {_ending(session)}")
    verdict = session.verdict
    place = verdict.frames or (session.last_frame,)
    found.add(place[-1:], f"{session.id} verdict: {_verdict(verdict)}")
    for evidence in verdict.evidence:
        found.add(evidence.frames[:1], f"{session.id} evidence: {evidence.text}")
    for finding in session.findings:
        found.add(finding.frames[:1], f"{session.id} {finding.code} ({finding.certainty}): {finding.summary}")


def _stage(session: Session, stage: Stage, found: Remarks) -> None:
    name = f"{session.id} {stage.stage}"
    if stage.status is Status.ABSENT:
        found.add((session.last_frame,), f"{name}: absent, it should have come {_from(stage)}")
        return
    if not stage.frames:
        return
    size = f", {stage.bytes} bytes" if stage.bytes else ""
    state = "" if stage.status is Status.SEEN else f", {stage.status}"
    first, last = stage.frames[0], stage.frames[-1]
    if first == last:
        found.add((last,), f"{name} {_from(stage)}{size}{state}")
    else:
        found.add((first,), f"{name} {_from(stage)} begins here{size}{state}")
        found.add((last,), f"{name} {_from(stage)} ends here, it began in frame {first}")


def _from(stage: Stage) -> str:
    return f"from the {stage.direction.split('-', 1)[0]}"


def _attempt(attempt: Attempt) -> str:
    detail = f", {attempt.detail}" if attempt.detail else ""
    proof = f" by {attempt.proof}" if attempt.proof != "none" else ""
    return f"{attempt.key} {_TRIED[attempt.outcome]}{proof}{detail}"


def _ending(session: Session) -> str:
    after = f", {session.ending.after_s:.3f} s after the last payload" if session.ending.after_s is not None else ""
    return f"ended by the {session.ending.by} ({session.ending.how}){after}"


def _verdict(verdict: Verdict) -> str:
    others = f"; possible: {', '.join(verdict.alternatives)}" if verdict.alternatives else ""
    return f"{verdict.code} ({verdict.certainty}): {verdict.summary}{others}"


def summary(report: CaptureReport) -> str:
    """The verdicts of the whole capture, one line per session."""
    lines = [f"{len(report.sessions)} device session{'' if len(report.sessions) == 1 else 's'} in this capture."]
    for session in report.sessions[:_MAX_SESSIONS]:
        device = session.device.id or "unknown device"
        host = f" ({printable(session.cloud.host)})" if session.cloud.host else ""
        lines.append(
            _line(
                f"{session.id} frames {session.first_frame}-{session.last_frame}: {device} at {session.device.address} -> "
                f"{session.cloud.address}:{session.cloud.port}{host}: {_verdict(session.verdict)}"
            )
        )
    if len(report.sessions) > _MAX_SESSIONS:
        lines.append(f"... and {len(report.sessions) - _MAX_SESSIONS} more")
    lines += [_line(f"Note: {problem.message}") for problem in report.problems]
    return "\n".join(lines)


def host_names(report: CaptureReport) -> dict[bytes, str]:
    """Address -> name of every device (its id when one is known) and cloud (the name it was looked up by)."""
    names: dict[bytes, str] = {}
    ids: dict[str, set[str]] = defaultdict(set)
    for session in report.sessions:
        if session.device.id:
            ids[session.device.address].add(session.device.id)
    for session in report.sessions:
        known = ids[session.device.address]
        device = f"device-{next(iter(known))}" if len(known) == 1 else "particle-device"
        _name(names, session.device.address, device)
        _name(names, session.cloud.address, session.cloud.host or "particle-cloud")
    return names


def _name(names: dict[bytes, str], address: str, name: str) -> None:
    try:
        packed = ip_address(address).packed
    except ValueError:
        return
    clean = "".join(char if char.isascii() and (char.isalnum() or char in "-._") else "-" for char in name)
    names.setdefault(packed, clean[:_MAX_NAME])


def _line(text: str) -> str:
    line = printable(text)
    return line if len(line) <= _MAX_LENGTH else line[: _MAX_LENGTH - 1] + "…"
