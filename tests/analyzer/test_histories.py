"""The letters of a history: each that is ever written can be read."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from analyzer.explain import explain, histories, render_explanation
from dissectors.dtls.ledger import LETTERS
from dissectors.dtls.messages import Kind
from dissectors.lightssl.stages import STAGES

GOLDEN = Path(__file__).resolve().parents[2] / "captures"
PROTOCOL = {"tcp": "TCP", "udp": "DTLS"}
#: What no golden capture holds, neither of the device nor of the cloud; the dissectors' own tests write these.
UNMET = {"TCP": {"e"}, "DTLS": {"z", "j"}}


@pytest.fixture(scope="module")
def met() -> dict[str, set[str]]:
    """The histories of all golden captures, by protocol."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in GOLDEN.glob("*/expected.*.json"):
        for capture in json.loads(path.read_text())["captures"]:
            for session in capture["sessions"]:
                found[PROTOCOL[session["transport"]]].add(session["history"])
    return found


def test_every_history_of_the_golden_captures_is_explained(met: dict[str, set[str]]):
    for protocol, stories in met.items():
        for history in stories - {""}:
            found = explain(history)
            assert found is not None, history
            (meaning,) = (item for item in found.meanings if item.title == f"history of a session, {protocol}")
            assert [letter for letter, _ in meaning.details] == list(dict.fromkeys(history))


def test_the_legend_has_the_letters_that_are_written_and_no_more(met: dict[str, set[str]]):
    for protocol, signs in histories().items():
        legend = [letter for sign in signs for letter in sign.written]
        assert len(legend) == len(set(legend))
        written = {letter for history in met[protocol] for letter in history if letter != "+"}
        assert written <= set(legend)
        assert {letter.lower() for letter in legend} - {letter.lower() for letter in written} == UNMET[protocol]


def test_the_legend_names_stages_and_messages_as_the_tables_do():
    tcp, dtls = ({letter: sign for sign in signs for letter in sign.written} for signs in histories().values())
    for stage in STAGES[:3]:
        assert (
            tcp[stage.letter].means.startswith(stage.name.replace("-", " ")) and tcp[stage.letter].by is stage.direction
        )
    for kind, letter in LETTERS.items():
        sign = dtls.get(letter) or dtls[letter.upper()]
        assert sign.means.split(":")[0].split(";")[0].replace(" ", "").upper() == Kind(kind).name.replace("_", "")


def test_a_refusal_is_read_letter_by_letter():
    text = render_explanation(explain("nIfF"))
    assert [line.strip() for line in text.splitlines()[3:]] == [
        "n: nonce, all 40 bytes (by the cloud)",
        "I: identity, all 256 bytes (by the device)",
        "f: FIN: that side closes (by the cloud)",
        "F: FIN: that side closes (by the device)",
    ]


def test_a_long_one_counts_and_says_that_it_was_cut():
    (meaning,) = explain("CvCskqdBEYXFxf" + "Rr" * 100 + "+").meanings
    assert ("R", "a record behind it (by the device), 100 times") in meaning.details
    assert meaning.details[-1] == ("+", "there were more")


def test_history_lists_all_letters_and_other_words_are_none():
    assert [item.title for item in explain("History").meanings] == [
        "history of a session, TCP",
        "history of a session, DTLS",
    ]
    for word in ("men", "+", "++", "keep-alive", "nIfF nIfF", "nIzQ"):
        found = explain(word)
        assert found is None or all(item.kind != "history" for item in found.meanings), word
