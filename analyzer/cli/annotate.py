"""`analyze annotate`, `analyze redact` and `analyze extract`: new captures made from one."""

from __future__ import annotations

import secrets as random
import sys
from pathlib import Path
from typing import Annotated

import typer

from analyzer.cli import options


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("annotate", short_help="The capture with comments, for Wireshark.")(annotate)
    app.command("extract", short_help="One session's packets as a capture.")(extract)
    app.command("redact", short_help="The capture without whom it is about.")(redact)


def annotate(
    capture: options.Capture,
    output: options.NewCapture,
    keys: options.Keys = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Embed the DTLS session secrets, so that Wireshark decrypts in place.")
    ] = False,
    decrypted: Annotated[
        bool,
        typer.Option(
            "--decrypted",
            help="Add the decrypted messages as CoAP packets; with --secrets those that Wireshark cannot decrypt itself.",
        ),
    ] = False,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Write the capture with a comment on each packet that matters, for Wireshark.

    \b
      analyze annotate capture.pcap --keys keys/ --output annotated.pcapng
      analyze annotate capture.pcap --keys keys/ --decrypted -o readable.pcapng

    Exit status as for `analyze CAPTURE`.
    """
    from analyzer.cli.exits import status_of
    from analyzer.cli.keyfolder import load
    from analyzer.exports.annotate import annotate as write
    from analyzer.exports.extras import key_log, plaintexts
    from analyzer.pipeline import examined

    report, cases = examined(capture, load(keys or (), passphrase_file))
    done = write(
        report,
        capture,
        output,
        secrets=key_log(cases) if secrets else (),
        plaintexts=plaintexts(cases, beside_secrets=secrets) if decrypted else (),
    )
    extra = f", {done.plaintexts} decrypted messages added" if done.plaintexts else ""
    print(f"analyze: {output}: {done.remarked} of {done.frames} packets annotated{extra}", file=sys.stderr)
    if done.problem:
        print(f"analyze: {output}: {done.problem}", file=sys.stderr)
    raise typer.Exit(status_of([report]))


def extract(
    capture: options.Capture,
    output: options.NewCapture,
    session: Annotated[
        int, typer.Option("--session", metavar="N", min=1, help="Which one, by its number in the report.")
    ] = 1,
    keys: options.Keys = None,
    passphrase_file: options.Passphrases = None,
) -> None:
    """Write one session's packets, with names and comments, as a capture of their own.

    \b
      analyze extract gateway.pcap --session 3 --keys keys/ --output s3.pcapng

    Packets between its ends while it lasts, and what the report names beside them (look-ups, ICMP errors, copies).
    Exit status as for `analyze CAPTURE`, by that session alone.
    """
    from dataclasses import replace

    from analyzer.cli.exits import UsageError, status_of
    from analyzer.cli.keyfolder import load
    from analyzer.exports.extract import extract as write
    from analyzer.pipeline import analyze_capture

    report = analyze_capture(capture, load(keys or (), passphrase_file))
    count = len(report.sessions)
    if session > count:
        there = f"sessions 1 to {count}" if count > 1 else "one session" if count else "no session"
        raise UsageError(f"--session {session}: {capture} has {there}")
    chosen = report.sessions[session - 1]
    done = write(report, chosen, capture, output)
    print(f"analyze: {output}: {done.kept} of {done.frames} packets, {chosen.verdict.code.value}", file=sys.stderr)
    raise typer.Exit(status_of([replace(report, sessions=(chosen,))]))


def redact(
    capture: options.Capture,
    output: options.NewCapture,
    ports: Annotated[bool, typer.Option("--ports", help="Replace the devices' own ports too.")] = False,
    salt_file: Annotated[
        Path | None,
        typer.Option(
            "--salt-file",
            metavar="FILE",
            help="Secret bytes: the same file gives the same pseudonyms in every capture.",
        ),
    ] = None,
) -> None:
    """Write the same fault without addresses, ids, names, secrets or comments: a capture that can be posted.

    \b
      analyze redact capture.pcap --output public.pcapng

    Only device sessions and their name look-ups are kept. Without --salt-file the pseudonyms are new each time.
    """
    from analyzer.errors import InputError
    from analyzer.exports.redact import redact as write
    from analyzer.keys import load_keys
    from analyzer.pipeline import analyze_capture

    salt = random.token_bytes(32)
    if salt_file is not None:
        try:
            salt = salt_file.read_bytes()
        except OSError as error:
            raise InputError(str(salt_file), error.strerror or "cannot be read") from error
        if not salt:
            raise InputError(str(salt_file), "empty: a salt of no bytes hides nothing")
    done = write(analyze_capture(capture, load_keys([])), capture, output, salt=salt, ports=ports)
    print(
        f"analyze: {output}: {done.sessions} sessions, {done.kept} packets kept, {done.dropped} left out",
        file=sys.stderr,
    )
