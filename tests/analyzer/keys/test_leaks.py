"""No secret leaves the key folder: not in a report, an error, a log, a repr or a file."""

from __future__ import annotations

import base64
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from analyzer.keys import damaged_parts, load_keys, repair
from analyzer.keys.pairing import compare
from analyzer.reports.keys import run_keys_report
from analyzer.reports.writing import Style
from tests import leaks

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return leaks.plant(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize(
    "form",
    [
        lambda data: data,
        lambda data: data.hex().encode(),
        lambda data: data.hex(":").upper().encode(),
        lambda data: b"x" + data.hex().encode(),
        base64.b64encode,
        lambda data: base64.b64encode(b"z" + data),
        lambda data: str(int.from_bytes(data, "big")).encode(),
        lambda data: repr(int.from_bytes(data, "big")).encode()[5:],
        lambda data: data[3:15],
    ],
    ids=["raw", "hex", "colons", "odd hex", "base64", "shifted base64", "decimal", "cut decimal", "piece"],
)
def test_the_search_finds_every_secret_in_every_form(form):
    for secret in leaks.secrets():
        if len(secret.data) >= 24:
            assert any(
                leak.startswith(secret.name)
                for leak in leaks.find_leaks(leaks.secrets(), b"before " + form(secret.data) + b" after")
            ), secret.name


def test_every_secret_is_planted(planted):
    folder, secrets = planted
    missing = {secret.name for secret in secrets} - {"passphrase"}
    for path in folder.rglob("*"):
        if path.is_file():
            missing -= {leak.rpartition(" (")[0] for leak in leaks.find_leaks(secrets, path.read_bytes())}
    assert not missing


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("passphrases", [(), (leaks.PASSPHRASE,)], ids=["locked", "opened"])
def test_reports_hold_no_secret(planted, format, verbose, passphrases, caplog, capfd):
    folder, secrets = planted
    with caplog.at_level(logging.DEBUG):
        pieces, status = run_keys_report(load_keys([folder], passphrases=passphrases), format, Style(verbose=verbose))
        report = "".join(pieces)
    assert status == 1
    assert len(report) > 3000
    assert leaks.find_leaks(secrets, report, caplog.text, *capfd.readouterr()) == []


def test_nothing_shown_of_any_object_holds_a_secret(planted):
    folder, secrets = planted
    ring = load_keys([folder], passphrases=[leaks.PASSPHRASE])
    report = compare(ring)
    shown = [
        repr(ring),
        repr(ring.keys),
        repr(ring.rows()),
        repr(ring.session_secrets),
        repr(report),
        repr(ring.findings),
        repr(ring.skipped),
    ]
    for key in ring.keys:
        shown += [repr(key.rsa), repr(key.ec), str(key.server_address), str(key)]
        if key.slot is not None:
            whole = repair(key.slot)
            shown += [repr(whole), repr(damaged_parts(key.slot, whole)) if whole else ""]
    assert leaks.find_leaks(secrets, *shown) == []


def test_errors_hold_no_secret(planted):
    folder, secrets = planted
    shown = []
    for path in sorted(folder.rglob("*")):
        try:
            load_keys([path / "below"])
        except Exception:  # noqa: BLE001 - whatever is raised is what a user would see
            shown.append(traceback.format_exc())
    assert shown

    assert leaks.find_leaks(secrets, *shown) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "KEYS"],
        ["keys", "KEYS", "--format", "json"],
        ["keys", "KEYS", "--verbose"],
        ["keys", "KEYS", "--output", "OUT"],
    ],
    ids=" ".join,
)
def test_the_command_writes_no_secret_anywhere(planted, arguments, tmp_path):
    folder, secrets = planted
    home = tmp_path / "home"
    home.mkdir()
    passphrases = tmp_path / "passphrases"
    passphrases.write_bytes(leaks.PASSPHRASE + b"\n")
    words = [{"KEYS": str(folder), "OUT": str(home / "report.txt")}.get(word, word) for word in arguments]
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": str(home),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", *words, "--passphrase-file", str(passphrases)],
        capture_output=True, env=environment, cwd=home, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert leaks.find_leaks(secrets, done.stdout, done.stderr) == []
    assert leaks.find_leaks_in_folder(secrets, home) == []
