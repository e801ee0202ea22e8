"""`--redact`: no identifier of the original is left in any format, and the faults are the same."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.model import Report
from analyzer.pipeline import Options, analyze_paths
from analyzer.reports.redaction import redacted
from analyzer.reports.writing import Style, chunks

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
CASES = (
    "tcp-18a-lost-server-address",
    "tcp-17-gateway-mixed",
    "tcp-07a-captive-portal-302",
    "dtls-01-good",
    "dtls-13-several-devices",
    "synth-gateway",
    "seed-002",
)
FORMATS = ("text", "json", "jsonl", "csv", "markdown", "html")


def _report(case: str) -> Report:
    folder = CAPTURES / case
    logs = tuple(folder.glob("device*.log"))[:1]
    return analyze_paths(
        [str(folder / "capture.pcap")],
        load_keys([folder / "keys"] if (folder / "keys").exists() else []),
        Options(logs=logs),
    )


def _identifiers(report: Report) -> set[str]:
    found: set[str] = {key.fingerprint for key in report.keys if key.fingerprint}
    found |= {key.fingerprint[:16] for key in report.keys if key.fingerprint}
    found |= {key.device_id for key in report.keys if key.device_id}
    for capture in report.captures:
        found |= {capture.path, capture.sha256 or ""}
        for session in capture.sessions:
            found |= {session.device.address, session.cloud.address, session.device.id or ""}
            if session.cloud.host and not session.cloud.host.endswith(".io"):
                found.add(session.cloud.host)
    return {item for item in found if item}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("format", FORMATS)
def test_no_identifier_is_left(case: str, format: str) -> None:
    report = _report(case)
    shown = "".join(chunks(redacted(report, b"salt"), format, Style(verbose=True))).lower()
    for item in _identifiers(report):
        assert not re.search(rf"(?<![0-9a-z.]){re.escape(item.lower())}(?![0-9a-z])", shown), item


@pytest.mark.parametrize("case", CASES)
def test_the_faults_stay(case: str) -> None:
    report, hidden = _report(case), redacted(_report(case), b"salt")
    for before, after in zip(report.captures[0].sessions, hidden.captures[0].sessions, strict=True):
        assert (before.verdict.code, before.verdict.certainty, before.first_frame) == (
            after.verdict.code,
            after.verdict.certainty,
            after.first_frame,
        )
        assert [stage.stage for stage in before.stages] == [stage.stage for stage in after.stages]
        assert ip_address(after.device.address).is_private == ip_address(before.device.address).is_private
    assert hidden.totals == report.totals


def test_a_device_is_called_the_same_everywhere() -> None:
    hidden = redacted(_report("tcp-18a-lost-server-address"), b"salt")
    device = hidden.captures[0].sessions[0].device.id
    assert device is not None
    assert {key.device_id for key in hidden.keys if key.device_id} == {device}
    assert all(key.file.startswith(device) for key in hidden.keys if key.device_id)


def test_one_salt_one_pseudonym() -> None:
    first, again, other = (redacted(_report("tcp-17-gateway-mixed"), salt) for salt in (b"a", b"a", b"b"))
    assert first == again
    assert first.captures[0].sessions[0].device.address != other.captures[0].sessions[0].device.address
