"""The one place that picks the rule set for a session."""

from __future__ import annotations

from typing import assert_never

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls import rules as dtls
from analyzer.diagnosis.dtls.view import View as DtlsView
from analyzer.diagnosis.lightssl import rules as lightssl
from analyzer.diagnosis.lightssl.view import View


def judge(case: Case, context: Context) -> Draft:
    """The verdict of one session, in the light of the others."""
    if case.transport == "tcp":
        return lightssl.judge(View(case, case.conversation, case.decryption, context))
    if case.transport == "udp":
        return dtls.judge(DtlsView(case, case.conversation, case.decryption, context))
    assert_never(case.transport)
