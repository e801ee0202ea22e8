"""Small drawings of a fleet report. Each is one path per colour, however much it shows, with its numbers beside it as text."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.fleet.questions import Attempt
from analyzer.reports.html.element import Html, element

#: More days than this are shown by month, and more months than this by year.
_BARS = 120


def spans(days: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """(day, month or year; sessions; failing): as few spans as a chart can hold."""
    for digits in (10, 7, 4):
        found: dict[str, list[int]] = {}
        for day, every, bad in days:
            counts = found.setdefault(day[:digits], [0, 0])
            counts[0] += every
            counts[1] += bad
        if len(found) <= _BARS:
            break
    return [(name, every, bad) for name, (every, bad) in found.items()]


def attempts_chart(bars: Sequence[tuple[str, int, int]]) -> Html:
    """Sessions over time, the failing ones at the bottom of each bar."""
    most = max((every for _, every, _ in bars), default=1)
    width = max(len(bars), 12)  # two days are not two walls
    good = bad = ""
    for index, (_, every, failing) in enumerate(bars):
        low, high = 100 * failing / most, 100 * every / most
        if failing:
            bad += f"M{index + 0.1:.1f} 100v{-low:.2f}h.8v{low:.2f}z"
        if every > failing:
            good += f"M{index + 0.1:.1f} {100 - low:.2f}v{low - high:.2f}h.8v{high - low:.2f}z"
    return element(
        "svg",
        element("path", class_="fill-ok", d=good) if good else None,
        element("path", class_="fill-bad", d=bad) if bad else None,
        class_="chart",
        viewBox=f"0 0 {width} 100",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def timeline(attempts: Sequence[Attempt], first_ns: int, last_ns: int) -> Html:
    """A device's sessions on the time axis of the whole fleet: low marks failed."""
    span = max(last_ns - first_ns, 1)
    good = bad = ""
    seen: set[tuple[int, bool]] = set()
    for attempt in attempts:
        at = round(196 * (seconds_of(attempt.time) - first_ns) / span)
        fine = attempt.verdict == "healthy"
        if (at, fine) in seen:
            continue
        seen.add((at, fine))
        if fine:
            good += f"M{at} 0h3v7h-3z"
        else:
            bad += f"M{at} 9h3v7h-3z"
    return element(
        "svg",
        element("path", class_="fill-ok", d=good) if good else None,
        element("path", class_="fill-bad", d=bad) if bad else None,
        class_="timeline",
        viewBox="0 0 200 16",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def seconds_of(time: str) -> int:
    """Whole seconds since 1970 of an RFC 3339 time in UTC."""
    from datetime import UTC, datetime

    return int(datetime.fromisoformat(time[:19]).replace(tzinfo=UTC).timestamp())
