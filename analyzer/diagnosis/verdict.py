"""The one place that picks the page of rules for a session, and imports it only then: most captures need one of them.

A page holds the rules in their order and what may change a verdict afterwards (`rule.Page`). Behind it only a device's log
has a say (`analyzer.logged`).
"""

from __future__ import annotations

from typing import assert_never

from analyzer.case import Case
from analyzer.diagnosis import unreached
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.unreached import Unreached


def judge(case: Case, context: Context) -> Draft:
    """The verdict of one session, in the light of the others."""
    if isinstance(case.conversation, Unreached):
        return unreached.judge(case, case.conversation, context)
    handshake = case.handshake
    if handshake == "lightssl":
        from analyzer.diagnosis.lightssl import rules as lightssl
        from analyzer.diagnosis.lightssl.view import View

        return lightssl.judge(View(case, case.conversation, case.decryption, context))
    if handshake == "dtls":
        from analyzer.diagnosis.dtls import rules as dtls
        from analyzer.diagnosis.dtls.view import View as DtlsView

        return dtls.judge(DtlsView(case, case.conversation, case.decryption, context))
    assert_never(handshake)
