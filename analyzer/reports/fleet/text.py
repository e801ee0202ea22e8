"""The fleet for a terminal or a ticket: how many of what, one cause after the other, then the devices."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from analyzer.fleet.causes import Cluster
from analyzer.fleet.questions import DeviceRow, Overview, State
from analyzer.reports.grouping import counted
from analyzer.reports.writing import Style
from analyzer.safe import printable

#: A number stays with what it counts.
_HELD = re.compile(r"(?<=\d) (?=[a-z])| (?=\([\d,]+\))")
_CLUSTERS, _DEVICES, _SPLIT, _UNREAD, _TIMELINE = 12, 25, 6, 10, 60


def format_text(view: Overview, style: Style) -> Iterator[str]:
    """The overview as text; ``--verbose`` lists everything, ``--quiet`` one line per device."""
    many = 10**9 if style.verbose else None
    if style.quiet:
        for device in view.devices:
            yield _plain(f"{device.device}  {state_text(device)}  {device.verdict} ({device.certainty})", style) + "\n"
        return
    yield from _wrapped(headline(view), style)
    if view.sessions:
        yield from _wrapped(", ".join(f"{count:,} {code}" for code, count in view.verdicts), style)
        yield from _states(view, style)
        yield from _clusters(view, style, many or _CLUSTERS)
        for title, rows in (
            ("By cloud", view.by_cloud),
            ("By access network", view.by_network),
            ("By firmware family", view.by_family),
        ):
            yield from _split(title, rows, style, many or _SPLIT)
        yield from _devices(view.devices, style, many or _DEVICES)
    if len(view.devices) == 1:
        yield from _timeline(view.devices[0], style)
    yield from _unread(view, style, many or _UNREAD)


def headline(view: Overview) -> str:
    """What the store holds, in one sentence."""
    parts = [counted(view.captures, "capture"), counted(view.sessions, "session"), counted(len(view.devices), "device")]
    if view.captures_failed:
        parts.append(f"{view.captures_failed:,} not readable")
    if view.captures_partial:
        parts.append(f"{view.captures_partial:,} read in part")
    if view.captures_empty:
        parts.append(f"{view.captures_empty:,} without a device session")
    return ", ".join(parts)


def state_text(device: DeviceRow) -> str:
    """The state of a device with its date."""
    day = device.since[:10]
    return {
        State.NEVER: "never got in",
        State.LOST: f"lost at {day}",
        State.RECOVERED: f"recovered at {day}",
        State.WELL: "well",
        State.UNCLEAR: "unclear: captures incomplete",
    }[device.state]


def cluster_text(cluster: Cluster) -> str:
    """A cause with the number of devices it has: ``41 devices ask for ...``."""
    number = len(cluster.devices)
    if cluster.cause.startswith("asks for "):
        verb, whose = ("asks", "its") if number == 1 else ("ask", "their")
        cause = cluster.cause.removeprefix("asks").replace(" its stored server", f" {whose} stored server")
        return f"{counted(number, 'device')} {verb}{cause}"
    return f"{counted(number, 'device')}: {cluster.cause}"


def _wrapped(text: str, style: Style, indent: str = "") -> Iterator[str]:
    """The text in lines of the style's width, each behind ``indent`` and those after the first two further in."""
    lines = textwrap.wrap(
        _HELD.sub("\u00a0", _plain(text, style)),
        style.width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace("\u00a0", " ") + "\n" for line in lines)


def _plain(text: str, style: Style) -> str:
    shown = printable(text)
    return shown if style.unicode else shown.encode("ascii", "backslashreplace").decode()


def _states(view: Overview, style: Style) -> Iterator[str]:
    told = ", ".join(f"{count:,} {state.value}" for state, count in view.states if count)
    yield from _wrapped(f"Devices: {told}", style)
    if view.first_bad_day:
        yield f"First bad day: {view.first_bad_day}\n"


def _clusters(view: Overview, style: Style, most: int) -> Iterator[str]:
    if view.clusters:
        yield "\nCauses\n"
    for cluster in view.clusters[:most]:
        yield from _wrapped(cluster_text(cluster), style, "  ")
        where = "; ".join(
            f"{name} {', '.join(f'{value} ({count:,})' for value, count in pairs[:3])}{' ...' if len(pairs) > 3 else ''}"
            for name, pairs in (("cloud", cluster.clouds), ("network", cluster.networks), ("family", cluster.families))
            if pairs
        )
        first, last = cluster.first_time[:10], cluster.last_time[:10]
        when = first if first == last else f"{first} to {last}"
        said = f"{cluster.code} ({cluster.certainty}), {counted(cluster.sessions, 'session')}, {when}; {where}"
        yield from _wrapped(said, style, "      ")
    yield from _more(len(view.clusters) - most, "cause")


def _split(title: str, rows: Sequence[tuple[str, int, int]], style: Style, most: int) -> Iterator[str]:
    if len(rows) < 2:
        return
    yield f"\n{title}\n"
    for value, devices, failing in rows[:most]:
        line = f"{value:<{min(40, style.width - 32)}} {counted(devices, 'device'):>14}  {failing:,} failing"
        yield from _wrapped(line, style, "  ")
    yield from _more(len(rows) - most, "line")


def _devices(devices: Sequence[DeviceRow], style: Style, most: int) -> Iterator[str]:
    yield "\nDevices\n"
    for item in devices[:most]:
        failing = f"{item.failing:,} of {counted(item.sessions, 'session')} failing" if item.failing else ""
        said = f"{item.verdict} ({item.certainty})"
        line = f"  {item.device:<24}  {state_text(item):<23}  {said:<36}  {failing:<26}  {item.cloud}"
        if len(line) <= style.width:
            yield _plain(line, style) + "\n"
        else:
            yield from _wrapped(f"{item.device:<24}  {state_text(item)}, {said}", style, "  ")
            yield from _wrapped("; ".join(part for part in (failing, item.cloud) if part), style, " " * 28)
    yield from _more(len(devices) - most, "device")


def _timeline(device: DeviceRow, style: Style) -> Iterator[str]:
    yield f"\nTimeline of {_plain(device.device, style)}\n"
    for attempt in device.attempts[-_TIMELINE:]:
        said = f"{attempt.time}  {attempt.verdict} ({attempt.certainty})  {attempt.path} s{attempt.session}"
        yield from _wrapped(said, style, "  ")
    if len(device.attempts) > _TIMELINE:
        yield f"  the last {_TIMELINE} of {len(device.attempts):,}\n"


def _unread(view: Overview, style: Style, most: int) -> Iterator[str]:
    if view.unread:
        yield "\nNot read to the end\n"
    for row in view.unread[:most]:
        yield from _wrapped(f"{row.path}: {row.reason or row.status}", style, "  ")
    yield from _more(len(view.unread) - most, "capture")


def _more(number: int, noun: str) -> Iterator[str]:
    if number > 0:
        yield f"  ... and {counted(number, f'more {noun}')} (--verbose lists all)\n"
