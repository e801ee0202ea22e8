"""Texts of verdicts and findings, and the 35 rows of the failure table."""

from __future__ import annotations

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
