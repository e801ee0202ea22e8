"""What every page begins with: a head that lets nothing in from outside, and the assets it allows."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from analyzer.reports.html.element import Html, element


@cache
def asset(*names: tuple[str, str]) -> tuple[Html, str]:
    """Files (package, name) as a page embeds them, and their Content-Security-Policy source."""
    # Line ends as the browser sees them: it hashes what its parser made of them.
    content = "\n".join(
        files(package).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n") for package, name in names
    )
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return Html(content), f"'sha256-{digest}'"


def head(title: str, style: tuple[Html, str], script: tuple[Html, str]) -> Html:
    """The head of a page that uses these two assets and nothing else."""
    # frame-ancestors and sandbox mean nothing in a meta element; the rest forbids all that is not in this file.
    policy = f"default-src 'none'; style-src {style[1]}; script-src {script[1]}; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", title),
        element("style", style[0]),
    )
