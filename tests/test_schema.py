"""The published schema against an independent validator, on every golden capture."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from analyzer.keys import load_keys
from analyzer.model import Certainty, Code
from analyzer.pipeline import analyze_paths
from analyzer.reports.json import format_json, format_jsonl
from analyzer.reports.schema import report_schema

CASES = sorted(path.parent for path in (Path(__file__).resolve().parent.parent / "captures").glob("*/case.toml"))
VALIDATOR = jsonschema.Draft202012Validator(report_schema())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_every_report_follows_it(case: Path) -> None:
    capture = next(path for path in sorted(case.glob("capture*")))
    report = analyze_paths([str(capture)], load_keys([case / "keys"] if (case / "keys").exists() else []))
    text = "".join(format_json(report))
    VALIDATOR.validate(json.loads(text))
    assert text.isascii()
    lines = [json.loads(line) for line in format_jsonl(report)]
    assert [line["id"] for line in lines] == [session.id for item in report.captures for session in item.sessions]
    assert all(line["capture"] == str(capture) for line in lines)


def test_it_refuses_what_is_no_report() -> None:
    case = next(path for path in CASES if path.name == "seed-001")
    report = json.loads("".join(format_json(analyze_paths([str(case / "capture.pcap")], load_keys([])))))
    report["captures"][0]["sessions"][0]["verdict"]["code"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(report)


def test_verdicts_and_certainties_are_the_closed_lists() -> None:
    definitions = report_schema()["$defs"]
    assert definitions["Code"]["enum"] == [code.value for code in Code]
    assert definitions["Certainty"]["enum"] == [certainty.value for certainty in Certainty]


def test_the_same_input_gives_the_same_bytes() -> None:
    case = next(path for path in CASES if path.name == "tcp-17-gateway-mixed")
    runs = {
        "".join(format_json(analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"])))) for _ in range(2)
    }
    assert len(runs) == 1
