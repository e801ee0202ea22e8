"""A fleet's report in the formats for programs and tickets: what a filter leaves of it, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.errors import InputError
from analyzer.fleet import batch
from analyzer.fleet.questions import Filter, overview
from analyzer.fleet.store import Store
from analyzer.fleet.work import Setup, analyze
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture
from analyzer.reports.fleet import markdown, text
from analyzer.reports.fleet.writing import chunks, write
from analyzer.reports.writing import Style

WRONG = "tcp-02a-cloud-wrong-devkey-brewskey"


@pytest.fixture
def store(fleet: Path) -> Iterator[Store]:
    """Four captures with their keys, one of them twice, and something that is none."""
    (fleet / "captures" / "notes.pcap").write_bytes(b"no capture")
    paths = sorted(str(path) for path in (fleet / "captures").rglob("*.pcap"))

    def here(names, setup):
        for name in names:
            yield analyze(name, setup)

    with Store(None) as opened:
        batch.run(paths, Setup(load_keys((fleet / "keys",))), opened, here)
        yield opened


def told(store: Store, format: str, only: Filter) -> str:
    return "".join(chunks(store, format, only, Style()))


def test_a_filter_leaves_the_sessions_that_count(store: Store, fleet: Path) -> None:
    everything = json.loads(told(store, "json", Filter()))
    only = json.loads(told(store, "json", Filter(verdict="device-key-mismatch")))
    wanted = {
        capture["path"]: kept
        for capture in everything["captures"]
        if (kept := [item for item in capture["sessions"] if item["verdict"]["code"] == "device-key-mismatch"])
    }
    assert len(wanted) == 2, "the same capture under two names"
    assert {capture["path"]: capture["sessions"] for capture in only["captures"]} == wanted
    assert all(capture["stories"] == [] for capture in only["captures"])
    count = sum(map(len, wanted.values()))
    assert only["totals"] == {"captures": 2, "sessions": count, "verdicts": {"device-key-mismatch": count}}
    report = analyze_capture(fleet / "captures" / WRONG / "capture.pcap", load_keys((fleet / "keys",)))
    assert count == 2 * sum(session.verdict.code == "device-key-mismatch" for session in report.sessions)


@pytest.mark.parametrize("only", [Filter(), Filter(verdict="device-key-mismatch"), Filter(verdict="healthy")])
def test_a_line_for_each_session_of_the_report(only: Filter, store: Store) -> None:
    report = json.loads(told(store, "json", only))
    lines = [json.loads(line) for line in told(store, "jsonl", only).splitlines()]
    assert lines == [
        {"capture": capture["path"], **session} for capture in report["captures"] for session in capture["sessions"]
    ]
    assert lines


def test_parquet_is_for_a_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a file.*--output FILE"):
        write(store, "parquet", None, Filter(), Style())
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    write(store, "parquet", tmp_path / "f.parquet", Filter(), Style())
    rows = parquet.read_table(tmp_path / "f.parquet").num_rows
    assert rows == json.loads(told(store, "json", Filter()))["totals"]["sessions"]


def test_what_does_not_fit_on_a_ticket_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    view = overview(store, Filter())
    whole = "".join(markdown.format_markdown(view))
    assert "more device" not in whole
    assert f"{view.unread[0].path}: " in whole.replace("\\", "")
    for limit in ("_CLUSTERS", "_DEVICES"):
        monkeypatch.setattr(markdown, limit, 1)
    short = "".join(markdown.format_markdown(view))
    assert f"... and {len(view.devices) - 1} more devices; `--format csv` lists every session." in short
    assert f"... and {len(view.clusters) - 1} more cause" in short
    assert view.devices[-1].device in whole
    assert view.devices[-1].device not in short.split("## Devices")[1]


def test_an_empty_store_is_a_report_too() -> None:
    with Store(None) as empty:
        view = overview(empty, Filter())
        page = "".join(markdown.format_markdown(view))
        assert page.startswith("# Fleet report\n")
        assert "##" not in page
        assert json.loads(told(empty, "json", Filter()))["totals"] == {"captures": 0, "sessions": 0, "verdicts": {}}


def test_what_does_not_fit_on_a_screen_is_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("_CLUSTERS", "_DEVICES", "_TIMELINE"):
        monkeypatch.setattr(text, limit, 1)
    view = overview(store, Filter())
    shown = "".join(text.format_text(view, Style()))
    assert f"... and {len(view.devices) - 1} more devices (--verbose lists all)" in shown
    assert "more device" not in "".join(text.format_text(view, Style(verbose=True)))
    busy = next(row.device for row in view.devices if row.sessions > 1)
    one = overview(store, Filter(device=busy))
    shown = "".join(text.format_text(one, Style()))
    assert f"the last 1 of {one.devices[0].sessions}" in shown
