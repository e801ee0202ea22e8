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
    """A sentence about one device as one about any: ids, key files, prints and device addresses are taken out.

    The cloud's address stays, also where the cloud is in the devices' own network.
    """

    def address(found: re.Match[str]) -> str:
        if found[0] == row.device_address:
            return "its address"
        near = found[0] != row.cloud_address and network_of(found[0]) == row.network
        return "another address" if near else found[0]

    text = _PRINT.sub("", _DEVICE.sub("the device", _FILE.sub("its key file", summary)))
    return _ADDRESS.sub(address, text)


def clusters(
    rows: Iterable[tuple[str, SessionRow]], findings: Iterable[tuple[str, FindingRow]], families: Mapping[str, str]
) -> tuple[Cluster, ...]:
    """Causes from the verdicts of sessions, and from findings (those of sessions that count), most devices first.

    ``families`` has the firmware family of each device: a session that fails early does not tell it, another does.
    """
    told: dict[tuple[str, str, tuple[str, ...]], list[tuple[SessionRow, str, str]]] = defaultdict(list)

    def tell(row: SessionRow, code: str, certainty: str, text: str, cause: str) -> None:
        # What is left between the measures is what the sentences must have in common.
        told[code, certainty, tuple(_NUMBER.split(cause))].append((row, text, cause))

    by_place = {(path, row.number): row for path, row in rows}
    for row in by_place.values():
        if row.verdict != "healthy":
            tell(row, row.verdict, row.certainty, row.summary, cause_of(row, row.summary))
    for path, finding in findings:
        found = by_place.get((path, finding.number))
        if found is None:
            continue
        elsewhere = _elsewhere(found)
        text = elsewhere or finding.summary
        tell(found, finding.code, finding.certainty, text, elsewhere or cause_of(found, text))
    made = [
        _cluster(code, certainty, _shown(members), [row for row, _, _ in members], families)
        for (code, certainty, _), members in told.items()
    ]
    return tuple(sorted(made, key=lambda item: (-len(item.devices), -item.sessions, item.code, item.cause)))


def _elsewhere(row: SessionRow) -> str | None:
    """That a device goes elsewhere than where its stored server is, when it has one."""
    went, stored = row.cloud_host or row.cloud_address, row.stored_server
    if stored in (None, "unset", went):
        return None
    return f"asks for {went} although its stored server is {stored}"


def _shown(members: Sequence[tuple[SessionRow, str, str]]) -> str:
    """The cause in words: one sentence as it is, several without whom they are about and with the range of each measure."""
    if len({text for _, text, _ in members}) == 1:
        return members[0][1]
    causes = {cause for _, _, cause in members}
    measures = map(_range, zip(*map(_NUMBER.findall, causes), strict=True))
    return _NUMBER.sub(lambda _: next(measures), members[0][2])


def _range(values: Iterable[str]) -> str:
    low, high = min(values, key=float), max(values, key=float)
    return low if low == high else f"{low} to {high}"


def _cluster(code: str, certainty: str, cause: str, rows: Sequence[SessionRow], families: Mapping[str, str]) -> Cluster:
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
