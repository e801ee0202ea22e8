"""Find what is to go in a text: known words, and anything that has the shape of an identifier.

How it works. A text is a row of pieces; a piece is done once something was put in its place, and is not looked at again: a
pseudonym must not be taken for an identifier. Words are found by their first run of letters and digits, so that the
time does not grow with how many there are. A word counts only where it stands alone, never inside another one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

_RUN = re.compile(r"[^\W_]+")
#: Where a short word is a quotation, and no word of ours: behind a colon, in quotes, in brackets; and what follows it then.
_QUOTED_BEFORE = re.compile(r"(?:^|[:=] |[“\"'(\[])$")
_QUOTED_BEHIND = re.compile(r"$|[”\"')\],;]|\.(?:\s|$)")
_LONGEST_BEFORE = 2


class Piece(NamedTuple):
    """A part of a text; ``done`` when it stands in the place of something."""

    text: str
    done: bool


class Search(Protocol):
    """What finds something in a text and puts something else there."""

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text in pieces, in order."""
        ...


class _Word(NamedTuple):
    text: str
    instead: str
    #: Where its first run of letters and digits begins.
    anchor: int
    #: Capital letters matter.
    exact: bool
    #: Only where it can be nothing but a quotation.
    quoted: bool


class Words:
    """Known words with what stands in their place; the longest that fits wins."""

    def __init__(self) -> None:
        self._by_run: dict[str, list[_Word]] = defaultdict(list)
        self._known: set[str] = set()

    def add(self, word: str, instead: str, *, exact: bool = False, quoted: bool = False) -> None:
        """Know a word. The first of two that are the same counts; one without a letter or digit names nobody."""
        found = _RUN.search(word)
        if found is None or word in self._known:
            return
        self._known.add(word)
        same = self._by_run[_lower(found[0])]
        same.append(_Word(word if exact else _lower(word), instead, found.start(), exact, quoted))
        same.sort(key=lambda item: -len(item.text))

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text, with what stands in the place of words."""
        lower, end = _lower(text), 0
        for run in _RUN.finditer(text) if self._known else ():
            if run.start() < end:
                continue
            for word in self._by_run.get(lower[run.start() : run.end()], ()):
                at = run.start() - word.anchor
                if at >= end and _is_at(word, text if word.exact else lower, at):
                    if at > end:
                        yield Piece(text[end:at], done=False)
                    yield Piece(word.instead, done=True)
                    end = at + len(word.text)
                    break
        if end < len(text):
            yield Piece(text[end:], done=False)


def _is_at(word: _Word, text: str, at: int) -> bool:
    end = at + len(word.text)
    if not text.startswith(word.text, at):
        return False
    if word.quoted:
        return bool(
            _QUOTED_BEFORE.search(text[max(0, at - _LONGEST_BEFORE) : at]) and _QUOTED_BEHIND.match(text[end : end + 2])
        )
    begins_inside = at > 0 and text[at].isalnum() and text[at - 1].isalnum()
    ends_inside = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not begins_inside and not ends_inside


class Shapes:
    """What a pattern finds: its group, or all of it. ``instead`` is told the match and answers what stands in its place."""

    def __init__(self, pattern: re.Pattern[str], instead: Callable[[re.Match[str]], str]) -> None:
        self._pattern, self._instead = pattern, instead

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text, with what stands in the place of matches."""
        end = 0
        for match in self._pattern.finditer(text):
            start, stop = match.span(match.lastindex or 0)
            if start > end:
                yield Piece(text[end:start], done=False)
            yield Piece(self._instead(match), done=True)
            end = stop
        if end < len(text):
            yield Piece(text[end:], done=False)


def replaced(text: str, searches: tuple[Search, ...]) -> str:
    """The text after all searches, in this order."""
    pieces = [Piece(text, done=False)]
    for search in searches:
        pieces = [new for old in pieces for new in ([old] if old.done else search.pieces(old.text))]
    return "".join(piece.text for piece in pieces)


def _lower(text: str) -> str:
    """In lower case and as long as before (a few letters become two)."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
