"""The page as text: its policy, its structure, its bounds. What a browser makes of it is in test_chromium.py."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from lxml import html as parser

from analyzer.model import Code, Device, Report
from analyzer.reports.html import format_html
from analyzer.reports.html.frame import asset
from analyzer.safe import printable
from tests.analyzer.reports import example
from tests.analyzer.reports.payloads import PAYLOADS, planted

Page = parser.HtmlElement


def _unreadable() -> Report:
    return example.report(replace(example.capture(), sessions=(), stories=(), status="failed"))


def _several() -> Report:
    verdicts = (example.MISMATCH, example.REJECTED, example.HEALTHY)
    captures = [
        replace(example.capture(example.session(verdict=verdict)), path=f"site/{index}.pcap")
        for index, verdict in enumerate(verdicts)
    ]
    return example.report(*captures, _unreadable().captures[0])


def _gateway() -> Report:
    sessions = [
        example.session(id=f"s{index}", verdict=verdict, device=Device("10.0.0.9", 1000 + index, f"{index:024x}"))
        for index, verdict in enumerate((example.HEALTHY, example.MISMATCH, example.REJECTED))
    ]
    return example.report(example.capture(*sessions))


REPORTS: dict[str, Callable[[], Report]] = {
    "one session": example.report,
    "not settled": lambda: example.report(example.capture(example.session(verdict=example.REJECTED))),
    "healthy": lambda: example.report(example.capture(example.session(verdict=example.HEALTHY), problems=())),
    "several verdicts": _gateway,
    "several captures": _several,
    "no session": lambda: example.report(replace(example.capture(), sessions=(), stories=())),
    "unreadable": _unreadable,
    "nothing at all": lambda: replace(example.report(), captures=(), keys=()),
    "retries": lambda: example.report(example.capture(*(example.session(id=f"s{index}") for index in range(7)))),
}
every_report = pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())


def _page(report: Report) -> Page:
    text = "".join(format_html(report))
    assert text.startswith("<!doctype html>\n<html ")
    return parser.document_fromstring(text)


def _policy(page: Page) -> str:
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    return str(policy)


@every_report
def test_policy_allows_this_files_style_and_script_by_hash_and_nothing_else(make: Callable[[], Report]) -> None:
    page = _page(make())

    def source(tag: str) -> str:
        (node,) = page.xpath(f"//{tag}")
        return "'sha256-" + base64.b64encode(hashlib.sha256(node.text.encode()).digest()).decode() + "'"

    assert _policy(page) == (
        f"default-src 'none'; style-src {source('style')}; script-src {source('script')}; base-uri 'none'; form-action 'none'"
    )
    # The policy governs what follows it: nothing that could load or run may stand before.
    assert [child.tag for child in page.head][:2] == ["meta", "meta"]


@every_report
def test_page_refers_to_nothing_outside_itself(make: Callable[[], Report]) -> None:
    page = _page(make())
    used = {
        tag
        for tag in ("link", "img", "iframe", "object", "embed", "form", "base", "audio", "video")
        if page.xpath(f"//{tag}")
    }
    assert used == set()
    for attribute in ("src", "srcset", "action", "style", "data", "poster", "background"):
        assert page.xpath(f"//*[@{attribute}]") == []
    assert not [name for node in page.iter() for name in node.attrib if name.lower().startswith("on")]
    style, script = asset(("analyzer.reports.html", "report.css"))[0], asset(("analyzer.reports.html", "report.js"))[0]
    assert not re.search(r"url\(|@import|https?:", style)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|fetch|XMLHttp|https?:", script)
    assert "</" not in style
    assert "</" not in script


@every_report
def test_landmarks_headings_and_anchors_are_in_order(make: Callable[[], Report]) -> None:
    page = _page(make())
    assert page.get("lang") == "en"
    for landmark in ("main", "footer"):
        assert len(page.xpath(f"//{landmark}")) == 1
    assert len(page.xpath("/html/body/header")) == 1
    levels = [int(node.tag[1]) for node in page.iter("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels)), levels
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.xpath("//@href")} <= set(ids)


@every_report
def test_every_drawing_has_words(make: Callable[[], Report]) -> None:
    for drawing in _page(make()).xpath("//svg[not(ancestor::svg)]"):
        spoken = drawing.get("role") == "img" and drawing.xpath("./title/text()")
        assert spoken or drawing.get("aria-hidden") == "true"


def test_first_screen_has_verdict_certainty_and_fix_before_anything_else() -> None:
    page = _page(example.report())
    text = " ".join(page.xpath("//main")[0].text_content().split())
    order = [
        text.index(part)
        for part in ("device-key-mismatch", "failing", "proven", "The cloud has another", "Fix", "What happened")
    ]
    assert order == sorted(order)
    assert page.findtext(".//title") == "device-key-mismatch: capture.pcap"


def test_open_questions_come_before_what_to_try_meanwhile() -> None:
    page = _page(REPORTS["not settled"]())
    titles = [node.text_content() for node in page.xpath("//article//header//h2")]
    assert titles == ["It could be", "To settle it", "Until it is settled"]


def test_failing_sessions_come_first_and_each_answer_leads_to_its_session() -> None:
    page = _page(_gateway())
    cards = page.xpath("//ol[@class='cards']/li")
    codes = [card.xpath(".//a")[0].text_content() for card in cards]
    assert codes == ["device-key-mismatch", "identity-rejected", "healthy"]
    targets = [card.xpath(".//a/@href")[0][1:] for card in cards]
    assert targets == page.xpath("//details[contains(@class, 'folded')]/@id") == ["c1-s2", "c1-s3", "c1-s1"]


def test_ladder_tells_each_row_in_words() -> None:
    rows = _page(example.report()).xpath("//ol[@class='rungs']/li")
    told = [" ".join(row.text_content().split()) for row in rows]
    assert told == [
        "+0.000 sframe 1-2name-resolution 64 B, both waysdevice.spark.io is 203.0.113.10",
        "+0.100 sframe 3-5connect SYN, SYN-ACK, ACK, both waysSYN sent 2 times",
        "+0.318 sframe 6nonce 40 B, cloud to devicelog 1.127 Started, receive nonce",
        "+0.402 sframe 8-9identity 256 B, device to cloud fits: default_key.pem: opens and echoes the noncelog 1.219 Sending encrypted nonce",
        "+0.900 sframe 9sent again, device to cloud",
        "20.2 s pass",
        "+21.100 sframe 14-15session-key 300 of 384 B, cloud to deviceincomplete does not fit: other.der: does not open"
        "64 bytes of it are not in the capturelog 1.306 Unable to receive key -19 disagrees",
        "+21.200 sframe 16-17sent again, cloud to device",
        "+21.400 sframe 20device-hello 18 B, device to cloudmalformed",
        "19.1 s pass",
        "frame 30the cloud closes (FIN), cloud to device",
        "cloud-hello, cloud to devicenever came",
    ]
    assert [row.get("class").split()[1] for row in rows] == (
        ["seen"] * 4 + ["again", "pause", "partial", "again", "malformed", "pause", "end", "absent"]
    )


@pytest.mark.parametrize("payload", [text for _, text in PAYLOADS], ids=[name for name, _ in PAYLOADS])
def test_hostile_text_changes_no_tag_and_no_attribute_name(payload: str) -> None:
    def skeleton(text: str) -> Counter[tuple[str, tuple[str, ...]]]:
        page = _page(planted(example.report(), text))
        return Counter((node.tag, tuple(node.attrib)) for node in page.iter() if isinstance(node.tag, str))

    page = "".join(format_html(planted(example.report(), payload)))
    assert skeleton(payload) == skeleton("harmless" if "`" not in payload else "`harmless`")
    assert all(char == "\n" or printable(char) == char for char in page)


def test_long_captures_stay_within_what_a_browser_draws_quickly() -> None:
    devices = [
        example.session(
            id=f"s{index}",
            device=Device("10.0.0.9", 1000, f"{index:024x}"),
            verdict=replace(example.MISMATCH, code=code),
        )
        for index, code in zip(range(5_000), list(Code) * 200, strict=False)
    ]
    message = example.session().messages[0]
    begun = time.perf_counter()
    sizes = {}
    for name, capture in {
        "5,000 devices": example.capture(*devices),
        "5,000 attempts of one device": example.capture(
            *(replace(devices[1], id=str(index)) for index in range(5_000))
        ),
        "50,000 messages": example.capture(example.session(messages=(message,) * 50_000)),
    }.items():
        page = _page(example.report(capture))
        sizes[name] = sum(1 for _ in page.iter())
        assert page.xpath("//p[@class='left-out']"), name
    assert sizes["5,000 devices"] < 60_000
    assert sizes["5,000 attempts of one device"] < 5_000
    assert sizes["50,000 messages"] < 5_000
    assert time.perf_counter() - begun < 20


def test_what_is_left_out_is_counted() -> None:
    message = example.session().messages[0]
    page = _page(example.report(example.capture(example.session(messages=(message,) * 50_000))))
    shown = len(page.xpath("//table[contains(@class, 'messages')]/tbody/tr"))
    (rest,) = page.xpath("//p[@class='left-out']/text()")
    assert rest.startswith(f"{50_000 - shown:,} more messages not shown")


def test_pages_of_many_captures_are_bounded_too() -> None:
    captures = [replace(example.capture(), path=f"{index}.pcap") for index in range(400)]
    page = _page(example.report(*captures))
    assert sum(1 for _ in page.iter()) < 60_000
    assert len(page.xpath("//table[contains(@class, 'answers')]/tbody/tr")) == 400
    drawn = len(page.xpath("//details[contains(@class, 'capture')]"))
    assert f"{400 - drawn} more captures not shown here" in page.text_content()


def test_page_comes_in_pieces_and_the_same_report_gives_the_same_page() -> None:
    pieces = list(format_html(_gateway()))
    assert len(pieces) > 20
    assert max(map(len, pieces[10:])) < 100_000
    assert pieces == list(format_html(_gateway()))


_PAIRS = [
    *(("ink", ground) for ground in ("page", "sheet", "well")),
    *(("soft", ground) for ground in ("page", "sheet", "well", "bad-ground", "unsure-ground", "ok-ground")),
    *(("link", ground) for ground in ("page", "sheet")),
    *((tone, ground) for tone in ("bad", "unsure", "ok") for ground in ("sheet", f"{tone}-ground")),
    *(("ink", f"{tone}-ground") for tone in ("bad", "unsure", "ok")),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), _PAIRS)
def test_colours_have_enough_contrast(scheme: str, ink: str, ground: str) -> None:
    blocks = re.findall(r":root \{(.*?)\n *\}", asset(("analyzer.reports.html", "report.css"))[0], re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0 if scheme == "light" else 1]))

    def luminance(colour: str) -> float:  # WCAG 2.1, relative luminance
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(colours[ink]), luminance(colours[ground])))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def _stories(number: int, pause: float = 2.1) -> Page:
    sessions = tuple(
        example.session(id=f"s{index}", verdict=example.HEALTHY if index % 2 else example.MISMATCH)
        for index in range(number)
    )
    story = replace(example.capture(*sessions).stories[0], cadence_s=(pause,) * (number - 1), guess=True)
    return _page(example.report(replace(example.capture(*sessions), stories=(story,))))


def test_a_story_stands_on_a_line_of_time_and_in_words() -> None:
    page = _stories(4)
    (story,) = page.xpath("//section[@class='story']")
    assert story.xpath(".//svg/title/text()") == ["4 attempts in 6.3 s: 2 failing, 2 healthy"]
    marks = story.xpath(".//svg/svg")
    assert [(mark.get("x"), mark[0].get("class")) for mark in marks] == [
        ("0%", "mark bad"),
        ("33%", "mark ok"),
        ("67%", "mark bad"),
        ("100%", "mark ok"),
    ]
    text = " ".join(story.text_content().split())
    assert "(told apart by address only)" in text
    assert "From one attempt to the next: 2.1 s, 2.1 s, 2.1 s." in text


def test_attempts_too_close_to_tell_apart_are_one_mark_with_their_number() -> None:
    page = _stories(5_000)
    marks = page.xpath("//section[@class='story']//svg/svg")
    assert len(marks) <= 2 * 101
    assert sum(int(text.lstrip("×")) for text in page.xpath("//text[@class='many']/text()")) == 5_000


def test_attempts_at_one_moment_have_no_line() -> None:
    assert _stories(3, pause=0.0).xpath("//section[@class='story']//svg") == []
