"""Capture times: integers of nanoseconds inside, RFC 3339 in UTC outside, with the capture's own precision."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

_TIME = re.compile(r"(-?\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")
_EPOCH = date(1970, 1, 1).toordinal()
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second datetime and RFC 3339 can name


def rfc3339(time_ns: int, digits: int = 6) -> str:
    """``time_ns`` nanoseconds since 1970 as RFC 3339, ``digits`` (6 or 9) after the point.

    Times no calendar names (a damaged header) are clamped to its ends.
    """
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    seconds = max(-62_135_596_800, min(_MAX_SECONDS, seconds))
    days, rest = divmod(seconds, 86_400)
    minutes, secs = divmod(rest, 60)
    shown = f"{fraction:09d}"[:digits]
    return f"{_date(days)}T{minutes // 60:02d}:{minutes % 60:02d}:{secs:02d}.{shown}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """The date so many days after 1970-01-01."""
    return date.fromordinal(_EPOCH + days).isoformat()


def seconds(later_ns: int, earlier_ns: int, digits: int = 6) -> float:
    """``later - earlier`` in seconds, rounded to the capture's precision."""
    return round((later_ns - earlier_ns) / 1e9, digits)


def seconds_of(time: str) -> float:
    """RFC 3339 (UTC) as seconds since 1970, to about a microsecond; 0 for what is none."""
    found = _TIME.fullmatch(time)
    if found is None:
        return 0.0
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return 0.0
    return moment.timestamp() + float(f"0.{found[7] or '0'}")
