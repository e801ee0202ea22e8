"""Names and lines that attack whoever reads them, through the real command line: files, keys, logs, HTTP titles."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.safe import printable
from tests.analyzer.reports.browser import chromium_tab

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"
CASE = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"
PORTAL = CAPTURES / "tcp-07b-captive-portal-html"

#: What a file may be called (no slash, no zero byte).
NAMES = {
    "terminal, html": '\x1b]0;owned\x07\x1b[2J\x1b[31m"><img src=x onerror=alert(1)><script>alert(1)<script>',
    "formula, markdown": '=HYPERLINK("http:attacker.example","x") [x](javascript:alert(1)) `a` | b |',
    "lines, bidirectional, undecodable": "a\r\nb\x85c\u2028d\u202egnp.exe\u200b\u2066\udcff\udc80",
}
FORMATS = ("text", "json", "jsonl", "csv", "markdown", "html")


def run(*words: object) -> tuple[int, str]:
    """Exit status and everything said; every character of it is plainly visible."""
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", *map(str, words)], capture_output=True, cwd=ROOT, timeout=120, check=False
    )
    said = done.stdout.decode("utf-8") + done.stderr.decode("utf-8")
    for line in said.split("\n"):
        assert line == printable(line), (words, line)
    assert "Traceback" not in said and "internal error" not in said
    return done.returncode, done.stdout.decode("utf-8")


def scene(folder: Path, name: str) -> tuple[Path, Path, Path]:
    """A capture, a key folder and a log, all called ``name``; the capture is damaged, so that it is talked about."""
    capture, keys, log = folder / f"{name}.pcap", folder / f"{name}.keys", folder / f"{name}.log"
    capture.write_bytes((CASE / "capture.pcap").read_bytes()[:-3])
    shutil.copytree(CASE / "keys", keys)
    (keys / f"{name}.der").write_bytes(b"no key\xff" * 9)
    shutil.copy(CASE / "keys" / "default_key.pem", keys / f"{name}.pem")
    line = f"0000001306 [comm.protocol.handshake] ERROR: {name.replace(chr(10), ' ')} receive error -19\n"
    log.write_bytes(line.encode("utf-8", "surrogateescape") * 3)
    return capture, keys, log


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_keys_and_log_lines(name: str, tmp_path: Path) -> None:
    capture, keys, log = scene(tmp_path, NAMES[name])
    for form in FORMATS:
        status, _ = run(capture, "--keys", keys, "--log", log, "--format", form, "-v")
        assert status == 3
    for words in (
        (capture, PORTAL / "capture.pcap", "-q"),
        ("keys", keys), ("keys", keys, "--format", "json", "-v"),
        ("--log", log), (keys,), (tmp_path / (NAMES[name] + "none"),), ("--keys", tmp_path / (NAMES[name] + "x"), capture),
        (capture, "--format", NAMES[name]), (capture, "--port", NAMES[name]), ("explain", NAMES[name]),
        (capture, "--output", tmp_path / NAMES[name] / "x"), ("annotate", capture, "--output", capture),
    ):  # fmt: skip
        run(*words)
    store = tmp_path / "store.sqlite"
    run("batch", tmp_path, "--keys", keys, "--store", store, "--jobs", "1")
    for form in FORMATS:
        run("fleet", store, "--format", form, "-v")


@pytest.mark.chromium
def test_pages_in_a_browser(chromium: str, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    folder = tmp_path / "in"
    for number, name in enumerate(NAMES.values()):
        inside = folder / str(number)
        inside.mkdir(parents=True)
        capture, keys, log = scene(inside, name)
        run(capture, "--keys", keys, "--log", log, "--format", "html", "--output", pages / f"{number}.html")
    run("batch", folder, "--store", tmp_path / "s.sqlite", "--html", pages / "fleet.html", "--jobs", "1")
    with chromium_tab(chromium, tmp_path / "profile") as tab:
        for page in sorted(pages.iterdir()):
            tab.open(page)
            assert (tab.dialogs, tab.complaints, tab.requests) == ([], [], [page.as_uri()]), page.name


def test_title_of_a_captive_portal(tmp_path: Path) -> None:
    data = (PORTAL / "capture.pcap").read_bytes()
    start = data.index(b"<title>") + 7
    size = data.index(b"</title>", start) - start
    assert size > 6
    hostile = b'\x1b[2J"><b>\xe2\x80\xae\x07\r=1'
    path = tmp_path / "portal.pcap"
    path.write_bytes(data[:start] + (hostile * 9)[:size] + data[start + size :])
    for form in FORMATS:
        status, text = run(path, "--format", form)
        assert status == 1 and "not-the-cloud" in text
