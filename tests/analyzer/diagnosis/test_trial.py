"""The one place that gives *proven*, attacked: whatever is claimed in whatever standing, no proof without all it needs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from analyzer import diagnosis
from analyzer.diagnosis import premise
from analyzer.diagnosis.draft import Claim, Draft
from analyzer.diagnosis.premise import Ground, Premise
from analyzer.diagnosis.trial import Standing, tried
from analyzer.model import Certainty, Code, Evidence
from dissectors.events import Direction

PAGES = sorted(Path(diagnosis.__file__).parent.rglob("*.py"))
evidence = some.builds(Evidence, some.text(min_size=1, max_size=8), some.just((1,)))
several = some.lists(evidence, max_size=2).map(tuple)
sides = some.sampled_from([None, *Direction])
premises = some.lists(some.builds(Premise, some.sampled_from(Ground), some.just("a.der"), some.just("b")), max_size=3)
claims = some.none() | some.builds(Claim, sides, premises.map(tuple), several)
standings = some.builds(Standing, sides, several, several)


def draft(claim: Claim | None, certainty: Certainty) -> Draft:
    return Draft(Code.SERVER_KEY_MISMATCH, certainty, "identity", (1,), "said", claim=claim)


@given(claims, standings, some.sampled_from(Certainty))
def test_proven_needs_a_refusal_that_it_explains_sound_bytes_and_nothing_against_it(
    claim: Claim | None, standing: Standing, certainty: Certainty
):
    result = tried(draft(claim, certainty), standing)
    against = () if claim is None else claim.against
    if claim is not None and claim.refused_by is not None:
        against = (*against, *standing.against)
    holds = (
        claim is not None
        and certainty is not Certainty.UNDETERMINED
        and claim.refused_by in (None, standing.refused_by)
        and not standing.unsound
        and not against
    )
    assert (result.certainty is Certainty.PROVEN) is holds
    assert result.certainty.rank <= max(certainty.rank, Certainty.PROVEN.rank if holds else certainty.rank)


@given(claims, standings)
def test_what_is_taken_on_somebodys_word_is_said_and_what_speaks_against_it_is_kept(
    claim: Claim | None, standing: Standing
):
    result = tried(draft(claim, Certainty.INFERRED), standing)
    taken = () if claim is None else claim.premises
    assert set(result.premises) == {premise.words(item) for item in taken}
    if claim is not None:
        assert {*claim.against, *standing.unsound} <= set(result.against)


@pytest.mark.parametrize("ground", Ground)
def test_every_premise_has_its_words(ground: Ground):
    assert len(premise.words(Premise(ground, "a.der", "b"))) > 10


def test_no_rule_gives_proven_by_itself():
    """Findings may: they say what bytes show. A draft's certainty never names it."""
    drafts = [
        (path.name, node)
        for path in PAGES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Draft"
    ]
    assert len(drafts) > 40
    given = {
        name
        for name, call in drafts
        for part in ast.walk(call.args[1])
        if isinstance(part, ast.Attribute) and part.attr == "PROVEN"
    }
    assert given == set()
