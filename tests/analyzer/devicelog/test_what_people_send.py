"""Logs as people hand them over: behind prefixes, of UDP devices without a line that says so, of a modem that never got there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.devicelog import judge_log, read_log
from analyzer.devicelog.prefix import learned, strip_prefix
from analyzer.firmware.numbers import spaces
from analyzer.keys import load_keys
from analyzer.logged import sessions_of
from analyzer.model import Certainty, Code
from analyzer.pipeline import analyze_logs

DATA = Path(__file__).resolve().parent.parent.parent / "data" / "devicelogs"
#: An Electron of Particle's: the literal $id is in every firmware; the resolved name tells the device.
ELECTRON = [
    "0000021220 [system] INFO: Cloud: connecting",
    "0000021223 [system] INFO: Read Server Address = type:1,domain:$id.udp.particle.io",
    "0000021225 [system] INFO: Resolved host 3f0029000447000000000001.udp.particle.io to 203.0.113.10",
    "0000021226 [system] INFO: Cloud socket connected",
    "0000021226 [system] INFO: Starting handshake: presense_announce=0",
    "0000021226 [comm.protocol.handshake] INFO: Establish secure connection",
    "0000021227 [comm.dtls] INFO: (CMPL,RENEG,NO_SESS,ERR) restoreStatus=2",
    "0000030227 [comm.dtls] ERROR: handshake failed -{number}",
    "0000030228 [comm.protocol.handshake] ERROR: handshake failed with code 17",
    "0000030228 [system] WARN: Cloud handshake failed, code=17",
]


def electron(number: str = "4e00") -> list[str]:
    return [line.format(number=number) if "{number}" in line else line for line in ELECTRON]


def numbered(lines: list[str]) -> list[str]:
    return [f"{8000 + 37 * n} - {line}" for n, line in enumerate(lines)]


PREFIXES: dict[str, Callable[[list[str]], list[str]]] = {
    "another clock": numbered,
    "syslog": lambda lines: [f"Nov 18 20:20:43 mydev user: {line}" for line in lines],
    "papertrail": lambda lines: [f"Nov 18 20:20:43 e00fce68 papertrail-1/web.2: {line}" for line in lines],
    "a border": lambda lines: [f"| {line}" for line in lines],
    "quoted twice": lambda lines: [f"> > {line}" for line in lines],
    "a list": lambda lines: [f"  * {line}" for line in lines],
    "a logger's tag": lambda lines: [f"[serial-17] (tty) # {line}" for line in lines],
    "Arduino's": lambda lines: [f"12:34:56.{n:03d} -> {line}" for n, line in enumerate(lines)],
    "colours": lambda lines: [f"\x1b[33m{line}\x1b[0m\r" for line in lines],
    "fenced": lambda lines: ["My log:", "```", *lines, "```"],
}


@pytest.mark.parametrize("name", PREFIXES)
@pytest.mark.parametrize("log", ["seed-002", "dtls-silent", "tcp-good-063", "tcp-closed-at-once", None])
def test_a_prefix_that_repeats_changes_nothing(name: str, log: str | None):
    lines = electron() if log is None else (DATA / f"{log}.log").read_text().splitlines()
    plain, wrapped = read_log(lines), read_log(PREFIXES[name](lines))
    assert plain.attempts

    def told(log):  # noqa: ANN001, ANN202 - a log as far as a prefix may not touch it
        return [
            (item.outcome, item.transport, item.host, [(e.text, e.kind) for e in item.events]) for item in log.attempts
        ]

    assert told(wrapped) == told(plain)


def test_a_prefix_is_learned_by_repetition_and_not_from_one_line():
    assert learned(["once: Cloud: connecting", "hello"]) is None
    before = learned(["dev 1 says: Cloud: connecting", "dev 2 says: Cloud socket connected"])
    assert before is not None
    assert strip_prefix("dev 77 says: Receive key", before).message == "Receive key"


def test_utf_16_without_its_mark(tmp_path: Path):
    log = tmp_path / "device.log"
    log.write_bytes("\r\n".join(electron()).encode("utf-16-le"))
    assert read_log(log).attempts[0].outcome == "failed"


# -- whose device it is ----------------------------------------------------------------------------------------------


def test_a_particle_device_is_never_repaired_as_a_custom_clouds():
    log = read_log(electron())
    verdict = judge_log(log)
    assert (verdict.code, verdict.certainty) == (Code.SERVER_KEY_MISMATCH, Certainty.INFERRED)
    commands = [line for step in verdict.remedy for line in step.commands]
    assert "particle keys server" in commands
    assert not any("--host" in line for line in commands)
    (session,) = sessions_of(log)
    assert session.device.id == "3f0029000447000000000001"


@pytest.mark.parametrize(
    ("lines", "transport"),
    [
        (["Cloud: connecting", "Read Server Address = type:1,domain:x.example", "Cloud socket connected"], "udp"),
        (["Cloud: connecting", "Resolved host x.example to 1.2.3.4", "Cloud socket connected"], None),
        (
            [
                "Cloud: connecting",
                "Read Server Address = type:0,domain:,ip: 1.2.3.4, port: 65535",
                "Cloud socket connected",
            ],
            None,
        ),
        (["Cloud: connecting", "Connection attempt to 203.0.113.10:5684", "Cloud socket connected"], "udp"),
        (["Cloud: connecting", "connection attempt to 203.0.113.10:5683", "Cloud socket connected"], "tcp"),
        (
            [
                "Cloud: connecting",
                "Read Server Address = type:255,defaulting to device.spark.io",
                "Cloud socket connection failed: -1",
            ],
            "udp",
        ),
        (
            [
                *("Cloud: connecting", "Read Server Address = type:255,defaulting to device.spark.io"),
                *("Resolved host device.spark.io to 1.2.3.4", "Cloud socket connection failed: -1"),
            ],
            None,
        ),
    ],
)
def test_the_transport_is_what_the_lines_say_or_lack(lines: list[str], transport: str | None):
    assert read_log(lines).attempts[0].transport == transport


@pytest.mark.parametrize("port", [0, 65535])
def test_a_port_of_erased_flash_is_none(port: int):
    log = read_log(["Cloud: connecting", f"Read Server Address = type:0,domain:,ip: 203.0.113.10, port: {port}"])
    assert log.attempts[0].port is None


def test_a_hello_that_goes_out_again_and_again_is_unanswered():
    again = [f"socketSendTo(0,203.0.113.10,5684,,58)\n    {28 + n}.2 AT send 14 AT+USORF=0,0" for n in range(4)]
    log = read_log(["0000023886 [comm.protocol.handshake] INFO: Sending HELLO message", *again])
    verdict = judge_log(log)
    assert verdict.code is Code.HELLO_UNANSWERED
    assert log.attempts[0].transport == "udp" and log.attempts[0].port == 5684
    assert any("keys doctor" in line for step in verdict.remedy for line in step.commands)


@pytest.mark.parametrize(
    "line",
    ["AT read ERR 32 +CME ERROR: SIM not inserted", "0000138198 [hal] ERROR: No response from NCP", "+CREG: 2,3"],
)
def test_what_fails_before_the_cloud_is_no_key(tmp_path: Path, line: str):
    log = tmp_path / "device.log"
    log.write_text(f"{line}\n{line}\n")
    (report,) = analyze_logs([log], load_keys([])).captures
    assert report.sessions == ()
    assert report.problems[0].code == "before-the-cloud"
    assert "no key is concerned" in report.problems[0].message
    assert all("cloud-debug" not in item.text for item in report.advice)


# -- numbers ---------------------------------------------------------------------------------------------------------


def printed() -> list[str]:
    """Every number of mbedTLS as the firmware prints it."""
    return [f"{-value:x}" for value in spaces()["mbedtls"].numbers if value < 0]


@pytest.mark.parametrize("number", printed())
def test_every_number_a_client_can_print_has_a_verdict_that_its_meaning_allows(number: str):
    verdict = judge_log(read_log(electron(number)))
    known = spaces()["mbedtls"].numbers[-int(number, 16)]
    assert verdict.certainty is not Certainty.PROVEN
    assert any(f"({known.name})" in item.text for item in verdict.evidence)
    # A number that speaks for one cause is not answered with another.
    if verdict.certainty is Certainty.INFERRED and known.verdicts:
        assert verdict.code in known.verdicts or set(verdict.alternatives) & set(known.verdicts)


@pytest.mark.parametrize(
    ("number", "code"),
    [("6e80", Code.PROFILE_MISMATCH), ("7a80", Code.PROFILE_MISMATCH), ("7280", Code.HANDSHAKE_REJECTED)],
)
def test_numbers_of_the_handshake_that_were_unknown(number: str, code: Code):
    assert judge_log(read_log(electron(number))).code is code
