"""Each failure met in the wild (the 35 rows of `analyzer.firmware.verdicts.situations`) and the case that shows it.

A row is shown by a golden capture, by a device's log, or it leaves no trace that an analyzer of captures could see; then
`analyze explain` must know its words.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from analyzer.devicelog import judge_log, read_log
from analyzer.explain import explain
from analyzer.firmware.verdicts import situations
from analyzer.keys import load_keys
from analyzer.model import Code, Session
from analyzer.pipeline import Options, analyze_paths

CAPTURES = Path(__file__).resolve().parent.parent / "captures"


@dataclass(frozen=True)
class Capture:
    """A golden case, with or without its keys, with or without its log."""

    case: str
    keys: bool = True
    log: bool = False


@dataclass(frozen=True)
class Log:
    """Lines of a device's log (prefixes left out), judged alone."""

    lines: str


@dataclass(frozen=True)
class Unseen:
    """Why neither a capture nor a log can show it."""

    why: str


#: Of particle-cli's own messages: nothing of them goes over the device's wire or into its log.
TOOL = "a message of particle-cli on the engineer's computer; on the wire the device fails as before"

SHOWN: dict[int, tuple[Capture | Log | Unseen, ...]] = {
    1: (Capture("tcp-03a-wrong-server-key-brewskey"), Capture("tcp-03a-wrong-server-key-brewskey", keys=False)),
    2: (Capture("tcp-04a-unknown-device-brewskey"), Capture("tcp-02a-cloud-wrong-devkey-brewskey")),
    3: (Capture("tcp-02b-cloud-wrong-devkey-sparkprotocol"), Capture("seed-001")),
    4: (
        Capture("tcp-06a-bad-signature-brewskey"),
        Capture("tcp-06a-bad-signature-brewskey", keys=False, log=True),
    ),
    5: (Capture("seed-002"), Capture("seed-002", keys=False, log=True), Capture("tcp-18a-lost-server-address")),
    6: (
        Capture("tcp-07a-captive-portal-302"),
        Capture("tcp-08a-silent-server"),
        Capture("tcp-09a-server-closes-at-once"),
    ),
    7: (Capture("tcp-11-no-synack"), Capture("tcp-12-syn-refused"), Capture("dtls-06-no-answer")),
    8: (
        Capture("synth-dns-unanswered"),
        # device-os system_cloud_internal.cpp@v0.6.3; the last two of pastebin vh5T2HZi (failure-modes.md row 8)
        Log(
            "Cloud: connecting\nunable to resolve IP for device.spark.io\nInternet Test Failed!\nHandling cloud error: 2"
        ),
    ),
    9: (Capture("synth-hello-unanswered"), Capture("synth-dtls-hello-unanswered", keys=False)),
    10: (Capture("dtls-02e-two-keys-swapped-between-devices"), Capture("synth-dtls-device-key-mismatch-silent")),
    11: (Capture("dtls-03-wrong-server-key-on-device"), Capture("dtls-03-wrong-server-key-on-device", keys=False)),
    12: (Capture("synth-brewskey-ec-on-file"),),
    13: (Capture("tcp-26a-blank-server-key-brewskey"), Capture("synth-device-key-prime-damaged")),
    14: (Capture("tcp-05-ff-devkey-brewskey"),),
    15: (Capture("tcp-05-tail-devkey-sparkprotocol"),),
    16: (Capture("tcp-02a-cloud-wrong-devkey-brewskey"),),
    17: (Unseen(TOOL),),
    18: (Unseen(TOOL),),
    19: (Unseen(TOOL),),
    20: (Capture("tcp-26a-blank-server-key-brewskey"), Capture("tcp-26a-blank-server-key-brewskey", keys=False)),
    21: (Capture("synth-device-key-blank"), Capture("dtls-05b-device-key-broken-der", log=True)),
    22: (
        Capture("synth-name-without-handshake"),
        # device-os dtls_message_channel.cpp@v0.6.4: mbedtls_pk_parse_public_key fails, init ends with 16
        Log(
            "Cloud: connecting\nEstablish secure connection\nunable to parse negotiated pub key: -3d60\n"
            "setup_contex error 10\nhandshake failed with code 16\nCloud handshake failed, code=16"
        ),
    ),
    23: (Capture("synth-dtls-session-lost"),),
    24: (
        Capture("synth-dtls-session-dropped"),
        Log("Cloud: connecting\nCloud connected\nEvent loop error 1\nCloud: disconnecting"),
    ),
    25: (Capture("dtls-06-no-answer"),),
    26: (Capture("seed-001", keys=False),),
    27: (
        Unseen(
            "the loop ends before the first packet (the white blink is probably key generation): nothing reaches the "
            "network, and that firmware logs nothing"
        ),
    ),
    28: (Capture("tcp-18a-lost-server-address"), Capture("seed-002")),
    29: (Capture("tcp-02a-cloud-wrong-devkey-brewskey"),),
    30: (Capture("synth-record-corrupt"),),
    31: (
        Capture("tcp-16a-retry-loop-wrong-server-key"),
        Log("Cloud: connecting\nCloud handshake failed, code=26\nResetting WLAN due to 2 failed connect attempts"),
    ),
    32: (Unseen(TOOL),),
    33: (Capture("dtls-02e-two-keys-swapped-between-devices"),),
    34: (Capture("synth-identity-rejected", keys=False),),
    35: (Capture("tcp-03a-wrong-server-key-brewskey"),),
}


@cache
def sessions(shown: Capture) -> tuple[Session, ...]:
    case = CAPTURES / shown.case
    keys = [path for path in (case / "keys", case / "sslkeys.log") if shown.keys and path.exists()]
    options = Options(logs=(case / "device.log",) if shown.log else ())
    return analyze_paths([str(next(case.glob("capture.pcap*")))], load_keys(keys), options).captures[0].sessions


def told(shown: Capture | Log) -> tuple[set[Code], set[str]]:
    """The verdicts and findings of a case."""
    if isinstance(shown, Log):
        log = read_log(shown.lines.splitlines())
        return {judge_log(log).code}, {finding.code for finding in log.findings}
    found = sessions(shown)
    return {session.verdict.code for session in found}, {item.code for session in found for item in session.findings}


def entries() -> Iterable[tuple[int, Capture | Log]]:
    return ((row, item) for row, items in SHOWN.items() for item in items if not isinstance(item, Unseen))


def test_every_row_has_its_place_in_the_table():
    assert sorted(SHOWN) == [situation.row for situation in situations()] == list(range(1, 36))
    assert all(SHOWN.values())


@pytest.mark.parametrize(("row", "shown"), list(entries()), ids=lambda item: str(getattr(item, "case", item))[:60])
def test_the_case_shows_the_row(row: int, shown: Capture | Log):
    situation = next(item for item in situations() if item.row == row)
    assert situation.verdicts or situation.findings, "a row that leads to nothing cannot be shown"
    verdicts, findings = told(shown)
    assert verdicts & set(situation.verdicts) or findings & set(situation.findings), (verdicts, findings)


@pytest.mark.parametrize("row", [row for row, items in SHOWN.items() if isinstance(items[0], Unseen)])
def test_what_leaves_no_trace_is_explained_by_its_words(row: int):
    (shown,) = SHOWN[row]
    assert isinstance(shown, Unseen) and len(shown.why) > 40
    situation = next(item for item in situations() if item.row == row)
    found = [explain(word) for word in situation.words]
    assert all(found), situation.words
    assert any(situation.cause in str(item) for item in found)
