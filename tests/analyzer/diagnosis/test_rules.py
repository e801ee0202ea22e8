"""The pages of rules say of themselves what is true: which codes each rule gives, and that each rule is of use."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.rule import Page, Row
from analyzer.keys import KeyRing, load_keys
from analyzer.model import Certainty, Code
from analyzer.pipeline import analyze_paths
from captures.synth.case import Lab
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import CLOUD
from tests.analyzer.diagnosis.scenes import SCENES
from tests.analyzer.dtls_lab import judged
from tests.readme import pages

CAPTURES = sorted(path.parent for path in (Path(__file__).resolve().parents[3] / "captures").glob("*/case.toml"))
PAGES = pages()
ROWS: dict[str, Row[object]] = {row.name: row for page in PAGES for group in page.groups for row in group.rows}


@contextmanager
def overheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[tuple[str, str]]]:
    """The rules that answer meanwhile, with the codes they give."""
    answers: set[tuple[str, str]] = set()
    ask = Row.answer

    def answer(row: Row[object], view: object) -> Draft | None:
        draft = ask(row, view)
        if draft is not None:
            answers.add((row.name, draft.code.value))
        return draft

    with monkeypatch.context() as patch:
        patch.setattr(Row, "answer", answer)
        yield answers


@pytest.fixture(scope="module")
def golden() -> set[tuple[str, str]]:
    """What the rules answer to all golden captures, with their keys and without."""
    with overheard(pytest.MonkeyPatch()) as answers:
        for case in CAPTURES:
            spec = tomllib.loads((case / "case.toml").read_text())
            keys = [path for path in (case / "keys", case / spec.get("secrets", "sslkeys.log")) if path.exists()]
            for capture in (spec["capture"], *spec.get("also", ())):
                for given in (keys, []):
                    analyze_paths([str(case / capture)], load_keys(given))
    return answers


def test_a_rule_gives_only_codes_that_its_row_lists(golden: set[tuple[str, str]]):
    assert {(name, code) for name, code in golden if Code(code) not in ROWS[name].gives} == set()


def test_every_row_and_each_of_its_codes_is_met_by_a_golden_capture_or_a_scene(golden: set[tuple[str, str]]):
    listed = {(name, code.value) for name, row in ROWS.items() for code in row.gives}
    assert listed - golden == set(SCENES), "a scene for what no golden capture meets, and none beside that"


@pytest.mark.parametrize(("name", "code"), SCENES, ids=["-".join(pair) for pair in SCENES])
def test_the_rule_answers_its_scene(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trace, keys = SCENES[name, code]()
    with overheard(monkeypatch) as answers:
        sessions = judged(trace, keys, tmp_path)
    assert (name, code) in answers, answers
    assert all(Code(found) in ROWS[rule].gives for rule, found in answers)
    assert code in {session.verdict.code.value for session in sessions}


def test_every_code_of_the_contract_is_given_by_some_row():
    assert {code for row in ROWS.values() for code in row.gives} == set(Code)


def test_every_page_ends_in_a_rule_that_always_answers():
    for page in PAGES:
        assert page.groups[-1].needs == "" and page.groups[-1].rows[-1].asks == "otherwise"


def test_a_row_asks_something_in_a_few_words():
    for row in ROWS.values():
        assert row.asks == "otherwise" or (row.asks.endswith("?") and len(row.asks) <= 80), row.asks
        assert row.gives and len(set(row.gives)) == len(row.gives)


def test_what_comes_afterwards_leaves_the_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The README says so. A reset that the cloud never sent is what changes most."""
    judge, changed = Page.judge, []

    def watched(page: Page[object], view: object, reached: Callable[[str], bool]) -> Draft:
        draft, before = judge(page, view, reached), judge(replace(page, afterwards=()), view, reached)
        changed.append((before.certainty, draft.certainty))
        assert draft.code is before.code
        return draft

    monkeypatch.setattr(Page, "judge", watched)
    lab = Lab("rules afterwards")
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity()
    scene.talk.reset(CLOUD, ttl=63)
    judged(scene.trace, ticket(device, server.key, key, records="core_keys/"), tmp_path)
    assert changed == [(Certainty.INFERRED, Certainty.UNDETERMINED)]
    for case in CAPTURES:
        analyze_paths([str(case / tomllib.loads((case / "case.toml").read_text())["capture"])], KeyRing())
    assert len(changed) > len(CAPTURES)
