"""How long each side waits (timers.toml), and the device's ladder of waits between attempts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from analyzer.firmware.tables import table


@dataclass(frozen=True, slots=True)
class Timer:
    """One wait. ``seconds`` has several values for a series (retransmissions, retries)."""

    name: str
    seconds: tuple[float, ...]
    who: str
    text: str
    source: str
    eras: str | None = None
    transport: str | None = None


@cache
def timers() -> dict[str, Timer]:
    """All timers by name."""
    result = {}
    for entry in table("timers")["timer"]:
        value = entry["seconds"]
        seconds = tuple(float(item) for item in (value if isinstance(value, list) else [value]))
        result[entry["name"]] = Timer(**(entry | {"seconds": seconds}))
    return result


def timers_near(seconds: float, *, who: str | None = None, transport: str | None = None) -> tuple[Timer, ...]:
    """The timers a silence of ``seconds`` may be (5 % and 0.3 s either way), nearest first; series count by their total."""

    def distance(timer: Timer) -> float:
        return min(abs(seconds - value) for value in {*timer.seconds, sum(timer.seconds)})

    fitting = [
        timer
        for timer in timers().values()
        if who in (None, timer.who)
        and (transport is None or timer.transport in (None, transport))
        and distance(timer) <= max(0.3, 0.05 * seconds)
    ]
    return tuple(sorted(fitting, key=distance))


def retry_wait_s(failures: int) -> float:
    """Seconds the device waits after its ``failures``-th failure in a row (>= 1), firmware 0.4.7 and later.

    1000 ms * 2^min(7, (n-1)/5), device-os system/src/system_utilities.cpp@v0.4.7-v6.2.0.
    """
    return float(1 << min(7, max(0, failures - 1) // 5))
