"""The story in words: how often, how long already, what was different when it still worked, and when the device comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from analyzer.firmware.timers import timer
from analyzer.model import CaptureReport, Code, Session, Story
from analyzer.stories.backoff import Run, failing_for, runs
from analyzer.stories.devices import Group, grouped
from analyzer.stories.moments import Moment, facts, moments

#: A range of failure numbers that goes beyond this has no end.
_ENDLESS = 900
#: Up to this number of a run's first failure, the streak may as well have begun with it.
_FROM_THE_START = 1


def tell(sessions: Sequence[Session]) -> tuple[Story, ...]:
    """One story per device of a capture, in the order in which the devices appear."""
    return tuple(_story(group) for group in grouped(moments(sessions)))


def stories_across(captures: Iterable[CaptureReport]) -> tuple[Story, ...]:
    """One story for each device that more than one of these captures shows; its sessions are named PATH#ID.

    Only an id or a key ties sessions of different captures together: an address is somebody else's the next day.
    """
    found: list[Moment] = []
    places: dict[str, str] = {}
    for capture in captures:
        for moment in moments(capture.sessions, f"{capture.path}#"):
            if moment.id is not None or moment.key is not None:
                found.append(moment)
                places[moment.name] = capture.path
    found.sort(key=lambda moment: moment.start_s)
    return tuple(
        _story(group, captures=len(seen))
        for group in grouped(found)
        if len(seen := {places[moment.name] for moment in group.members}) > 1
    )


def _story(group: Group, captures: int = 1) -> Story:
    members = group.members
    streak = _streak(members)
    ladder = _ladder(streak)
    good, bad = _turning_point(members)
    changed = _changed(good, bad) if good and bad else ()
    cadence = tuple(round(later.start_s - earlier.start_s, 3) for earlier, later in pairwise(members))
    return Story(
        device=group.device,
        sessions=tuple(moment.name for moment in members),
        attempts=len(members),
        cadence_s=cadence,
        summary="; ".join(_sentences(members, streak, ladder, good, bad, changed, captures)),
        guess=group.guess,
        addresses=tuple(
            dict.fromkeys(moment.session.device.address for moment in members if moment.session.device.address)
        ),
        failing_since=streak[0].session.start_time if streak else None,
        last_good=good.name if good else None,
        first_bad=bad.name if bad else None,
        changed=changed,
        failures_in_a_row=_numbers(ladder[-1].last) if ladder else (),
        next_wait_s=ladder[-1].next_waits if ladder else (),
    )


# -- what happened ---------------------------------------------------------------------------------------------------


def _streak(members: Sequence[Moment]) -> list[Moment]:
    """The failed attempts at the end of the story, without those whose fate the capture does not tell."""
    begin = len(members)
    while begin and not members[begin - 1].good:
        begin -= 1
    while begin < len(members) and members[begin].good is None:
        begin += 1
    return list(members[begin:])


def _ladder(streak: Sequence[Moment]) -> tuple[Run, ...]:
    """Runs of attempts of which none came as far as a session: a session sets the firmware's count to nought."""
    begin = len(streak)
    while begin and not streak[begin - 1].connected:
        begin -= 1
    attempts = streak[begin:]
    if len(attempts) < 2:
        return ()
    guesses = [moment.failed_s for moment in attempts]
    ends = [[times[min(choice, len(times) - 1)] for times in guesses] for choice in range(max(map(len, guesses)))]
    found = runs([moment.begun_s for moment in attempts], ends)
    # With more than one guess at the instant of failure, a single pause that fits one of them may be chance.
    alone = len(ends) > 1 and sum(len(run.pauses) for run in found) < 2 and attempts[0].session.transport == "tcp"
    return () if alone else found


def _turning_point(members: Sequence[Moment]) -> tuple[Moment | None, Moment | None]:
    """The last change for the worse: the last good attempt before it and the first bad one behind it."""
    good: Moment | None = None
    found: tuple[Moment | None, Moment | None] = (None, None)
    for moment in members:
        if moment.good:
            good = moment
        elif moment.good is False and good is not None:
            found, good = (good, moment), None
    return found


def _changed(good: Moment, bad: Moment) -> tuple[str, ...]:
    """What both sessions show and show differently."""
    before, after = facts(good.session), facts(bad.session)
    return tuple(
        f"{name}: {before[name]} then, {after[name]} now"
        for name in before
        if name in after and before[name] != after[name]
    )


# -- in words --------------------------------------------------------------------------------------------------------


def _sentences(
    members: Sequence[Moment],
    streak: Sequence[Moment],
    ladder: tuple[Run, ...],
    good: Moment | None,
    bad: Moment | None,
    changed: tuple[str, ...],
    captures: int,
) -> Iterator[str]:
    yield _count(members, captures)
    twins = tuple(_twins(members))
    yield from twins
    if good and bad and not twins:
        what = ", ".join(changed) if changed else "nothing that a capture shows changed in between"
        yield f"got through until {_when(good)} ({good.name}), failed from {_when(bad)} on ({bad.name}): {what}"
    elif streak and len(streak) < len(members) and not twins:
        yield f"failing since {_when(streak[0])} ({streak[0].name})"
    recovered = members[-1].good and any(moment.good is False for moment in members)
    if recovered and not (good and bad) and not twins:
        first = next(moment for moment in members if moment.good)
        yield f"gets through from {_when(first)} on ({first.name})"
    if ladder:
        yield from _backoff(streak, ladder)


def _count(members: Sequence[Moment], captures: int) -> str:
    many = "1 attempt" if len(members) == 1 else f"{len(members):,} attempts"
    span = members[-1].end_s - members[0].start_s
    if len(members) > 1:
        many += f" in {_duration(span)}"
    if captures > 1:
        many += f" over {captures} captures"
    codes = Counter(moment.session.verdict.code.value for moment in members)
    if len(codes) == 1:
        code = next(iter(codes))
        return f"{many}, {'both ' if len(members) == 2 else 'all ' if len(members) > 2 else ''}{code}"
    return f"{many}: " + ", ".join(f"{count} {code}" for code, count in codes.items())


def _twins(members: Sequence[Moment]) -> Iterator[str]:
    """Two devices with one id push each other out."""
    displaced = [moment for moment in members if moment.session.verdict.code is Code.SESSION_DISPLACED]
    addresses = dict.fromkeys(moment.session.device.address for moment in members)
    if displaced and len(addresses) > 1:
        turns = f", {len(displaced)} times" if len(displaced) > 1 else ""
        yield f"{len(addresses)} devices share this id ({', '.join(list(addresses)[:4])}) and push each other out{turns}"


def _backoff(streak: Sequence[Moment], ladder: tuple[Run, ...]) -> Iterator[str]:
    run = ladder[-1]
    if len(ladder) > 1:
        begun = streak[len(streak) - _attempts(ladder) + run.index] if _attempts(ladder) <= len(streak) else None
        where = f" at {_when(begun)} ({begun.name})" if begun else ""
        yield f"the waits begin anew{where}: the device or its network interface was restarted there"
    waits = _span(min(run.pauses), max(run.pauses))
    low, high = run.first.start, run.first.stop - 1
    if low > _FROM_THE_START:
        attempt = streak[-1].failed_s[0] - streak[-1].begun_s
        before = failing_for(low, min(attempt, 60.0))
        which = (
            f"number {low}"
            if low == high
            else f"number {low} or later"
            if high > _ENDLESS
            else f"number {low} to {high}"
        )
        yield (
            f"waits of {waits} are those after many failures: the first attempt here is {which} in a row, "
            f"so it has been failing for at least {_duration(before)} before"
        )
    elif max(run.pauses) < 1.5:
        yield f"waits of {waits}: after at most {timer('retry').each} failures in a row"
    elif high == 1:
        yield f"waits of {waits}: the firmware's ladder from its first step on"
    shortest, longest = run.next_waits
    most = timer("retry").seconds[-1]
    upwards = "" if shortest >= most else f", then longer, up to {most:g} s"
    yield f"the next would follow after {_span(shortest, longest)}{upwards}"


def _numbers(numbers: range) -> tuple[int, ...]:
    """Least and most; the least alone where the ladder's last step leaves no limit."""
    return (numbers.start,) if numbers.stop > _ENDLESS else (numbers.start, numbers.stop - 1)


def _attempts(ladder: tuple[Run, ...]) -> int:
    last = ladder[-1]
    return last.index + len(last.pauses) + 1


def _when(moment: Moment) -> str:
    time = moment.session.begins
    return time[11:19] if len(time) > 19 else time


def _span(low: float, high: float) -> str:
    lower, upper = _duration(low), _duration(high)
    if lower == upper:
        return lower
    return (
        f"{lower.removesuffix(' s')} to {upper}"
        if lower.endswith(" s") and upper.endswith(" s") and "min" not in lower
        else f"{lower} to {upper}"
    )


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 180:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
