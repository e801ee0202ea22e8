"""The forms of a report for others: a customer's dozen lines, JUnit's XML, SARIF."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from analyzer import analyze_captures
from analyzer.model import Certainty, Code, Report
from analyzer.reports.checks import format_junit, format_sarif
from analyzer.reports.ticket import LINES, format_ticket

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
CASES = (
    "tcp-01a-good-brewskey-fw063",
    "tcp-02a-cloud-wrong-devkey-brewskey",
    "tcp-12-syn-refused",
    "tcp-04a-unknown-device-brewskey",
    "dtls-04a-private-key-not-matching-silent",
    "seed-002",
)


def report_of(name: str) -> Report:
    case = CAPTURES / name
    return analyze_captures(case / "capture.pcap", case / "keys" if (case / "keys").exists() else ())


@pytest.mark.parametrize("name", CASES)
def test_a_customer_reads_a_dozen_lines(name: str) -> None:
    report = report_of(name)
    text = "".join(format_ticket(report))
    worst = report.captures[0].sessions[0].verdict
    assert text.count("\n") <= LINES
    assert worst.summary in text
    assert "\x1b" not in text
    if worst.code is Code.HEALTHY:
        assert "What to do" not in text
        return
    assert "What to do:\n1. " in text
    certain = {Certainty.PROVEN: "certain", Certainty.INFERRED: "likely", Certainty.UNDETERMINED: "not settled"}
    assert certain[worst.certainty] in text
    assert all(premise in text for premise in worst.premises), "what it takes on somebody's word is said"
    for command in worst.remedy[0].commands[:1]:
        assert f"   {command}\n" in text


def test_nothing_found_is_said_too(tmp_path: Path) -> None:
    bad = tmp_path / "notes.pcap"
    bad.write_text("no capture")
    text = "".join(format_ticket(analyze_captures(bad)))
    assert "no device" in text
    assert 1 < text.count("\n") <= LINES


@pytest.mark.parametrize("name", CASES)
def test_a_test_for_each_session(name: str) -> None:
    report = report_of(name)
    suites = ElementTree.fromstring("".join(format_junit(report)))
    (suite,) = suites
    tests = suite.findall("testcase")
    sessions = report.captures[0].sessions
    assert len(tests) == len(sessions) == int(suite.get("tests") or 0)
    bad = [test for test in tests if test.find("failure") is not None]
    assert len(bad) == int(suites.get("failures") or 0)
    assert len(bad) == sum(session.verdict.code not in (Code.HEALTHY, Code.CAPTURE_INCOMPLETE) for session in sessions)
    for test, session in zip(tests, sessions, strict=True):
        failure = test.find("failure")
        if failure is not None:
            assert failure.get("message") == session.verdict.summary
            assert all(step.text in (failure.text or "") for step in session.verdict.remedy)
    allowed = {  # what the schema of Jenkins' reader (junit-10.xsd) lets an element have
        "testsuites": {"name", "time", "tests", "failures", "disabled", "errors", "skipped"},
        "testsuite": {
            "name",
            "tests",
            "failures",
            "errors",
            "skipped",
            "time",
            "timestamp",
            "hostname",
            "id",
            "package",
        },
        "testcase": {"name", "classname", "time", "assertions", "status"},
        "failure": {"type", "message"},
        "error": {"type", "message"},
        "skipped": {"type", "message"},
    }
    for element in suites.iter():
        assert set(element.attrib) <= allowed[element.tag]


def test_an_unreadable_capture_is_an_error_of_its_suite(tmp_path: Path) -> None:
    bad = tmp_path / "notes.pcap"
    bad.write_text("no capture")
    suites = ElementTree.fromstring("".join(format_junit(analyze_captures(bad))))
    assert (suites.get("errors"), suites.get("tests")) == ("1", "1")
    log = json.loads("".join(format_sarif(analyze_captures(bad))))
    assert log["runs"][0]["invocations"][0]["executionSuccessful"] is False


@pytest.mark.parametrize("name", CASES)
def test_sarif_holds_against_what_the_standard_says_of_these_parts(name: str) -> None:
    report = report_of(name)
    log = json.loads("".join(format_sarif(report)))
    jsonschema.validate(log, json.loads((Path(__file__).parents[2] / "data" / "sarif-2.1.0-parts.json").read_text()))
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result, session in zip(run["results"], report.captures[0].sessions, strict=True):
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == session.verdict.code.value
        assert session.verdict.summary in result["message"]["text"]
        assert (result["kind"] == "pass") is (session.verdict.code is Code.HEALTHY)
        assert result["level"] == "none" if result["kind"] != "fail" else "error", "SARIF 3.27.10"
