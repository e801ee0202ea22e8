"""One session: the verdict and the fix, the ladder, why, and everything else on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from analyzer.model import Attempt, Certainty, Message, Session, Stage, Verdict, since_start
from analyzer.reports.grouping import Group, Tone, assumed, counted, taken, weighed
from analyzer.reports.html.budget import ALIKE_ROWS, MESSAGES_HEAD, MESSAGES_TAIL, Budget
from analyzer.reports.html.element import Html, Node, element
from analyzer.reports.html.ladder import ladder, log_list
from analyzer.reports.html.parts import (
    began,
    certainty,
    copyable,
    facts,
    fold,
    frames,
    left_out,
    moment,
    outcome,
    prose,
    sign,
    steps_of,
    table,
    tone_class,
)
from analyzer.reports.ladder import duration_text, frames_text, offset_text, span_text
from analyzer.reports.rungs import ending_text, loose_log
from dissectors.events import Direction

#: What is meant by each degree, where it stands.
_MEANING = {
    Certainty.PROVEN: "a check in the protocol itself decides it",
    Certainty.INFERRED: "it follows from shape, timing or silence; no key at hand decides it",
    Certainty.UNDETERMINED: "more than one cause fits what was captured",
}
_PROTOCOLS = {
    "lightssl": "RSA handshake (lightssl)",
    "dtls": "DTLS",
    "coap": "bare CoAP",
    "unknown": "no known protocol",
}
_ATTEMPTS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session stands on the page: its anchor, the level of its heading, its number of how many."""

    anchor: str
    level: int
    number: int
    total: int


def article(group: Group, place: Place, budget: Budget, *, opened: bool, foldable: bool) -> Iterator[Html]:
    """The session that stands for ``group``; behind a summary line when ``foldable``."""
    session = group.first
    tone = tone_class(session.verdict)
    if not foldable:
        yield element(
            "article",
            _first_screen(session, place),
            _rest(group, place, budget),
            id=place.anchor,
            class_=f"session {tone}",
        )
        return
    yield element(
        "details",
        element("summary", _summary_line(group, place)),
        element("article", _first_screen(session, place, titled=False), _rest(group, place, budget)),
        id=place.anchor,
        open=opened,
        class_=f"session folded {tone}",
    )


def _summary_line(group: Group, place: Place) -> Html:
    session = group.first
    times = f" × {len(group.sessions):,}" if group.others else ""
    return element(
        f"h{place.level}",
        sign(Tone.of(session.verdict)),
        " ",
        element("span", session.verdict.code.value, class_="code"),
        " ",
        certainty(session.verdict.certainty),
        " ",
        element("span", f"{device_name(session)}{times}", class_="who"),
    )


def device_name(session: Session) -> str:
    """The device as its owner knows it, or its address."""
    return session.device.id or session.device.address


def _first_screen(session: Session, place: Place, *, titled: bool = True) -> Html:
    verdict = session.verdict
    tone = Tone.of(verdict)
    title = element(
        f"h{place.level}", sign(tone), " ", element("span", verdict.code.value, class_="code"), class_="title"
    )
    parts = [_open_questions(verdict, place.level + 1), _fix(verdict, place.level + 1)]
    kicker = element(
        "p", element("span", tone.value, class_="word"), " ", certainty(verdict.certainty), class_="kicker"
    )
    return element(
        "header",
        element("div", title, kicker, class_="titles") if titled else None,
        element("p", verdict.summary, class_="lead"),
        *(element("p", element("b", taken(verdict)), f" {text}.", class_="premise") for text in verdict.premises),
        facts(
            ("Device", _device(session)),
            ("Cloud", _cloud(session)),
            (
                "When",
                [
                    began(session, to_second=True),
                    f", for {duration_text(session.duration_s)}" if session.duration_s >= 0.001 else None,
                ],
            ),
            *(("Also seen as", f"{other.ends}, {span_text(other)}") for other in session.also_seen),
        ),
        parts if tone is Tone.UNSURE else reversed(parts),
        class_=f"verdict {tone_class(verdict)}",
    )


def _device(session: Session) -> Node:
    device = session.device
    address = f"{device.address}:{device.port}"
    return [element("b", device.id), f"{assumed(session)} at {address}"] if device.id else address


def _cloud(session: Session) -> str:
    cloud = session.cloud
    return f"{cloud.address}:{cloud.port}" + (f" ({cloud.host})" if cloud.host else "")


def _fix(verdict: Verdict, level: int) -> Html | None:
    title = "Fix" if verdict.certainty is not Certainty.UNDETERMINED else "Until it is settled"
    return steps_of(title, verdict.remedy, level)


def _open_questions(verdict: Verdict, level: int) -> Html | None:
    parts: list[Node] = []
    if verdict.alternatives:
        chips = [element("li", code.value) for code in verdict.alternatives]
        parts += [element(f"h{level}", "It could be"), element("ul", chips, class_="chips")]
    if verdict.would_settle:
        parts += [
            element(f"h{level}", "To settle it"),
            element("ul", [element("li", prose(text)) for text in verdict.would_settle]),
        ]
    return element("div", parts, class_="questions") if parts else None


def _rest(group: Group, place: Place, budget: Budget) -> Iterator[Node]:
    session, level = group.first, place.level + 1
    number = f"Session {place.number:,} of {place.total:,}" if place.total > 1 else "The session"
    yield element(
        "section",
        element(f"h{level}", "What happened"),
        element(
            "p",
            f"{number}, {span_text(session)}, {_PROTOCOLS[session.protocol]} over "
            f"{session.transport.upper()}. In Wireshark: ",
            copyable(session.filter),
            class_="aside",
        ),
        ladder(session, f"{number}: what went between device and cloud"),
    )
    yield element(
        "div",
        _why(session.verdict, level),
        _findings(session, level),
        _seen_on_device(session, level),
        class_="columns",
    )
    if session.messages:
        yield _messages(session, budget, level)
    if session.attempts:
        yield _attempts(session.attempts, level)
    yield _details(session, level)
    if group.others:
        yield _again(group, place, budget, level)


def _why(verdict: Verdict, level: int) -> Html | None:
    if not verdict.evidence:
        return None
    title = "What is known" if verdict.certainty is Certainty.UNDETERMINED else f"Why this is {verdict.certainty.value}"
    items = [element("li", item.text, " ", frames(item.frames)) for item in verdict.evidence]
    return element(
        "section",
        element(f"h{level}", title),
        element("ol", items, class_="evidence"),
        *_against(verdict),
        element("p", f"{verdict.certainty.value.capitalize()}: {_MEANING[verdict.certainty]}.", class_="aside"),
    )


def _against(verdict: Verdict) -> Iterator[Node]:
    own, others = weighed(verdict)
    if own:
        yield element("p", "What speaks against it:")
        yield element("ul", [element("li", item.text, " ", frames(item.frames)) for item in own])
    if others:
        yield element("p", "The other causes:")
        rows = [
            element(
                "li",
                code.value,
                " (for it): " if sign == "+" else " (against it): ",
                item.text,
                " ",
                frames(item.frames),
            )
            for code, sign, item in others
        ]
        yield element("ul", rows)


def _seen_on_device(session: Session, level: int) -> Html | None:
    shows, lines = session.verdict.device_shows, loose_log(session)
    if not shows and not lines:
        return None
    return element(
        "section",
        [element(f"h{level}", "The device shows"), element("ul", [element("li", text) for text in shows])]
        if shows
        else None,
        [element(f"h{level}", "More from its log"), log_list(lines)] if lines else None,
    )


def _findings(session: Session, level: int) -> Html | None:
    if not session.findings:
        return None
    items = [
        element(
            "li",
            element("b", finding.code, class_="code"),
            " ",
            certainty(finding.certainty),
            element("p", finding.summary, " ", frames(finding.frames)),
        )
        for finding in session.findings
    ]
    return element("section", element(f"h{level}", "Also found"), element("ul", items, class_="findings"))


def _messages(session: Session, budget: Budget, level: int) -> Html:
    messages = session.messages
    kept = budget.take_messages(min(len(messages), MESSAGES_HEAD + MESSAGES_TAIL))
    whole = kept == len(messages)
    tail = 0 if whole else min(MESSAGES_TAIL, kept // 2)
    shown = messages[: kept - tail] if not whole else messages
    kinds = Counter(message.type for message in messages).most_common(8)
    overview = ", ".join(f"{count:,} {kind}" for kind, count in kinds)
    columns = ("Time", "Frames", "From", "Type", "Message")
    rows = [_message(message) for message in shown]
    parts: list[Node] = [element("p", overview, class_="aside")] if len(messages) > 12 else []
    parts.append(table("Decrypted messages", columns, rows, class_="messages"))
    if not whole:
        parts.append(left_out(len(messages) - kept, "message"))
    if tail:
        last = [_message(message) for message in messages[-tail:]]
        parts.append(table("The last messages", columns, last, class_="messages"))
    title = f"What was said: {counted(len(messages), 'decrypted message')}"
    return fold(title, parts, opened=len(messages) <= 12, class_="wide", level=level)


def _message(message: Message) -> tuple[Node, ...]:
    up = message.direction is Direction.UP
    return (
        offset_text(message.offset_s) or message.time,
        frames_text(message.frames, 3),
        element(
            "span",
            element("span", "→" if up else "←", aria_hidden="true"),
            " device" if up else " cloud",
            class_="up" if up else "down",
        ),
        element("span", message.type, class_="outcome bad" if message.type == "undecryptable" else "type"),
        message.summary,
    )


def _attempts(attempts: tuple[Attempt, ...], level: int) -> Html:
    rows = [
        (
            attempt.key or "none",
            attempt.stage,
            outcome(attempt.outcome),
            attempt.proof.value if attempt.proof.value != "none" else "",
            attempt.detail,
        )
        for attempt in attempts[:_ATTEMPTS_KEPT]
    ]
    return fold(
        f"Keys tried: {counted(len(attempts), 'attempt')}",
        table("Keys tried on this session", ("Key", "Stage", "Outcome", "Rests on", "In words"), rows),
        left_out(len(attempts) - _ATTEMPTS_KEPT, "attempt"),
        class_="wide",
        level=level,
    )


def _details(session: Session, level: int) -> Html:
    ending = session.ending
    after = f", {duration_text(ending.after_s)} after the last data" if ending.after_s is not None else ""
    stream = f"{session.transport}.stream {session.stream}" if session.stream is not None else None
    rows = [_stage(stage, seen=session.first_frame > 0) for stage in session.stages]
    return fold(
        "Details",
        facts(
            ("Session", session.id),
            ("Device id from", session.device.id_source),
            ("Roles from", session.device.role_source),
            ("Stream", stream),
            ("History", element("code", session.history, class_="copy") if session.history else None),
            ("Ended", f"{ending_text(session)}{after}" + (f" (frame {ending.frame})" if ending.frame else "")),
        ),
        table("Stages", ("Stage", "Status", "Time", "Frames", "Bytes", "Facts"), rows),
        class_="wide",
        level=level,
    )


def _stage(stage: Stage, seen: bool) -> tuple[Node, ...]:
    told = "; ".join(f"{name}: {_fact(value)}" for name, value in stage.fields.items())
    return (
        stage.stage,
        stage.status.value,
        moment(stage.time) if seen else stage.time and since_start(stage.time),
        frames_text(stage.frames, 8),
        stage.bytes or "",
        told,
    )


def _fact(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value[:16])) + (", ..." if len(value) > 16 else "")
    return str(value)


def _again(group: Group, place: Place, budget: Budget, level: int) -> Html:
    others = group.others
    kept = budget.take_rows(min(len(others), ALIKE_ROWS))
    rows = [
        (
            f"{number:,}",
            began(session),
            duration_text(session.duration_s),
            span_text(session),
            ending_text(session),
            element("code", session.filter),
        )
        for number, session in zip(group.numbers[1 : kept + 1], others, strict=False)
    ]
    return fold(
        f"The same in {counted(len(others), 'more session')}",
        table(
            "Sessions with the same verdict", ("Session", "Start", "Lasted", "Frames", "Ending", "In Wireshark"), rows
        ),
        left_out(len(others) - kept, "session"),
        class_="wide bulk",
        level=level,
    )
