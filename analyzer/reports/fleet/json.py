"""The fleet as JSON: the report of the contract over every capture of the store, streamed; or one session per line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from analyzer import __version__
from analyzer.fleet.answer import capture_json
from analyzer.fleet.questions import Filter, reports
from analyzer.fleet.store import Store
from analyzer.model import SCHEMA_NAME, TOOL_NAME
from analyzer.reports.json import plain


def format_json(store: Store, only: Filter) -> Iterator[str]:
    """``handshake-report/1`` over all captures, by path; with a filter, over those with a session that counts, and those sessions."""
    yield f'{{\n "schema": "{SCHEMA_NAME}",\n'
    yield f' "tool": {json.dumps({"name": TOOL_NAME, "version": __version__})},\n'
    yield f' "keys": {json.dumps(plain(store.key_rows()))},\n "captures": ['
    counts: Counter[str] = Counter()
    number = 0
    for number, (path, report, wanted) in enumerate(reports(store, only), 1):  # noqa: B007 - the count is used below
        text, verdicts = _picked(capture_json(path, report), wanted)
        counts.update(verdicts)
        yield ("," if number > 1 else "") + "\n  " + text
    totals = {"captures": number, "sessions": sum(counts.values()), "verdicts": dict(sorted(counts.items()))}
    # Stories across captures would need them all in memory; `analyze fleet --device` tells one.
    yield f'\n ],\n "totals": {json.dumps(totals)},\n "stories": []\n}}\n'


def _picked(text: str, wanted: frozenset[int] | None) -> tuple[str, list[str]]:
    """The capture with the wanted sessions, and their verdicts; stories of a part would be wrong, so they go."""
    capture = json.loads(text)
    if wanted is not None:
        capture["sessions"] = [item for number, item in enumerate(capture["sessions"], 1) if number in wanted]
        capture["stories"] = []
        text = json.dumps(capture)
    return text, [session["verdict"]["code"] for session in capture["sessions"]]


def format_jsonl(store: Store, only: Filter) -> Iterator[str]:
    """One session per line, each with its capture's path."""
    for path, report, wanted in reports(store, only):
        for number, session in enumerate(json.loads(capture_json(path, report))["sessions"], 1):
            if wanted is None or number in wanted:
                yield json.dumps({"capture": path, **session}) + "\n"
