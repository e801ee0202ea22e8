#!/usr/bin/env python3
"""Cost of a server's log of 1,000,000 lines (100 MB) beside a gateway capture; prints Markdown.

    tests/benchmarks/serverlog.py                  1,000,000 lines
    tests/benchmarks/serverlog.py --lines 100000   fewer
    tests/benchmarks/serverlog.py --form text      as spark-protocol prints it

The log is written for the capture `captures/tcp-17-gateway-mixed` (seven devices): its own lines lie in the middle of what other
devices, who call again and again, leave behind. The row says what the analysis costs with and without it. Exit status 1
when the log does not decide what it decides alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CASE = ROOT / "captures" / "tcp-17-gateway-mixed"
#: The moment in the middle of the capture, and what its log says of one device's first session there: that every device gets this
#: line, and with bunyan's words it is then the server.
MIDDLE = datetime(2026, 11, 21, 0, 37, 20, tzinfo=UTC)
DEVICE = "192.168.1.53"
DECIDED = {"bunyan": "server-fault", "text": "server-key-mismatch"}
STACK = "    at Handshake._callee4$ (Handshake.js:302:21)"


def bunyan(lines: int) -> Iterator[str]:
    """Lines of Brewskey's server: three for each attempt of a device, chatter between them."""
    step, attempts = timedelta(milliseconds=7), lines // 16
    at = MIDDLE - step * (lines // 2)
    for number in range(1, attempts + 1):
        ours = number == attempts // 2
        ip, key = ("192.168.1.53" if ours else f"10.{number % 200}.{number // 200 % 250}.9"), f"_{number}"
        when = (MIDDLE + timedelta(milliseconds=1098)) if ours else at
        head, tail = '{"name":"%s","pid":1,"level":%d,', f'"time":"{_iso(when)}","v":0}}\n'
        yield head % ("DeviceServer.js", 30) + '"msg":"New Connection",' + tail
        message = "handshake data decryption failed. You probably have incorrect server key for device"
        yield (
            head % ("Handshake.js", 50)
            + f'"cache_key":"{key}","deviceID":null,"ip":"::ffff:{ip}","err":{{"message":"{message}"}},"msg":"Handshake failed",{tail}'
        )
        yield head % ("Device.js", 30) + f'"cache_key":"{key}","deviceID":"","msg":"Device disconnected",{tail}'
        yield from [head % ("Device.js", 30) + '"msg":"Pinged, replying",' + tail] * 13
        at += step * 16


def text(lines: int) -> Iterator[str]:
    """Lines of spark-protocol's server with its error over several lines, under a time that a process manager writes."""
    step, attempts = timedelta(milliseconds=7), lines // 8
    at = MIDDLE - step * (lines // 2)
    for number in range(1, attempts + 1):
        ours = number == attempts // 2
        ip, key = ("192.168.1.53" if ours else f"10.{number % 200}.{number // 200 % 250}.9"), f"_{number - 1}"
        stamp = f"{_iso((MIDDLE + timedelta(milliseconds=1098)) if ours else at)} "
        yield f"{stamp}Connection from: ::ffff:{ip}, connId: {number}\n"
        yield f"{stamp}Handshake decryption error:  {{ Error: error:0407109F:rsa routines:RSA_padding_check_PKCS1_type_2:pkcs decoding error\n"
        yield f"{STACK}\n{STACK}\n"
        yield f"{stamp}1: Core disconnected: decryption failed {{ coreID: 'unknown', cache_key: '{key}' }}\n"
        yield f"{stamp}Session ended for {key}\n"
        yield f"{stamp}Handshake failed:  decryption failed {{ ip: '::ffff:{ip}', cache_key: '{key}', coreID: null }}\n"
        yield f"{stamp}Pinged, replying {{ coreID: '300047001147343332373737' }}\n"
        at += step * 8


FORMS = {"bunyan": bunyan, "text": text}


def _iso(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


def run(*words: str) -> tuple[float, float, dict[str, object]]:
    """Seconds, peak MB and the report of one run of the program."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", *words, "--format", "json"], capture_output=True, cwd=ROOT, check=False
    )
    peak = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    return time.perf_counter() - began, peak, json.loads(done.stdout)


def main() -> int:
    """Measure, print, and say by the exit status whether the answer was right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--form", choices=FORMS, default="bunyan")
    options = parser.parse_args()
    capture = str(next(CASE.glob("capture.pcap*")))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("w") as file:
            file.writelines(FORMS[options.form](options.lines))
        alone, alone_mb, _ = run(capture)
        both, both_mb, report = run(capture, "--log", str(log))
        size = log.stat().st_size / 1e6
    print("| log | lines | MB | capture alone s | with the log s | the log costs s | peak MB alone | with it |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {options.form} | {options.lines:,} | {size:.0f} | {alone:.2f} | {both:.2f} | {both - alone:.2f}"
        f" | {alone_mb:.0f} | {both_mb:.0f} |"
    )
    captures = report["captures"]
    assert isinstance(captures, list)
    found = next(item["verdict"]["code"] for item in captures[0]["sessions"] if item["device"]["address"] == DEVICE)
    wrong = found != DECIDED[options.form]
    if wrong:
        print(f"not decided by the log: {found}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
