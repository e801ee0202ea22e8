"""Model values as JSON: two ways to the same text, and nothing that has no place in a report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from analyzer.keys import load_keys
from analyzer.model import CaptureReport
from analyzer.pipeline import Options, analyze_capture
from analyzer.reports.json import compact, plain

CASES = ("synth-healthy-photon", "synth-dtls-healthy-v2", "tcp-12-syn-refused")


@pytest.fixture(params=CASES)
def report(request: pytest.FixtureRequest, captures: Path) -> CaptureReport:
    case = captures / request.param
    ring = load_keys([case / "keys"] if (case / "keys").exists() else [])
    return analyze_capture(case / "capture.pcap", ring, Options(show_secrets=True))


def test_the_quick_way_gives_what_the_plain_one_gives(report: CaptureReport) -> None:
    assert json.loads(compact(report)) == plain(report)
    assert "\n" not in compact(report)


def test_secrets_have_a_place_only_when_they_are_there(report: CaptureReport) -> None:
    for session in report.sessions:
        without = replace(session, secrets=())
        assert ("secrets" in plain(session)) is bool(session.secrets)
        assert "secrets" not in plain(without)
        assert json.loads(compact(without)) == plain(without)


def test_a_mapping_of_any_kind_is_an_object(report: CaptureReport) -> None:
    stage = report.sessions[0].stages[0]
    frozen = replace(stage, fields=MappingProxyType(dict(stage.fields)))
    assert plain(frozen) == plain(stage)
    assert compact(frozen) == compact(stage)


@pytest.mark.parametrize("alien", [b"bytes", {1, 2}, object(), CaptureReport], ids=lambda alien: type(alien).__name__)
@pytest.mark.parametrize("way", [plain, compact])
def test_what_has_no_place_in_a_report_is_refused(way, alien: object) -> None:
    with pytest.raises(TypeError, match="has no place in a report"):
        way({"fields": [alien]})


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        compact({"seconds": math.inf})
