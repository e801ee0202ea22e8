"""All verdict rules of the TCP handshake, in the order in which they are asked. The first that answers is the verdict.

A rule returns None when it has nothing to say. The groups follow the stages: a rule of a later group is asked only when
its stage was reached, so that a cause found late never hides one found early.
"""

from __future__ import annotations

from collections.abc import Callable

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl import identity, opening, session, sessionkey, unopened
from analyzer.diagnosis.lightssl.view import View
from analyzer.model import Certainty, Code, Evidence

Rule = Callable[[View], Draft | None]

#: Asked first, whatever was reached.
ALWAYS: tuple[Rule, ...] = (opening.refused, opening.unanswered, opening.not_all_there, opening.somebody_else)
#: (what the group needs, rules), latest stage first: the first group whose stage was reached decides.
STAGES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("cloud-hello", (session.displaced, session.corrupt_record, session.cut, session.dumb_server, session.healthy)),
    ("device-hello", (session.unanswered_hello,)),
    (
        "session-key",
        (
            sessionkey.damaged_device_key,
            sessionkey.no_key,
            sessionkey.stale_copy,
            sessionkey.unusable_device_key,
            sessionkey.wrong_signature,
            sessionkey.wrong_device_key,
            sessionkey.gave_up,
        ),
    ),
    (
        "identity",
        (
            sessionkey.truncated,
            identity.erased_server_key,
            identity.wrong_nonce,
            identity.opened,
            unopened.not_opened,
            unopened.silent_cloud,
            unopened.rejected,
        ),
    ),
    ("nonce", (opening.no_identity,)),
    ("", (opening.abandoned, opening.before_nonce)),
)


def judge(view: View) -> Draft:
    """The verdict of the first rule that answers, no surer than the packets it rests on are sound."""
    draft = _first(view)
    bad = sorted(
        set(view.conversation.facts.checksum_bad) & {*draft.frames, *view.frames("nonce", "identity", "session-key")}
    )
    if bad and draft.code is not Code.HEALTHY:
        why = "the TCP checksum of these frames is wrong: they changed after they were sent, so what they hold proves nothing"
        draft = draft.weakened(Certainty.INFERRED, Evidence(why, tuple(bad)))
    return draft


def _first(view: View) -> Draft:
    for rule in ALWAYS:
        draft = rule(view)
        if draft is not None:
            return draft
    for stage, rules in STAGES:
        if stage and not view.seen(stage):
            continue
        for rule in rules:
            draft = rule(view)
            if draft is not None:
                return draft
    raise AssertionError("a session reached no stage and no rule answered")
