"""The library: the command line's report, as types and in a notebook."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import analyzer
from analyzer import analyze_capture, analyze_captures, load_keys
from analyzer.errors import InputError
from analyzer.model import Certainty, Code
from analyzer.reports.html import format_html
from analyzer.reports.json import format_json
from analyzer.reports.text import format_text
from analyzer.reports.writing import Style

CASE = "tcp-02a-cloud-wrong-devkey-brewskey"


@pytest.fixture
def case(captures: Path) -> Path:
    return captures / CASE


def test_a_capture_and_a_folder_of_keys_by_name(case: Path) -> None:
    report = analyze_capture(str(case / "capture.pcap"), keys=str(case / "keys"))
    verdicts = {(item.verdict.code, item.verdict.certainty) for item in report.captures[0].sessions}
    assert verdicts == {(Code.DEVICE_KEY_MISMATCH, Certainty.PROVEN)}
    assert len(report.captures[0].sessions) == 2


def test_keys_read_once_serve_many_captures(case: Path, captures: Path) -> None:
    ring = load_keys([case / "keys"])
    both = analyze_captures([case / "capture.pcap", captures / "tcp-12-syn-refused"], ring)
    assert [item.path for item in both.captures] == [
        str(case / "capture.pcap"),
        str(captures / "tcp-12-syn-refused" / "capture.pcap"),
    ]
    assert both.captures[0] == analyze_capture(case / "capture.pcap", ring).captures[0]


def test_a_stream_is_a_capture_too(case: Path) -> None:
    data = (case / "capture.pcap").read_bytes()
    report = analyze_capture(io.BytesIO(data), case / "keys")
    assert report.captures[0].path == "-"
    assert report.captures[0].sessions == analyze_capture(case / "capture.pcap", case / "keys").captures[0].sessions


def test_the_report_is_that_of_the_command_line(case: Path) -> None:
    words = [str(case / "capture.pcap"), "--keys", str(case / "keys"), "--format", "json"]
    shown = subprocess.run([sys.executable, "-m", "analyzer", *words], capture_output=True, text=True, check=False)
    assert json.loads("".join(format_json(analyze_captures(case / "capture.pcap", case / "keys")))) == json.loads(
        shown.stdout
    )


def test_print_and_notebook_show_the_report(case: Path) -> None:
    report = analyze_capture(case / "capture.pcap")
    assert str(report) == "".join(format_text(report, Style()))
    frames: list[dict[str, str | None]] = []

    class Frames(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            frames.append({"tag": tag, **dict(attrs)})

    Frames().feed(report._repr_html_())
    (frame,) = frames
    assert frame["tag"] == "iframe"
    assert frame["srcdoc"] == "".join(format_html(report)), "the page is inside whole, and nothing of it outside"


def test_no_capture_is_an_error_alone_and_a_row_among_others(case: Path, tmp_path: Path) -> None:
    bad = tmp_path / "notes.pcap"
    bad.write_text("not a capture")
    with pytest.raises(InputError, match="notes.pcap"):
        analyze_capture(bad)
    assert [item.status for item in analyze_captures([bad, case / "capture.pcap"]).captures] == ["failed", "ok"]
    with pytest.raises(InputError):
        load_keys(tmp_path / "nothing-here")


def test_what_is_offered_is_there_and_nothing_is_loaded_before_it_is_used() -> None:
    for name in analyzer.__all__:
        assert getattr(analyzer, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = analyzer.nonsense
    assert set(analyzer.__all__) <= set(dir(analyzer))
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, analyzer; print([m for m in sys.modules if m.startswith('analyzer.')])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


def test_a_ticket_brings_its_keys(case: Path, tmp_path: Path) -> None:
    shutil.copy(case / "capture.pcap", tmp_path / "capture.pcap")
    shutil.copytree(case / "keys", tmp_path / "keys")
    with_keys = analyze_capture(case / "capture.pcap", case / "keys").captures[0].sessions
    (folder,) = analyze_captures(tmp_path).captures
    archive = shutil.make_archive(str(tmp_path.parent / "ticket"), "zip", tmp_path)
    (packed,) = analyze_captures(archive).captures
    verdicts = [
        [(session.verdict.code, session.verdict.certainty) for session in got]
        for got in (with_keys, folder.sessions, packed.sessions)
    ]
    assert verdicts[0]
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_a_report_as_json_page_and_table(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = analyze_capture(case / "capture.pcap", case / "keys")
    assert json.loads(report.to_json())["captures"][0]["sessions"][0]["verdict"]["code"] == "device-key-mismatch"
    assert report.to_html() == "".join(format_html(report))
    made: dict[str, list[object]] = {}

    class Pandas:
        @staticmethod
        def DataFrame(columns: dict[str, list[object]]) -> str:  # noqa: N802 - its name there
            made.update(columns)
            return "a frame"

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert report.sessions_frame() == "a frame"
    assert made["verdict"] == ["device-key-mismatch"] * 2
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pandas or pyarrow"):
        report.sessions_frame()


def test_a_table_of_pyarrow_where_there_is_no_pandas(case: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    table = analyze_capture(case / "capture.pcap", case / "keys").sessions_frame()
    if type(table).__module__.partition(".")[0] == "pandas":
        assert list(table["verdict"]) == ["device-key-mismatch"] * 2
        return
    assert table.num_rows == 2
    assert table.column("device_id").to_pylist() == ["300047001147343332373737"] * 2
