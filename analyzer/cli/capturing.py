"""What the default action does with its options: captures in, a report out, an exit status back."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from analyzer.cli.exits import UsageError


class Format(StrEnum):
    """What a report can be written as."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    HTML = "html"
    MARKDOWN = "markdown"
    TICKET = "ticket"
    JUNIT = "junit"
    SARIF = "sarif"


#: What a report is written as, by how its file is called, where nothing else is said.
_BY_ENDING = {
    **{".html": Format.HTML, ".htm": Format.HTML, ".json": Format.JSON, ".jsonl": Format.JSONL, ".csv": Format.CSV},
    **{".md": Format.MARKDOWN, ".markdown": Format.MARKDOWN, ".xml": Format.JUNIT, ".sarif": Format.SARIF},
}
#: Formats that have a place for session secrets, marked as such.
SECRET_FORMATS = (Format.TEXT, Format.JSON, Format.JSONL)


#: Problems that are an answer, not a limit: they stand in the report and need no line beside it.
_IN_REPORT_ONLY = ("known-line",)


class Engine(StrEnum):
    """Who dissects link and network layers."""

    AUTO = "auto"
    SCAPY = "scapy"
    TSHARK = "tshark"


class Request(NamedTuple):
    """The options of the default action; field names are those of the command's parameters."""

    paths: Sequence[str] | None = None
    keys: Sequence[Path] | None = None
    #: None: by the ending of ``output``, else text.
    format: Format | None = None
    output: Path | None = None
    log: Sequence[Path] | None = None
    port: Sequence[str] | None = None
    engine: Engine = Engine.AUTO
    jobs: int | None = None
    redact: bool = False
    show_secrets: bool = False
    quiet: bool = False
    verbose: bool = False
    passphrase_file: Path | None = None
    open: bool = False


def run(request: Request) -> int:
    """Analyse, write the report, say what was wrong with the inputs; the exit status."""
    from analyzer.cli.exits import status_of
    from analyzer.cli.keyfolder import load
    from analyzer.cli.ticket import inputs_of
    from analyzer.cli.words import begins_like_capture, sorted_out
    from analyzer.pipeline import Options, analyze_inputs, analyze_logs
    from analyzer.reports.writing import Style, write
    from analyzer.safe import printable

    usual = Format.HTML if request.open else Format.TEXT
    format = request.format or _BY_ENDING.get(request.output.suffix.lower() if request.output else "", usual)
    ports = ports_of(request.port or ())
    request = sorted_out(request)
    logs = tuple(request.log or ())
    for path in (*logs, *(request.keys or ())):
        if begins_like_capture(path):
            raise UsageError(
                f"{path} is a capture, and no {'log' if path in logs else 'key'}: give it without an option"
            )
    if not request.paths and not request.log:
        raise UsageError("give it a capture, or a device's log with --log")
    if [*map(str, logs), *(request.paths or ())].count("-") > 1:
        raise UsageError("standard input (-) can be read once only: as a capture or as a log")
    if request.show_secrets and request.redact:
        raise UsageError("--show-secrets and --redact exclude each other")
    if request.show_secrets and format.value not in SECRET_FORMATS:
        raise UsageError(f"--show-secrets needs --format {', '.join(SECRET_FORMATS)}")
    options = Options(ports, request.engine.value, logs, request.jobs, show_secrets=request.show_secrets)
    ring = load(request.keys or (), request.passphrase_file)
    inputs = inputs_of(request)
    report = analyze_inputs(inputs, ring, options) if inputs else analyze_logs(options.logs, ring)
    if request.redact:
        import secrets

        from analyzer.reports.redaction import redacted

        report = redacted(report, secrets.token_bytes(32))
    to_file = request.output is not None or request.open
    style = Style.for_stream(sys.stdout, quiet=request.quiet, verbose=request.verbose, to_file=to_file)
    output = request.output or (_private(format) if request.open else None)
    write(report, format.value, output, style)
    if request.open and output is not None:
        _show(output)
    for item in report.captures:
        for problem in (problem for problem in item.problems if problem.code not in _IN_REPORT_ONLY):
            print(printable(f"analyze: {item.path}: {problem.message}"), file=sys.stderr)
    return status_of(report.captures)


def _private(format: Format) -> Path:
    """A new file that only its owner reads, for a report that is opened at once."""
    import tempfile

    ending = next((ending for ending, name in _BY_ENDING.items() if name is format), ".txt")
    handle, name = tempfile.mkstemp(ending, "analyze-")
    os.close(handle)
    return Path(name)


def _show(path: Path) -> None:
    """Open a report with what the desktop has for it."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        print(f"analyze: nothing here opens it; the report is {path}", file=sys.stderr)


def ports_of(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """``tcp/5683`` as ("tcp", 5683). Raises UsageError."""
    ports = []
    for word in words:
        transport, _, number = word.partition("/")
        if transport not in ("tcp", "udp") or not number.isdecimal() or len(number) > 5 or not 0 < int(number) < 65536:
            raise UsageError(f"--port {word}: expected tcp/N or udp/N")
        ports.append((transport, int(number)))
    return tuple(ports)
