"""Texts of verdicts and findings, and the 35 rows of the failure table."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import analyzer
from analyzer.firmware.verdicts import finding_texts, situations, verdict_texts
from analyzer.model import Code

CONTRACT_FINDINGS = {
    *(
        "server-address-lost",
        "wrong-cloud",
        "official-particle-cloud",
        "retry-loop",
        "packet-loss",
        "one-direction-only",
    ),
    *("mid-session-start", "keys-for-another-device", "decryption-impossible", "log-disagrees", "firmware-family"),
    "split-identity",
}


def test_every_verdict_and_every_finding_of_the_contract_is_explained():
    assert set(verdict_texts()) == set(Code)
    assert set(finding_texts()) >= CONTRACT_FINDINGS
    for text in verdict_texts().values():
        assert text.means and text.wire and text.proof and text.fix


def test_the_failure_table_is_complete_and_leads_somewhere():
    assert [row.row for row in situations()] == list(range(1, 36))
    for row in situations():
        assert row.words and row.symptom and row.cause and row.fix
        assert set(row.findings) <= set(finding_texts())
    # Rows that leave no trace on the wire: they are about the tools (failure-modes.md says "n/a" or "unchanged").
    silent = {row.row for row in situations() if not row.verdicts and not row.findings}
    assert silent == {17, 18, 19, 27, 32}


def codes_given() -> set[str]:
    """The first argument of every ``Finding(...)`` of the program."""
    found = set()
    for module in Path(analyzer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding" and node.args:
                assert isinstance(node.args[0], ast.Constant), f"{module}:{node.lineno}: write the code here as a word"
                found.add(node.args[0].value)
    return found


def test_every_finding_the_program_gives_is_explained_and_no_other(captures: Path):
    seen = set()
    for report in captures.glob("*/expected.*.json"):
        for capture in json.loads(report.read_text())["captures"]:
            seen |= {finding["code"] for session in capture["sessions"] for finding in session["findings"]}
    given = codes_given()
    assert len(given) > 20 and len(seen) > 10
    assert given | seen == set(finding_texts())
