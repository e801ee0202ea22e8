"""`analyze keys`: what is in a key folder, as text and as JSON (`key-report/1`).

A key is named by file, role, kind, bits and the fingerprint of its public half; nothing secret can get in here, because
only these fields are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from analyzer.keys.findings import SEVERITIES
from analyzer.keys.key import FileFinding, Key
from analyzer.keys.pairing import compare
from analyzer.keys.report import DeviceKeys, KeysReport
from analyzer.keys.ring import KeyRing
from analyzer.model import Role
from analyzer.reports.json import plain
from analyzer.safe import printable
from dissectors.handshakes import usual_port

SCHEMA: Final = "key-report/1"
#: Characters of a fingerprint in text.
SHORT: Final = 16
_FILES_PER_FINDING: Final = 12
_SKIPPED_SHOWN: Final = 20
_MARKS: Final = {True: "✓", False: "✗", None: "?"}
_SIGNS: Final = {"error": "✗", "warning": "!", "note": "-"}


def run_keys_report(
    ring: KeyRing, format: Literal["text", "json"] = "text", *, verbose: bool = False
) -> tuple[Iterator[str], int]:
    """The report in pieces, and the exit status: 0 nothing wrong, 1 a file is unusable or two halves disagree."""
    report = compare(ring)
    pieces = format_keys_json(report) if format == "json" else format_keys_text(report, verbose=verbose)
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


# --- text -----------------------------------------------------------------------------------------------------------


def format_keys_text(report: KeysReport, *, verbose: bool = False) -> Iterator[str]:
    """The report for a person: devices in trouble first, then the others, the cloud's keys, what was found.

    Notes (tolerances used, files passed over) are shown only when ``verbose``.
    """
    yield _headline(report)
    for device in sorted(report.devices, key=lambda device: not device.bad):
        yield "\n"
        yield from _device_text(device, brief=not device.bad and not verbose)
    yield from _others(report)
    yield from _findings_text(report, verbose=verbose)
    if report.skipped and verbose:
        yield "\nPassed over\n"
        for item in report.skipped[:_SKIPPED_SHOWN]:
            yield f"  {printable(item.file)}: {printable(item.reason)}\n"
        if len(report.skipped) > _SKIPPED_SHOWN:
            yield f"  and {len(report.skipped) - _SKIPPED_SHOWN} more\n"


def _headline(report: KeysReport) -> str:
    unusable = sum(key.status == "unusable" and key.whole for key in report.keys)
    pieces = sum(not key.whole for key in report.keys)
    bad = sum(device.bad for device in report.devices)
    parts = [_count(len(report.keys), "key"), _count(len({device.id for device in report.devices}), "device")]
    if unusable:
        parts.append(f"{unusable} unusable")
    if pieces:
        parts.append(f"{_count(pieces, 'piece')} of keys")
    if bad:
        parts.append(f"{_count(bad, 'device')} in trouble")
    if report.troubled and not unusable and not bad:
        parts.append(_count(report.errors, "error"))
    if not report.troubled:
        parts.append("nothing wrong")
    if report.skipped:
        parts.append(f"{_count(len(report.skipped), 'file')} without a key")
    return ", ".join(parts) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _device_text(device: DeviceKeys, *, brief: bool) -> Iterator[str]:
    mark = _MARKS[None if not device.bad and not any(pair.fits for pair in device.pairs) else not device.bad]
    if brief:
        yield f"{mark} {device.id}  {device.transport}  {device.verdict}{_address_text(device, '  goes to ')}\n"
        return
    yield f"{mark} {device.id}  {device.transport}\n"
    yield f"  {printable(device.verdict)}\n"
    for name, keys in (
        ("device private", device.private),
        ("device public", device.public),
        ("cloud's copy", device.cloud_copy),
        ("server key", device.server_key),
    ):
        for key in keys:
            yield f"    {name:<15} {_named(key)}\n"
        if not keys and name == "device public" and device.own_fingerprint:
            yield f"    {name:<15} SHA256:{device.own_fingerprint[:SHORT]}  derived from the private key\n"
    if device.address is not None:
        yield f"    {'server address':<15} {_address_text(device, '')}\n"
    for pair in device.pairs:
        yield f"    {_MARKS[pair.fits]} {printable(pair.text)}\n"


def _address_text(device: DeviceKeys, before: str) -> str:
    address = device.address
    if address is None:
        return ""
    if address.host is None:
        return f"{before}{address.kind} (type {address.type_byte})"
    port = address.port if address.port is not None else f"default port {usual_port(address.transport)}"
    return f"{before}{printable(address.host)}, {port if isinstance(port, str) else f'port {port}'}"


def _named(key: Key) -> str:
    shown = f"SHA256:{key.fingerprint[:SHORT]}" if key.fingerprint else "-" * (SHORT + 7)
    where = printable(key.file) + (f" [{printable(key.part)}]" if key.part else "")
    problem = f"  ✗ {printable(key.problem)}" if key.problem else ""
    return f"{shown}  {printable(key.kind)}{f', {key.bits} bits' if key.bits else ''}  {where}{problem}"


def _others(report: KeysReport) -> Iterator[str]:
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
        owner = f" of {key.device_id}" if key.device_id else ""
        yield f"  {key.role.value + owner:<17} {_named(key)}\n"


def _findings_text(report: KeysReport, *, verbose: bool) -> Iterator[str]:
    """Equal findings once, with the files they are about."""
    groups: dict[tuple[int, str, str], list[FileFinding]] = {}
    for found in report.findings:
        severity = found.finding.severity
        if severity != "note" or verbose:
            groups.setdefault((SEVERITIES.index(severity), found.finding.code, found.finding.summary), []).append(found)
    if groups:
        yield "\nFindings\n"
    for (_, code, summary), members in sorted(groups.items(), key=lambda item: item[0][:2]):
        finding = members[0].finding
        yield f"  {_SIGNS[finding.severity]} {code}: {printable(summary)}\n"
        files = list(dict.fromkeys(printable(found.file) for found in members))
        more = f" and {len(files) - _FILES_PER_FINDING:,} more" if len(files) > _FILES_PER_FINDING else ""
        yield f"      {', '.join(files[:_FILES_PER_FINDING])}{more}\n"
        if finding.remedy:
            yield f"      fix: {printable(finding.remedy)}\n"
        for command in finding.commands:
            yield f"        {printable(command)}\n"
        if len(files) > 1 and finding.commands:
            yield "        (written for the first of these files)\n"
