"""Two sessions side by side: where genuine ones part, in every form."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
GOOD = "tcp-01a-good-brewskey-fw063"
GATEWAY = f"{CAPTURES}/tcp-17-gateway-mixed/capture.pcap"
KEYS = ("--keys", f"{CAPTURES}/tcp-17-gateway-mixed/keys")


def run(*words: str | Path, columns: str = "100") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "analyzer", "compare", *map(str, words)]
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": columns, "PYTHONUTF8": "1", "PYTHONPATH": str(CAPTURES.parent)}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("good", "bad", "stage"),
    [
        (GOOD, "tcp-02a-cloud-wrong-devkey-brewskey", "session-key"),
        (GOOD, "tcp-12-syn-refused", "connect"),
        (GOOD, "tcp-08a-silent-server", "nonce"),
        ("dtls-01-good", "dtls-04a-private-key-not-matching-silent", "certificate-verify"),
        ("dtls-01-good", "dtls-06-no-answer", "hello-verify"),
    ],
)
def test_genuine_sessions_part_where_they_do(good: str, bad: str, stage: str) -> None:
    done = run(CAPTURES / good, CAPTURES / bad, "--format", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["parts_at"]) == (1, stage)
    assert [row["differs"] for row in found["facts"] if row["name"] == "verdict"] == [True]


def test_a_session_and_itself_are_the_same() -> None:
    done = run(f"{GATEWAY}#1", f"{GATEWAY}#1", *KEYS)
    assert done.returncode == 0
    assert done.stdout.startswith("They do the same, stage by stage.")


def test_sessions_of_one_capture_by_their_numbers() -> None:
    found = json.loads(run(f"{GATEWAY}#1", f"{GATEWAY}#3", *KEYS, "--format", "json").stdout)
    assert found["parts_at"] == "session-key" or found["parts_at"] == "device-hello"
    devices = next(row for row in found["facts"] if row["name"] == "device")
    assert devices["good"] != devices["bad"]


@pytest.mark.parametrize("columns", ["80", "140"])
def test_the_text_fits_and_says_first_where_they_part(columns: str) -> None:
    text = run(CAPTURES / GOOD, CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey", columns=columns).stdout
    assert text.startswith("They part at session-key: in the first 384 B")
    assert max(map(len, text.splitlines())) <= int(columns)
    assert "The same in both:" in text


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    run(CAPTURES / GOOD, CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey", "-o", page)
    marked: list[str] = []

    class Rows(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "link", "img", "iframe")
            marked.extend(value for name, value in attrs if name == "class" and tag == "tr" and value)

    text = page.read_text(encoding="utf-8")
    Rows().feed(text)
    assert marked == ["apart"]
    assert "They part at session-key" in text


def test_a_number_that_is_not_there_is_said() -> None:
    done = run(f"{GATEWAY}#99", GATEWAY, *KEYS)
    assert done.returncode == 2
    assert "holds sessions 1 to" in done.stderr
    assert run("nowhere.pcap", GATEWAY).returncode == 3
