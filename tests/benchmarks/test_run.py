"""The measuring is right: memory of the whole tree, time, ratios within a round, verdicts checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.measure import Measured, measure
from tests.benchmarks.run import Peer, Site, table, wrong_verdicts

HOLD = "import time; block = b'x' * (80 << 20); time.sleep(0.4)"


def test_memory_of_one_process_is_seen() -> None:
    small = measure([sys.executable, "-c", "import time; time.sleep(0.2)"])
    large = measure([sys.executable, "-c", HOLD])
    assert small.status == large.status == 0
    assert 75 < large.peak - small.peak < 85
    assert 0.4 < large.wall < 5


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells of a process tree")
def test_memory_of_children_is_added_up() -> None:
    both = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {HOLD!r}]); exec({HOLD!r}); p.wait()"
    assert measure([sys.executable, "-c", both]).peak > 160


def test_status_and_output_are_kept(tmp_path: Path) -> None:
    done = measure([sys.executable, "-c", "print('seen'); raise SystemExit(3)"], output=tmp_path / "out")
    assert done.status == 3
    assert (tmp_path / "out").read_text() == "seen\n"


def test_what_never_ends_is_ended() -> None:
    with pytest.raises(TimeoutError):
        measure([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)


def test_ratios_are_per_packet_and_within_a_round(tmp_path: Path) -> None:
    big, small = Site(tmp_path, 1000, 1), Site(tmp_path, 100, 1)
    peers = [Peer("tshark", "filter", [], big), Peer("other", "slow", [], small)]
    taken = {
        "tshark": [Measured(10, 10, 100, 0), Measured(20, 20, 100, 0), Measured(10, 10, 300, 0)],
        "other": [Measured(2, 2, 50, 0), Measured(4, 4, 50, 0), Measured(1, 1, 50, 0)],
    }
    rows = table(peers, taken).splitlines()
    assert rows[2] == "| tshark | filter | 1,000 | 10.00 | 10.00 | 100 | 300 | 1.00 |"
    assert rows[3] == "| other | slow | 100 | 2.00 | 2.00 | 50 | 50 | 0.50 |"


def test_wrong_verdicts_are_told(tmp_path: Path) -> None:
    place = Site(tmp_path, 10, 3)
    (tmp_path / "truth.json").write_text(json.dumps({"verdicts": {"healthy": 2, "no-nonce": 1}}))
    peer = Peer("analyze", "", [], place, report=tmp_path / "report.json")
    assert "no report" in wrong_verdicts(Peer("x", "", [], place, report=tmp_path / "truth.json"))
    for verdicts, wrong in (({"healthy": 2, "no-nonce": 1}, False), ({"healthy": 3}, True)):
        (tmp_path / "report.json").write_text(json.dumps({"totals": {"verdicts": verdicts}}))
        assert bool(wrong_verdicts(peer)) is wrong
