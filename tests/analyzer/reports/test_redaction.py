"""`--redact`, on every golden case: no identifier of the original is left in any format, and nothing else is touched.

What identifies somebody is collected here from the report as it was, by patterns and fields of this file's own; the
redaction is not asked. Each case is told with its keys and the device's log, and once more by the log alone.
"""

from __future__ import annotations

import html
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analyzer.keys import load_keys
from analyzer.model import Report
from analyzer.pipeline import Options, analyze_logs, analyze_paths
from analyzer.reports.json import plain
from analyzer.reports.redaction import redacted
from analyzer.reports.schema import report_schema
from analyzer.reports.writing import Style, chunks

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
CASES = sorted(path.parent.name for path in CAPTURES.glob("*/case.toml"))
LOGGED = sorted({path.parent.name for path in CAPTURES.glob("*/device*.log")})
TOLD = [*(f"{case}:capture" for case in CASES), *(f"{case}:log" for case in LOGGED)]
FORMATS = ("text", "json", "jsonl", "csv", "markdown", "html")
SALT = b"salt"
LEFT_OUT = "(left out)"

#: Addresses that name nobody, and Particle's own names.
PUBLIC = re.compile(r"8\.8\.8\.8|(?:device\.spark|(?:v[0-9]+\.)?udp\.particle)\.io", re.IGNORECASE)
#: Facts of a stage that repeat what the other side sent.
QUOTING = ("answer", "banner", "first_line", "location", "request", "server", "status_line", "title")
#: Messages that say nothing but what their type says, and numbers.
EMPTY = ("ack", "alert", "describe-request", "hello", "ping", "time", "time-request", "undecryptable")
IDENTIFYING = (
    r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w])",
    r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}",
    r"(?<![0-9a-z])[0-9a-f]{24}(?![0-9a-z])",
    r"(?<![0-9a-z])[0-9a-f]{64}(?![0-9a-z])",
    r"(?<=SHA256:)[0-9a-f]{16}",
    r"[a-z]+://[^\s\"”)]+[^\s\"”).]",
    r"(?:[a-z0-9-]+\.)+(?:example|com|net|org|io|lan|local)(?![\w-])",
)
#: Strings that a program reads: redaction has no business there.
CONTRACT = frozenset(
    {
        *(
            "schema",
            "name",
            "version",
            "role",
            "kind",
            "status",
            "code",
            "format",
            "link_types",
            "first_time",
            "last_time",
        ),
        *("transport", "protocol", "id_source", "role_source", "start_time", "history", "stage", "direction", "time"),
        *("outcome", "proof", "type", "by", "how", "certainty", "alternatives", "failing_since"),
    }
)


def _logs(told: str) -> tuple[Path, ...]:
    return tuple(sorted((CAPTURES / told.partition(":")[0]).glob("device*.log")))


@cache
def _report(told: str) -> Report:
    case, _, by = told.partition(":")
    folder = CAPTURES / case
    spec = tomllib.loads((folder / "case.toml").read_text())
    logs = _logs(told)
    keys = [path for path in (folder / "keys", folder / spec.get("secrets", "sslkeys.log")) if path.exists()]
    if by == "log":
        return analyze_logs(logs, load_keys(keys))
    return analyze_paths([str(folder / spec["capture"])], load_keys(keys), Options(logs=logs))


@cache
def _hidden(told: str) -> Report:
    return redacted(_report(told), SALT)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


@cache
def _identifiers(told: str) -> frozenset[str]:
    """Everything that names somebody, from all of the report's texts, and its files."""
    report = plain(_report(told))
    found: set[str] = set()
    for text in _strings({**report, "tool": None}):
        for pattern in IDENTIFYING:
            found |= {item for item in re.findall(pattern, text, re.IGNORECASE) if not PUBLIC.fullmatch(item)}
        found |= {word for word in re.findall(r"[0-9a-f:]*::?[0-9a-f:]+", text) if _is_ipv6(word)}
    files = [key["file"] for key in report["keys"]] + [path.name for path in _logs(told)]
    for capture in report["captures"]:
        files.append(capture["path"])
        for session in capture["sessions"]:
            found |= {session["cloud"]["host"]} - {None} if not PUBLIC.search(session["cloud"]["host"] or "") else set()
            found |= {stage["fields"].get("connection_id") for stage in session["stages"]} - {None}
    return frozenset(found | set(files) | {Path(name).name for name in files})


def _is_ipv6(word: str) -> bool:
    try:
        return ip_address(word).version == 6
    except ValueError:
        return False


@cache
def _quotations(told: str) -> frozenset[str]:
    """What strangers, messages and log lines say. What our own advice says in the same words is no quotation."""
    found: set[str] = set()
    own = ""
    for capture in plain(_report(told))["captures"]:
        for session in capture["sessions"]:
            verdict = session["verdict"]
            own += "\n".join(_strings([verdict["device_shows"], verdict["remedy"], verdict["would_settle"]]))
            for stage in session["stages"]:
                found |= {stage["fields"][name] for name in QUOTING if isinstance(stage["fields"].get(name), str)}
            found |= {message["summary"] for message in session["messages"] if message["type"] not in EMPTY}
            found |= {line["text"] for line in session["log"]}
    # What is ours to the last letter ("TLS alert handshake_failure") is no quotation either.
    return frozenset(text for text in found if text and text not in own and not text.startswith("TLS alert "))


def _shown(report: Report, format: str) -> str:
    text = "".join(chunks(report, format, Style(width=4000, verbose=True)))
    if format == "markdown":
        return text.replace("\\", "")
    if format == "html":
        page = re.sub(r"(?s)<(style|script).*?</\1>", " ", text)
        return page + html.unescape(re.sub(r"<[^>]*>", "", page))
    if format in ("json", "jsonl"):
        return "\n".join(
            "\n".join(_strings(json.loads(row))) for row in (text.splitlines() if format == "jsonl" else [text])
        )
    return text


def _leaks(shown: str, items: frozenset[str], *, exact: bool = False) -> list[str]:
    """Those of ``items`` that stand in a text by themselves; ``exact``: capital letters matter."""
    edges = r"(?<![0-9A-Za-z])(?<![0-9]\.){}(?![0-9A-Za-z])(?!\.[0-9])"
    flags = 0 if exact else re.IGNORECASE
    lower = shown.lower()
    near = (item for item in sorted(items) if item.lower() in lower)
    return [item for item in near if re.search(edges.format(re.escape(item)), shown, flags)]


@pytest.mark.parametrize("told", TOLD)
def test_no_identifier_is_left_in_any_format(told: str) -> None:
    for format in FORMATS:
        assert _leaks(_shown(_hidden(told), format), _identifiers(told)) == [], format


@pytest.mark.parametrize("told", TOLD)
def test_no_quotation_is_left_in_any_format(told: str) -> None:
    for format in FORMATS:
        assert _leaks(_shown(_hidden(told), format), _quotations(told), exact=True) == [], format


@pytest.mark.parametrize("format", FORMATS)
def test_the_search_finds_what_is_there(format: str) -> None:
    """Without redaction the same search finds all of it: it is no search that cannot fail."""
    for case in ("tcp-07a-captive-portal-302:capture", "seed-002:capture", "dtls-13-several-devices:capture"):
        shown = _shown(_report(case), format)
        session = _report(case).captures[0].sessions[0]
        wanted = {session.cloud.address, session.device.id or session.device.address}
        assert wanted <= set(_leaks(shown, _identifiers(case)))
    portal = _shown(_report("tcp-07a-captive-portal-302:capture"), format)
    assert "http://login.guest.example/hotspot?mac=00:00:5e:00:53:01&orig=203.0.113.10" in portal
    assert _leaks(portal, _quotations("tcp-07a-captive-portal-302:capture"))


def _pairs(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """All values of both reports, side by side; the same in shape."""
    assert type(before) is type(after), name
    if isinstance(before, dict):
        assert list(before) == list(after), name
        for key in before:
            yield from _pairs(before[key], after[key], key)
    elif isinstance(before, list):
        assert len(before) == len(after), name
        for one, other in zip(before, after, strict=True):
            yield from _pairs(one, other, name)
    else:
        yield name, before, after


@pytest.mark.parametrize("told", TOLD)
def test_verdicts_numbers_and_words_stay(told: str) -> None:
    before, after = plain(_report(told)), plain(_hidden(told))
    names = sorted(_identifiers(told), key=len, reverse=True)
    for field, one, other in _pairs(before, after):
        if not isinstance(one, str) or field in CONTRACT and not (field == "name" and "." in one):
            assert one == other, field
        elif LEFT_OUT in other:
            left = iter(re.findall(r"(?<![\w.])[A-Za-z]+(?![\w.])", one))
            kept = re.findall(r"(?<![\w.-])[A-Za-z]+(?![\w.-])", other.replace(LEFT_OUT, " "))
            assert all(word in left for word in kept), (one, other)
        elif one != other and other:
            words, others = one.split(), other.split()
            assert len(words) == len(others), (one, other)
            for word, new in zip(words, others, strict=True):
                known = any(name.lower() in word.lower() for name in names)
                assert word == new or known or _made_of(word, names), (one, other)


def _made_of(word: str, files: list[str]) -> bool:
    """The name our advice gives the public half that it makes of a key's file."""
    bare = word.strip("'").removesuffix(".der").removesuffix(".pub")
    return any(Path(name).name.startswith(bare) for name in files)


@pytest.mark.parametrize("told", TOLD)
def test_the_report_stays_one(told: str) -> None:
    _schema().validate(json.loads("".join(chunks(_hidden(told), "json", Style()))))


@cache
def _schema() -> Any:
    """One validator for all: made anew, it would check the schema itself each time."""
    schema = report_schema()
    return jsonschema.validators.validator_for(schema)(schema)


def _masked(report: Report) -> list[str]:
    """Its texts with one mark for every pseudonym: what is the same whatever the pseudonyms are."""
    shapes = (
        r"[0-9a-f]{64}|[0-9a-f]{24}|SHA256:[0-9a-f]{16}|(?<![0-9a-f])[0-9a-f]{6}(?=\.)|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
    )
    hosts = {
        label
        for capture in report.captures
        for session in capture.sessions
        for label in (session.cloud.host or "").split(".")
        if session.cloud.host and not session.cloud.host.endswith(".io")
    }
    labels = "".join(rf"|(?<![a-z]){re.escape(label)}(?![a-z])" for label in hosts if label)
    ipv6 = r"|(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{1,4}|(?<=^)[0-9a-f]{16}$"
    return [re.sub(shapes + labels + ipv6, "*", text) for text in _strings(plain(report))]


@pytest.mark.parametrize("told", TOLD)
def test_redacting_twice_finds_nothing_more(told: str) -> None:
    """Other pseudonyms, and not a word more."""
    assert _masked(redacted(_hidden(told), b"another")) == _masked(_hidden(told))
    assert redacted(_report(told), SALT) == _hidden(told)


@pytest.mark.parametrize("told", TOLD)
def test_private_addresses_stay_private(told: str) -> None:
    for capture, hidden in zip(_report(told).captures, _hidden(told).captures, strict=True):
        for before, after in zip(capture.sessions, hidden.sessions, strict=True):
            for one, other in (
                (before.device.address, after.device.address),
                (before.cloud.address, after.cloud.address),
            ):
                assert bool(one) == bool(other)
                assert not one or ip_address(one).is_private <= ip_address(other).is_private or ":" in one or "." in one
                if one.startswith(("10.", "192.168.")):
                    assert ip_address(other).is_private


def test_a_device_is_called_the_same_everywhere() -> None:
    hidden = _hidden("tcp-18a-lost-server-address:capture")
    device = hidden.captures[0].sessions[0].device.id
    assert device is not None
    assert {key.device_id for key in hidden.keys if key.device_id} == {device}
    assert all(key.file.startswith(device) for key in hidden.keys if key.device_id)


@pytest.mark.parametrize("told", TOLD)
def test_every_key_has_a_name_of_its_own(told: str) -> None:
    before, after = ({key.file for key in report.keys} for report in (_report(told), _hidden(told)))
    assert len(before) == len(after)


def test_one_salt_one_pseudonym() -> None:
    report = _report("tcp-17-gateway-mixed:capture")
    first, again, other = (redacted(report, salt) for salt in (b"a", b"a", b"b"))
    assert first == again
    assert first.captures[0].sessions[0].device.address != other.captures[0].sessions[0].device.address
