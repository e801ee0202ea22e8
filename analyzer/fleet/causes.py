"""One cause of many devices: sessions whose sentences differ only in whom and how much they are about."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from analyzer.fleet.answer import FindingRow, SessionRow, network_of

_NUMBER = re.compile(r"\b\d+(?:\.\d+)?(?= (?:s|ms|times)\b)")
_FILE = re.compile(r"\b[0-9a-fA-F]{24}[\w~-]*(?:\.\w[\w~-]*)+")
_DEVICE = re.compile(r"\b(?:device (?:id )?)?[0-9a-fA-F]{24}\b")
_PRINT = re.compile(r" \(SHA256:[0-9a-f]{16,64}\)|SHA256:[0-9a-f]{16,64}")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
#: What stands for a measure in a cause; no sentence of ours has it.
_MEASURE = "\0"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Devices with one cause. The counts are of devices, most first."""

    cause: str
    code: str
    certainty: str
    devices: tuple[str, ...]
    sessions: int
    first_time: str
    last_time: str
    clouds: tuple[tuple[str, int], ...]
    networks: tuple[tuple[str, int], ...]
    families: tuple[tuple[str, int], ...]


def cause_of(row: SessionRow, summary: str) -> str:
    """A sentence about one device as one about any: ids, key files, prints, measures and device addresses are taken out."""
    text = _PRINT.sub("", _DEVICE.sub("the device", _FILE.sub("its key file", summary)))
    text = _ADDRESS.sub(lambda found: "another address" if network_of(found[0]) == row.network else found[0], text)
    return _NUMBER.sub(_MEASURE, text)


def clusters(
    rows: Iterable[tuple[str, SessionRow]], findings: Iterable[tuple[str, FindingRow]], families: Mapping[str, str]
) -> tuple[Cluster, ...]:
    """Causes from the verdicts of sessions, and from findings (those of sessions that count), most devices first.

    ``families`` has the firmware family of each device: a session that fails early does not tell it, another does.
    """
    told: dict[tuple[str, str, str], list[tuple[SessionRow, str]]] = defaultdict(list)
    by_place = {(path, row.number): row for path, row in rows}
    for row in by_place.values():
        if row.verdict != "healthy":
            told[row.verdict, row.certainty, cause_of(row, row.summary)].append((row, row.summary))
    for path, finding in findings:
        found = by_place.get((path, finding.number))
        if found is None:
            continue
        elsewhere = _elsewhere(found)
        text = elsewhere or finding.summary
        told[finding.code, finding.certainty, elsewhere or cause_of(found, text)].append((found, text))
    made = [
        _cluster(code, certainty, _shown(cause, members), members, families)
        for (code, certainty, cause), members in told.items()
    ]
    return tuple(sorted(made, key=lambda item: (-len(item.devices), -item.sessions, item.code, item.cause)))


def _elsewhere(row: SessionRow) -> str | None:
    """That a device goes elsewhere than where its stored server is, when it has one."""
    went, stored = row.cloud_host or row.cloud_address, row.stored_server
    if stored in (None, "unset", went):
        return None
    return f"asks for {went} although its stored server is {stored}"


def _shown(cause: str, members: Sequence[tuple[SessionRow, str]]) -> str:
    """The cause in words: one sentence as it is, several with the range of each measure."""
    sentences = {text for _, text in members}
    if len(sentences) == 1:
        return next(iter(sentences))
    columns = list(zip(*(_NUMBER.findall(text) for text in sentences), strict=True))
    measures = iter([_range(column) for column in columns])
    return re.sub(_MEASURE, lambda _: next(measures), cause)


def _range(values: Iterable[str]) -> str:
    low, high = min(values, key=float), max(values, key=float)
    return low if low == high else f"{low} to {high}"


def _cluster(
    code: str, certainty: str, cause: str, members: Sequence[tuple[SessionRow, str]], families: Mapping[str, str]
) -> Cluster:
    rows = [row for row, _ in members]

    def split(name: Callable[[SessionRow], str]) -> tuple[tuple[str, int], ...]:
        found: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            found[name(row)].add(row.device)
        return most(Counter({value: len(devices) for value, devices in found.items()}))

    return Cluster(
        cause=cause,
        code=code,
        certainty=certainty,
        devices=tuple(sorted({row.device for row in rows})),
        sessions=len(rows),
        first_time=min(row.start_time for row in rows),
        last_time=max(row.start_time for row in rows),
        clouds=split(lambda row: row.cloud_host or row.cloud_address),
        networks=split(lambda row: row.network),
        families=split(lambda row: families[row.device]),
    )


def most(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """(value, count), most first, then by name."""
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
