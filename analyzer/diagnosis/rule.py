"""What a page of rules is made of: rows that may answer, in groups, and what has its say behind them.

A page is data. `unreached.py`, `lightssl/rules.py` and `dtls/rules.py` hold one each (DTLS two), and nothing else decides
what the verdict on a session in a capture is. The README's table of rules is drawn from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from analyzer.diagnosis.draft import Draft
from analyzer.model import Code

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Row(Generic[V]):
    """One rule: the function, which returns None when it has nothing to say; the question it asks; the codes it can give."""

    rule: Callable[[V], Draft | None]
    asks: str
    gives: tuple[Code, ...]

    @property
    def name(self) -> str:
        """Where the rule stands: module and function."""
        return f"{self.rule.__module__.removeprefix('analyzer.diagnosis.')}.{self.rule.__name__}"

    def answer(self, view: V) -> Draft | None:
        """What the rule says of this session."""
        return self.rule(view)


@dataclass(frozen=True, slots=True)
class Group(Generic[V]):
    """Rows in the order in which they are asked. ``needs`` is what must have gone over the wire for that; "" is nothing."""

    needs: str
    rows: tuple[Row[V], ...]


@dataclass(frozen=True, slots=True)
class Afterwards(Generic[V]):
    """What may change a verdict once a rule has given it, and in words what it changes. The code it leaves as it is."""

    weigh: Callable[[V, Draft], Draft]
    changes: str

    @property
    def name(self) -> str:
        """Where it stands: module and function."""
        return f"{self.weigh.__module__.removeprefix('analyzer.diagnosis.')}.{self.weigh.__name__}"


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """All that has a say in the verdict on one kind of session, in its order. ``about`` says which kind."""

    about: str
    groups: tuple[Group[V], ...]
    afterwards: tuple[Afterwards[V], ...] = ()

    def judge(self, view: V, reached: Callable[[str], bool]) -> Draft:
        """The first answer, as what comes afterwards leaves it. ``reached`` says whether a group's need is met."""
        draft = self._first(view, reached)
        for item in self.afterwards:
            draft = item.weigh(view, draft)
        return draft

    def _first(self, view: V, reached: Callable[[str], bool]) -> Draft:
        for group in self.groups:
            if group.needs and not reached(group.needs):
                continue
            for row in group.rows:
                draft = row.answer(view)
                if draft is not None:
                    return draft
        raise AssertionError(f"no rule answered, not even the last one ({self.about})")
