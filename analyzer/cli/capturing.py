"""What the default action does with its options: captures in, a report out, an exit status back."""

from __future__ import annotations

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
    format: Format = Format.TEXT
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


def run(request: Request) -> int:
    """Analyse, write the report, say what was wrong with the inputs; the exit status."""
    from analyzer.cli.exits import status_of
    from analyzer.cli.keyfolder import load
    from analyzer.cli.ticket import inputs_of
    from analyzer.pipeline import Options, analyze_inputs, analyze_logs
    from analyzer.reports.writing import Style, write
    from analyzer.safe import printable

    ports, logs = ports_of(request.port or ()), tuple(request.log or ())
    options = Options(ports, request.engine.value, logs, request.jobs, show_secrets=request.show_secrets)
    if not request.paths and not request.log:
        raise UsageError("give it a capture, or a device's log with --log")
    if [*map(str, logs), *(request.paths or ())].count("-") > 1:
        raise UsageError("standard input (-) can be read once only: as a capture or as a log")
    if request.show_secrets and request.redact:
        raise UsageError("--show-secrets and --redact exclude each other")
    if request.show_secrets and request.format.value not in SECRET_FORMATS:
        raise UsageError(f"--show-secrets needs --format {', '.join(SECRET_FORMATS)}")
    ring = load(request.keys or (), request.passphrase_file)
    inputs = inputs_of(request)
    report = analyze_inputs(inputs, ring, options) if inputs else analyze_logs(options.logs, ring)
    if request.redact:
        import secrets

        from analyzer.reports.redaction import redacted

        report = redacted(report, secrets.token_bytes(32))
    to_file = request.output is not None
    style = Style.for_stream(sys.stdout, quiet=request.quiet, verbose=request.verbose, to_file=to_file)
    write(report, request.format.value, request.output, style)
    for item in report.captures:
        for problem in (problem for problem in item.problems if problem.code not in _IN_REPORT_ONLY):
            print(printable(f"analyze: {item.path}: {problem.message}"), file=sys.stderr)
    return status_of(report.captures)


def ports_of(words: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """``tcp/5683`` as ("tcp", 5683). Raises UsageError."""
    ports = []
    for word in words:
        transport, _, number = word.partition("/")
        if transport not in ("tcp", "udp") or not number.isdecimal() or len(number) > 5 or not 0 < int(number) < 65536:
            raise UsageError(f"--port {word}: expected tcp/N or udp/N")
        ports.append((transport, int(number)))
    return tuple(ports)
