"""A judged case as the report shows it."""

from __future__ import annotations

from dataclasses import replace

from analyzer.case import Case
from analyzer.diagnosis.address import headline
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.findings import findings_for
from analyzer.diagnosis.remedy import remedies, shown_by_device
from analyzer.incidents import incidents
from analyzer.model import Cause, Cloud, Device, Message, Session, Stage, Verdict
from analyzer.times import rfc3339, seconds
from dissectors.events import Step

#: More frames than this say nothing more to a reader.
_MAX_FRAMES = 64


def assemble(case: Case, draft: Draft, context: Context, session_id: str, digits: int) -> Session:
    """The session of ``case`` with the verdict of ``draft``; times with ``digits`` decimals."""
    findings = (*case.findings, *draft.findings, *findings_for(case, draft, context))
    verdict = Verdict(
        code=draft.code,
        certainty=draft.certainty,
        stage=draft.stage,
        frames=_frames(draft.frames),
        summary=headline(case, draft, findings),
        alternatives=draft.alternatives,
        evidence=draft.evidence,
        would_settle=draft.would_settle,
        remedy=remedies(case, draft, context, {finding.code for finding in findings}),
        device_shows=shown_by_device(case, draft),
        premises=draft.premises,
        causes=_causes(draft),
    )
    return Session(
        id=session_id,
        transport=case.transport,
        protocol=case.protocol,
        stream=case.stream,
        filter=case.filter,
        device=Device(case.device.address, case.device.port, case.device_id, case.id_source, case.role_source),
        cloud=Cloud(case.cloud.address, case.cloud.port, case.host),
        first_frame=case.first_frame,
        last_frame=case.last_frame,
        start_time=rfc3339(case.start_ns, digits),
        duration_s=seconds(case.end_ns, case.start_ns, digits),
        history=case.transcript.history,
        stages=tuple(_stage(step, case.start_ns, digits) for step in case.steps),
        attempts=tuple(case.attempts),
        messages=tuple(
            Message(
                row.direction,
                row.frames,
                rfc3339(row.time_ns, digits),
                row.type,
                row.summary,
                seconds(row.time_ns, case.start_ns, digits),
            )
            for row in case.messages
        ),
        ending=case.ending,
        verdict=verdict,
        incidents=incidents(case, digits),
        also_seen=tuple(replace(other, frames=_frames(other.frames)) for other in case.also),
        findings=findings,
    )


def _causes(draft: Draft) -> tuple[Cause, ...]:
    """What speaks against the verdict, and for or against the causes beside it: those of which something is to be said."""
    own = next((cause for cause in draft.causes if cause.code is draft.code), Cause(draft.code))
    own = replace(own, con=tuple(dict.fromkeys((*draft.against, *own.con))))
    others = {cause.code: cause for cause in draft.causes}
    listed = (own, *(others[code] for code in draft.alternatives if code in others and code is not draft.code))
    return tuple(cause for cause in listed if cause.pro or cause.con)


def _frames(frames: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(frames)))[:_MAX_FRAMES]


def _stage(step: Step, start_ns: int, digits: int) -> Stage:
    time_ns = step.time_ns if step.time_ns is not None else step.start_ns
    return Stage(
        stage=step.stage,
        status=step.status,
        direction=step.direction,
        frames=step.frames[:_MAX_FRAMES],
        time=rfc3339(time_ns, digits) if time_ns is not None else None,
        offset_s=seconds(time_ns, start_ns, digits) if time_ns is not None else None,
        bytes=len(step.data) + step.missing,
        fields=dict(step.fields),
    )
