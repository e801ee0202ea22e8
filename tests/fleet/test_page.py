"""The fleet page: hostile names are text, it loads nothing, it fits, sorts and filters."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path

import pytest

from analyzer.fleet.answer import Answer, SessionRow
from analyzer.fleet.questions import Filter, overview
from analyzer.fleet.store import Store
from analyzer.keys import KeyRing
from analyzer.pipeline import Options
from analyzer.reports.fleet.html import format_html

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
ROOT = Path(__file__).parents[2]


def page(devices: int) -> str:
    rows = [
        SessionRow(
            number, f"{number:024x}" if number else HOSTILE, None, None, "10.1.2.3", "10.1.2.0/24", "tcp", "lightssl",
            "203.0.113.10", 5683, HOSTILE, None, f"2026-11-{1 + number % 28:02}T08:00:00.000000Z", 1.0,
            "healthy" if number % 3 else "no-nonce", "proven", None, f"{HOSTILE} says", "n", "cloud", "fin", HOSTILE,
        )
        for number in range(devices)
    ]  # fmt: skip
    with Store(None) as store:
        store.begin(KeyRing(), Options())
        store.add(Answer(f"/{HOSTILE}", "a" * 64, "partial", HOSTILE, "pcap", 1, 1, None, None, b"", tuple(rows)))
        store.flush()
        return "".join(format_html(overview(store, Filter())))


@pytest.fixture
def browser():
    spec = importlib.util.spec_from_file_location(
        "fleet_browser", ROOT / "tests" / "analyzer" / "reports" / "browser.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hostile_text_is_text():
    text = page(6)
    assert "<img" not in text
    assert text.count("<script>") == 1
    assert re.search(r"default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'", html.unescape(text))
    assert "http://" not in text
    assert "https://" not in text


@pytest.mark.chromium
def test_in_a_browser(chromium, browser, tmp_path):
    file = tmp_path / "fleet.html"
    file.write_text(page(40), encoding="utf-8")
    with browser.chromium_tab(chromium, tmp_path / "profile") as tab:
        for width in (1280, 390):
            tab.look(width=width)
            tab.open(file)
            assert tab.complaints == []
            assert tab.dialogs == []
            assert tab.requests == [file.as_uri()]
            assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            count = "document.querySelector('.pair .count')"
            tall = tab.evaluate(f"{count}.offsetHeight")
            assert tab.evaluate(f"({count}.textContent = '12,345', {count}.offsetHeight)") == tall, (
                "a number in two lines"
            )
            assert tab.evaluate("parseFloat(getComputedStyle(document.querySelector('svg.timeline')).paddingLeft)") == 0
        table = "document.querySelectorAll('table.devices')[1]"
        click = f"{table}.tHead.rows[0].cells[0].firstChild.click()"
        names = f"[...{table}.tBodies[0].rows].map(row => row.cells[0].textContent)"
        tab.evaluate(click)
        up = tab.evaluate(names)
        tab.evaluate(click)
        assert up == sorted(up)
        assert tab.evaluate(names) == up[::-1]
        tab.evaluate(
            "{const i = document.querySelector('.filter input'); i.value = '000000007'; i.dispatchEvent(new Event('input'));}"
        )
        shown = "new Promise(done => setTimeout(() => done([...document.querySelectorAll('table.devices tbody tr')].filter(row => !row.hidden).length), 300))"
        assert tab.evaluate(shown) == 1


@pytest.mark.chromium
def test_ten_thousand_devices(chromium, browser, tmp_path):
    file = tmp_path / "fleet.html"
    file.write_text(page(10_000), encoding="utf-8")
    with browser.chromium_tab(chromium, tmp_path / "profile") as tab:
        tab.look(width=1280)
        assert tab.open(file) < 20  # seconds, on a machine that does other things too; 1 to 2 when it is idle
        assert tab.complaints == []
        assert tab.evaluate("document.querySelectorAll('table.devices tbody tr').length") == 10_000
