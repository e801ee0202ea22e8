"""The page in a real Chromium: quiet, inert, readable, reachable with the keyboard, quick."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.model import Device, Report
from analyzer.reports.html import format_html
from analyzer.safe import TEXT_KEPT, printable
from tests.analyzer.reports import example
from tests.analyzer.reports.browser import Browser, chromium_tab
from tests.analyzer.reports.payloads import PAYLOADS, planted

pytestmark = pytest.mark.chromium


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium_tab(chromium, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """Write a report as a page and open it."""

    def opened(report: Report, **look: object) -> Browser:
        file = tmp_path / "report.html"
        file.write_text("".join(format_html(report)), encoding="utf-8", newline="")
        browser.look(**look)  # type: ignore[arg-type]
        browser.open(file)
        assert browser.complaints == []
        assert browser.requests == [file.as_uri()]
        return browser

    return opened


def _gateway(number: int = 9) -> Report:
    verdicts = (example.HEALTHY, example.MISMATCH, example.REJECTED)
    sessions = [
        example.session(id=f"s{index}", verdict=verdicts[index % 3], device=Device("10.0.0.9", 1000, f"{index:024x}"))
        for index in range(number)
    ]
    return example.report(example.capture(*sessions))


def _many() -> Report:
    return example.report(*(replace(item, path=f"{index}.pcap") for index, item in enumerate([example.capture()] * 3)))


REPORTS: dict[str, Callable[[], Report]] = {
    "one session": example.report,
    "not settled": lambda: example.report(example.capture(example.session(verdict=example.REJECTED))),
    "several verdicts": _gateway,
    "several captures": _many,
    "no session": lambda: example.report(replace(example.capture(), sessions=(), stories=())),
}
every_report = pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())

_ACTIVE = "['img','iframe','object','embed','form','link','base','a[href]:not([href^=\"#\"])'].flatMap(tag => [...document.querySelectorAll(tag)]).length"


@pytest.mark.parametrize("payload", [text for _, text in PAYLOADS], ids=[name for name, _ in PAYLOADS])
def test_hostile_text_is_inert_and_visible(show: Callable[..., Browser], payload: str) -> None:
    tab = show(planted(example.report(), payload))
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    tab.evaluate(
        "document.querySelectorAll('*').forEach(node => { node.dispatchEvent(new Event('mouseover')); node.focus?.(); })"
    )
    assert tab.dialogs == []
    assert tab.complaints == []
    assert len(tab.requests) == 1
    assert tab.evaluate("document.querySelectorAll('script').length") == 1
    assert tab.evaluate(_ACTIVE) == 0
    lead = tab.evaluate("document.querySelector('.lead').textContent")
    assert lead.startswith(printable(payload)[:TEXT_KEPT])
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_policy_stops_what_the_escaping_would_let_through(browser: Browser, tmp_path: Path) -> None:
    """Defence in depth: the same page with an injection that did get in."""
    injected = (
        "<script>window.hacked = 1</script><img src=http://attacker.example/x onerror='window.hacked=2'>"
        "<link rel=stylesheet href=http://attacker.example/x.css><style>body { color: red }</style>"
        "<base href=http://attacker.example/><p style='color: red' id=styled>x</p><iframe src='javascript:parent.hacked=3'></iframe>"
    )
    page = "".join(format_html(example.report())).replace("<main", injected + "<main", 1)
    file = tmp_path / "injected.html"
    file.write_text(page, encoding="utf-8")
    browser.look()
    browser.open(file)
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert browser.evaluate("getComputedStyle(document.querySelector('#styled')).color") != "rgb(255, 0, 0)"
    assert browser.evaluate("getComputedStyle(document.body).color") != "rgb(255, 0, 0)"
    assert browser.evaluate("document.baseURI").startswith("file:")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


@every_report
def test_nothing_is_wider_than_the_window(show: Callable[..., Browser], make: Callable[[], Report]) -> None:
    tab = show(make())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for width in (360, 390, 768, 1280, 1920):
        tab.look(width=width)
        assert tab.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_verdict_and_fix_are_on_the_first_screen(show: Callable[..., Browser], width: int, height: int) -> None:
    tab = show(example.report(), width=width, height=height)
    for part in (".title", ".lead", ".certainty", ".fix", ".fix .command"):
        box = tab.evaluate(
            f"(({{top, bottom}}) => [top, bottom])(document.querySelector('{part}').getBoundingClientRect())"
        )
        assert 0 <= box[0] < box[1], part
        assert (box[0] if part == ".fix" else box[1]) < height, part


def test_several_answers_each_have_their_fix_on_the_first_screen(show: Callable[..., Browser]) -> None:
    tab = show(_gateway(3), width=1280, height=800)
    fixes = tab.evaluate("[...document.querySelectorAll('.fix-line')].map(fix => fix.getBoundingClientRect().bottom)")
    assert len(fixes) == 2
    assert max(fixes) < 800


def test_arrows_point_from_sender_to_receiver_and_meet_the_lifelines(show: Callable[..., Browser]) -> None:
    for width in (390, 1280):
        tab = show(example.report(), width=width)
        rows = tab.evaluate(
            """[...document.querySelectorAll('.rung')].map(row => {
                const box = node => node && (({left, right}) => [left, right])(node.getBoundingClientRect());
                return [row.querySelector('b').textContent, ...['.life', '.life + .life', '.arrow', '.head', '.label'].map(part => box(row.querySelector(part)))];
            })"""
        )
        told = {row[0]: row[1:] for row in rows}
        for label, to_cloud in (("identity", True), ("nonce", False), ("the cloud closes (FIN)", False)):
            (left, _), (right, _), arrow, head, text = told[label]
            assert arrow == pytest.approx([left, right], abs=2), label
            assert head[1 if to_cloud else 0] == pytest.approx(right if to_cloud else left, abs=2), label
            assert left < text[0] < text[1] < right, label
        assert told["cloud-hello"][3] is None  # absent: a line without a head
        assert told["session-key"][2][0] > told["session-key"][0][0] + 20  # incomplete: does not reach the device


def test_keyboard_reaches_and_opens_everything(show: Callable[..., Browser]) -> None:
    tab = show(_gateway(3))

    def press(key: str, text: str = "") -> str:
        for kind in ("keyDown", "keyUp"):
            tab.command(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                text=text if kind == "keyDown" else "",
                windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key],
            )
        return str(
            tab.evaluate(
                "document.activeElement.className || document.activeElement.tagName + ' ' + document.activeElement.textContent.slice(0, 40)"
            )
        )

    assert press("Tab") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), (
        "the skip link shows when it has the focus"
    )
    reached = [press("Tab") for _ in range(60)]
    assert any("c1-problems" in item or "limits this report" in item for item in reached)
    assert sum("SUMMARY" in item for item in reached) >= 3
    assert any(item == "button" for item in reached)
    tab.evaluate(
        "document.querySelector('details.folded:not([open]) summary, details.fold:not([open]) summary').focus()"
    )
    before = tab.evaluate("document.querySelectorAll('details[open]').length")
    press("Enter", "\r")
    assert tab.evaluate("document.querySelectorAll('details[open]').length") == before + 1
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_link_to_a_folded_session_opens_it(show: Callable[..., Browser], browser: Browser) -> None:
    tab = show(_gateway())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")
    tab.evaluate("document.querySelector('.answers a').click()")
    target = tab.evaluate("location.hash.slice(1)")
    top = tab.evaluate(f"document.getElementById('{target}').getBoundingClientRect().top")
    assert 0 <= top < 800


def test_script_adds_filter_copy_and_open_all(show: Callable[..., Browser]) -> None:
    tab = show(_gateway())
    tab.evaluate(
        "(input => { input.value = 'HEALTHY'; input.dispatchEvent(new Event('input')); })(document.querySelector('.filter input'))"
    )
    assert (
        tab.evaluate(
            "[...document.querySelectorAll('.answers tbody tr')].filter(row => row.checkVisibility()).map(row => row.querySelector('.code').textContent)"
        )
        == ["healthy"] * 3
    )
    assert tab.evaluate("document.querySelector('.filter [role=status]').textContent") == " 3 of 9"
    tab.evaluate("document.querySelector('.banner button').click()")
    assert tab.evaluate("document.querySelectorAll('main details:not([open])').length") == 0
    names = tab.evaluate(
        "[...document.querySelectorAll('pre .button')].map(button => button.getAttribute('aria-label'))"
    )
    assert f"Copy {example.MISMATCH.remedy[0].commands[0]}" in names
    tab.evaluate("document.querySelector('pre .button').click()")
    tab.evaluate("new Promise(done => setTimeout(done, 100))")
    assert tab.evaluate("document.querySelector('pre .button').textContent") in ("Copied", "Selected")


@every_report
def test_page_says_the_same_without_its_script(browser: Browser, tmp_path: Path, make: Callable[[], Report]) -> None:
    file = tmp_path / "report.html"
    file.write_text("".join(format_html(make())), encoding="utf-8")
    browser.look()
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(file, wait=False)
        assert browser.evaluate("document.querySelectorAll('button, .filter').length") == 0
        bare = browser.evaluate("document.querySelector('main').textContent")
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
    browser.open(file)
    browser.evaluate("document.querySelectorAll('button, .filter').forEach(node => node.remove())")
    assert browser.evaluate("document.querySelector('main').textContent") == bare


def test_print_shows_what_is_folded_and_no_buttons(show: Callable[..., Browser]) -> None:
    tab = show(example.report(), media="print", dark=True)
    folded = "[...document.querySelectorAll('details.fold:not([open]):not(.bulk) .body')]"
    assert tab.evaluate(f"{folded}.map(body => body.checkVisibility())") == [True] * 3
    tab.look()
    assert tab.evaluate(f"{folded}.map(body => body.checkVisibility())") == [False] * 3
    tab.look(media="print", dark=True)
    assert tab.evaluate("[...document.querySelectorAll('.button')].every(button => !button.checkVisibility())")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf().startswith(b"%PDF")


def test_dark_and_light_are_two_pictures_of_one_page(show: Callable[..., Browser]) -> None:
    grounds = [
        show(example.report(), dark=dark).evaluate("getComputedStyle(document.body).backgroundColor")
        for dark in (False, True)
    ]
    assert grounds == ["rgb(243, 245, 248)", "rgb(14, 19, 26)"]


def test_status_is_told_by_shape_and_word_when_there_is_no_colour(show: Callable[..., Browser]) -> None:
    """Signs of different verdicts refer to different drawings, and the word for each stands on the page."""
    shapes = {}
    for name, verdict in (
        ("healthy", example.HEALTHY),
        ("failing", example.MISMATCH),
        ("not settled", example.REJECTED),
    ):
        tab = show(example.report(example.capture(example.session(verdict=verdict))))
        shapes[name] = tab.evaluate("document.querySelector('.title use').getAttribute('href')")
        assert tab.evaluate("document.querySelector('.word').textContent") == name
    assert len(set(shapes.values())) == 3


def test_a_long_capture_opens_quickly(browser: Browser, tmp_path: Path) -> None:
    message = example.session().messages[0]
    sessions = [
        example.session(id=f"s{index}", device=Device("10.0.0.9", 1000, f"{index:024x}"), messages=(message,) * 10)
        for index in range(5_000)
    ]
    file = tmp_path / "long.html"
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(format_html(example.report(example.capture(*sessions))))
    browser.look()
    assert browser.open(file) < 10  # 1.1 s on the machine it was written on; without bounds a minute
    begun = browser.evaluate("performance.now()")
    browser.evaluate(
        "(input => { input.value = '00f'; input.dispatchEvent(new Event('input')); return document.body.offsetHeight })(document.querySelector('.filter input'))"
    )
    assert browser.evaluate("performance.now()") - begun < 3_000


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source from the npm registry; skips when it cannot be had."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, so there is no axe-core")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "axe-core@4", "--silent", "--fetch-retries=0", "--fetch-timeout=8000"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=25, check=False)
    except subprocess.TimeoutExpired:
        done = None
    packed = next(folder.glob("axe-core-*.tgz"), None)
    if done is None or done.returncode or packed is None:
        pytest.skip("the npm registry does not give axe-core")
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


_LOOKS = [(name, *look) for index, name in enumerate(REPORTS) for look in (((1280, False), (390, True))[index % 2],)]


@pytest.mark.parametrize(("name", "width", "dark"), [*_LOOKS, ("one session", 390, True)])
def test_axe_finds_no_barrier(show: Callable[..., Browser], axe: str, name: str, width: int, dark: bool) -> None:
    make = REPORTS[name]
    tab = show(make(), width=width, dark=dark)
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    tab.evaluate(axe + "; 0")
    result = json.loads(
        tab.evaluate("axe.run().then(found => JSON.stringify([found.violations, found.passes.length]))")
    )
    assert result[1] > 15
    assert [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in result[0]] == []
