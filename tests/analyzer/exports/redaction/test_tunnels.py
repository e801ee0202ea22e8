"""What is redacted inside a tunnel or under a rare link type comes out as it would without."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.exports.redact import redact
from analyzer.keys import load_keys
from analyzer.pipeline import Options, analyze_capture
from tests.analyzer.capture.wrappings import CAPTURES, OUTER, WRAPPINGS, wrapped


@pytest.mark.parametrize(
    "name", ["GTP-U", "VXLAN", "ERSPAN II", "CAPWAP with 802.11", "radiotap with A-MSDU", "PKTAP", "L2TP"]
)
@pytest.mark.parametrize("case", ["tcp-02a-cloud-wrong-devkey-brewskey", "dtls-03-wrong-server-key-on-device"])
def test_the_session_is_kept_and_the_outer_addresses_are_not(name: str, case: str, tmp_path: Path) -> None:
    source, output = tmp_path / "in.pcap", tmp_path / "out.pcapng"
    source.write_bytes(wrapped(next((CAPTURES / case).glob("capture*.pcap")), WRAPPINGS[name]))
    report = analyze_capture(source, load_keys([]), Options(jobs=1))
    redact(report, source, output, salt=b"s" * 16)
    again = analyze_capture(output, load_keys([]), Options(jobs=1))
    assert report.sessions
    assert [s.history for s in again.sessions] == [s.history for s in report.sessions]
    data = output.read_bytes()
    assert all(bytes(map(int, address.split("."))) not in data for address in OUTER)
