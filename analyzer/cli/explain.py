"""`analyze explain`."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from analyzer.cli import completion
from analyzer.cli.exits import USAGE


class Format(StrEnum):
    """What an explanation can be written as."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command. A word may begin with a minus: `analyze explain -19`."""
    app.command(
        "explain",
        short_help="A verdict, error number, LED pattern, log line or history.",
        context_settings={"ignore_unknown_options": True},
    )(explain)


def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WORD",
            help="A verdict, a number, an LED pattern, a log line, a silence, a history.",
            autocompletion=completion.explained,
        ),
    ],
    format: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TEXT,
) -> None:
    """Explain a verdict, error number, LED pattern, log line, silence or history in plain words.

    \b
      analyze explain identity-rejected
      analyze explain -19
      analyze explain -4e00
      analyze explain "fast cyan, one red"
      analyze explain "20 s"
      analyze explain nIfF
      analyze explain "Unable to receive key -19"
    """
    from analyzer.explain import EXAMPLES, as_json, render_explanation, suggest
    from analyzer.explain import explain as look_up
    from analyzer.safe import printable

    word = " ".join(words)
    found = look_up(word)
    if found is None:
        near = suggest(word)
        hint = f"did you mean {', '.join(near)}?" if near else f"examples of what is known: {', '.join(EXAMPLES)}"
        print(f"analyze: nothing is known of {printable(word)[:120]!r}; {hint}", file=sys.stderr)
        raise typer.Exit(USAGE)
    print(json.dumps(as_json(found), indent=1) if format is Format.JSON else render_explanation(found).rstrip("\n"))
