"""Payloads times formats: whatever is put into a report arrives as plain text in each of them. (HTML: `html/test_chromium.py`.)"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from analyzer.model import Report
from analyzer.reports.writing import Style, chunks
from analyzer.safe import printable
from tests.analyzer.reports import example
from tests.analyzer.reports.payloads import PAYLOADS, planted

STYLES = {
    "text": Style(),
    "quiet": Style(quiet=True),
    "verbose": Style(verbose=True, width=140),
    "ascii": Style(unicode=False, width=60),
    "csv": Style(),
    "markdown": Style(),
    "json": Style(),
    "jsonl": Style(),
    "ticket": Style(),
    "junit": Style(),
    "sarif": Style(),
}
MORE = (
    ("fence", "```"),
    ("tilde fence", "~~~"),
    ("table", "| a | b |"),
    ("rule", "---"),
    ("list", "- item"),
    ("number", "1. item"),
    ("indent", "    code"),
    ("plus formula", "+1+cmd|' /C calc'!A0"),
    ("minus formula", "-1+1"),
    ("at formula", "@SUM(1+1)*cmd|' /C calc'!A0"),
    ("tab formula", "\t=1+1"),
    ("full-width formula", "\uff1dcmd"),
    ("spaced formula", "\u2003=1+1"),
    ("quoted cell", '","=1+1'),
    ("invisible filler", "a\u3164b\u2800c\ufe0fd\U000e0101"),
    ("spaces", "a\u00a0b\u3000c\u202fd"),
)
EVERY = [*PAYLOADS, *MORE]


def report(payload: str) -> Report:
    """A report with everything in it, and the payload in every free text; codes and times stay."""
    whole = example.report(example.capture(*(example.session(id=f"s{n}") for n in range(2))))
    return replace(planted(whole, payload), secrets_shown=False)


def written(payload: str, form: str) -> str:
    name = "text" if form in ("text", "quiet", "verbose", "ascii") else form
    return "".join(chunks(report(payload), name, STYLES[form]))


@pytest.mark.parametrize("form", STYLES)
@pytest.mark.parametrize("payload", [text for _, text in EVERY], ids=[name for name, _ in EVERY])
def test_every_character_is_plainly_visible(payload: str, form: str) -> None:
    text = written(payload, form)
    text.encode("ascii" if form in ("ascii", "json", "jsonl", "sarif") else "utf-8")
    assert all(line == printable(line) for line in text.split("\n"))


@pytest.mark.parametrize("payload", [text for _, text in EVERY], ids=[name for name, _ in EVERY])
def test_junit_and_sarif_hold_no_element_of_theirs(payload: str) -> None:
    shape = [element.tag for element in ElementTree.fromstring(written(payload, "junit")).iter()]
    assert shape == [element.tag for element in ElementTree.fromstring(written("plain", "junit")).iter()]
    assert json.loads(written(payload, "sarif"))["version"] == "2.1.0"


@pytest.mark.parametrize("payload", [text for _, text in EVERY], ids=[name for name, _ in EVERY])
def test_csv_has_no_formula_and_no_cell_more(payload: str) -> None:
    rows = list(csv.reader(io.StringIO(written(payload, "csv"))))
    assert len({len(row) for row in rows}) == 1
    for row in rows[1:]:
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


@pytest.mark.parametrize("payload", [text for _, text in EVERY], ids=[name for name, _ in EVERY])
def test_json_says_what_was_there(payload: str) -> None:
    assert json.loads(written(payload, "json"))["captures"][0]["path"] == payload
    assert [json.loads(line)["capture"] for line in written(payload, "jsonl").splitlines()] == [payload] * 2


@pytest.mark.parametrize("payload", [text for _, text in EVERY], ids=[name for name, _ in EVERY])
def test_markdown_has_no_markup_of_theirs(payload: str) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="markdown-it-py, which typer brings, is not installed")
    parser = markdown_it.MarkdownIt("commonmark").enable("table")
    ours = {token.type for token in _all(parser.parse(written("x", "markdown")))}
    tokens = _all(parser.parse(written(payload, "markdown")))
    assert {token.type for token in tokens} <= ours | {"text", "text_special", "softbreak"}
    assert not any(token.type in ("link_open", "image", "html_block", "html_inline") for token in tokens)
    assert _shape(tokens) == _shape(_all(parser.parse(written("x", "markdown"))))


def _all(tokens: list) -> list:
    found = []
    for token in tokens:
        found.append(token)
        found += _all(token.children or [])
    return found


def _shape(tokens: list) -> list[str]:
    return [token.type for token in tokens if token.type.endswith(("_open", "_close")) or token.type in ("fence", "hr")]
