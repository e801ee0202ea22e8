"""`analyze demo` and `analyze doctor`: a first look, and what of the surroundings is there."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import typer

_READING = """
How to read it
  The first line is the verdict, how sure it is, the device and the cloud; then what is wrong in a sentence,
  and "Fix" with the commands to type. "Proven, if" is what is taken on the word of the key folder.
  The picture is the handshake: a row a message, with its frames as Wireshark counts them; the mark at the left
  is where it failed. "Why" is the evidence, each line with its frames.
Now yours
  analyze capture.pcap                      without keys: what it could be, and what would settle it
  analyze capture.pcap --keys keys/         which key is wrong
  analyze ticket.zip --open                 all a customer sent, as a page
  analyze manual tickets                    what to ask the customer for
"""


class Mark(StrEnum):
    """How a thing stands."""

    GOOD = "ok"
    LESS = "without"
    BAD = "wrong"


class Check(NamedTuple):
    """One thing of the surroundings: how it stands, what there is, what it is for or what to do."""

    mark: Mark
    name: str
    there: str
    advice: str = ""


#: Extras: the module that shows that one is there, the extra, what it is for.
_EXTRAS = (
    ("zstandard", "compression", "captures compressed with zstd"),
    ("lz4", "compression", "captures compressed with lz4"),
    ("py7zr", "compression", "tickets as .7z"),
    ("distributed", "cluster", "`analyze batch --scheduler`"),
    ("fsspec", "remote", "captures at URLs"),
    ("pyarrow", "parquet", "`analyze fleet --format parquet`"),
    ("watchdog", "watch", "`analyze watch` at once"),
)


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("demo", short_help="A report on a capture that is shipped.")(demo)
    app.command("doctor", short_help="What of the surroundings is there.")(doctor)


def demo() -> None:
    """Analyse a genuine capture that comes with the program, and say how to read the report.

    \b
      analyze demo
    """
    from analyzer.cli.capturing import Request, run
    from analyzer.reports.writing import write_out

    with as_file(files("analyzer").joinpath("demo")) as folder:
        print(f"analyze: a genuine device and server: {folder}", file=sys.stderr)
        run(Request([str(folder / "capture.pcap")], [folder / "keys"]))
    write_out((_READING,))


def doctor() -> None:
    """Say what is there of what the program can use, and what to do about the rest.

    \b
      analyze doctor

    Exit status: 0 nothing is wrong (something may be missing that is optional), 1 something is wrong.
    """
    from analyzer.reports.writing import write_out

    found = [*checks()]
    width = max(len(check.name) for check in found)
    signs = {Mark.GOOD: "+", Mark.LESS: "-", Mark.BAD: "!"}
    write_out(
        f"{signs[check.mark]} {check.name:{width}}  {check.there}\n"
        + (f"  {'':{width}}  {check.advice}\n" if check.advice else "")
        for check in found
    )
    raise typer.Exit(int(any(check.mark is Mark.BAD for check in found)))


def checks() -> Iterator[Check]:
    """All of them, in the order in which they are told."""
    from analyzer import __version__

    yield Check(Mark.GOOD, "analyze", f"{__version__}, Python {platform.python_version()}, {platform.system()}")
    index = find_spec("numpy") is not None
    yield Check(
        Mark.GOOD if index else Mark.LESS,
        "fast index",
        "numpy" if index else "no numpy: big captures are read packet by packet",
    )
    yield from _wireshark()
    for module, extra, use in _EXTRAS:
        there = find_spec(module) is not None
        advice = "" if there else f"for {use}: pip install 'particle-handshake-analyzer[{extra}]'"
        yield Check(Mark.GOOD if there else Mark.LESS, module, "there" if there else "not there", advice)
    told = sorted(name for name in os.environ if name.startswith("ANALYZE_") or name == "NO_COLOR")
    yield Check(Mark.GOOD, "variables", ", ".join(f"{name}={os.environ[name]}" for name in told) or "none is set")


def _wireshark() -> Iterator[Check]:
    for program, use in (("tshark", "what only Wireshark reads"), ("editcap", "other programs' capture formats")):
        path = shutil.which(program)
        there = f"{path}, {_version(path)}" if path else "not on the PATH"
        yield Check(Mark.GOOD if path else Mark.LESS, program, there, "" if path else f"for {use}: install Wireshark")
    path = shutil.which("dumpcap")
    if path is None:
        yield Check(Mark.LESS, "dumpcap", "not on the PATH", "for `analyze live`: install Wireshark")
    elif (why := _forbidden(path)) is not None:
        advice = "for `analyze live`: on Debian `sudo dpkg-reconfigure wireshark-common` and `sudo adduser $USER wireshark`, then log in again"
        yield Check(Mark.LESS, "dumpcap", why, advice)
    else:
        yield Check(Mark.GOOD, "dumpcap", f"{path}, may capture")
    from analyzer.wireshark import State, present

    pieces = present()
    current = sum(item.state is State.CURRENT for item in pieces)
    older = [item for item in pieces if item.state is State.OLDER]
    there = f"{current} of {len(pieces)} pieces of ours are in its folders"
    if older:
        yield Check(
            Mark.BAD, "in Wireshark", f"{there}, {len(older)} of an older version", "`analyze wireshark install`"
        )
    else:
        whole = current == len(pieces) and current > 0
        advice = "" if whole else "for stages, menu and profile there: `analyze wireshark install`"
        yield Check(Mark.GOOD if current else Mark.LESS, "in Wireshark", there, advice)


def _version(path: str) -> str:
    done = _ran(path, "--version")
    found = re.search(r"\d+(\.\d+)+", done.stdout) if done is not None else None
    return found[0] if found else "does not run"


def _forbidden(dumpcap: str) -> str | None:
    """Why dumpcap may not capture; None when it may."""
    done = _ran(dumpcap, "-D")
    if done is None:
        return f"{dumpcap}, does not run"
    if done.returncode or not done.stdout.strip():
        return f"{dumpcap}, sees no interface"
    return None


def _ran(*words: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=False, cwd=Path("/"))
    except (OSError, subprocess.SubprocessError):
        return None
