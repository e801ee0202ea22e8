"""Small drawings of a fleet report. Each is one path per colour, however much it shows, with its numbers beside it as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from analyzer.fleet.questions import Attempt
from analyzer.reports.html.element import Html, element
from analyzer.times import seconds_of

#: More days than this are shown by month, and more months than this by year.
_BARS = 120


def spans(days: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """(day, month or year; sessions; failing): as few spans as a chart can hold, in the order of time.

    Spans without a session are among them, so that a week of silence is a gap and not two bars side by side; only where
    the calendar between the first and the last is too long (one capture with an unset clock) are they left out.
    """
    if not days:
        return []
    for digits in (10, 7):
        names = _calendar(days[0][0], days[-1][0], digits)
        if names is not None:
            return _summed(days, digits, names)
    for digits in (10, 7, 4):
        found = _summed(days, digits, ())
        if len(found) <= _BARS:
            break
    return found


def _summed(days: Sequence[tuple[str, int, int]], digits: int, names: Sequence[str]) -> list[tuple[str, int, int]]:
    found = {name: [0, 0] for name in names}
    for day, every, bad in days:
        counts = found.setdefault(day[:digits], [0, 0])
        counts[0] += every
        counts[1] += bad
    return [(name, every, bad) for name, (every, bad) in found.items()]


def _calendar(first: str, last: str, digits: int) -> list[str] | None:
    """Every day (10 digits) or month (7) from ``first`` to ``last``; None when there are more than a chart can hold."""
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:  # a clock beyond the year 9999
        return None
    if digits == 10:
        count = (end - begin).days + 1
        return [str(begin + timedelta(number)) for number in range(count)] if 0 < count <= _BARS else None
    months = range(12 * begin.year + begin.month - 1, 12 * end.year + end.month)
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in months] if 0 < len(months) <= _BARS else None


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


def timeline(attempts: Sequence[Attempt], first_s: float, last_s: float) -> Html:
    """A device's sessions on the time axis of the whole fleet: low marks failed."""
    span = max(last_s - first_s, 1.0)
    good = bad = ""
    seen: set[tuple[int, bool]] = set()
    for attempt in attempts:
        at = round(196 * (seconds_of(attempt.time) - first_s) / span)
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
