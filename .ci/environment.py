#!/usr/bin/env python3
"""A virtual environment with this project in it, on a machine that has Python 3.11 and nothing else.

    python3 .ci/environment.py                        .venv, with what `pip install .` puts there
    python3 .ci/environment.py DIR -e '.[test]'       DIR, with these arguments for `pip install`

The same as `python3 -m venv .venv && .venv/bin/pip install .`, except that it needs no system package: Debian and Ubuntu
ship Python without ensurepip (it is in python3-venv) and without pip (python3-pip). Where both are missing, pip comes
from the package index, checked against the hash the index gives.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin, urlsplit

OLDEST = (3, 11)
INDEX = "https://pypi.org/simple"
_PIP_WHEEL = re.compile(r"pip-(\d+(?:\.\d+)+)-py3-none-any\.whl")


def main(words: list[str]) -> int:
    """Make the environment and install into it; the exit status of pip."""
    if sys.version_info < OLDEST:
        print(
            f"environment: Python {'.'.join(map(str, OLDEST))} or newer is needed, this is {sys.version.split()[0]}",
            file=sys.stderr,
        )
        return 2
    if words and words[0].startswith("-"):  # a folder of that name is never meant
        print(__doc__)
        return 0 if words[0] in ("-h", "--help") else 2
    folder, arguments = Path(words[0] if words else ".venv"), words[1:] or ["."]
    python = made(folder)
    return subprocess.call([*pip_for(python, folder), "install", "--quiet", "--disable-pip-version-check", *arguments])


def made(folder: Path) -> Path:
    """The Python of the environment in ``folder``, which is made when it is not there or does not run."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not runs(python, "-c", "pass"):
        venv.create(
            folder,
            with_pip=importlib.util.find_spec("ensurepip") is not None,
            clear=folder.exists(),
            symlinks=os.name != "nt",
        )
    return python


def pip_for(python: Path, folder: Path) -> list[str]:
    """A command that is pip for this environment: its own, the system's, or one from the index (as a zip, which runs)."""
    if runs(python, "-m", "pip", "--version"):
        return [str(python), "-m", "pip"]
    if runs(Path(sys.executable), "-m", "pip", "--python", str(python), "--version"):
        return [sys.executable, "-m", "pip", "--python", str(python)]
    wheel = folder / "pip.whl"
    wheel.write_bytes(pip_from(os.environ.get("PIP_INDEX_URL", INDEX)))
    subprocess.check_call(
        [python, wheel / "pip", "install", "--quiet", "--disable-pip-version-check", "--ignore-installed", "pip"]
    )
    wheel.unlink()
    return [str(python), "-m", "pip"]


def pip_from(index: str) -> bytes:
    """The newest pip wheel of an index (PEP 691 JSON, PEP 503 pages). Exits with a line when it cannot be had."""
    page = f"{index.rstrip('/')}/pip/"
    request = urllib.request.Request(page, headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text, kind, page = answer.read().decode(), answer.headers.get_content_type(), answer.url
        links = json_links(text) if kind.endswith("json") else html_links(text)
        released = [
            (numbers(found[1]), urljoin(page, link), sha)
            for link, sha in links
            if (found := _PIP_WHEEL.search(urlsplit(link).path))
        ]
        _, url, sha = max(released)
        with urllib.request.urlopen(url, timeout=60) as answer:
            wheel: bytes = answer.read()
    except (OSError, ValueError) as error:
        sys.exit(
            f"environment: no pip on this machine, and none to be had from {page} ({error}). Install python3-venv."
        )
    if sha and hashlib.sha256(wheel).hexdigest() != sha:
        sys.exit(f"environment: {url} is not what the index says it is (SHA-256 differs)")
    return wheel


def json_links(text: str) -> list[tuple[str, str]]:
    """(URL, SHA-256 or "") of the files on a PEP 691 page."""
    return [
        (file["url"], file["hashes"].get("sha256", "")) for file in json.loads(text)["files"] if not file.get("yanked")
    ]


def html_links(text: str) -> list[tuple[str, str]]:
    """(URL, SHA-256 or "") of the files on a PEP 503 page."""
    pairs = (link.partition("#sha256=") for link in re.findall(r'href="([^"]+)"', text))
    return [(link.partition("#")[0], sha) for link, _, sha in pairs]


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, for comparison."""
    return tuple(map(int, version.split(".")))


def runs(program: Path, *arguments: str) -> bool:
    """Whether this command is there and ends well."""
    try:
        return subprocess.run([program, *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
