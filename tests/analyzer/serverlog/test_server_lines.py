"""What the servers say, as data: every message of their sources is known, and is explained as a server's."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.explain import explain
from analyzer.firmware.serverlines import Says, said, server_lines
from analyzer.firmware.tables import table
from analyzer.model import Certainty, Code

DATA = Path(__file__).resolve().parent.parent.parent / "data" / "serverlogs"
MESSAGES = (DATA / "messages.txt").read_text().splitlines()


def test_every_message_of_the_servers_sources_is_explained_as_a_servers():
    titles = {message: {meaning.title for meaning in found.meanings} if (found := explain(message)) else set() for message in MESSAGES}  # fmt: skip
    assert len(titles) > 150
    assert {message for message, found in titles.items() if found != {"server log line"}} == set()


def test_each_entry_is_what_its_example_says():
    for line in server_lines():
        assert said(line.example, line.form or "text") is line, line.name
        assert line.source and line.text, line.name


def test_no_line_of_a_server_proves_anything():
    for line in server_lines():
        assert line.certainty in (Certainty.INFERRED, Certainty.UNDETERMINED)
        assert line.code not in line.rules_out and not set(line.alternatives) & set(line.rules_out), line.name
        if line.kind in (Says.FAILED, Says.FAULT) and line.name != "exception-in-handshake":
            assert line.code is not None and line.summary, line.name


def test_the_table_names_only_what_exists():
    allowed = {
        *("name", "words", "form", "kind", "stage", "text", "code", "certainty", "alternatives", "summary"),
        *("every", "lasts", "rules_out", "repair", "source", "example"),
    }
    for entry in table("serverlines")["says"]:
        assert set(entry) <= allowed, entry["name"]


@pytest.mark.parametrize(
    ("message", "device"),
    [
        ("decryption failed with code -1040", True),
        ("Handshake failed: 17", True),
        ("Handshake failed:  decryption failed", False),
    ],
)
def test_the_same_words_of_a_device_and_of_a_server_are_told_apart(message: str, device: bool):
    found = explain(message)
    assert found is not None
    titles = {meaning.title for meaning in found.meanings}
    assert ("server log line" in titles) is not device


def test_a_refusal_for_all_devices_speaks_for_the_server():
    whole = {line.name: line.every for line in server_lines() if line.every}
    assert whole == {
        "decryption-failed": Code.SERVER_FAULT,
        "identity-does-not-open": Code.SERVER_KEY_MISMATCH,
    }
