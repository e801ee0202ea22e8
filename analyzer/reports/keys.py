"""`analyze keys`: what is in a key folder, as text and as JSON (`key-report/1`).

A key is named by file, role, kind, bits and the fingerprint of its public half; nothing secret can get in here, because
only these fields are read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal

from analyzer import safe
from analyzer.keys.findings import SEVERITIES
from analyzer.keys.fixes import together
from analyzer.keys.key import FileFinding, Key, KeyFinding, ServerAddress
from analyzer.keys.pairing import compare
from analyzer.keys.report import DeviceKeys, KeysReport
from analyzer.keys.ring import KeyRing
from analyzer.model import Role
from analyzer.reports.grouping import Tone, counted
from analyzer.reports.json import plain
from analyzer.reports.pen import Pen
from analyzer.reports.writing import Style
from dissectors.handshakes import usual_port

SCHEMA: Final = "key-report/1"
#: Characters of a fingerprint in text.
SHORT: Final = 16
#: What is shown without --verbose; what is left out is always counted.
_FILES, _FIXES, _SKIPPED = 12, 3, 20
#: Where a device's rows and the names of keys begin; the words of a remedy, behind the rows.
_ROW, _NAMED, _STEP = 4, 20, 8
#: What is no fault of its own where the stored server key has to be written anyway: the address is written with it.
_WRITTEN_TOO: Final = "server-address-unset"


def run_keys_report(
    ring: KeyRing, format: Literal["text", "json"] = "text", style: Style | None = None
) -> tuple[Iterator[str], int]:
    """The report in pieces, and the exit status: 0 nothing wrong, 1 a file is unusable or two halves disagree."""
    report = compare(ring)
    pieces = format_keys_json(report) if format == "json" else format_keys_text(report, style or Style())
    return pieces, 1 if report.troubled else 0


# --- JSON -----------------------------------------------------------------------------------------------------------


def format_keys_json(report: KeysReport) -> Iterator[str]:
    """The report as JSON, a row at a time. Values of a device's keys are fingerprints (all 64 hex digits)."""
    yield f'{{\n "schema": {json.dumps(SCHEMA)},\n "keys": ['
    yield from _items(_key(key) for key in report.keys)
    yield '\n ],\n "devices": ['
    yield from _items(_device(device) for device in report.devices)
    yield '\n ],\n "findings": ['
    yield from _items(_finding(found) for found in report.findings)
    yield '\n ],\n "skipped": ['
    yield from _items({"file": item.file, "reason": item.reason} for item in report.skipped)
    yield "\n ]\n}\n"


def _items(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for index, row in enumerate(rows):
        yield ("," if index else "") + "\n  " + json.dumps(row, ensure_ascii=True)


def _key(key: Key) -> dict[str, Any]:
    row: dict[str, Any] = plain(key.row())
    row["part"] = key.part or None
    row["encoding"] = key.encoding
    row["record"] = key.record
    return row


def _value(keys: Sequence[Key], derived: str | None = None) -> str | None:
    """The fingerprint of the key that counts; the problem of one that has none."""
    if not keys:
        return derived
    first = keys[0]
    return first.fingerprint or f"unusable: {first.problem}"


def _device(device: DeviceKeys) -> dict[str, Any]:
    address = device.address
    files = {
        role.value: [key.file for key in keys]
        for role, keys in (
            (Role.DEVICE_PRIVATE, device.private),
            (Role.DEVICE_PUBLIC, device.public),
            (Role.CLOUD_COPY, device.cloud_copy),
            (Role.DEVICE_SERVER_KEY, device.server_key),
        )
        if keys
    }
    return {
        "id": device.id,
        "transport": device.transport,
        "device_private": _value(device.private),
        "device_public": _value(device.public, device.own_fingerprint),
        "cloud_copy": _value(device.cloud_copy),
        "cloud_copy_record": device.cloud_copy[0].record if device.cloud_copy else None,
        "device_server_key": _value(device.server_key),
        "server_address": None if address is None else address.host or address.kind,
        "server_port": None if address is None else address.port,
        "verdict": device.verdict,
        "ok": not device.bad,
        "files": files,
        "pairs": [
            {"left": pair.left, "right": pair.right, "fits": pair.fits, "text": pair.text} for pair in device.pairs
        ],
    }


def _finding(found: FileFinding) -> dict[str, Any]:
    finding = found.finding
    return {
        "code": finding.code,
        "severity": finding.severity,
        "file": found.file,
        "device_id": found.device_id,
        "summary": finding.summary,
        "remedy": finding.remedy,
        "commands": list(finding.commands),
    }


def _one_folder(report: KeysReport) -> str:
    """The folder that all files are named from, as it is typed where the program was started; "" when there are several."""
    found = {key.typed.removesuffix(key.file) for key in report.keys if key.typed.endswith(f"/{key.file}")}
    return safe.printable(found.pop()) if len(found) == 1 else ""


# --- text -----------------------------------------------------------------------------------------------------------


def format_keys_text(report: KeysReport, style: Style) -> Iterator[str]:
    """The report for a person: devices in trouble first, with what to do; then the others, other keys, other findings.

    Each fault is said once: in its device's heading, or under the findings. Notes (tolerances used, files passed over)
    are shown only when verbose.
    """
    pen = Pen(style)
    faults = _Faults(pen, report)
    yield "\n  ".join(pen.fold(_headline(report), pen.width - 3)) + "\n"
    brief = False
    for device in sorted(report.devices, key=lambda device: (not device.bad, not device.doubtful)):
        before, brief = brief, not (device.bad or device.doubtful or style.verbose)
        if not (before and brief):
            yield "\n"
        yield from _heading(pen, device, brief=brief)
        if not brief:
            yield from faults.of(device)
            yield from _details(pen, device, faults)
    yield from _others(pen, report, faults)
    yield from faults.rest()
    if faults.commands:
        folder = _one_folder(report)
        yield "\nThe commands are for a shell in the key folder" + (
            f":\n  cd {shlex.quote(folder)}\n" if folder else ".\n"
        )
    if report.skipped and style.verbose:
        yield "\nPassed over\n"
        for item in report.skipped[:_SKIPPED]:
            yield from pen.block(f"{item.file}: {item.reason}", 4, "  ")
        if len(report.skipped) > _SKIPPED:
            yield f"  and {len(report.skipped) - _SKIPPED:,} more\n"


def _headline(report: KeysReport) -> str:
    unusable = sum(key.status == "unusable" and key.whole for key in report.keys)
    pieces = sum(not key.whole for key in report.keys)
    bad = sum(device.bad for device in report.devices)
    doubtful = sum(device.doubtful for device in report.devices)
    parts = [counted(len(report.keys), "key"), counted(len({device.id for device in report.devices}), "device")]
    if unusable:
        parts.append(f"{unusable} unusable")
    if pieces:
        parts.append(f"{counted(pieces, 'piece')} of keys")
    if bad:
        parts.append(f"{counted(bad, 'device')} in trouble")
    if doubtful:
        parts.append(f"{counted(doubtful, 'device')} in doubt")
    if report.troubled and not unusable and not bad:
        parts.append(counted(report.errors, "error"))
    if not report.troubled and not doubtful:
        parts.append("nothing wrong")
    if report.skipped:
        parts.append(f"{counted(len(report.skipped), 'file')} without a key")
    return ", ".join(parts)


def _heading(pen: Pen, device: DeviceKeys, *, brief: bool) -> Iterator[str]:
    tone = Tone.BAD if device.bad else Tone.OK
    if device.doubtful or not (device.bad or any(pair.fits for pair in device.pairs)):
        tone = Tone.UNSURE
    told = f"{device.id}  {device.transport}  {device.verdict}"
    if brief and device.address is not None:
        told += f"  goes to {_goal(device.address)}"
    sign = f"{pen.sign(tone)} "
    first, *more = pen.fold(told, pen.width - 1 - _ROW)
    yield f"{pen.tone(sign + device.id, tone)}{first.removeprefix(device.id)}\n"
    for line in more:
        yield f"{' ' * _ROW}{line}\n"


def _details(pen: Pen, device: DeviceKeys, faults: _Faults) -> Iterator[str]:
    """What was compared, as far as the heading has not said it, and the keys."""
    marks = {True: pen.glyphs.ok, False: pen.glyphs.bad, None: pen.glyphs.unsure}
    asked = {pair.left for pair in device.pairs if pair.doubtful}
    for pair in device.pairs:
        if pair.text not in device.verdict and not (pair.fits is None and pair.left in asked - {"device-private"}):
            lead = f"{' ' * _ROW}{marks[pair.fits]} "
            yield from pen.block(pair.text, len(lead), lead)
    for name, keys in (
        ("device private", device.private),
        ("device public", device.public),
        ("cloud's copy", tuple(key for key in device.cloud_copy if key.record != "own-half")),
        ("own half", tuple(key for key in device.cloud_copy if key.record == "own-half")),
        ("server key", device.server_key),
    ):
        for key in keys:
            told = faults.tell_of(key) or (key.problem or "") in device.verdict
            yield from _key_row(pen, f"{' ' * _ROW}{name}", key, told=told)
        if not keys and name == "device public" and device.own_fingerprint:
            parts = (f"SHA256:{device.own_fingerprint[:SHORT]}", "derived from the private key")
            yield from _parts(pen, f"{' ' * _ROW}{name}", parts)
    if device.address is not None:
        yield from _parts(pen, f"{' ' * _ROW}server address", (_address(device.address),))


def _goal(address: ServerAddress) -> str:
    """Where the device goes, in brief."""
    if address.host is None:
        return address.kind
    return f"{address.host}:{address.port or usual_port(address.transport)}"


def _address(address: ServerAddress) -> str:
    if address.host is None:
        return f"{address.kind} (type {address.type_byte})"
    port = f"default port {usual_port(address.transport)}" if address.port is None else f"port {address.port}"
    return f"{address.host}, {port}"


def _key_row(pen: Pen, lead: str, key: Key, *, told: bool, of_whom: bool = False) -> Iterator[str]:
    """A key by its fingerprint, kind and file; what is wrong with it unless that is ``told`` elsewhere."""
    shown = f"SHA256:{key.fingerprint[:SHORT]}" if key.fingerprint else "-" * (SHORT + 7)
    parts = [shown, f"{key.kind}{f', {key.bits} bits' if key.bits else ''}", key.file]
    if key.part:
        parts.append(f"[{key.part}]")
    if of_whom and key.device_id:
        parts.append(f"of {key.device_id}")
    if key.problem:
        parts.append(pen.glyphs.bad if told else f"{pen.glyphs.bad} {key.problem}")
    yield from _parts(pen, lead, parts)


def _parts(pen: Pen, lead: str, parts: Iterable[str], indent: int = _NAMED, gap: str = "  ") -> Iterator[str]:
    """Parts side by side, as many as go on a line, further lines indented. Words are wrapped, a name is never broken."""
    room = pen.width - 1
    line = f"{lead:<{indent}}" if len(lead) < indent else f"{lead}  "
    begun = False
    for part in map(pen.plain, parts):
        if begun and len(line) + len(gap) + len(part) <= room:
            line += gap + part
            continue
        if begun:
            yield line.rstrip() + "\n"
            line = " " * indent
        begun = True
        if " " in part and len(line) + len(part) > room:
            *full, part = pen.fold(part, room - len(line))
            for text in full:
                yield f"{line}{text}".rstrip() + "\n"
                line = " " * indent
        line += part
    yield line.rstrip() + "\n"


def _others(pen: Pen, report: KeysReport, faults: _Faults) -> Iterator[str]:
    """Keys that are in no device's row: the cloud's, session secrets, and those of unknown device."""
    shown = {
        id(key)
        for device in report.devices
        for key in (*device.private, *device.public, *device.cloud_copy, *device.server_key)
    }
    rest = [key for key in report.keys if id(key) not in shown]
    if rest:
        yield "\nOther keys\n"
    for key in rest:
        yield from _key_row(pen, f"  {key.role.value}", key, told=faults.tell_of(key), of_whom=True)


@dataclass(frozen=True, slots=True)
class _Group:
    """Findings that say the same, of one file or of several."""

    members: tuple[FileFinding, ...]

    @property
    def first(self) -> KeyFinding:
        return self.members[0].finding

    @property
    def device_id(self) -> str | None:
        """The device all of them are about."""
        ids = {found.device_id for found in self.members}
        return ids.pop() if len(ids) == 1 else None


class _Faults:
    """All findings of the report, each told in one place only."""

    def __init__(self, pen: Pen, report: KeysReport) -> None:
        self._pen = pen
        #: What the headings of devices say in words already: device and code, with the transports of the rows.
        self._said: dict[tuple[str | None, str], set[str]] = {}
        for device in report.devices:
            for pair in device.pairs:
                if pair.code:
                    self._said.setdefault((device.id, pair.code), set()).add(device.transport)
        self._left = list(self._grouped(report))
        #: Whether any command was told.
        self.commands = False

    def _grouped(self, report: KeysReport) -> Iterator[_Group]:
        """Equal findings together, gravest first; what another one implies is left out."""
        written = {found.file for found in report.findings if found.finding.fix == "server-key"}
        kept: dict[tuple[int, str, str], list[FileFinding]] = {}
        for found in report.findings:
            finding = found.finding
            if finding.severity == "note" and not self._pen.style.verbose:
                continue
            if finding.code == _WRITTEN_TOO and found.file in written:
                continue
            kept.setdefault((SEVERITIES.index(finding.severity), finding.code, finding.summary), []).append(found)
        yield from (_Group(tuple(members)) for _, members in sorted(kept.items(), key=lambda item: item[0][:2]))

    def tell_of(self, key: Key) -> bool:
        """Whether a finding has more to say of what makes this key unusable than the headings have."""
        errors = (finding.code for finding in key.findings if finding.severity == "error")
        return any((key.device_id, code) not in self._said for code in errors)

    def of(self, device: DeviceKeys) -> Iterator[str]:
        """What is about this device only, below its heading; a remedy for several faults once."""
        own = [group for group in self._left if self._is_of(group, device)]
        self._left = [group for group in self._left if group not in own]
        for _, alike in groupby(own, key=lambda group: together(group.members, _FIXES)[:2]):
            yield from self._told(list(alike), " " * _ROW)

    def _is_of(self, group: _Group, device: DeviceKeys) -> bool:
        """Whether a group belongs below this heading; a device that speaks both transports has two."""
        said_at = self._said.get((group.device_id, group.first.code))
        return group.device_id == device.id and (said_at is None or device.transport in said_at)

    def rest(self) -> Iterator[str]:
        """What has not been told yet."""
        if self._left:
            yield "\nFindings\n"
        for group in self._left:
            yield from self._told([group], "  ")

    def _told(self, groups: Sequence[_Group], before: str) -> Iterator[str]:
        pen = self._pen
        signs = {"error": pen.glyphs.bad, "warning": pen.glyphs.note, "note": pen.glyphs.bullet}
        for group in groups:
            sign = f"{before}{signs[group.first.severity]} "
            files = self._named([found.file for found in group.members])
            if all((found.device_id, group.first.code) in self._said for found in group.members):
                yield from _parts(pen, f"{sign}{group.first.code}", files, len(sign) + 2, " ")
            else:
                yield from pen.block(f"{group.first.code}: {group.first.summary}", len(sign), sign)
                yield from _parts(pen, "", files, len(sign) + 2, " ")
        members = groups[0].members
        remedy, commands, written = together(members, len(members) if pen.style.verbose else _FIXES)
        if remedy:
            yield from pen.block(remedy, len(before) + _STEP, f"{before}  Fix", "bold")
        for command in commands:
            yield f"{before}{' ' * (_STEP + 2)}{pen.plain(command)}\n"  # never broken: it is there to be copied
        self.commands = self.commands or bool(commands)
        if written < len(members):
            more = counted(len(members) - written, "more file")
            yield f"{before}{' ' * (_STEP + 2)}(and so on for {more}; --verbose writes all of them)\n"

    def _named(self, all_files: Iterable[str]) -> list[str]:
        files = list(dict.fromkeys(all_files))
        shown = files if self._pen.style.verbose else files[:_FILES]
        parts = [f"{file}," for file in shown[:-1]] + list(shown[-1:])
        if len(files) > len(shown):
            parts.append(f"and {len(files) - len(shown):,} more")
        return parts
