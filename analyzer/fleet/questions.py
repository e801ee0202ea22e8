"""What can be asked of a store: which captures, which sessions, which devices, which cause, since when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address

from analyzer.fleet.answer import SESSION_COLUMNS, FindingRow, SessionRow
from analyzer.fleet.causes import Cluster, clusters, most
from analyzer.fleet.store import Store

#: How a device's id is known that is in no message: the key folder is of one device.
_GUESS = "only-device-in-keys"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions count. Each field that is set must hold; ``network`` is a /24 or /64, or the address in it.

    ``since`` (inclusive) and ``until`` (exclusive) are the beginnings of RFC 3339 times: ``2026-11`` is the whole month's start.
    """

    device: str | None = None
    verdict: str | None = None
    certainty: str | None = None
    since: str | None = None
    until: str | None = None
    network: str | None = None
    cloud: str | None = None

    @property
    def empty(self) -> bool:
        """Whether every session counts."""
        return self == Filter()

    def clause(self) -> tuple[str, list[str]]:
        """The condition in SQL over the sessions table, and its parameters."""
        tests: list[tuple[str, list[str]]] = []
        if self.device is not None:
            tests.append(("(device = ? OR device_address = ?)", [self.device.lower(), self.device]))
        if self.verdict is not None:
            tests.append(("verdict = ?", [self.verdict]))
        if self.certainty is not None:
            tests.append(("certainty = ?", [self.certainty]))
        if self.since is not None:
            tests.append(("start_time >= ?", [self.since]))
        if self.until is not None:
            tests.append(("start_time < ?", [self.until]))
        if self.network is not None:
            tests.append(("(network = ? OR device_address = ?)", [self.network, self.network]))
        if self.cloud is not None:
            tests.append(("(cloud_address = ? OR cloud_host = ? OR stored_server = ?)", [self.cloud] * 3))
        return " AND ".join(test for test, _ in tests) or "1", [value for _, values in tests for value in values]


@dataclass(frozen=True, slots=True)
class CaptureRow:
    """One capture as the store knows it."""

    path: str
    sha256: str | None
    status: str
    reason: str | None
    packets: int
    bytes: int
    sessions: int


class State(StrEnum):
    """What became of a device over all that is known of it."""

    NEVER = "never got in"
    LOST = "lost"
    RECOVERED = "recovered"
    WELL = "well"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One session of a device's timeline."""

    time: str
    verdict: str
    certainty: str
    path: str
    session: int


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device over time. ``since`` is the time its state began: of the first failure after the last success, or of the recovery."""

    device: str
    state: State
    since: str
    first_bad: str | None
    sessions: int
    failing: int
    verdict: str
    certainty: str
    summary: str
    network: str
    cloud: str
    family: str | None
    first_time: str
    last_time: str
    attempts: tuple[Attempt, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything a fleet report shows."""

    captures: int
    captures_failed: int
    captures_partial: int
    captures_empty: int
    sessions: int
    verdicts: tuple[tuple[str, int], ...]
    states: tuple[tuple[State, int], ...]
    devices: tuple[DeviceRow, ...]
    clusters: tuple[Cluster, ...]
    days: tuple[tuple[str, int, int], ...]
    first_bad_day: str | None
    by_cloud: tuple[tuple[str, int, int], ...]
    by_network: tuple[tuple[str, int, int], ...]
    by_family: tuple[tuple[str, int, int], ...]
    unread: tuple[CaptureRow, ...]


def captures(store: Store) -> Iterator[CaptureRow]:
    """Every capture, by path."""
    rows = store.db.execute(
        "SELECT path, sha256, status, reason, packets, bytes, (SELECT count(*) FROM sessions WHERE sessions.result = id)"
        " FROM temp.asked JOIN results ON id = asked.result ORDER BY path"
    )
    for path, sha256, *rest in rows:
        yield CaptureRow(path, None if sha256.startswith("path:") else sha256, *rest)


def sessions(store: Store, only: Filter) -> Iterator[tuple[str, SessionRow]]:
    """Sessions that count, each with its capture's path: by path, then by number."""
    where, values = only.clause()
    columns = ", ".join(SESSION_COLUMNS)
    rows = store.db.execute(
        f"SELECT path, {columns} FROM temp.asked JOIN sessions ON sessions.result = asked.result"
        f" WHERE {where} ORDER BY path, number",
        values,
    )
    for path, *rest in rows:
        yield path, SessionRow(*rest)


def reports(store: Store, only: Filter) -> Iterator[tuple[str, bytes, frozenset[int] | None]]:
    """Stored reports by path, each with the numbers of its sessions that count (None: all); with a filter, only those with any."""
    if only.empty:
        for path, report in store.db.execute(
            "SELECT path, report FROM temp.asked JOIN results ON id = asked.result ORDER BY path"
        ):
            yield path, report, None
        return
    where, values = only.clause()
    rows = store.db.execute(
        "SELECT path, report, group_concat(number) FROM temp.asked JOIN results ON id = asked.result"
        f" JOIN sessions ON sessions.result = id WHERE {where} GROUP BY path ORDER BY path",
        values,
    )
    for path, report, numbers in rows:
        yield path, report, frozenset(map(int, numbers.split(",")))


def overview(store: Store, only: Filter) -> Overview:
    """The answers of a fleet report for the sessions that count."""
    rows = _told_apart(list(sessions(store, only)))
    devices = _devices(rows)
    files = list(captures(store))
    if not only.empty:
        counted = {path for path, _ in rows}
        files = [row for row in files if row.path in counted]
    days = _days(rows)
    families = {item.device: item.family or "not known" for item in devices}
    return Overview(
        captures=len(files),
        captures_failed=sum(row.status == "failed" for row in files),
        captures_partial=sum(row.status == "partial" for row in files),
        captures_empty=sum(row.status == "ok" and not row.sessions for row in files),
        sessions=len(rows),
        verdicts=most(Counter(row.verdict for _, row in rows)),
        states=tuple((state, sum(item.state is state for item in devices)) for state in State),
        devices=devices,
        clusters=clusters(rows, _causes_of_their_own(store), families),
        days=days,
        first_bad_day=next((day for day, _, bad in days if bad), None),
        by_cloud=_split(rows, lambda row: row.cloud_host or row.cloud_address),
        by_network=_split(rows, lambda row: row.network),
        by_family=_split(rows, lambda row: families[row.device]),
        unread=tuple(row for row in files if row.status != "ok"),
    )


def _told_apart(rows: list[tuple[str, SessionRow]]) -> list[tuple[str, SessionRow]]:
    """With an id that is only a guess from the key folder, sessions of several addresses are several devices."""
    addresses: dict[str, set[str]] = defaultdict(set)
    for _, row in rows:
        if row.id_source == _GUESS:
            addresses[row.device].add(row.device_address)
    return [
        (path, replace(row, device=row.device_address))
        if row.id_source == _GUESS and len(addresses[row.device]) > 1
        else (path, row)
        for path, row in rows
    ]


def _bad(row: SessionRow) -> bool:
    return row.verdict not in ("healthy", "capture-incomplete")


def _split(rows: Iterable[tuple[str, SessionRow]], name: object) -> tuple[tuple[str, int, int], ...]:
    """(value, devices, failing devices) of one property, most failing first."""
    everyone: dict[str, set[str]] = defaultdict(set)
    failing: dict[str, set[str]] = defaultdict(set)
    for _, row in rows:
        value = name(row)  # type: ignore[operator]
        everyone[value].add(row.device)
        if _bad(row):
            failing[value].add(row.device)
    counted = [(value, len(found), len(failing[value])) for value, found in everyone.items()]
    return tuple(sorted(counted, key=lambda item: (-item[2], -item[1], item[0])))


def _days(rows: Iterable[tuple[str, SessionRow]]) -> tuple[tuple[str, int, int], ...]:
    """(day, sessions, failing ones), in order of time."""
    every: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for _, row in rows:
        every[row.start_time[:10]] += 1
        bad[row.start_time[:10]] += _bad(row)
    return tuple((day, every[day], bad[day]) for day in sorted(every))


def _devices(rows: Iterable[tuple[str, SessionRow]]) -> tuple[DeviceRow, ...]:
    of: dict[str, list[tuple[str, SessionRow]]] = defaultdict(list)
    for path, row in rows:
        of[row.device].append((path, row))
    found = [
        _device(name, sorted(items, key=lambda item: (item[1].start_time, item[0], item[1].number)))
        for name, items in of.items()
    ]
    order = list(State)
    return tuple(sorted(found, key=lambda item: (order.index(item.state), *_sortable(item.device))))


def _sortable(device: str) -> tuple[int, int, str]:
    """Ids in the order of their digits, then addresses in the order of their numbers."""
    try:
        address = ip_address(device)
    except ValueError:
        return 0, 0, device
    return address.version, int(address), device


def _device(name: str, items: list[tuple[str, SessionRow]]) -> DeviceRow:
    state, since = _state([row for _, row in items])
    bad = [row for _, row in items if _bad(row)]
    shown = bad[-1] if bad and state in (State.NEVER, State.LOST) else items[-1][1]
    return DeviceRow(
        device=name,
        state=state,
        since=since,
        first_bad=bad[0].start_time if bad else None,
        sessions=len(items),
        failing=len(bad),
        verdict=shown.verdict,
        certainty=shown.certainty,
        summary=shown.summary,
        network=shown.network,
        cloud=shown.cloud_host or shown.cloud_address,
        family=next((row.family for _, row in reversed(items) if row.family), None),
        first_time=items[0][1].start_time,
        last_time=items[-1][1].start_time,
        attempts=tuple(Attempt(row.start_time, row.verdict, row.certainty, path, row.number) for path, row in items),
    )


def _state(rows: list[SessionRow]) -> tuple[State, str]:
    """What incomplete captures say counts for nothing."""
    telling = [row for row in rows if row.verdict != "capture-incomplete"]
    if not telling:
        return State.UNCLEAR, rows[0].start_time
    good = [index for index, row in enumerate(telling) if not _bad(row)]
    if not good:
        return State.NEVER, telling[0].start_time
    if good[-1] < len(telling) - 1:
        return State.LOST, telling[good[-1] + 1].start_time
    bad = [index for index, row in enumerate(telling) if _bad(row)]
    if bad:
        return State.RECOVERED, telling[bad[-1] + 1].start_time
    return State.WELL, telling[0].start_time


def _causes_of_their_own(store: Store) -> Iterator[tuple[str, FindingRow]]:
    """Findings that are causes beside the verdict, each with its capture's path."""
    rows = store.db.execute(
        "SELECT path, number, code, certainty, summary FROM temp.asked JOIN findings ON findings.result = asked.result"
        " WHERE code IN ('server-address-lost', 'wrong-cloud') ORDER BY path, number"
    )
    for path, *rest in rows:
        yield path, FindingRow(*rest)
