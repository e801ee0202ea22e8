"""The lines for the menu in Wireshark."""

from __future__ import annotations

from pathlib import Path

from analyzer.exports.menu import menu_lines
from analyzer.keys import load_keys
from analyzer.pipeline import analyze_capture

CASE = Path(__file__).resolve().parents[3] / "captures" / "dtls-03-wrong-server-key-on-device"


def test_sessions_and_remarks_are_cells_and_the_text_is_whole() -> None:
    report = analyze_capture(CASE / "capture.pcap", load_keys([CASE / "keys"]))
    head, text = "".join(menu_lines(report, ["a\n", "b\n"])).split("\nreport\n")
    rows = [line.split("\t") for line in head.splitlines()]
    sessions = [row for row in rows if row[0] == "session"]
    assert {len(row) for row in sessions} == {13}
    assert sessions[0][1:7] == ["s1", "1", "7", "5", "0a10aced202194944a042f01", "10.77.0.11"]
    assert sessions[0][11:] == ["server-key-mismatch", "proven"]
    assert len(sessions) == len(report.sessions)
    assert ["remark", "2", "s1 hello-verify from the cloud, 35 bytes"] in rows
    assert text == "a\nb\n"
