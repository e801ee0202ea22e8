"""All verdict rules of DTLS, in the order in which they are asked. The first that answers is the verdict.

A rule returns None when it has nothing to say. A rule of a later stage comes first where its stage was reached: what was
completed excuses what went before it. The rule behind all others is that the capture does not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls import device, opening, resumed, server, session
from analyzer.diagnosis.dtls.findings import findings
from analyzer.diagnosis.dtls.view import View
from analyzer.model import Certainty, Code, Evidence

Rule = Callable[[View], Draft | None]

#: In the place of a stage: the cloud answered on the session.
UP = "session-up"
#: A session that was resumed: there is no handshake to judge.
RESUMED: tuple[Rule, ...] = (
    resumed.unseen,
    session.corrupt_record,
    resumed.refused,
    resumed.unanswered,
    session.closed,
    session.gone_silent,
    resumed.healthy,
)
#: Handshakes: (what the group needs, rules), latest stage first.
HANDSHAKE: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("", (session.corrupt_record,)),
    (UP, (session.displaced, session.closed, session.gone_silent, session.healthy)),
    ("", (opening.one_direction, opening.cut_packets, opening.late_start, opening.wrong_profile)),
    ("cloud-finished", (device.other_key_on_file, device.unknown_device, session.no_hello, session.unanswered_hello)),
    ("device-certificate", (device.damaged_key, device.other_key_on_file, device.unknown_device)),
    ("", (device.rejected, device.stalled)),
    (
        "",
        (
            server.wrong_server_key,
            server.device_says_so,
            server.unknown_signature,
            server.erased_server_key,
            server.one_of_these,
        ),
    ),
    ("", (server.refused_by_device, server.stalled)),
    ("", (opening.refused, opening.rejected_at_once, opening.repeated_answer, opening.after_cookie)),
    ("", (opening.somebody_else, opening.unanswered)),
)


def judge(view: View) -> Draft:
    """The verdict of the first rule that answers, with the findings of this attempt."""
    draft = _sound(view, _verdict(view))
    return replace(draft, findings=(*draft.findings, *findings(view, draft)))


def _sound(view: View, draft: Draft) -> Draft:
    """The verdict, no surer than the datagrams it rests on are sound."""
    if draft.code is Code.HEALTHY or not view.flow.checksum_bad:
        return draft
    used = {*draft.frames, *(frame for item in draft.evidence for frame in item.frames)}
    used.update(frame for step in view.case.transcript.steps for frame in step.frames)
    bad = tuple(sorted(used & set(view.flow.checksum_bad)))
    why = "the UDP checksum of these frames is wrong or missing: they changed after they were sent, so what they hold proves nothing"
    return draft.weakened(Certainty.INFERRED, Evidence(why, bad)) if bad else draft


def _verdict(view: View) -> Draft:
    groups = (("", RESUMED),) if view.attempt.kind == "resumed" else HANDSHAKE
    for stage, rules in groups:
        if stage and not (view.session_up if stage is UP else view.seen(stage)):
            continue
        for rule in rules:
            draft = rule(view)
            if draft is not None:
                return draft
    frames = view.attempt.frames
    return Draft(
        Code.CAPTURE_INCOMPLETE,
        Certainty.INFERRED,
        None,
        frames,
        "What is in the capture of this attempt does not allow a verdict.",
        (Evidence("messages are missing on both sides", frames), view.ending()),
        would_settle=(opening.MINUTE,),
    )
