"""Find what is to go in a text: known words, and anything that has the shape of an identifier.

How it works. A text is a row of pieces; a piece is done once something was put in its place, and is not looked at again: a
pseudonym must not be taken for an identifier. Words are found by their first run of letters and digits, so that the
time does not grow with how many there are. A word counts only where it stands alone, never inside another one.
"""

from __future__ import annotations

import re
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
    #: Capital letters matter.
    exact: bool
    #: Only where it can be nothing but a quotation.
    quoted: bool


class Words:
    """Known words with what stands in their place; the longest that fits wins."""

    def __init__(self) -> None:
        # By the first run; then by length and where that run begins, longest first; then by the word itself.
        self._by_run: dict[str, dict[tuple[int, int], dict[str, list[_Word]]]] = {}
        self._known: set[str] = set()

    def add(self, word: str, instead: str, *, exact: bool = False, quoted: bool = False) -> None:
        """Know a word. The first of two that are the same counts; one without a letter or digit names nobody."""
        found = _RUN.search(word)
        if found is None or word in self._known:
            return
        self._known.add(word)
        sizes = self._by_run.setdefault(_lower(found[0]), {})
        size = (len(word), found.start())
        if size not in sizes:
            sizes[size] = {}
            self._by_run[_lower(found[0])] = sizes = dict(sorted(sizes.items(), reverse=True))
        sizes[size].setdefault(_lower(word), []).append(_Word(word, instead, exact, quoted))

    def pieces(self, text: str) -> Iterator[Piece]:
        """The text, with what stands in the place of words."""
        lower, end = _lower(text), 0
        for run in _RUN.finditer(text) if self._known else ():
            word, at = self._word(text, lower, run, end)
            if word is not None:
                if at > end:
                    yield Piece(text[end:at], done=False)
                yield Piece(word.instead, done=True)
                end = at + len(word.text)
        if end < len(text):
            yield Piece(text[end:], done=False)

    def _word(self, text: str, lower: str, run: re.Match[str], least: int) -> tuple[_Word | None, int]:
        """The longest word whose first run this is, and where it begins: not before ``least``."""
        for (length, before), words in self._by_run.get(lower[run.start() : run.end()], {}).items():
            at = run.start() - before
            for word in words.get(lower[at : at + length], ()) if at >= least else ():
                if _is_at(word, text, at):
                    return word, at
        return None, 0


def _is_at(word: _Word, text: str, at: int) -> bool:
    end = at + len(word.text)
    if word.exact and not text.startswith(word.text, at):
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
