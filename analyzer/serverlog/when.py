"""The time at the head of a line, in any of the ways in which servers, containers and journals write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from analyzer.serverlog.records import Clock

_FULL = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?\s?(Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
)
_SYSLOG = re.compile(
    r"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}(\d{1,2}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?"
)
_CLOCK = re.compile(r"(?<![\d:.])([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:[.,](\d{1,9}))?(Z)?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: A time stands within so many characters of a line's start.
_HEAD = 120
_DAY = 86_400.0
_ABSOLUTE = Clock.ABSOLUTE


def read_time(line: str) -> tuple[float, Clock] | None:
    """Seconds (since 1970, since 1972 without a year, since midnight without a date) and what they are worth; or None."""
    # The form that nearly all logs have: 2026-11-21T00:28:23.703Z.
    if line[23:24] == "Z" and line[19:20] == ".":
        second, parts = _second(line[:19]), line[20:23]
        if second is not None and parts.isdecimal():
            return second + int(parts) / 1000, _ABSOLUTE
    head = line[:_HEAD]
    found = _FULL.search(head)
    if found:
        year, month, day, hour, minute, second = (int(found[group]) for group in range(1, 7))
        zone = found[8]
        seconds = _seconds(year, month, day, (hour, minute, second), zone)
        if seconds is not None:
            return seconds + _fraction(found[7]), Clock.ABSOLUTE if zone else Clock.LOCAL
    found = _SYSLOG.search(head)
    if found:
        month = _MONTHS.index(found[1]) + 1
        seconds = _seconds(1972, month, int(found[2]), (int(found[3]), int(found[4]), int(found[5])), None)
        if seconds is not None:
            return seconds + _fraction(found[6]), Clock.YEARLESS
    found = _CLOCK.search(head)
    if found:
        seconds = int(found[1]) * 3600.0 + int(found[2]) * 60 + int(found[3])
        return seconds + _fraction(found[4]), Clock.DAYLESS
    return None


def in_year_of(seconds: float, moment: float) -> float:
    """A time counted in 1972 as one of the year in which ``moment`` lies, or of the year beside it when that is nearer."""
    at = datetime.fromtimestamp(seconds, UTC)
    year = datetime.fromtimestamp(moment, UTC).year
    best: float | None = None
    for candidate in (year - 1, year, year + 1):
        try:
            when = at.replace(year=candidate).timestamp()
        except ValueError:
            continue
        if best is None or abs(when - moment) < abs(best - moment):
            best = when
    return seconds if best is None else best


def on_day_of(seconds: float, moment: float) -> float:
    """A time of day as one of the day in which ``moment`` lies, or of the day beside it when that is nearer."""
    midnight = moment - moment % _DAY
    return min((midnight + seconds + day * _DAY for day in (-1, 0, 1)), key=lambda when: abs(when - moment))


@lru_cache(maxsize=4096)
def _second(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _seconds(year: int, month: int, day: int, clock: tuple[int, int, int], zone: str | None) -> float | None:
    try:
        return datetime(year, month, day, *clock, tzinfo=_zone(zone)).timestamp()
    except (ValueError, OverflowError):
        return None


def _zone(zone: str | None) -> timezone:
    if not zone or zone in ("Z", "UTC", "GMT"):
        return UTC
    sign = -1 if zone[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])))


def _fraction(digits: str | None) -> float:
    return int(digits) / 10 ** len(digits) if digits else 0.0
