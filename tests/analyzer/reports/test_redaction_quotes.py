"""`--redact` against what others wrote: answers of strangers, names of files and logs, servers, messages, odd names.

Each test plants a word that nobody would use by chance, sees that the report has it, and that the redacted one has not.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import model
from analyzer.keys import KeyRing, load_keys
from analyzer.model import Evidence, Finding, InputProblem, LogLine, Message, Report, ShownSecret
from analyzer.pipeline import Options, analyze_logs, analyze_paths
from analyzer.reports.redaction import LEFT_OUT, redacted
from analyzer.reports.redaction.search import Words, replaced
from analyzer.reports.writing import Style, chunks
from captures.synth.case import Lab
from captures.synth.recipes.tcp_stages import stranger
from dissectors.events import Direction
from tests.analyzer.reports import example

ROOT = Path(__file__).resolve().parents[3]
CAPTURES = ROOT / "captures"
FORMATS = ("text", "json", "jsonl", "csv", "markdown", "html")
NAME = "Quokka"


def _shown(report: Report) -> str:
    """The report in all formats, as a reader sees it and as it is stored."""
    text = ""
    for format in FORMATS:
        text += "".join(chunks(report, format, Style(width=4000, verbose=True)))
        text += "".join(chunks(report, format, Style(width=80)))
    return text + html.unescape(text) + text.replace("\\", "")


def _summaries(report: Report) -> list[str]:
    return [session.verdict.summary for capture in report.captures for session in capture.sessions]


def _words(report: Report) -> str:
    session = report.captures[0].sessions[0]
    told = (*(item.text for item in session.verdict.evidence), *(item.summary for item in session.findings))
    return "\n".join((session.verdict.summary, *told))


# -- strangers ---------------------------------------------------------------------------------------------------------

#: What answers in the cloud's place, and what is said of it once it is redacted.
ANSWERS = {
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://quokka.example/?mac=00:00:5e:00:53:01&u=Quokka\r\n\r\n",
                 "HTTP 302, redirect to (left out)"),
    "plain redirect": (b"HTTP/1.1 302 Found\r\nLocation: Quokka\r\nServer: Quokka\r\n\r\n", "HTTP 302, redirect to (left out)"),
    "title": (b"HTTP/1.1 200 OK\r\nServer: Quokka\r\n\r\n<html><title>Quokka</title>", "HTTP 200, title “(left out)”"),
    "long title": (b"HTTP/1.1 200 OK\r\n\r\n<title>" + b"Quokka's Wi-Fi, 12 Main Street " * 6 + b"</title>",
                   "HTTP 200, title “(left out)”"),
    "page": (b"<html><head><title>Welcome to Quokka's home</title></head>", "an HTML page, title “(left out)”"),
    "request": (b"GET http://quokka.example/Quokka HTTP/1.1\r\nHost: quokka.example\r\n\r\n", "HTTP request (left out)"),
    "odd status": (b"HTTP/1.1 Quokka says no\r\nServer: Quokka/1.0\r\n\r\n", "HTTP response"),
    "lines": (b"Quokka router\nserial of Quokka 00-00-5E-00-53-01\nlogin of quokka: ", "text: (left out)"),
    "ssh": (b"SSH-2.0-Quokka_9.2p1 Debian-2+deb12u3\r\n", "SSH banner (left out)"),
    "ftp": (b"220 quokka.example FTP of Quokka ready at 10.1.2.3\r\n", "FTP banner (left out)"),
    "smtp": (b"220 mail.quokka.example ESMTP Postfix (Quokka)\r\n", "SMTP banner (left out)"),
    "pop3": (b"+OK Quokka POP3 ready <17.4@quokka.example>\r\n", "POP3 banner (left out)"),
    "imap": (b"* OK [CAPABILITY IMAP4rev1] Quokka ready\r\n", "IMAP banner (left out)"),
    "redis": (b"-ERR unknown command 'Quokka'\r\n", "REDIS banner (left out)"),
    "rtsp": (b"RTSP/1.0 400 Quokka camera\r\n\r\n", "RTSP response (left out)"),
    "sip": (b"SIP/2.0 400 Quokka phone\r\n\r\n", "(left out)"),
    "mysql": (b"\x4a\0\0\0\x0a5.7.1-Quokka\0" + b"\x08" * 40, "MySQL greeting (left out)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_a_stranger_answers_is_left_out(kind: str, tmp_path: Path) -> None:
    answer, told = ANSWERS[kind]
    capture = tmp_path / "capture.pcap"
    capture.write_bytes(stranger(Lab(f"redaction {kind}"), "", answer).capture)
    report = analyze_paths([str(capture)], KeyRing(()))
    assert "quokka" in _summaries(report)[0].lower() or kind == "odd status"
    hidden = redacted(report, b"salt")
    assert "quokka" not in _shown(hidden).lower()
    assert told in _summaries(hidden)[0]
    assert hidden.captures[0].sessions[0].verdict.code is report.captures[0].sessions[0].verdict.code


def test_a_quoted_word_goes_and_ours_stays() -> None:
    """A portal that calls itself `portal`: the advice about captive portals stays as it is."""
    case = CAPTURES / "tcp-07a-captive-portal-302"
    session = redacted(analyze_paths([str(case / "capture.pcap")], KeyRing(())), b"salt").captures[0].sessions[0]
    assert "it calls itself: (left out)" in [item.text for item in session.verdict.evidence]
    assert any("captive portal" in remedy.text for remedy in session.verdict.remedy)


def test_facts_that_nobody_has_named_yet_are_left_out() -> None:
    """An allow-list: a fact a later version adds is left out until it is known to be ours."""
    fields = {
        "wifi": "Quokka's network",
        "neighbours": ("Quokka 5G", "Quokka 2G"),
        "count": 7,
        "sizes": (1, 2),
        "is_open": True,
    }
    session = example.session(stages=(example.stage("nonce", frames=(6,), **fields),))
    session = replace(session, findings=(Finding("x", session.verdict.certainty, "the network is Quokka's network"),))
    hidden = redacted(example.report(example.capture(session)), b"salt")
    assert NAME not in _shown(hidden)
    left = hidden.captures[0].sessions[0]
    assert left.stages[0].fields == {**fields, "wifi": LEFT_OUT, "neighbours": (LEFT_OUT, LEFT_OUT)}
    assert left.findings[0].summary == f"the network is {LEFT_OUT}"


# -- logs --------------------------------------------------------------------------------------------------------------

LOG_NAMES = ("JaneDoe-kitchen.log", "Jane Doe (1).log", "JaneDoe", "jane.doe.2026-03", "Jäne.txt", "JD", "log", "JaneDoe.pcap.log",
             "line 3: JaneDoe.log", "54ff73066672524813250167.log", "JaneDoe+[x].log")  # fmt: skip


def _log(name: str, folder: Path, case: str = "seed-002") -> Path:
    return Path(shutil.copy(CAPTURES / case / "device.log", folder / name))


def _without(name: str, hidden: Report) -> None:
    shown = _shown(hidden)
    if name == "log":  # our own word: it stays a word, and is nowhere a name
        assert not re.search(r"(?<![\w.])log line [0-9]|told by log |in log[: ]", shown)
        return
    for part in {name, *re.findall(r"[Jj][aä]ne(?=\W)|[Jj]aneDoe|Doe|JD|54ff73066672524813250167", name)}:
        assert not re.search(rf"(?<![0-9A-Za-z]){re.escape(part)}(?![0-9A-Za-z])", shown), part


@pytest.mark.parametrize("name", LOG_NAMES)
def test_a_log_alone(name: str, tmp_path: Path) -> None:
    report = analyze_logs([_log(name, tmp_path)], KeyRing(()))
    hidden = redacted(report, b"salt")
    assert name in _words(report)
    _without(name, hidden)
    assert hidden.captures[0].path == "log-1.log"
    assert "told by log-1.log lines 1-13 alone: no capture shows this attempt" in _words(hidden)
    assert f"(log-1.log line 1: {LEFT_OUT}): the device goes to Particle's cloud" in _words(hidden)


@pytest.mark.parametrize("name", LOG_NAMES)
def test_a_log_beside_a_capture(name: str, tmp_path: Path) -> None:
    """One that fits its sessions, one of another device, one of no device, and one that holds nothing."""
    logs = [_log(name, tmp_path)]
    for case in ("tcp-19-mid-session", "tcp-01f-good-by-name-with-dns"):
        (tmp_path / case).mkdir()
        logs.append(_log(name, tmp_path / case, case))
    empty = tmp_path / "empty" / name
    empty.parent.mkdir()
    empty.write_text("nothing that is known\n")
    for capture in ("seed-002", "tcp-02a-cloud-wrong-devkey-brewskey"):
        folder = CAPTURES / capture
        keys = load_keys([folder / "keys"])
        for some in (logs[:1], logs[1:2], logs[2:], [empty], [*logs, empty]):
            report = analyze_paths([str(folder / "capture.pcap")], keys, Options(logs=tuple(some)))
            _without(name, redacted(report, b"salt"))


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_log_without_an_attempt_says(beside: bool, tmp_path: Path) -> None:
    log = tmp_path / "Quokka.log"
    log.write_text(
        "Quokka's Photon blinks cyan (at home): then one red flash\nmail of Quokka: (x): error -19 (Quokka)\n"
    )
    capture = str(CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey" / "capture.pcap")
    report = analyze_paths([capture], KeyRing(()), Options(logs=(log,))) if beside else analyze_logs([log], KeyRing(()))
    problems = report.captures[0].problems
    assert {item.code for item in problems} == {"log-without-attempt", "known-line"} and NAME in str(problems)
    hidden = redacted(report, b"salt")
    assert NAME not in _shown(hidden)
    told = [item.message for item in hidden.captures[0].problems if item.code == "known-line"]
    assert all(re.match(rf"(log-1.log: )?line \d \({re.escape(LEFT_OUT)}\): .{{20}}", text) for text in told), told


def test_a_log_that_disagrees() -> None:
    said = "Unable to receive key of Quokka -19"
    text = f"the device logs a failure ({said}), the capture shows a good session (Quokka.log lines 1-9)"
    more = f"the device logs that the 40 bytes did not come (no {NAME} (5)), the capture shows them; {text}"
    session = example.session(log=(LogLine("Quokka.log", 1, 5, None, said),))
    found = tuple(Finding("log-disagrees", session.verdict.certainty, item) for item in (text, more))
    hidden = redacted(example.report(example.capture(replace(session, findings=found))), b"salt")
    assert NAME not in _shown(hidden)
    assert hidden.captures[0].sessions[0].findings[0].summary == (
        "the device logs a failure ((left out)), the capture shows a good session (log-1.log lines 1-9)"
    )


def test_what_a_number_in_a_log_means_stays(tmp_path: Path) -> None:
    hidden = redacted(analyze_logs([_log("JaneDoe.log", tmp_path)], KeyRing(())), b"salt")
    assert f"log-1.log line 10: {LEFT_OUT} (WICED_CONNECTION_CLOSED)" in _words(hidden)


def test_advice_that_quotes_a_log_line_of_the_firmware_stays() -> None:
    session = example.session(log=(LogLine("device.log", 1, 5, None, "Unable to receive key -19"),))
    hidden = redacted(example.report(example.capture(session)), b"salt").captures[0].sessions[0]
    assert hidden.verdict.device_shows == session.verdict.device_shows
    assert hidden.log[0].text == LEFT_OUT


# -- files, keys, servers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Quokka.pem", "quokka/Quokka's key.pem", "Quokka", "54ff73066672524813250167_Quokka.pem",
                                  "my.Quokka.pub.pem", "Quokka.quokka", "key", "a b.pem"])  # fmt: skip
def test_a_key_file_of_any_name(name: str, tmp_path: Path) -> None:
    case = CAPTURES / "tcp-03a-wrong-server-key-brewskey"
    keys = tmp_path / "keys"
    shutil.copytree(case / "keys", keys)
    cloud = next(keys.rglob("default_key.pem"))
    (keys / name).parent.mkdir(exist_ok=True)
    cloud.rename(keys / name)
    report = analyze_paths([str(case / "capture.pcap")], load_keys([keys]))
    assert name in {row.file for row in report.keys}
    hidden = redacted(report, b"salt")
    assert "quokka" not in _shown(hidden).lower()
    assert not re.search(r"(?<![0-9a-z.])a b(?![0-9a-z])", _shown(hidden)) or name != "a b.pem"
    for before, after in zip(report.captures[0].sessions, hidden.captures[0].sessions, strict=True):
        used = {attempt.key: other.key for attempt, other in zip(before.attempts, after.attempts, strict=True)}
        assert len(set(used.values())) == len(used), "two keys are one"


def test_paths_go_whole(tmp_path: Path) -> None:
    problem = InputProblem(
        "unreadable", "/home/quokka/Captures of mine/x: tshark: C:\\Users\\Quokka\\x.pcap and ~/quokka/y"
    )
    capture = example.capture(path="/home/quokka/Desktop/Quokka 1.quokka.pcap.gz", problems=(problem,))
    hidden = redacted(example.report(capture, replace(capture, path="quokka/b.pcapng")), b"salt")
    assert "quokka" not in _shown(hidden).lower()
    assert [item.path for item in hidden.captures] == ["capture-1.pcap.gz", "capture-2.pcapng"]


def test_sessions_of_several_captures() -> None:
    first, second = (example.capture(path=path) for path in ("quokka/Quokka 1.pcap", "-"))
    told = "2 attempts: got through until 23:31:43 (quokka/Quokka 1.pcap#s1), failed from 23:31:44 on (-#s1): address: 192.168.1.50 then"
    names = ("quokka/Quokka 1.pcap#s1", "-#s1")
    story = replace(first.stories[0], sessions=names, summary=told, last_good=names[0], first_bad=names[1])
    hidden = redacted(replace(example.report(first, second), stories=(story,)), b"salt")
    assert "quokka" not in _shown(hidden).lower()
    left = hidden.stories[0]
    assert (left.sessions, left.last_good, left.first_bad) == (
        ("capture-1.pcap#s1", "capture-2#s1"),
        *("capture-1.pcap#s1", "capture-2#s1"),
    )
    assert (
        "until 23:31:43 (capture-1.pcap#s1), failed from 23:31:44 on" in left.summary
        and "192.168.1.50" not in left.summary
    )


@pytest.mark.parametrize(
    "host", ["quokka.example", "quokka", "Quokka.LAN", "server", "q", "quokka.particle.io", "quokka.github.io"]
)
def test_a_server_by_name(host: str) -> None:
    session = example.session()
    texts = (
        f"the device has {host}:5683 stored as its server (slot.bin) and talks to 203.0.113.10:5683",
        f"the device asks for device.spark.io although slot.bin says its server is {host}: what it holds now is not what that file says",
        f"The device holds the key of the cloud at {host} and talks to 203.0.113.10:5683, which is not that cloud.",
    )
    remedy = replace(session.verdict.remedy[0], commands=(f"particle keys server x.der --host {host} --port 5683", f"nc -vz {host} 5683",
                                                          f"particle keys server x.der {host}", f"nslookup {host}"))  # fmt: skip
    verdict = replace(session.verdict, evidence=tuple(map(Evidence, texts)), remedy=(remedy,))
    hidden = (
        redacted(example.report(example.capture(replace(session, verdict=verdict))), b"salt").captures[0].sessions[0]
    )
    told = "\n".join((*(item.text for item in hidden.verdict.evidence), *hidden.verdict.remedy[0].commands))
    assert "quokka" not in told.lower()
    for before in ("has", "server is", "cloud at", "--host", "-vz", "nslookup", "x.der"):
        assert not re.search(rf"{before} {re.escape(host)}(?![\w.])", told)
    assert "stored as its server (" in told and "although " in told and "says its server is " in told
    assert ("device.spark.io" in told) and (told.count("particle.io") == (7 if host.endswith("particle.io") else 0))


def test_what_is_quoted_of_a_message_goes() -> None:
    session = example.session(
        messages=(
            Message(Direction.UP, (20,), example.START, "event", "publishes event Quokka: at home", 21.4),
            Message(Direction.UP, (21,), example.START, "hello", "Hello: Photon, product 6", 21.5),
            Message(Direction.UP, (22,), example.START, "variable-value", "temp", 21.6),
        ),
        findings=(Finding("x", example.MISMATCH.certainty, "after that it publishes event Quokka: at home, and no more"),),
    )  # fmt: skip
    said = (
        "it decrypts: publishes event Quokka: at home",
        "it decrypts: Hello: Photon, product 6",
        "it decrypts: only Quokka knows",
    )
    verdict = replace(session.verdict, evidence=tuple(map(Evidence, said)), summary="The temp is fine")
    hidden = redacted(example.report(example.capture(replace(session, verdict=verdict))), b"salt")
    assert NAME not in _shown(hidden)
    left = hidden.captures[0].sessions[0]
    assert [item.text for item in left.verdict.evidence] == [
        f"it decrypts: {LEFT_OUT}",
        said[1],
        f"it decrypts: {LEFT_OUT}",
    ]
    assert [item.summary for item in left.messages] == ["", "Hello: Photon, product 6", ""]
    assert left.verdict.summary == "The temp is fine"
    assert left.findings[0].summary == f"after that it {LEFT_OUT}, and no more"


def test_session_secrets_go_too() -> None:
    session = example.session(secrets=(ShownSecret("nss-key-log", "CLIENT_RANDOM " + "ab" * 32 + " " + "cd" * 48),))
    hidden = redacted(replace(example.report(example.capture(session)), secrets_shown=True), b"salt")
    assert "cdcd" not in _shown(hidden) and not hidden.secrets_shown


# -- garbage -----------------------------------------------------------------------------------------------------------


def run(*words: object, stdin: bytes | None = None) -> str:
    """Standard output of the program, run as a shell would, with 80 columns."""
    done = subprocess.run([sys.executable, "-m", "analyzer", *map(str, words)], input=stdin, capture_output=True,
                          cwd=ROOT, timeout=120, check=False, env={"COLUMNS": "80", "PATH": "", "PYTHONUTF8": "1"})  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr
    return done.stdout.decode()


@pytest.mark.parametrize("words", [("--log", CAPTURES / "seed-002" / "device.log"),
                                   (CAPTURES / "synth-dns-unanswered" / "capture.pcap",)])  # fmt: skip
def test_an_address_that_is_not_known_is_no_word(words: tuple[object, ...]) -> None:
    shown, hidden = run(*words), run(*words, "--redact")
    assert f"{LEFT_OUT}T" not in hidden and not re.search(r"\w\(left out\)|\(left out\)\w", hidden)
    # The same lines of advice, word for word.
    advice = [line for line in shown.splitlines() if line.startswith("        ") and "." in line and "│" not in line]
    assert len(advice) > 3
    assert [line for line in advice if line not in hidden and "device.log" not in line] == []


def test_standard_input_has_no_name(tmp_path: Path) -> None:
    capture = CAPTURES / "seed-001" / "capture.pcap"
    hidden = run("-", "--redact", "--verbose", stdin=capture.read_bytes())
    assert "session-key-unusable" in hidden and "capture-1" not in hidden
    assert hidden.count("-") >= run("-", "--verbose", stdin=capture.read_bytes()).count("-")


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc", "<abc>"), ("ABC, abc.", "<abc>, <abc>."), ("xabc abcx abc1", "xabc abcx abc1"), ("x_abc-y", "x_<abc>-y"),
        ("/a/abc.pem: abc", "<path>: <abc>"), ("[x] y", "<odd> y"), ("a[x]b", "a<odd>b"), ("İabc abc", "İabc <abc>"),
        ("abc def ghi", "<long> ghi"), ("abc def", "<long>"), ("Exact exact", "<exact> exact"),
        ("captive no, it is: no", "captive no, it is: <no>"), ("“no”", "“<no>”"), ("as: none, or: no.", "as: none, or: <no>."),
        ("is: no.example", "is: no.example"), ("", ""),
    ],
)  # fmt: skip
def test_words_stand_alone(text: str, told: str) -> None:
    words = Words()
    for word in ("abc", "abc def", "/a/abc.pem", "[x]", "", "-", "..."):
        words.add(word, {"abc def": "<long>", "/a/abc.pem": "<path>", "[x]": "<odd>"}.get(word, f"<{word}>"))
    words.add("Exact", "<exact>", exact=True)
    words.add("no", "<no>", quoted=True)
    assert replaced(text, (words,)) == told


@given(st.lists(st.text("ab-. İ“", min_size=1), max_size=6), st.text("ab-. İ“", max_size=40))
def test_words_touch_nothing_else(known: list[str], text: str) -> None:
    """Every word replaced by itself: the text is what it was."""
    words = Words()
    for word in known:
        words.add(word, word, exact=True)
    assert replaced(text, (words,)) == text


PLANTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=4, max_size=30)


@settings(max_examples=150)
@given(
    words=st.lists(PLANTED.filter(lambda text: sum(map(str.isalnum, text)) > 3), min_size=5, max_size=5, unique=True)
)
def test_whatever_it_is_called(words: list[str]) -> None:
    """Any capture, key, log, log line and fact: none of them is in any text of the redacted report."""
    # A mark keeps chance out: it is in no text of ours.
    path, key, log, line, fact = (f"qX{number}{text.strip()}Xq" for number, text in enumerate(words))
    session = example.session(
        log=(LogLine(log, 3, 9, None, line),),
        stages=(
            example.stage("nonce", frames=(6,), looks_like="http", title=fact, answer=f"HTTP 200, title “{fact}”"),
        ),
    )
    texts = (
        f"{log} line 3: {line} (EPERM)",
        f"page title: {fact}",
        f"the 256 bytes open with {key} (SHA256:0123456789abcdef)",
        line,
    )
    verdict = replace(
        session.verdict, evidence=tuple(map(Evidence, texts)), summary=f"It answers: HTTP 200, title “{fact}”."
    )
    report = example.report(
        example.capture(replace(session, verdict=verdict), path=path), keys=(replace(example.KEYS[0], file=key),)
    )
    hidden = redacted(report, b"salt")
    left = _leaves(hidden)
    for word in (path, key, log, line, fact):
        assert not [text for text in left if word in text], word
    assert [item.code for item in hidden.captures[0].problems] == [item.code for item in report.captures[0].problems]


def _full(hint: Any) -> Any:
    """A value of a type of the model with an identifier in every text of it: what a later version adds is there too."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _full(next(item for item in inner if item is not type(None)))
    if origin is tuple:
        return (_full(inner[0]),)
    if origin is Mapping:
        return {"1": _full(inner[1])}
    if origin is Literal:
        return inner[0]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint, vars(model))
        return hint(**{field.name: _full(hints[field.name]) for field in fields(hint)})
    return PLANT if hint is str else hint(1)


PLANT = "203.0.113.77"
#: Texts of a report that are ours or the protocol's, by type and field.
OURS = {
    "Report.schema", "Tool.name", "Tool.version", "KeyRow.kind", "CaptureReport.format", "CaptureReport.link_types",
    "CaptureReport.first_time", "CaptureReport.last_time", "InputProblem.code", "Session.id", "Session.start_time", "Session.history",
    "Device.id_source", "Device.role_source", "Stage.stage", "Stage.time", "Attempt.stage", "Message.time", "Message.type",
    "Verdict.stage", "Finding.code", "LogLine.stage", "Story.failing_since", "Story.sessions", "Story.last_good", "Story.first_bad",
}  # fmt: skip


def test_no_field_is_forgotten() -> None:
    """Every text of every type of the model is looked at, or is known to be ours: also one that is added tomorrow."""
    hidden = redacted(_full(model.Report), b"salt")

    def walk(value: Any, place: str) -> Iterator[str]:
        if isinstance(value, str) and not isinstance(value, Enum) and PLANT in value:
            yield place
        elif isinstance(value, tuple):
            for item in value:
                yield from walk(item, place)
        elif isinstance(value, Mapping):
            for item in value.values():
                yield from walk(item, place)
        elif is_dataclass(value):
            for field in fields(value):
                yield from walk(getattr(value, field.name), f"{type(value).__name__}.{field.name}")

    assert set(walk(hidden, "")) - OURS == set()


def _leaves(value: Any) -> list[str]:
    from analyzer.reports.json import plain

    def walk(item: Any) -> list[str]:
        if isinstance(item, str):
            return [item]
        inside = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        return [text for part in inside for text in walk(part)]

    return walk(plain(value))
