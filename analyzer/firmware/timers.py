"""How long each side waits (timers.toml), and the device's ladder of waits between attempts.

The rules ask for a timer by its name: a change in the table is a change of the verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from analyzer.firmware.tables import table


@dataclass(frozen=True, slots=True)
class Timer:
    """One wait. ``seconds`` has several values for a series (retransmissions, retries), each ``each`` times."""

    name: str
    seconds: tuple[float, ...]
    who: str
    text: str
    source: str
    eras: str | None = None
    transport: str | None = None
    each: int = 1

    @property
    def first(self) -> float:
        """The wait, of a series the first one."""
        return self.seconds[0]

    @property
    def total(self) -> float:
        """All waits of a series, one after the other."""
        return sum(self.seconds)


@cache
def timers() -> dict[str, Timer]:
    """All timers by name."""
    result = {}
    for entry in table("timers")["timer"]:
        value = entry["seconds"]
        seconds = tuple(float(item) for item in (value if isinstance(value, list) else [value]))
        result[entry["name"]] = Timer(**(entry | {"seconds": seconds}))
    return result


def timer(name: str) -> Timer:
    """The timer of that name. Raises KeyError when the table has none."""
    return timers()[name]


def timers_near(seconds: float, *, who: str | None = None, transport: str | None = None) -> tuple[Timer, ...]:
    """The timers a silence of ``seconds`` may be (5 % and 0.3 s either way), nearest first; series count by their total."""

    def distance(timer: Timer) -> float:
        return min(abs(seconds - value) for value in {*timer.seconds, timer.total})

    fitting = [
        timer
        for timer in timers().values()
        if who in (None, timer.who)
        and (transport is None or timer.transport in (None, transport))
        and distance(timer) <= max(0.3, 0.05 * seconds)
    ]
    return tuple(sorted(fitting, key=distance))


def retry_wait_s(failures: int) -> float:
    """Seconds the device waits after its ``failures``-th failure in a row (>= 1), firmware 0.4.7 and later."""
    ladder = timer("retry")
    return ladder.seconds[min(len(ladder.seconds) - 1, max(0, failures - 1) // ladder.each)]
