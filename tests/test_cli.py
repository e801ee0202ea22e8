"""The command as a user types it: exit statuses, what goes where, what each option changes."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"
BAD = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"
GOOD = CAPTURES / "tcp-01a-good-brewskey-fw063"
EMPTY = CAPTURES / "dtls-05b-device-key-broken-der"


def run(
    *words: object, stdin: bytes | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program in a process of its own, as a shell would."""
    import os

    return subprocess.run(
        [sys.executable, "-m", "analyzer", *map(str, words)], input=stdin, capture_output=True, cwd=ROOT, timeout=120,
        env={**os.environ, **(env or {})}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((GOOD / "capture.pcap",), 0),
        ((BAD / "capture.pcap",), 1),
        ((GOOD / "capture.pcap", BAD / "capture.pcap"), 1),
        ((BAD / "capture.pcap", "--no-such-option"), 2),
        ((BAD / "capture.pcap", "--format", "pdf"), 2),
        ((BAD / "capture.pcap", "--port", "5683"), 2),
        (("no-such-file.pcap",), 3),
        ((ROOT / "pyproject.toml",), 3),
        ((BAD / "capture.pcap", ROOT / "pyproject.toml"), 3),
        ((CAPTURES / "tcp-21a-formats-good" / "capture_cut_short.pcap",), 3),
        ((EMPTY / "capture.pcap",), 4),
    ],
)
def test_exit_status(words: tuple[object, ...], status: int) -> None:
    done = run(*words)
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr


def test_report_on_stdout_and_notes_on_stderr() -> None:
    done = run(BAD / "capture.pcap", ROOT / "pyproject.toml", "--format", "json")
    report = json.loads(done.stdout)
    assert [item["status"] for item in report["captures"]] == ["ok", "failed"]
    assert b"not a capture" in done.stderr
    assert report["captures"][0]["sessions"], "what could be read is there"


def test_standard_input_gzip_and_folder_are_the_same_capture(tmp_path: Path) -> None:
    data = (BAD / "capture.pcap").read_bytes()
    (tmp_path / "a.pcap.gz").write_bytes(gzip.compress(data))
    sessions = [json.loads(run(*words, "--format", "json", stdin=data).stdout)["captures"][0]["sessions"]
                for words in (("-",), (BAD / "capture.pcap",), (tmp_path,), (f"{tmp_path}/*.gz",))]  # fmt: skip
    assert all(item == sessions[0] for item in sessions)


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "html", "markdown", "text"])
def test_formats_and_output_file(format: str, tmp_path: Path) -> None:
    target = tmp_path / "report"
    done = run(BAD / "capture.pcap", "--format", format, "--output", target)
    assert done.returncode == 1
    assert done.stdout == b""
    text = target.read_text()
    assert "identity-rejected" in text
    assert list(tmp_path.iterdir()) == [target], "no partial file is left"


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    # Away from its keys: a line says which lie beside a capture.
    capture = shutil.copy(BAD / "capture.pcap", tmp_path)
    done = run(capture, "--output", tmp_path / "no" / "folder" / "x")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_keys_change_the_verdict() -> None:
    without, with_keys = (
        json.loads(run(BAD / "capture.pcap", "--format", "json", *more).stdout)
        for more in ((), ("--keys", BAD / "keys"))
    )
    assert without["captures"][0]["sessions"][0]["verdict"]["code"] == "identity-rejected"
    assert with_keys["captures"][0]["sessions"][0]["verdict"]["code"] == "device-key-mismatch"
    single = json.loads(
        run(BAD / "capture.pcap", "--format", "json", "--keys", BAD / "keys" / "default_key.pem").stdout
    )
    assert [key["file"] for key in single["keys"]] == ["default_key.pem"]


def test_a_key_folder_that_is_not_there_is_one_line() -> None:
    done = run(BAD / "capture.pcap", "--keys", "no-such-folder")
    assert done.returncode == 3
    assert b"no-such-folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_key_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    shutil.copytree(BAD / "keys", tmp_path / "keys")
    (tmp_path / "keys" / "holiday.der").write_bytes(b"\xff\xd8\xff\xe0 not a key")
    done = run(BAD / "capture.pcap", "--keys", tmp_path / "keys", "--format", "json")
    report = json.loads(done.stdout)
    assert report["captures"][0]["sessions"][0]["verdict"]["certainty"] == "proven"


def encrypt(target: Path) -> None:
    """The cloud's key of the failing case under the passphrase "open sesame"."""
    words = ["openssl", "rsa", "-aes256", "-in", BAD / "keys" / "default_key.pem", "-out", target]
    subprocess.run([*words, "-passout", "pass:open sesame"], check=True, capture_output=True)


def test_an_encrypted_key_needs_its_passphrase_file(tmp_path: Path) -> None:
    shutil.copytree(BAD / "keys", tmp_path / "keys")
    target = tmp_path / "keys" / "default_key.pem"
    encrypt(target)
    (tmp_path / "keys" / "default_key.pub.pem").unlink()
    (tmp_path / "secret").write_text("wrong\nopen sesame\n")
    words = (BAD / "capture.pcap", "--keys", tmp_path / "keys", "--format", "json")
    shut, opened = (
        json.loads(run(*words).stdout),
        json.loads(run(*words, "--passphrase-file", tmp_path / "secret").stdout),
    )
    row = next(key for key in shut["keys"] if key["file"] == "default_key.pem")
    assert row["status"] == "unusable"
    assert "passphrase" in row["problem"]
    assert opened["captures"][0]["sessions"][0]["verdict"]["certainty"] == "proven"
    assert b"sesame" not in run(*words, "--passphrase-file", tmp_path / "secret", "--verbose").stdout


def test_port_hint_finds_what_content_cannot() -> None:
    data = bytearray((CAPTURES / "tcp-12-syn-refused" / "capture.pcap").read_bytes())
    moved = bytes(data).replace((5683).to_bytes(2, "big"), (7777).to_bytes(2, "big"))
    assert run("-", stdin=moved).returncode == 4
    assert run("-", "--port", "tcp/7777", stdin=moved).returncode == 1


def test_quiet_is_one_line_a_session_and_verbose_says_more() -> None:
    quiet, plain, verbose = (
        run(BAD / "capture.pcap", "--keys", BAD / "keys", *more).stdout for more in (("-q",), (), ("-v",))
    )
    assert len(quiet.splitlines()) == 2
    assert len(plain) < len(verbose)


def test_no_colour_and_no_control_characters_off_a_terminal() -> None:
    done = run(BAD / "capture.pcap", env={"NO_COLOR": "1"})
    assert b"\x1b" not in done.stdout


def test_jobs_do_not_change_the_report() -> None:
    gateway = CAPTURES / "tcp-17-gateway-mixed"
    one, two = (
        run(gateway / "capture.pcap", "--keys", gateway / "keys", "--format", "json", "--jobs", jobs).stdout
        for jobs in (1, 2)
    )
    assert one == two


def test_a_sub_command_name_as_a_file_needs_a_path(tmp_path: Path) -> None:
    assert run("keys").returncode == 2
    shutil.copy(BAD / "capture.pcap", tmp_path / "keys")
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "./keys"],
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 1, done.stderr


def test_schema_command_prints_a_schema() -> None:
    assert json.loads(run("schema").stdout)["$id"] == "handshake-report/1"


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith(b"analyze ")
    text = run("--help").stdout.decode()
    for command in ("batch", "fleet", "keys", "explain", "annotate", "redact", "wireshark", "schema"):
        assert f"  {command}" in text


def test_explain_knows_and_says_when_it_does_not() -> None:
    assert b"closed" in run("explain", "-19").stdout
    unknown = run("explain", "xyzzy-no-such-thing")
    assert unknown.returncode == 2
    assert len(unknown.stderr.splitlines()) == 1


def test_annotate_and_redact_write_captures(tmp_path: Path) -> None:
    done = run("annotate", BAD / "capture.pcap", "--keys", BAD / "keys", "--output", tmp_path / "a.pcapng")
    assert done.returncode == 1
    again = json.loads(run(tmp_path / "a.pcapng", "--keys", BAD / "keys", "--format", "json").stdout)
    assert again["captures"][0]["sessions"][0]["verdict"]["code"] == "device-key-mismatch"
    done = run("redact", BAD / "capture.pcap", "--output", tmp_path / "r.pcapng")
    assert done.returncode == 0
    redacted = json.loads(run(tmp_path / "r.pcapng", "--format", "json").stdout)
    assert redacted["captures"][0]["sessions"][0]["verdict"]["code"] == "identity-rejected"
    same = run("annotate", BAD / "capture.pcap", "--output", BAD / "capture.pcap")
    assert same.returncode == 3, "its input is never overwritten"


def test_redact_with_one_salt_agrees_across_files(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"0123456789abcdef")
    for name in ("x", "y"):
        run("redact", BAD / "capture.pcap", "--salt-file", tmp_path / "salt", "--output", tmp_path / name)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_terminal_is_asked_for_the_passphrase(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    import os

    target = tmp_path / "default_key.pem"
    encrypt(target)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "analyzer", "keys", str(target)])
    shown = b""
    try:
        while b"go on without" not in shown:
            shown += os.read(terminal, 4096)
        os.write(terminal, b"open sesame\n")
        while True:
            data = os.read(terminal, 4096)
            if not data:
                break
            shown += data
    except OSError:  # Linux ends a pty with EIO
        pass
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1)
    assert b"open sesame" not in shown, "the passphrase is not echoed"
    assert b"RSA private key" in shown
    assert b"unusable" not in shown


# -- near misses and empty key folders -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("version",), "analyze --version"),
        (("key", CAPTURES), "analyze keys"),
        (("expalin", "-19"), "analyze explain"),
        (("batchh", CAPTURES, "--store", "x.sqlite"), "analyze batch"),
    ],
)
def test_a_word_that_is_nearly_a_command_is_told_which(words: tuple[object, ...], meant: str) -> None:
    done = run(*words)
    assert done.returncode == 3 and not done.stdout
    assert f"no such file or folder (did you mean `{meant}`?)" in done.stderr.decode()


@pytest.mark.parametrize("word", ["mycapture", "key.pcap", "./key", "keys.pcapng"])
def test_a_file_that_is_not_there_is_taken_for_no_command(word: str) -> None:
    done = run(word)
    assert done.returncode == 3 and b"did you mean `" not in done.stderr


def test_a_file_called_nearly_like_a_command_and_a_glob_are_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes((GOOD / "capture.pcap").read_bytes())
    for word in ("key", "ke*", "key*"):
        done = subprocess.run(
            [sys.executable, "-m", "analyzer", word, "-q"], cwd=tmp_path, capture_output=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_a_wrong_value_is_told_in_our_words() -> None:
    for words in (
        ("x.pcap", "--format", "htm"),
        ("batch", "x", "--format", "htm"),
        ("explain", "x", "--format", "htm"),
    ):
        done = run(*words)
        told = done.stderr.decode()
        assert done.returncode == 2 and "'htm' is not one of" in told
        assert "Value error" not in told and "analyze capture" not in told
    assert "analyze capture" not in run("x.pcap", "--nosuch").stderr.decode()


def test_a_key_folder_without_keys_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "readme.txt").write_text("no key here")
    (tmp_path / "empty").mkdir()
    capture = GOOD / "capture.pcap"
    for keys in ("text", "empty"):
        done = run(capture, "--keys", tmp_path / keys, "-q")
        assert done.returncode == 0
        assert done.stderr.decode() == f"analyze: {tmp_path / keys}: no key was found there\n"
    both = run(capture, "--keys", tmp_path / "empty", "--keys", GOOD / "keys", "-q").stderr.decode()
    assert both == f"analyze: {tmp_path / 'empty'}: no key was found there\n"
    assert not run(capture, "--keys", GOOD / "keys", "-q").stderr
