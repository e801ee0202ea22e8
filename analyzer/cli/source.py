"""The source "Particle handshake" in Wireshark's interface list: Wireshark's extcap protocol.

Wireshark asks for interfaces, for their link types and for the dialog, then has packets written into a pipe. What is written is
pcapng, so that packets of any link type come with their comments. Source: wireshark:doc/extcap.adoc.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISFIFO

from analyzer import __version__
from analyzer.errors import InputError

_INTERFACE = "particle-handshake"
_CAPTURE, _LIVE, _KEYS, _DECRYPTED = (
    "--particle-capture",
    "--particle-interface",
    "--particle-keys",
    "--particle-decrypted",
)
#: Seconds that dumpcap may take to list its interfaces: Wireshark waits for us.
_LISTING_S = 3.0
#: Decrypted messages that a live session's verdict tells.
_MESSAGES = 200


def answer(words: Sequence[str]) -> None:
    """Do what Wireshark asks with these words. Raises InputError for a capture or an interface that cannot be used."""
    given = _read(words)
    if "--extcap-interfaces" in given:
        print(f"extcap {{version={__version__}}}{{display=Particle handshake}}")
        print(f"interface {{value={_INTERFACE}}}{{display=Particle handshake}}")
    elif "--extcap-dlts" in given:
        print("dlt {number=1}{name=EN10MB}{display=As captured}")
    elif "--extcap-config" in given:
        print("\n".join(_dialog()))
    elif "--capture" in given:
        try:
            _capture(given)
        except InputError:
            _let_go(given.get("--fifo", ""))
            raise


def _let_go(fifo: str) -> None:
    """Wireshark waits for somebody to open the pipe, and shows our error when it is closed."""
    if fifo and S_ISFIFO(_mode(fifo)):
        with suppress(OSError):
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def _mode(path: str) -> int:
    try:
        return Path(path).stat().st_mode
    except OSError:
        return 0


def _read(words: Sequence[str]) -> dict[str, str]:
    """Options with their values, `--name value` and `--name=value`; a flag's value is empty."""
    given: dict[str, str] = {}
    last = ""
    for word in words:
        if word.startswith("--"):
            last, _, value = word.partition("=")
            given[last] = value
        elif last and not given[last]:
            given[last] = word
    return given


def _dialog() -> Iterator[str]:
    yield (
        f"arg {{number=0}}{{call={_CAPTURE}}}{{display=Capture file}}{{type=fileselect}}{{mustexist=true}}"
        "{tooltip=Its packets come with what analyze says of them}"
    )
    yield (
        f"arg {{number=1}}{{call={_LIVE}}}{{display=or interface}}{{type=selector}}"
        "{tooltip=Captured live; each session's verdict comes as a packet when it ends}"
    )
    yield f"arg {{number=2}}{{call={_KEYS}}}{{display=Key folder}}{{type=string}}{{tooltip=As for analyze --keys; may stay empty}}"
    yield (f"arg {{number=3}}{{call={_DECRYPTED}}}{{display=Add decrypted messages}}{{type=boolflag}}{{default=false}}")
    yield "value {arg=1}{value=}{display=none}{default=true}"
    for name, shown in _interfaces():
        yield f"value {{arg=1}}{{value={name}}}{{display={shown}}}{{default=false}}"


def _interfaces() -> Iterator[tuple[str, str]]:
    """What dumpcap can capture on: name, and name with description."""
    found = shutil.which("dumpcap")
    if found is None:
        return
    try:
        done = subprocess.run(
            [found, "-D"], capture_output=True, text=True, errors="replace", timeout=_LISTING_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return
    for line in done.stdout.splitlines():
        _, _, rest = line.partition(". ")
        name = rest.split(" ", 1)[0]
        if name and not set("{}") & set(rest):
            yield name, rest


def _capture(given: dict[str, str]) -> None:
    from analyzer.cli.keyfolder import load

    fifo = given.get("--fifo", "")
    source, interface = given.get(_CAPTURE, ""), given.get(_LIVE, "")
    if not fifo:
        raise InputError("--fifo", "missing: this is for Wireshark to start")
    if not source and not interface:
        raise InputError("Particle handshake", "no capture and no interface chosen", "open its dialog and choose one")
    ring = load((Path(given[_KEYS]),) if given.get(_KEYS) else (), None)
    wanted = given.get(_DECRYPTED, "false") != "false"
    if source:
        from analyzer.exports.annotate import annotate
        from analyzer.exports.extras import plaintexts
        from analyzer.pipeline import examined

        report, cases = examined(Path(source), ring)
        annotate(report, Path(source), Path(fifo), plaintexts=plaintexts(cases) if wanted else (), streamed=True)
        return
    _live(interface, given.get("--extcap-capture-filter", ""), Path(fifo), ring, decrypted=wanted)


def _live(interface: str, only: str, fifo: Path, ring: object, *, decrypted: bool) -> None:
    import time
    from typing import cast

    from analyzer.cli.ending import Terminated
    from analyzer.exports.weave import Weave
    from analyzer.keys import KeyRing
    from analyzer.live import Desk, Interface, sessions
    from analyzer.safe import printable

    try:
        with fifo.open("wb", buffering=0) as out:
            weave = Weave(out)
            running = Interface(interface, only=only, copy=weave)
            try:
                for session in sessions(running, Desk(cast(KeyRing, ring))):
                    verdict = session.verdict
                    comment = printable(
                        f"{session.id} verdict: {verdict.code} ({verdict.certainty}): {verdict.summary}"
                    )
                    device = session.device.id or session.device.address
                    lines = [
                        f"{verdict.code} ({verdict.certainty}): {device} -> {session.cloud.address}:{session.cloud.port}",
                        verdict.summary,
                        *(f"- {item.text}" for item in verdict.evidence),
                        *(f"Fix: {item.text}" for item in verdict.remedy),
                    ]
                    if decrypted:
                        lines += [f"{row.direction}: {row.type} {row.summary}" for row in session.messages[:_MESSAGES]]
                    weave.say(time.time_ns(), comment, "\n".join(map(printable, lines)) + "\n")
            finally:
                running.close()
    except (BrokenPipeError, Terminated):
        print("analyze: Wireshark stopped the capture", file=sys.stderr)
    except OSError as error:
        raise InputError(str(fifo), f"cannot be written: {error.strerror or error}") from error
