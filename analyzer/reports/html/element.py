"""Markup that cannot be forgotten to be escaped: elements are built by calls, and every plain string in them is text.

Why no template engine: the page needs one escaping rule, loops and functions, which Python has; Jinja2 would add a
dependency and 60-100 ms to every start. Only :func:`element` and :func:`stream` make :class:`Html`;
anything else that reaches a page is text from a capture, a log or a file name and is shown, not interpreted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from analyzer.safe import clipped, printable

_NAME = re.compile(r"[a-z][A-Za-z0-9-]*\Z")
_VOID = frozenset({"br", "hr", "meta", "wbr", "col"})
#: Attributes that could run code, fetch something or carry style past the Content-Security-Policy.
_FORBIDDEN = re.compile(r"(on.*|style|src|srcset|srcdoc|action|formaction|ping|background|poster|data|xlink.*)\Z")


class Html(str):
    """Markup made by this module. Joining it with a plain string gives a plain string, which is escaped again."""

    __slots__ = ()


#: What an element may hold. ``None`` and ``False`` hold nothing.
Node: TypeAlias = "str | int | float | None | Iterable[Node]"
Attribute = str | int | float | bool | None


def text(value: str) -> Html:
    """``value`` as visible text: one line, no control or direction-changing characters, markup shown as it is."""
    return Html(html.escape(printable(clipped(value))))


def render(node: Node) -> Iterator[str]:
    """The markup of ``node``, depth first."""
    if node is None or node is False:
        return
    if isinstance(node, Html):
        yield node
    elif isinstance(node, str):
        yield text(node)
    elif isinstance(node, int | float):
        yield str(node)
    else:
        for child in node:
            yield from render(child)


def opening(tag: str, /, **attributes: Attribute) -> Html:
    """The start tag. Raises ValueError for an attribute a report must not have: links lead inside the page only."""
    parts = [tag]
    for key, value in attributes.items():
        name = key.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if not _NAME.match(name) or _FORBIDDEN.match(name.lower()):
            raise ValueError(f"attribute {name} has no place in a report")
        if name == "href" and not str(value).startswith("#"):
            raise ValueError("a report links to nothing outside itself")
        parts.append(name if value is True else f'{name}="{text(str(value))}"')
    return Html(f"<{' '.join(parts)}>")


def element(tag: str, /, *children: Node, **attributes: Attribute) -> Html:
    """One element. ``class_`` and ``aria_label`` give ``class`` and ``aria-label``; True stands bare, None is left out."""
    start = opening(tag, **attributes)
    if tag in _VOID:
        return start
    return Html(f"{start}{''.join(render(children))}</{tag}>")


def stream(tag: str, /, children: Iterable[Html], **attributes: Attribute) -> Iterator[Html]:
    """One element whose content is made while it is written."""
    yield opening(tag, **attributes)
    yield from children
    yield Html(f"</{tag}>\n")
