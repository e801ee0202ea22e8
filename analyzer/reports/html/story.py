"""All attempts of a device on one line of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from analyzer.model import Session, Story
from analyzer.reports.grouping import BY_WEIGHT, Tone, counted
from analyzer.reports.html.budget import STORIES
from analyzer.reports.html.element import Html, element
from analyzer.reports.html.parts import began, left_out
from analyzer.reports.ladder import duration_text

#: More marks than this on one line cannot be told apart.
_MARKS = 100
#: Pauses told in words.
_CADENCE = 12
_SHAPES = {
    Tone.OK: ("ok", {"d": "M0-6a6 6 0 1 0 .01 0z"}),
    Tone.BAD: ("bad", {"d": "M-6-6L6 6M6-6L-6 6"}),
    Tone.UNSURE: ("unsure", {"d": "M0-7L7 0 0 7-7 0z"}),
}


def stories(told: Sequence[Story], sessions: Mapping[str, Session], level: int) -> Iterator[Html]:
    """The stories of more than one attempt; ``sessions`` finds a session by its id."""
    told = [story for story in told if story.attempts > 1]
    if not told:
        return
    shown = [
        _story(story, [sessions[name] for name in story.sessions if name in sessions], level + 1)
        for story in told[:STORIES]
    ]
    yield element(
        "section",
        element(f"h{level}", "Story" if len(told) == 1 else "Stories"),
        shown,
        left_out(len(told) - STORIES, "device"),
        class_="stories",
    )


def _story(story: Story, sessions: list[Session], level: int) -> Html:
    guess = " (told apart by address only)" if story.guess else ""
    offsets = list(accumulate(story.cadence_s, initial=0.0))
    span = offsets[-1]
    tones = [Tone.of(session.verdict) for session in sessions]
    pauses = ", ".join(duration_text(pause) for pause in story.cadence_s[:_CADENCE])
    if len(story.cadence_s) > _CADENCE:
        pauses += ", ..."
    line = None
    if span > 0 and len(tones) == len(offsets):
        line = element(
            "div",
            _timeline(tones, offsets, span),
            element("p", began(sessions[0]), element("span", f"{duration_text(span)} in all"), class_="ends"),
            class_="timeline",
        )
    return element(
        "section",
        element(f"h{level}", story.device, element("small", guess) if guess else None),
        element("p", story.summary),
        line,
        element("p", f"From one attempt to the next: {pauses}.", class_="aside") if pauses else None,
        class_="story",
    )


def _timeline(tones: list[Tone], offsets: list[float], span: float) -> Html:
    counts = Counter(tones)
    words = ", ".join(f"{counts[tone]:,} {tone.value}" for tone in BY_WEIGHT if counts[tone])
    title = f"{counted(len(tones), 'attempt')} in {duration_text(span)}: {words}"
    marks = [_mark(tone, share, many) for (tone, share), many in _binned(tones, offsets, span).items()]
    axis = element("line", class_="axis", x1="0", x2="100%", y1=20, y2=20)
    return element("svg", element("title", title), axis, marks, class_="track", role="img", height=40)


def _binned(tones: list[Tone], offsets: list[float], span: float) -> dict[tuple[Tone, int], int]:
    """Marks by tone and place (0.._MARKS); those that would cover each other are one."""
    return dict(Counter((tone, round(offset / span * _MARKS)) for tone, offset in zip(tones, offsets, strict=True)))


def _mark(tone: Tone, place: int, many: int) -> Html:
    name, shape = _SHAPES[tone]
    label = element("text", f"×{many:,}", y=-9, class_="many") if many > 1 else None
    return element(
        "svg", element("path", class_=f"mark {name}", **shape), label, x=f"{place * 100 / _MARKS:g}%", y=20, class_="at"
    )
