"""`analyze manual`: every page prints, links say what to type, and words are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.cli.manual import readable, topics

ROOT = Path(__file__).resolve().parents[3]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", "manual", *words], capture_output=True, text=True, check=False
    )


def test_the_list_has_every_page() -> None:
    listed = {line.split()[0] for line in run().stdout.splitlines() if re.match(r"[a-z]+  ", line)}
    assert listed == set(topics()) == {path.stem for path in (ROOT / "analyzer" / "manual").glob("*.md")}


@pytest.mark.parametrize("topic", sorted(topics()))
def test_a_page_reads_without_a_browser(topic: str) -> None:
    text = readable(topics()[topic])
    assert text.startswith("# ")
    assert "](" not in text
    assert "<!--" not in text
    for named in re.findall(r"analyze manual ([a-z]+)\)", text):
        assert named in topics()


def test_a_page_is_printed_and_a_slip_is_asked_for() -> None:
    assert run("verdicts").stdout == readable(topics()["verdicts"])
    wrong = run("verdict")
    assert wrong.returncode == 2
    assert "did you mean verdicts?" in wrong.stderr


def test_words_are_found_with_their_page() -> None:
    lines = run("--search", "server-key-erased").stdout.splitlines()
    assert any(line.startswith("verdicts: ") for line in lines)
    assert all("server-key-erased" in line.lower() for line in lines if not line.startswith("and "))
    assert "nothing in the manual" in run("--search", "no such words anywhere").stdout


def test_actions_of_the_workflows_are_pinned() -> None:
    used = [
        found
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for found in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))
    ]
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use)] == []
