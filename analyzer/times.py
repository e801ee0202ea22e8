"""Capture times: integers of nanoseconds inside, RFC 3339 in UTC outside, with the capture's own precision."""

from __future__ import annotations

from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second datetime and RFC 3339 can name


def rfc3339(time_ns: int, digits: int = 6) -> str:
    """``time_ns`` nanoseconds since 1970 as RFC 3339, ``digits`` (6 or 9) after the point.

    Times no calendar names (a damaged header) are clamped to its ends.
    """
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    seconds = max(-62_135_596_800, min(_MAX_SECONDS, seconds))
    days, rest = divmod(seconds, 86_400)
    day = datetime.fromordinal(_EPOCH.toordinal() + days)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    shown = f"{fraction:09d}"[:digits]
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}T{hours:02d}:{minutes:02d}:{secs:02d}.{shown}Z"


def seconds(later_ns: int, earlier_ns: int, digits: int = 6) -> float:
    """``later - earlier`` in seconds, rounded to the capture's precision."""
    return round((later_ns - earlier_ns) / 1e9, digits)
