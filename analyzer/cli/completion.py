"""What a shell is offered for words that come from a closed list."""

from __future__ import annotations


def verdicts(incomplete: str) -> list[str]:
    """Verdict codes."""
    from analyzer.model import Code

    return [code.value for code in Code if code.value.startswith(incomplete)]


def certainties(incomplete: str) -> list[str]:
    """The three certainties."""
    from analyzer.model import Certainty

    return [item.value for item in Certainty if item.value.startswith(incomplete)]


def explained(incomplete: str) -> list[str]:
    """Codes of verdicts and findings; the rest of what `explain` knows is numbers and sentences."""
    from analyzer.firmware.verdicts import finding_texts

    return [*verdicts(incomplete), *(code for code in finding_texts() if code.startswith(incomplete))]
