"""Servers' logs beside captures, alone, in every wrapping; what they decide, and what they must not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analyzer.keys import load_keys
from analyzer.logged import log_reports
from analyzer.model import CaptureReport, Certainty, Code, Session
from analyzer.pipeline import Options, analyze_inputs, analyze_logs, analyze_paths
from analyzer.serverlog import Clock, ServerLog
from analyzer.serverlog.reader import read_server_log
from analyzer.tickets import Ticket
from analyzer.tickets.files import files_below
from analyzer.witnesses import Logs, read_logs

DATA = Path(__file__).resolve().parent.parent.parent / "data" / "serverlogs"
#: Log, capture, the verdict that both together speak for, what stays beside it.
GENUINE = [
    ("key-differs", "tcp-02a-cloud-wrong-devkey-brewskey", Code.DEVICE_KEY_MISMATCH, {Code.DEVICE_KEY_CORRUPT}),
    ("decryption-failed", "tcp-03a-wrong-server-key-brewskey", Code.SERVER_KEY_MISMATCH, {Code.SERVER_FAULT}),
    ("pkcs-decoding", "tcp-03c-wrong-server-key-sparkprotocol", Code.SERVER_KEY_MISMATCH, set()),
    ("unknown-device", "tcp-04a-unknown-device-brewskey", Code.DEVICE_UNKNOWN, set()),
    (
        "device-left",
        "tcp-06a-bad-signature-brewskey",
        Code.SESSION_KEY_UNUSABLE,
        {Code.DEVICE_KEY_CORRUPT, Code.SERVER_SIGNATURE_MISMATCH},
    ),
    ("bad-record", "tcp-14a-corrupt-record-to-cloud", Code.RECORD_CORRUPT, {Code.SESSION_DISPLACED}),
    ("node20", "tcp-22-sparkprotocol-on-node20", Code.SERVER_FAULT, set()),
    ("same-id", "tcp-24-same-id-twice", Code.SESSION_DISPLACED, set()),
    ("good-spark", "tcp-01c-good-sparkprotocol-fw063", Code.HEALTHY, set()),
    ("good-brewskey", "tcp-01a-good-brewskey-fw063", Code.HEALTHY, set()),
]


def log_of(name: str) -> Path:
    return DATA / f"{name}.log"


def beside(captures: Path, case: str, *logs: Path, keys: bool = False) -> CaptureReport:
    folder = captures / case
    ring = load_keys([folder / "keys"] if keys else [])
    return analyze_paths([str(next(folder.glob("capture.pcap*")))], ring, Options(logs=logs)).captures[0]


def alone(*logs: Path) -> tuple[CaptureReport, ...]:
    return analyze_logs(logs, load_keys([])).captures


def server_log(path: Path) -> ServerLog:
    (log,) = read_logs([path]).server
    return log


# -- the genuine ones ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "case", "code", "left"), GENUINE)
def test_beside_a_capture_without_keys_the_log_names_the_cause(
    captures: Path, name: str, case: str, code: Code, left: set[Code]
):
    session = beside(captures, case, log_of(name)).sessions[0]
    assert session.verdict.code is code
    assert set(session.verdict.alternatives) == left
    assert session.verdict.certainty is not Certainty.PROVEN
    assert any(line.witness == "server" and line.agrees for line in session.log)
    assert not any(finding.code in ("log-disagrees", "log-clock") for finding in session.findings)
    if code is not Code.HEALTHY:
        assert any(
            text.startswith(f"{name}.log is the server's log of the cloud at ") for text in session.verdict.premises
        )
        assert session.verdict.evidence
        assert any(text.startswith(f"{name}.log line ") for text in (item.text for item in session.verdict.evidence))


@pytest.mark.parametrize(("name", "case", "code", "left"), GENUINE)
def test_alone_the_log_tells_the_same_and_proves_nothing(name: str, case: str, code: Code, left: set[Code]):
    (report,) = alone(log_of(name))
    session = report.sessions[0]
    assert session.verdict.code is code
    assert all(item.verdict.certainty is not Certainty.PROVEN for item in report.sessions)
    assert left <= set(session.verdict.alternatives)
    assert (session.first_frame, session.protocol) == (0, "lightssl")
    assert session.start_time.startswith("2026-11-21T00:")
    if name == "key-differs":
        assert (session.device.address, session.device.id) == ("192.168.1.50", "300047001147343332373737")


def test_what_the_capture_proves_the_log_only_stands_beside(captures: Path):
    with_log = beside(captures, "tcp-02a-cloud-wrong-devkey-brewskey", log_of("key-differs"), keys=True)
    without = beside(captures, "tcp-02a-cloud-wrong-devkey-brewskey", keys=True)
    assert [item.verdict for item in with_log.sessions] == [item.verdict for item in without.sessions]
    assert with_log.sessions[0].verdict.certainty is Certainty.PROVEN
    assert with_log.sessions[0].log


def test_a_gateway_with_two_servers_and_their_logs(captures: Path):
    report = beside(captures, "tcp-17-gateway-mixed", log_of("gateway"), log_of("gateway-second"))
    fates = {session.device.address: session for session in report.sessions}
    assert fates["192.168.1.53"].verdict.code is Code.SERVER_KEY_MISMATCH
    # Others connected to the same server in the same run: not its fault.
    assert Code.SERVER_FAULT not in fates["192.168.1.53"].verdict.alternatives
    assert fates["192.168.1.54"].verdict.code is Code.DEVICE_UNKNOWN
    assert fates["192.168.1.54"].device.id == "3a002c001147343330333437"
    assert fates["192.168.1.54"].device.id_source == "log"
    assert fates["192.168.1.52"].device.id == "3a0029001147343337313234"
    assert fates["192.168.1.55"].log == ()  # the third server's log is not there


def test_a_servers_and_a_devices_log_alone_are_one_story():
    (report,) = alone(log_of("no-hello"), DATA / "no-hello.device.log")
    first = report.sessions[0]
    assert {line.witness for line in first.log} == {"server", "device"}
    # The server rules out its own key and an unknown device, the device says that the key does not open.
    assert set(first.verdict.alternatives) == {Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT}
    assert len(report.sessions) == 2


# -- wrappings -------------------------------------------------------------------------------------------------------


def docker_json(lines: list[str]) -> list[str]:
    return [
        json.dumps(
            {"log": line + "\n", "stream": "stdout", "time": f"2026-11-21T00:28:{20 + n % 40}.000000001Z"},
            separators=(",", ":"),
        )
        for n, line in enumerate(lines)
    ]


def pretty(lines: list[str]) -> list[str]:
    """As `bunyan` prints its records for people: head line, then the error indented."""
    result = []
    for line in lines:
        if not line.startswith("{"):
            result.append(line)
            continue
        record = json.loads(line)
        known = {"name", "hostname", "pid", "level", "msg", "time", "v", "err"}
        extra = ", ".join(
            f"{name}={value if value is not None else 'null'}" for name, value in record.items() if name not in known
        )
        level = {30: " INFO", 40: " WARN", 50: "ERROR"}[record["level"]]
        head = f"[{record['time']}] {level}: {record['name']}/{record['pid']} on {record['hostname']}: {record['msg']}"
        result.append(f"{head} ({extra})" if extra else head)
        if "err" in record:
            result += [f"    {row}" for row in record["err"]["stack"].split("\n")]
    return result


def coloured(lines: list[str]) -> list[str]:
    return [f"\x1b[32m{line}\x1b[39m\r" for line in lines]


WRAPPINGS: dict[str, Callable[[list[str]], list[str]]] = {
    "as it is": lambda lines: lines,
    "compose": lambda lines: [f"spark-server_1  | {line}" for line in lines],
    "pm2": lambda lines: [f"0|spark    | 2026-11-21 00:28:23 +00:00: {line}" for line in lines],
    "journald": lambda lines: [f"Nov 21 00:28:23 host spark-server[812]: {line}" for line in lines],
    "docker": docker_json,
    "quoted in an e-mail": lambda lines: [f"> {line}" for line in lines],
    "coloured, CRLF": coloured,
    "markdown": lambda lines: ["Here is the log:", "```", *lines, "```", "Thanks!"],
}


@pytest.mark.parametrize("wrap", WRAPPINGS)
@pytest.mark.parametrize(
    "name", ["key-differs", "pkcs-decoding", "no-hello", "good-brewskey", "good-spark", "device-left"]
)
def test_what_stands_before_the_lines_changes_nothing(name: str, wrap: str):
    lines = log_of(name).read_text().splitlines()
    plain, wrapped = read_server_log(lines, name), read_server_log(WRAPPINGS[wrap](lines), name)
    told = [(item.key, item.device, item.address, item.up, item.says) for item in plain.connections]
    assert told
    assert [(item.key, item.device, item.address, item.up, item.says) for item in wrapped.connections] == told


@pytest.mark.parametrize("name", ["key-differs", "decryption-failed", "device-left", "good-brewskey", "unknown-device"])
def test_bunyans_own_pretty_printer(name: str):
    lines = log_of(name).read_text().splitlines()
    plain, shown = read_server_log(lines, name), read_server_log(pretty(lines), name)
    assert [(item.device, item.up, item.says) for item in shown.connections] == [
        (item.device, item.up, item.says) for item in plain.connections
    ]
    assert [item.begins for item in shown.connections] == [item.begins for item in plain.connections]


def rotated(lines: list[str], folder: Path) -> list[Path]:
    """A log in three files, as logrotate leaves it: the file in use, the one before, an older one that is packed."""
    third = len(lines) // 3
    folder.mkdir(exist_ok=True)
    packed, before, now = folder / "server.log.2.gz", folder / "server.log.1", folder / "server.log"
    packed.write_bytes(gzip.compress(("\n".join(lines[:third]) + "\n").encode()))
    before.write_text("\n".join(lines[third : 2 * third]) + "\n")
    now.write_text("\n".join(lines[2 * third :]) + "\n")
    return [now, before, packed]


@pytest.mark.parametrize("name", ["gateway", "no-hello", "pkcs-decoding"])
def test_a_rotated_log_is_one_in_whatever_order_its_files_are_given(tmp_path: Path, name: str):
    lines = log_of(name).read_text().splitlines()
    files = rotated(lines, tmp_path)
    whole = server_log(log_of(name))
    for order in (files, files[::-1]):
        (log,) = read_logs(order).server
        assert log.connections == whole.connections and log.lines == whole.lines
        assert (log.name, log.title) == ("server.log", "server.log (with 2 older files)")
    # Each line is named by the file in which it stands.
    (log,) = read_logs(files).server
    third = len(lines) // 3
    assert [log.cite(number) for number in (1, third + 1, len(lines))] == [
        "server.log.2.gz line 1",
        "server.log.1 line 1",
        f"server.log line {len(lines) - 2 * third}",
    ]
    (report,) = alone(*files)
    assert report.joined == (str(files[1]), str(files[2]))
    (ticket,) = analyze_inputs([Ticket.read(tmp_path, tuple(files_below(tmp_path)))], load_keys([])).captures
    assert [session.verdict.code for session in ticket.sessions] == [
        session.verdict.code for session in report.sessions
    ]


def test_files_that_are_called_like_a_rotation_and_overlap_in_time_stay_apart(tmp_path: Path):
    first, second = tmp_path / "server.log", tmp_path / "server.log.1"
    first.write_text(log_of("pkcs-decoding").read_text())
    second.write_text(log_of("pkcs-decoding").read_text())
    assert len(read_logs([first, second]).server) == 2


def test_logs_of_two_servers_may_be_called_alike(captures: Path, tmp_path: Path):
    paths = [tmp_path / place / "server.log" for place in ("one", "two")]
    for path, name in zip(paths, ("gateway", "pkcs-decoding"), strict=True):
        path.parent.mkdir()
        path.write_text(log_of(name).read_text())
    report = beside(captures, "tcp-17-gateway-mixed", *paths)
    assert any(session.log for session in report.sessions)
    (problem,) = [item for item in report.problems if item.code == "log-unmatched"]
    assert "it tells of 1 server-key-mismatch" in problem.message


def test_a_device_that_called_two_servers_is_one_story(tmp_path: Path):
    """Its own log, and those of both servers: each saw one of its attempts."""
    lines = log_of("no-hello").read_text().splitlines()
    second = next(number for number, line in enumerate(lines) if "connId: 2" in line)
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_text("\n".join(lines[:second]))
    two.write_text("\n".join(lines[second:]).replace("_1", "_0").replace("connId: 2", "connId: 1"))
    found = analyze_logs([one, two, DATA / "no-hello.device.log"], load_keys([]))
    assert [len(report.sessions) for report in found.captures] == [1, 1]
    for report in found.captures:
        assert {line.witness for line in report.sessions[0].log} == {"server", "device"}
    assert [story.attempts for story in found.stories] == [2]


def shifted(line: str, by: timedelta, form: str) -> str:
    at = datetime.fromisoformat(line[:24]) + by
    return at.strftime(form) + line[24:]


@pytest.mark.parametrize(
    ("by", "form", "clock", "words"),
    [
        (timedelta(hours=2), "%Y-%m-%d %H:%M:%S", Clock.LOCAL, "2 h ahead of the capture's (a time zone)"),
        (
            timedelta(hours=-5, minutes=-30),
            "%Y/%m/%d %H:%M:%S",
            Clock.LOCAL,
            "5 h 30 min behind the capture's (a time zone)",
        ),
        (
            timedelta(hours=1),
            "%b %d %H:%M:%S host spark[1]:",
            Clock.YEARLESS,
            "1 h ahead of the capture's (a time zone)",
        ),
        (timedelta(seconds=47), "%Y-%m-%dT%H:%M:%S.000Z", Clock.ABSOLUTE, "s ahead of the capture's"),
        (timedelta(0), "%H:%M:%S", Clock.DAYLESS, None),
    ],
)
def test_clocks_of_another_zone_or_none_are_found_and_named(
    captures: Path, tmp_path: Path, by: timedelta, form: str, clock: Clock, words: str | None
):
    lines = log_of("no-hello").read_text().splitlines()
    moved = tmp_path / "server.log"
    moved.write_text("\n".join(shifted(line, by, form) for line in lines))
    assert server_log(moved).clock is clock
    report = beside(captures, "tcp-02b-cloud-wrong-devkey-sparkprotocol", moved)
    assert all(session.device.id == "2b0031001147343334383539" for session in report.sessions)
    told = [item.summary for item in report.sessions[0].findings if item.code == "log-clock"]
    assert [words in text for text in told if words] == ([True] if words else [])
    if words is None:
        assert not told


def test_a_log_of_another_day_fits_no_session(captures: Path, tmp_path: Path):
    lines = log_of("pkcs-decoding").read_text().splitlines()
    other = tmp_path / "server.log"
    other.write_text(
        "\n".join(
            shifted(line, timedelta(days=9), "%Y-%m-%dT%H:%M:%S.000Z") if line[:2] == "20" else line for line in lines
        )
    )
    report = beside(captures, "tcp-03c-wrong-server-key-sparkprotocol", other)
    assert report.sessions[0].verdict.code is Code.IDENTITY_REJECTED
    assert report.sessions[0].verdict.premises == ()
    (problem,) = [item for item in report.problems if item.code == "log-unmatched"]
    assert "server-key-mismatch" in problem.message


def without_times(name: str) -> list[str]:
    return [line[25:] if line[:2] == "20" else line for line in log_of(name).read_text().splitlines()]


def test_without_times_the_address_and_the_order_decide(captures: Path, tmp_path: Path):
    log = tmp_path / "server.log"
    log.write_text("\n".join(without_times("pkcs-decoding")))
    assert server_log(log).clock is Clock.NONE
    (session,) = beside(captures, "tcp-03c-wrong-server-key-sparkprotocol", log).sessions
    assert session.verdict.code is Code.SERVER_KEY_MISMATCH


def test_without_times_and_with_two_stories_for_one_address_nothing_is_decided(captures: Path, tmp_path: Path):
    refused = without_times("pkcs-decoding")[6:]
    unknown = [
        line.replace("decryption failed", "couldn't find key for core: 45001f001147343337343135")
        for line in refused
        if "rror" not in line
    ]
    log = tmp_path / "server.log"
    log.write_text(
        "\n".join([*refused, *(line.replace("_0", "_1").replace("connId: 1", "connId: 2") for line in unknown)])
    )
    (session,) = beside(captures, "tcp-03c-wrong-server-key-sparkprotocol", log).sessions
    assert session.verdict.code is Code.IDENTITY_REJECTED
    assert session.log and all(line.agrees is None for line in session.log)


@pytest.mark.parametrize("several", [False, True])
def test_without_times_ids_and_addresses_what_the_wire_allows_is_meant(captures: Path, tmp_path: Path, several: bool):
    """Somebody kept the errors only."""
    other = [
        "Handshake.js/7 on arm2: Handshake failed",
        "    Error: handshake data decryption failed. You probably have",
    ]
    lines = ["Handshake.js/7 on arm2: Handshake failed", "    Error: wrong device public keys"]
    log = tmp_path / "server.log"
    log.write_text("\n".join([*(other if several else []), *lines]))
    (alone_,) = alone(log)
    assert len(alone_.sessions) == 1 + several
    session = beside(captures, "tcp-06a-bad-signature-brewskey", log).sessions[0]
    assert set(session.verdict.alternatives) == {Code.DEVICE_KEY_CORRUPT, Code.SERVER_SIGNATURE_MISMATCH}
    assert "it has no times" in session.verdict.premises[0]


def test_what_the_capture_does_not_hold_the_log_tells(captures: Path, tmp_path: Path):
    """A capture that was begun after the handshake."""
    data = (captures / "tcp-01a-good-brewskey-fw063" / "capture.pcap").read_bytes()
    at = 24
    for _ in range(9):
        at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
    late = tmp_path / "late.pcap"
    late.write_bytes(data[:24] + data[at:])
    without = analyze_paths([str(late)], load_keys([])).captures[0].sessions[0]
    assert without.verdict.code is Code.CAPTURE_INCOMPLETE
    logs = Options(logs=(log_of("good-brewskey"),))
    verdict = analyze_paths([str(late)], load_keys([]), logs).captures[0].sessions[0].verdict
    assert (verdict.code, verdict.certainty, verdict.would_settle) == (Code.HEALTHY, Certainty.INFERRED, ())


def test_behind_a_container_the_times_alone_pair_and_the_premise_says_so(captures: Path, tmp_path: Path):
    log = tmp_path / "server.log"
    log.write_text(log_of("key-differs").read_text().replace("192.168.1.50", "172.17.0.1"))
    session = beside(captures, "tcp-02a-cloud-wrong-devkey-brewskey", log).sessions[0]
    assert session.verdict.code is Code.DEVICE_KEY_MISMATCH
    assert "only the times met" in session.verdict.premises[0]


# -- contradictions and fleets ---------------------------------------------------------------------------------------


def test_a_log_that_contradicts_the_wire_decides_nothing(captures: Path, tmp_path: Path):
    lines = log_of("key-differs").read_text().splitlines()
    up = '"deviceID":"300047001147343332373737","ip":"::ffff:192.168.1.50","msg":"On device protocol initialization complete"'
    at = next(number for number, line in enumerate(lines) if "Handshake failed" in line)
    lines[at] = lines[at][: lines[at].index('"deviceID"')] + f'{up},"time":"2026-11-21T00:28:23.703Z","v":0}}'
    log = tmp_path / "server.log"
    log.write_text("\n".join([*lines[: at + 1], *lines[at + 3 :]]))
    first = beside(captures, "tcp-02a-cloud-wrong-devkey-brewskey", log).sessions[0]
    assert first.verdict.code is Code.IDENTITY_REJECTED
    assert [item.code for item in first.findings] == ["log-disagrees"]
    assert any(line.agrees is False for line in first.log)


def refusals(devices: int, text: str) -> list[str]:
    return [
        line
        for number in range(1, devices + 1)
        for line in (
            f"Connection from: ::ffff:10.0.0.{number}, connId: {number}",
            f"Handshake failed:  {text} {{ ip: '::ffff:10.0.0.{number}', cache_key: '_{number - 1}', coreID: null }}",
        )
    ]


@pytest.mark.parametrize(
    ("devices", "text", "code"),
    [
        (1, "decryption failed", Code.SERVER_KEY_MISMATCH),
        (4, "decryption failed", Code.SERVER_FAULT),
        (4, "error:0407109F:rsa routines:RSA_padding_check_PKCS1_type_2:pkcs decoding error", Code.SERVER_KEY_MISMATCH),
    ],
)
def test_a_fault_of_every_device_is_told_from_one_of_a_single_device(
    tmp_path: Path, devices: int, text: str, code: Code
):
    log = tmp_path / "server.log"
    log.write_text("\n".join(refusals(devices, text)))
    (report,) = alone(log)
    assert {session.verdict.code for session in report.sessions} == {code}
    assert len(report.sessions) == devices
    wide = {finding.code for session in report.sessions for finding in session.findings} & {"server-wide"}
    assert wide == ({"server-wide"} if devices > 2 else set())


def test_one_device_that_connects_clears_the_server(tmp_path: Path):
    good = ["on ready { coreID: '3a0020001147343330333837', ip: '::ffff:10.0.0.99', cache_key: '_90' }", "Core online!"]
    log = tmp_path / "server.log"
    log.write_text("\n".join([*refusals(4, "decryption failed"), *good]))
    (report,) = alone(log)
    refused = [session for session in report.sessions if session.verdict.code is not Code.HEALTHY]
    assert {session.verdict.code for session in refused} == {Code.SERVER_KEY_MISMATCH}
    assert all(Code.SERVER_FAULT not in session.verdict.alternatives for session in refused)


@pytest.mark.parametrize("lasted", [46.791, 31.2])
def test_a_session_that_ends_just_when_the_server_gives_up_waiting(tmp_path: Path, lasted: float):
    log = tmp_path / "server.log"
    log.write_text(
        f"Device.js/1 on host: Device disconnected (cache_key=_5, deviceID=1a0028001847000000000015, duration={lasted})\n"
    )
    (report,) = alone(log)
    (session,) = report.sessions
    assert session.verdict.code is Code.SESSION_DROPPED
    assert "fell silent" in session.verdict.summary


# -- bad input -------------------------------------------------------------------------------------------------------

BAD: dict[str, bytes] = {
    "binary": bytes(range(256)) * 300,
    "another program": b"2026-11-21T00:28:23Z nginx: GET / 200\n" * 500,
    "one long line": b"Connection from: " + b"x" * 3_000_000,
    "deep JSON": b'{"name":"Device.js","msg":"Handshake failed","err":' + b"[" * 200_000,
    "broken JSON": b'{"name":"Handshake.js","msg":"Handshake failed","err":{"message":"wrong' * 3,
    "control characters": b"Connection from: ::ffff:9.9.9.9, connId: 1\n\x1b]0;evil\x07Core online!\x00\x1b[2J\nSession ended for _0\x08\n",
    "times out of range": b"9999-99-99T99:99:99.000Z Connection from: 1.2.3.4, connId: 1\nGet_hello timed out\n",
    "numbers out of range": b"Connection from: ::ffff:1.2.3.4, connId: " + b"9" * 5000 + b"\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_log_of_a_server_costs_a_line_and_no_more(captures: Path, tmp_path: Path, name: str):
    log = tmp_path / "server.log"
    log.write_bytes(BAD[name])
    report = beside(captures, "tcp-03c-wrong-server-key-sparkprotocol", log)
    assert report.sessions[0].verdict.code is Code.IDENTITY_REJECTED
    texts = [item.message for item in report.problems] + [item.summary for item in report.sessions[0].findings]
    assert 1 <= len(texts) <= 14
    assert all(text.isprintable() and len(text) < 900 for text in texts)
    (single,) = alone(log)
    assert all(session.verdict.certainty is not Certainty.PROVEN for session in single.sessions)


def test_a_private_key_in_a_log_is_named_by_its_line_and_never_shown(captures: Path, tmp_path: Path):
    secret = "MIICXQIBAAKBgQDsecretsecretsecretsecretsecret"
    lines = log_of("key-differs").read_text().splitlines()
    lines[2:2] = ["-----BEGIN RSA PRIVATE KEY-----", secret, "-----END RSA PRIVATE KEY-----"]
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    report = beside(captures, "tcp-02a-cloud-wrong-devkey-brewskey", log)
    assert any(item.code == "secret-in-log" for item in report.sessions[0].findings)
    assert secret not in repr(report) and secret not in repr(server_log(log))


def test_logs_are_told_apart_by_their_content_and_keep_their_order(tmp_path: Path):
    names = ["no-hello.device.log", "key-differs.log", "pkcs-decoding.log"]
    logs = read_logs([DATA / name for name in names])
    assert [log.name for log in logs.all] == names
    assert [log.name for log in logs.server] == names[1:]
    reports = log_reports(logs)
    assert [report.format for report in reports] == ["device-log", "server-log", "server-log"]


def test_nothing_is_read_where_no_log_is_given():
    assert Logs().device == Logs().server == ()


def test_a_long_log_is_told_by_its_last_connections(tmp_path: Path):
    start = datetime(2026, 11, 21, tzinfo=UTC)
    lines = [
        f"{(start + timedelta(seconds=n)).isoformat()} {line}"
        for n, line in enumerate(refusals(300, "decryption failed"))
    ]
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    (report,) = alone(log)
    sessions: tuple[Session, ...] = report.sessions
    assert len(sessions) == 200
    assert sessions[-1].device.address == "10.0.0.300"
    assert any(item.code == "log-long" and "100 earlier" in item.message for item in report.problems)
