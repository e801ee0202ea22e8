"""`analyze manual`: the pages that lie beside the program."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated

import typer

_TITLE = re.compile(r"^# (.*)$", re.MULTILINE)
#: What Markdown says to a browser or a repository, and not to a reader.
_UNSEEN = re.compile(r"^<!-- .*? -->\n", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
_PAGE = re.compile(r"([a-z-]+)\.md(#.*)?")
_HITS = 40


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("manual", short_help="The manual, by topic.")(manual)


def topics() -> dict[str, str]:
    """Each topic with its page, as Markdown."""
    pages = (item for item in files("analyzer").joinpath("manual").iterdir() if item.name.endswith(".md"))
    return {
        item.name.removesuffix(".md"): item.read_text(encoding="utf-8")
        for item in sorted(pages, key=lambda item: item.name)
    }


def manual(
    topic: Annotated[
        str | None, typer.Argument(metavar="[TOPIC]", help="One page; without it, the list of pages.")
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="The lines in which all of these words are.")
    ] = None,
) -> None:
    """Print a page of the manual; on a terminal page by page.

    \b
      analyze manual
      analyze manual verdicts
      analyze manual --search "server key"
    """
    from analyzer.cli.exits import UsageError
    from analyzer.reports.writing import write_out

    pages = topics()
    if search is not None:
        write_out(_found(pages if topic is None else {topic: pages.get(topic, "")}, search))
        return
    if topic is None:
        write_out(_list(pages))
        return
    if topic not in pages:
        near = get_close_matches(topic, pages, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(pages)}"
        raise UsageError(f"no page of the manual is called {topic}: {hint}")
    text = readable(pages[topic])
    if sys.stdout.isatty():
        import click

        click.echo_via_pager(_bold(text))
    else:
        write_out((text,))


def readable(page: str) -> str:
    """A page without what only a browser needs: links to other pages are said as what to type."""
    return _LINK.sub(_told, _UNSEEN.sub("", page))


def _told(found: re.Match[str]) -> str:
    page = _PAGE.fullmatch(found[2])
    return f"{found[1]} (analyze manual {page[1]})" if page else found[1]


def _bold(text: str) -> str:
    return re.sub(r"^(#+ .*)$", "\x1b[1m\\1\x1b[0m", text, flags=re.MULTILINE)


def _list(pages: dict[str, str]) -> Iterator[str]:
    width = max(map(len, pages))
    for topic, page in pages.items():
        title = _TITLE.search(page)
        yield f"{topic:{width}}  {title[1] if title else ''}\n"
    yield "\nanalyze manual TOPIC prints one, --search WORDS looks through all of them\n"


def _found(pages: dict[str, str], search: str) -> Iterator[str]:
    words = search.lower().split()
    hits = [
        (topic, line.strip())
        for topic, page in pages.items()
        for line in readable(page).splitlines()
        if words and all(word in line.lower() for word in words)
    ]
    for topic, line in hits[:_HITS]:
        yield f"{topic}: {line}\n"
    if len(hits) > _HITS:
        yield f"and {len(hits) - _HITS} more lines; give more words, or a topic\n"
    if not hits:
        yield f"nothing in the manual has all of: {' '.join(words)}\n"
