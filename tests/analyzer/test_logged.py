"""Device logs in the report: beside sessions, instead of them, and what they decide."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import validate
from typer.testing import CliRunner

from analyzer.cli.app import app
from analyzer.devicelog import read_log
from analyzer.keys import KeyRing, load_keys
from analyzer.logged import LOG_FORMAT, sessions_of
from analyzer.model import CaptureReport, Certainty, Code, Report, since_start
from analyzer.pipeline import Options, analyze_capture, analyze_logs, analyze_paths
from analyzer.reports.json import plain
from analyzer.reports.schema import report_schema
from analyzer.reports.text import format_text
from analyzer.reports.writing import Style
from analyzer.times import rfc3339
from dissectors.events import How, Status

DATA = Path(__file__).resolve().parent.parent / "data" / "devicelogs"


def report(captures: Path, name: str, *, keys: bool = False, log: str = "device.log") -> Report:
    case = captures / name
    ring = load_keys([case / "keys"] if keys else [])
    return analyze_paths([str(case / "capture.pcap")], ring, Options(logs=(case / log,)))


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.stdout


# -- seed 002, the golden case ---------------------------------------------------------------------------------------


def test_seed_002_lines_stand_beside_the_stage_they_belong_to(captures: Path):
    first, second = report(captures, "seed-002", keys=True).captures[0].sessions
    placed = {(line.stage, line.text) for line in first.log}
    assert ("name-resolution", "Resolved host device.spark.io to 34.237.141.248") in placed
    assert ("nonce", "Started: Receive nonce") in placed
    assert ("identity", "Sending encrypted nonce") in placed
    assert ("session-key", "Unable to receive key -19") in placed
    assert {line.text for line in second.log} >= {"Resolved host device.spark.io to 54.159.170.67"}
    # -19 is the peer's FIN while the device waited for the key, and that is what the capture shows: no disagreement.
    assert first.ending.by == "cloud" and first.ending.how is How.FIN
    assert all(finding.code != "log-disagrees" for session in (first, second) for finding in session.findings)
    assert not any(line.agrees is False for line in first.log)


def test_seed_002_the_log_names_the_lost_address_where_no_key_does(captures: Path):
    for session in report(captures, "seed-002").captures[0].sessions:
        lost = [finding for finding in session.findings if finding.code == "server-address-lost"]
        assert [finding.certainty for finding in lost] == [Certainty.INFERRED]
        assert "type:255" in lost[0].summary


def test_seed_002_with_keys_the_proof_is_not_repeated_as_a_guess(captures: Path):
    for session in report(captures, "seed-002", keys=True).captures[0].sessions:
        lost = [finding.certainty for finding in session.findings if finding.code == "server-address-lost"]
        assert lost == [Certainty.PROVEN]


def test_seed_002_alone_gives_a_verdict_per_attempt(captures: Path):
    found = analyze_logs([captures / "seed-002" / "device.log"], KeyRing())
    (capture,) = found.captures
    assert (capture.format, capture.packets, capture.status) == (LOG_FORMAT, 0, "ok")
    first, second = capture.sessions
    assert (first.verdict.code, first.verdict.certainty) == (Code.IDENTITY_REJECTED, Certainty.UNDETERMINED)
    assert "-19: the peer closed the connection" in first.verdict.summary
    assert first.cloud.address == "34.237.141.248" and first.cloud.host == "device.spark.io"
    assert first.ending.by == "cloud" and first.ending.how is How.FIN
    assert [(stage.stage, stage.status) for stage in first.stages] == [
        ("name-resolution", Status.SEEN),
        ("connect", Status.SEEN),
        ("nonce", Status.SEEN),
        ("identity", Status.SEEN),
        ("session-key", Status.ABSENT),
    ]
    assert {finding.code for finding in first.findings} == {"log-alone", "server-address-lost"}
    assert [story.attempts for story in capture.stories] == [2]
    # The device waits 32.000 s from the failure (304866) to the next attempt (336866).
    assert "number 26 to 30 in a row" in capture.stories[0].summary
    assert second.start_time == "1970-01-01T00:05:36.866000Z"
    validate(plain(found), report_schema())


# -- what a log decides ----------------------------------------------------------------------------------------------


def test_a_wrong_signature_that_the_device_logs_decides_what_the_wire_leaves_open(captures: Path):
    without = analyze_paths([str(captures / "tcp-06a-bad-signature-brewskey" / "capture.pcap")], load_keys([]))
    assert {s.verdict.certainty for s in without.captures[0].sessions} == {Certainty.UNDETERMINED}
    for session in report(captures, "tcp-06a-bad-signature-brewskey").captures[0].sessions:
        assert session.verdict.code is Code.SERVER_SIGNATURE_MISMATCH
        assert session.verdict.certainty is Certainty.INFERRED
        assert any("AUTHENTICATION_ERROR" in item.text for item in session.verdict.evidence)


def test_a_key_that_does_not_open_narrows_the_causes(captures: Path):
    for session in report(captures, "tcp-02b-cloud-wrong-devkey-sparkprotocol").captures[0].sessions:
        assert session.verdict.code is Code.SESSION_KEY_UNUSABLE
        assert set(session.verdict.alternatives) == {Code.DEVICE_KEY_MISMATCH, Code.DEVICE_KEY_CORRUPT}


def test_a_log_never_changes_what_a_key_proves_and_never_proves(captures: Path):
    for case in sorted(captures.glob("*/device.log")):
        case = case.parent
        ring = load_keys([case / "keys"] if (case / "keys").exists() else [])
        capture = next(case.glob("capture.pcap*"))
        plain_, logged = (
            analyze_paths([str(capture)], ring, o) for o in (Options(), Options(logs=(case / "device.log",)))
        )
        for before, after in zip(plain_.captures[0].sessions, logged.captures[0].sessions, strict=False):
            if before.verdict.certainty is not Certainty.UNDETERMINED:
                assert after.verdict == before.verdict, case.name
            else:
                assert after.verdict.certainty is not Certainty.PROVEN, case.name


def test_a_log_of_another_attempt_disagrees(captures: Path, tmp_path: Path):
    good = (captures / "tcp-01a-good-brewskey-fw063" / "device.log").read_text()
    # The same device logs a failure where the capture shows a session that lasted.
    bad = good.replace("INFO: Handshake completed", "ERROR: handshake failed with code 6")
    bad = "\n".join(line for line in bad.splitlines() if "Cloud connected" not in line and "HELLO" not in line)
    log = tmp_path / "device.log"
    log.write_text(bad)
    found = analyze_paths(
        [str(captures / "tcp-01a-good-brewskey-fw063" / "capture.pcap")], load_keys([]), Options(logs=(log,))
    )
    assert any(item.code == "log-disagrees" for session in found.captures[0].sessions for item in session.findings)


# -- a capture without a session -------------------------------------------------------------------------------------


def test_an_empty_capture_has_no_session_and_with_its_log_the_cause(captures: Path):
    case = captures / "dtls-05b-device-key-broken-der"
    assert run(str(case / "capture.pcap"))[0] == 4
    status, out = run(str(case / "capture.pcap"), "--log", str(case / "device.log"), "--format", "json")
    assert status == 1
    (capture,) = json.loads(out)["captures"]
    assert capture["path"].endswith("capture.pcap") and capture["packets"] == 0
    assert {session["verdict"]["code"] for session in capture["sessions"]} == {"device-key-corrupt"}
    assert all(session["transport"] == "udp" and session["stream"] is None for session in capture["sessions"])


@pytest.mark.parametrize("with_capture", [True, False])
def test_a_damaged_key_in_hand_settles_what_the_log_leaves_open(captures: Path, with_capture: bool):
    case = captures / "dtls-05b-device-key-broken-der"
    paths = [str(case / "capture.pcap")] if with_capture else []
    words = [*paths, "--log", str(case / "device.log"), "--keys", str(case / "keys")]
    status, out = run(*words, "--format", "json")
    assert status == 1
    (capture,) = json.loads(out)["captures"]
    for session in capture["sessions"]:
        verdict = session["verdict"]
        # A copy of a key in a folder is no proof of what the device holds (contract, section 4): inferred, with the evidence.
        assert (verdict["code"], verdict["certainty"]) == ("device-key-corrupt", "inferred")
        assert verdict["alternatives"] == [] == verdict["would_settle"]
        assert any("device.der: the device's private key is unusable" in item["text"] for item in verdict["evidence"])
        # What the firmware shows for this verdict, and what this very log says (-3d60, 16).
        shown = " ".join(verdict["device_shows"])
        assert "-3d60" in shown and "code=16" in shown and "-6800" not in shown and "code=17" not in shown
    assert capture["problems"] == [] and "advice" not in capture
    text = run(*words)[1]
    assert "To settle it" not in text and "does it parse?" not in text


def test_without_a_log_the_damaged_key_explains_why_there_is_no_session(captures: Path):
    case = captures / "dtls-05b-device-key-broken-der"
    status, out = run(str(case / "capture.pcap"), "--keys", str(case / "keys"))
    words = " ".join(out.split())
    assert status == 4
    assert (
        "the private key of device 0a10aced202194944a042f01 is unusable: damaged: a DER structure that is no key"
        in words
    )
    assert "sends nothing to its cloud" in words and "particle keys doctor 0a10aced202194944a042f01" in words
    assert "If this is a capture of that device, its key is the reason" in words
    assert "analyze keys shows that" not in words
    assert "Usual causes" in " ".join(run(str(case / "capture.pcap"))[1].split())


#: What the log and the key folder say together, where the log alone leaves it open. The codes are those of the captures.
TOGETHER = [
    ("dtls-02a-unknown-device-key-alert", "device.log", "device-key-mismatch"),
    ("dtls-02c-unknown-device-key-at-hello-silent", "device.log", "device-key-mismatch"),
    ("dtls-02e-two-keys-swapped-between-devices", "device-1.log", "device-key-mismatch"),
    ("dtls-04a-private-key-not-matching-silent", "device.log", "device-key-corrupt"),
    ("tcp-02a-cloud-wrong-devkey-brewskey", "device.log", "device-key-mismatch"),
    ("tcp-02e-cloud-wrong-devkey-core-style", "device.log", "device-key-mismatch"),
    ("tcp-03a-wrong-server-key-brewskey", "device.log", "server-key-mismatch"),
    ("tcp-03c-wrong-server-key-sparkprotocol", "device.log", "server-key-mismatch"),
    ("tcp-05-tail-devkey-sparkprotocol", "device.log", "device-key-corrupt"),
    ("tcp-26a-blank-server-key-brewskey", "device.log", "server-key-erased"),
    ("tcp-27a-pkcs8-device-key-brewskey", "device.log", "device-key-corrupt"),
]


@pytest.mark.parametrize(("name", "log", "code"), TOGETHER)
def test_a_log_and_the_keys_say_together_what_the_capture_would(captures: Path, name: str, log: str, code: str):
    case = captures / name
    ring = load_keys([case / "keys"])
    told = [session.verdict for session in analyze_logs([case / log], ring).captures[0].sessions]
    alone = [session.verdict for session in analyze_logs([case / log], KeyRing()).captures[0].sessions]
    assert {verdict.certainty for verdict in alone} == {Certainty.UNDETERMINED}
    assert {(verdict.code.value, verdict.certainty) for verdict in told} == {(code, Certainty.INFERRED)}
    assert all("The keys in hand say which" in verdict.summary and verdict.remedy for verdict in told)


@pytest.mark.parametrize(
    "log", sorted(Path(__file__).resolve().parents[2].glob("captures/*/*.log")), ids=lambda path: path.parent.name
)
def test_keys_never_make_a_log_prove_nor_blame_a_good_device(log: Path):
    keys = log.parent / "keys"
    ring = load_keys([keys]) if keys.exists() else KeyRing()
    alone = analyze_logs([log], KeyRing()).captures[0].sessions
    for session, before in zip(analyze_logs([log], ring).captures[0].sessions, alone, strict=True):
        assert session.verdict.certainty is not Certainty.PROVEN
        if before.verdict.code is Code.HEALTHY:
            assert session.verdict == before.verdict
        assert session.verdict.code in (before.verdict.code, *before.verdict.alternatives)


def test_keys_of_another_device_decide_nothing(captures: Path):
    log = captures / "dtls-05b-device-key-broken-der" / "device.log"
    ring = load_keys([captures / "dtls-02a-unknown-device-key-alert" / "keys"])
    assert analyze_logs([log], ring).captures[0].sessions == analyze_logs([log], KeyRing()).captures[0].sessions


def test_a_log_without_any_capture(captures: Path):
    status, out = run("--log", str(captures / "tcp-01a-good-brewskey-fw063" / "device.log"), "--format", "json")
    assert status == 0
    (session,) = json.loads(out)["captures"][0]["sessions"]
    assert session["verdict"]["code"] == "healthy" and session["verdict"]["certainty"] == "inferred"
    assert session["device"]["id"] == "450057001147343331353330" and session["device"]["id_source"] == "log"


def test_neither_capture_nor_log_is_a_usage_error():
    done = subprocess.run([sys.executable, "-m", "analyzer", "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--log" in done.stderr and not done.stdout


def test_a_log_that_is_not_there_cannot_be_read(tmp_path: Path):
    result = CliRunner().invoke(app, ["--log", str(tmp_path / "none.log")])
    assert result.exit_code != 0 and "none.log" in str(result.exception)


def test_a_log_that_says_nothing_gives_no_session(tmp_path: Path):
    log = tmp_path / "empty.log"
    log.write_text("hello world\n")
    assert run("--log", str(log))[0] == 4
    assert sessions_of(read_log(log)) == ()


#: Shapes of the lines of support threads 000, 003 and 004.
FORUM = """Now I get fast flashing cyan followed by fast flashing red.
Determining device status: state = dfuERROR, status = 10
dfuERROR, clearing status
dfu-util: Error during special command "ERASE_PAGE" get_status
Error - Error: Command failed: unable to load Private Key
140170135094944:error:0D07207B:asn1 encoding routines:ASN1_get_object:header too long:asn1_lib.c:150:
My error as experienced in the field was blinking cyan following by three flashes of orange, only fixed by both keys.
Our firmware reports error -19 each time.
I have a red car, and two cats.
"""


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown"])
def test_a_log_without_an_attempt_says_how_much_was_read_and_what_is_known_of_it(tmp_path: Path, form: str):
    log = tmp_path / "thread.txt"
    log.write_text(FORUM)
    status, out = run("--log", str(log), "--format", form)
    assert status == 4
    words = " ".join(re.sub(r"<[^>]*>|\\\\?|[>*]", "", html.unescape(out)).split())
    assert "9 lines read, no connection attempt in them" in words
    assert "packets read" not in words and "capture was taken" not in words
    for told in ("lines 2, 3 (", "line 4 (", "line 6 (", "line 7 (", "line 8 ("):
        assert told in words, told
    assert "line 9" not in words
    assert "three orange blinks" in words and "WICED_CONNECTION_CLOSED" in words.replace("\\", "")
    assert "particle serial monitor --follow" in words and "reset the device" in words


@pytest.mark.parametrize(("text", "lines"), [("", "0 lines"), ("0000304866 ERROR: something\n", "1 line")])
def test_a_log_with_nothing_known_in_it(tmp_path: Path, text: str, lines: str):
    log = tmp_path / "one.log"
    log.write_text(text)
    status, out = run("--log", str(log))
    assert status == 4 and f"{lines} read, no connection attempt in them\n" in out
    assert "known" not in out and "particle serial monitor --follow" in out


def test_a_log_without_an_attempt_beside_a_capture(captures: Path, tmp_path: Path):
    log = tmp_path / "thread.txt"
    log.write_text(FORUM)
    for name, status in (("synth-dtls-no-address", 4), ("tcp-01a-good-brewskey-fw063", 0)):
        got, out = run(str(captures / name / "capture.pcap"), "--log", str(log))
        assert got == status and "thread.txt: 9 lines read, no connection attempt in them" in out


def test_what_a_log_quotes_is_left_out_with_redact(captures: Path, tmp_path: Path):
    log = tmp_path / "thread.txt"
    log.write_text(FORUM)
    assert "three flashes" not in run("--log", str(log), "--redact")[1]
    out = run(str(captures / "synth-dtls-no-address" / "capture.pcap"), "--redact")[1]
    assert "runs the internet test" in out and "8.8.8.8" in out and "192.168.1.83" not in out


def test_an_attempt_that_is_not_over_is_incomplete(tmp_path: Path):
    log = tmp_path / "short.log"
    log.write_text((DATA / "seed-002.log").read_text().split("Receive key")[0])
    (session,) = sessions_of(read_log(log))
    assert session.verdict.code is Code.CAPTURE_INCOMPLETE
    assert session.verdict.certainty is Certainty.UNDETERMINED


# -- logs that fit nothing -------------------------------------------------------------------------------------------


def test_a_log_that_fits_no_session_says_what_it_can_by_itself(captures: Path):
    case, other = captures / "tcp-01a-good-brewskey-fw063", captures / "dtls-05b-device-key-broken-der"
    found = analyze_capture(case / "capture.pcap", load_keys([case / "keys"]), Options(logs=(other / "device.log",)))
    problem = found.problems[-1]
    assert problem.code == "log-unmatched"
    assert "0a10aced202194944a042f01" in problem.message and "device-key-corrupt (inferred)" in problem.message
    assert found.status == "ok" and len(found.sessions) == 1
    assert "log-disagrees" in {finding.code for finding in found.sessions[0].findings}


def test_among_several_captures_a_log_goes_where_it_fits(captures: Path):
    first, second = captures / "tcp-01a-good-brewskey-fw063", captures / "tcp-02a-cloud-wrong-devkey-brewskey"
    found = analyze_paths(
        [str(first / "capture.pcap"), str(second / "capture.pcap")],
        load_keys([first / "keys", second / "keys"]),
        Options(logs=(second / "device.log",)),
    )
    assert not any(session.log for session in found.captures[0].sessions)
    assert all(session.log for session in found.captures[1].sessions)
    assert found.captures[0].problems == () == found.captures[1].problems


@pytest.mark.parametrize("device", range(7))
def test_each_log_of_the_gateway_finds_its_own_device(captures: Path, device: int):
    case = captures / "tcp-17-gateway-mixed"
    (log,) = case.glob(f"device_{device}_*.log")
    capture: CaptureReport = analyze_capture(case / "capture.pcap", load_keys([case / "keys"]), Options(logs=(log,)))
    own = log.stem.split("_")[-1]
    paired = [session for session in capture.sessions if session.log]
    assert paired and {session.device.id for session in paired} == {own}
    assert not any(finding.code == "log-disagrees" for session in paired for finding in session.findings)


def test_no_private_key_that_a_log_prints_reaches_the_report(captures: Path):
    case = captures / "tcp-01a-good-brewskey-fw063"
    secret = next(
        word
        for line in (case / "device.log").read_text().splitlines()
        if "device key:" in line
        for word in line.split()
        if len(word) > 100
    )
    found = json.dumps(plain(report(captures, case.name, keys=True)))
    assert secret[:40] not in found and "secret-in-log" in found


def test_a_log_alone_shows_no_packets(captures: Path) -> None:
    report = analyze_logs([captures / "dtls-05b-device-key-broken-der" / "device.log"], load_keys([]))
    shown = "".join(format_text(report, Style()))
    assert "connect" in shown
    assert "SYN" not in shown, "nobody saw a SYN, and over UDP there is none"


# -- times of a session that a log tells -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "quiet", "verbose", "csv", "html", "markdown"])
@pytest.mark.parametrize(
    "logs", [["seed-002"], ["dtls-12a-retry-loop-wrong-server-key"], ["seed-002", "dtls-13-several-devices"]]
)
def test_no_form_for_people_dates_a_log_to_1970(captures: Path, form: str, logs: list[str]):
    words = [word for name in logs for word in ("--log", str(captures / name / "device.log"))]
    words += [f"--{form}"] if form in ("quiet", "verbose") else ["--format", form]
    out = run(*words)[1]
    assert "1970-" not in out
    if "seed-002" in logs and form in ("quiet", "csv", "html"):
        assert "+5:04.420" in out


def test_the_list_of_alike_sessions_counts_from_the_start(captures: Path):
    out = run("--log", str(captures / "dtls-12a-retry-loop-wrong-server-key" / "device.log"))[1]
    alike = out.split("The same in")[1]
    assert "      +0:02.009  no frames" in alike


def test_programs_keep_the_time_of_the_contract(captures: Path):
    out = run("--log", str(captures / "seed-002" / "device.log"), "--format", "json")[1]
    assert json.loads(out)["captures"][0]["sessions"][0]["start_time"] == "1970-01-01T00:05:04.420000Z"
    assert "1970-01-01T00:00:00Z" in report_schema()["$defs"]["Session"]["description"]


@pytest.mark.parametrize(
    ("time_ms", "shown"),
    [(0, "+0:00.000"), (304_420, "+5:04.420"), (3_904_420, "+1:05:04.420"), (86_400_000 * 40, "+960:00:00.000")],
)
def test_time_since_the_start_as_people_say_it(time_ms: int, shown: str):
    assert since_start(rfc3339(time_ms * 1_000_000)) == shown
    assert since_start("2026-11-21T00:26:24.900820Z") == "2026-11-21T00:26:24.900820Z"


# -- gzip'ed logs and standard input ---------------------------------------------------------------------------------


def analyze(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "analyzer", *words], input=given, capture_output=True, check=False)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_log_from_standard_input(captures: Path, pack: Callable[[bytes], bytes]):
    log = pack((captures / "seed-002" / "device.log").read_bytes())
    done = analyze("--log", "-", "--format", "json", given=log)
    (capture,) = json.loads(done.stdout)["captures"]
    assert done.returncode == 1 and capture["path"] == "-" and len(capture["sessions"]) == 2
    assert capture["sha256"] == hashlib.sha256(log).hexdigest()
    assert "told by standard input lines 1-13 alone" in done.stdout.decode()


def test_a_log_from_standard_input_beside_a_capture_and_redacted(captures: Path):
    case = captures / "seed-002"
    log = gzip.compress((case / "device.log").read_bytes())
    beside = analyze(str(case / "capture.pcap"), "--log", "-", "--format", "json", given=log)
    file = analyze(str(case / "capture.pcap"), "--log", str(case / "device.log"), "--format", "json")
    assert beside.stdout.replace(b"standard input", b"device.log") == file.stdout
    assert analyze("--log", "-", "--redact", given=log).returncode == 1


@pytest.mark.parametrize("words", [("-", "--log", "-"), ("--log", "-", "--log", "-")])
def test_standard_input_is_one_thing_only(words: tuple[str, ...]):
    done = analyze(*words)
    assert done.returncode == 2 and b"standard input (-) can be read once only" in done.stderr and not done.stdout


def test_a_gzipped_log_that_is_cut_is_used_and_said(captures: Path, tmp_path: Path):
    log = tmp_path / "kitchen.log.gz"
    log.write_bytes(gzip.compress((captures / "seed-002" / "device.log").read_bytes())[:-9])
    for words in ((), (str(captures / "seed-002" / "capture.pcap"),)):
        done = analyze(*words, "--log", str(log), "--format", "json")
        (capture,) = json.loads(done.stdout)["captures"]
        # An input that could not be finished: exit status 3 outranks 1 (contract, section 1).
        assert done.returncode == 3 and capture["status"] == "partial" and capture["sessions"]
        (problem,) = (item for item in capture["problems"] if item["code"] == "log-cut")
        assert "the gzip file ends in the middle" in problem["message"]
    redacted = analyze("--log", str(log), "--redact")
    assert b"kitchen" not in redacted.stdout + redacted.stderr
