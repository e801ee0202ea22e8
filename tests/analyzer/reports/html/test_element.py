"""The builder: text is text, wherever it stands."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.reports.html.element import element, stream, text
from analyzer.safe import TEXT_KEPT, printable


class _Read(HTMLParser):
    """What an HTML parser makes of a piece of markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def _read(markup: str) -> _Read:
    reader = _Read()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text(max_size=200))
def test_any_text_comes_back_as_the_same_visible_text(value: str) -> None:
    read = _read(element("p", value, title=value))
    assert read.tags == [("p", {"title": printable(value)})]
    assert read.words == printable(value)


def test_nested_strings_are_escaped_once_and_elements_not_at_all() -> None:
    inner = element("b", "a < b")
    assert element("p", ["x & y", (inner, None, False)], " ", 3) == "<p>x &amp; y<b>a &lt; b</b> 3</p>"


def test_markup_that_went_through_a_plain_string_is_text_again() -> None:
    assert element("p", f"{element('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"
    assert element("p", "see " + element("b", "x")) == "<p>see &lt;b&gt;x&lt;/b&gt;</p>"


def test_attributes_follow_their_rules() -> None:
    assert element("input", class_="a", aria_label='"x"', disabled=True, hidden=False, id=None, tabindex=-1) == (
        '<input class="a" aria-label="&quot;x&quot;" disabled tabindex="-1"></input>'
    )


@pytest.mark.parametrize("name", ["onclick", "style", "src", "srcset", "action", "xlink_href", "ping", "background"])
def test_attributes_that_act_or_fetch_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no place in a report"):
        element("p", **{name: "x"})


@pytest.mark.parametrize("target", ["http://attacker.example/", "javascript:alert(1)", "//x", "x.css", ""])
def test_links_leave_the_page_never(target: str) -> None:
    with pytest.raises(ValueError, match="nothing outside"):
        element("a", "x", href=target)


def test_a_very_long_text_says_how_much_of_it_is_not_shown() -> None:
    shown = html.unescape(text("x" * (TEXT_KEPT + 17)))
    assert shown == "x" * TEXT_KEPT + " ... (17 more characters)"


def test_a_stream_is_the_same_markup_as_the_element() -> None:
    pieces = list(stream("ul", (element("li", number) for number in range(3)), class_="x"))
    assert len(pieces) == 5
    assert "".join(pieces).strip() == element("ul", [element("li", number) for number in range(3)], class_="x")
