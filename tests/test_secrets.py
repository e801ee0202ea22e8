"""Nothing secret gets out: every command, format, error and crash over real sessions and a folder full of planted secrets."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from tests.leaks import PASSPHRASE, Secret, find_leaks, plant, secrets

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT / "captures"
CASES = tuple(CAPTURES / name for name in ("tcp-01a-good-brewskey-fw063", "dtls-01-good", "dtls-14a-good-pcapng-dsb"))
FORMATS = ("text", "json", "jsonl", "csv", "markdown", "html")


def _private(data: bytes) -> list[int]:
    """The private numbers of a key file, by OpenSSL; empty for anything else."""
    for load in (load_der_private_key, load_pem_private_key):
        try:
            key = load(data, None)
        except (ValueError, TypeError):
            continue
        numbers = key.private_numbers()  # type: ignore[union-attr]
        if isinstance(key, rsa.RSAPrivateKey):
            return [numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return [numbers.private_value]
    return []


@cache
def real() -> tuple[Secret, ...]:
    """The secrets of the sessions in CASES and of the keys beside them."""
    found = []
    for case in CASES:
        for path in sorted((case / "keys").iterdir()):
            for at, number in enumerate(_private(path.read_bytes())):
                found.append(Secret(f"{path.name} {at}", number.to_bytes((number.bit_length() + 7) // 8, "big")))
        log = case / "sslkeys.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            if line.startswith("CLIENT_RANDOM"):
                found.append(Secret(f"{case.name} master secret", bytes.fromhex(line.split()[2])))
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", CASES[0] / "capture.pcap", "--keys", CASES[0] / "keys", "--show-secrets", "--format", "json"],
        capture_output=True, check=True, cwd=ROOT,
    )  # fmt: skip
    for secret in json.loads(done.stdout)["captures"][0]["sessions"][0]["secrets"]:
        found.append(Secret(secret["name"], bytes.fromhex(secret["value"])))
    return tuple(found)


class Box:
    """A folder in which commands run; everything they print and write is searched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.keys, _ = plant(folder / "keys")
        (folder / "passphrases").write_bytes(PASSPHRASE + b"\n")
        self.inputs = {path for path in folder.rglob("*") if path.is_file()}
        self.wanted = (*secrets(), *real())

    def run(self, *words: object, code: str | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run it; fails when anything leaks or a temporary file stays."""
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "analyzer"]
        done = subprocess.run(
            [*command, *map(str, words)], capture_output=True, cwd=self.folder, timeout=180, check=False,
            env={**os.environ, "TMPDIR": str(self.temporary), "HOME": str(self.folder), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert find_leaks(self.wanted, done.stdout, done.stderr) == [], words
        assert list(self.temporary.iterdir()) == []
        return done

    def written(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and path not in self.inputs]

    def search(self) -> None:
        """No file that was made holds a secret or is readable by others."""
        for path in self.written():
            assert find_leaks(self.wanted, path.name, path.read_bytes()) == [], path
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def everything(box: Box) -> list[object]:
    """Key options: the planted folder and the real ones."""
    return [word for folder in (box.keys, *(case / "keys" for case in CASES)) for word in ("--keys", folder)] + [
        "--passphrase-file",
        box.folder / "passphrases",
    ]


def captures() -> list[Path]:
    return [next(case.glob("capture.pcap*")) for case in CASES]


def test_there_is_something_to_find() -> None:
    assert len(real()) > 20
    for secret in real():
        assert find_leaks(real(), secret.data.hex()) != []


@pytest.mark.parametrize("form", FORMATS)
def test_reports(box: Box, form: str) -> None:
    for more in ((), ("--verbose",), ("--quiet",), ("--redact",)):
        done = box.run(*captures(), *everything(box), "--format", form, *more)
        assert done.returncode == 0 and done.stdout
    for capture in captures():
        box.run(
            capture, *everything(box), "--format", form, "--output", box.folder / f"{capture.parent.name}.out", "-v"
        )
    box.search()


@pytest.mark.parametrize("form", ["text", "json"])
def test_keys(box: Box, form: str) -> None:
    assert box.run("keys", box.keys, "--format", form, "-v").returncode == 1
    assert box.run("keys", box.keys, "--format", form, "--passphrase-file", box.folder / "passphrases").stdout
    box.run("keys", box.keys, "--format", form, "--output", "keys.out")
    box.search()


def test_other_commands(box: Box) -> None:
    for words in (
        ("explain", "-19"),
        ("schema",),
        ("wireshark", "path"),
        ("--help",),
        ("--version",),
        ("wireshark", "install"),
    ):
        box.run(*words)
    for number, capture in enumerate(captures()):
        assert box.run("annotate", capture, *everything(box), "--output", f"a{number}.pcapng").returncode in (0, 1)


def test_annotated_and_redacted_captures(box: Box) -> None:
    for number, capture in enumerate(captures()[:2]):
        box.run("annotate", capture, *everything(box), "--output", f"a{number}.pcapng")
    assert {stat.S_IMODE(path.stat().st_mode) for path in box.folder.glob("a*.pcapng")} == {0o600}
    for number, capture in enumerate(captures()):
        box.run("redact", capture, "--output", f"r{number}.pcapng")
    for path in box.folder.glob("r*.pcapng"):
        assert find_leaks(box.wanted, path.read_bytes()) == [], path


def test_fleet(box: Box) -> None:
    store = box.folder / "fleet.sqlite"
    done = box.run("batch", *captures(), *everything(box), "--store", store, "--html", "fleet.html", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    for form in (*FORMATS[:1], "json", "csv", "html"):
        box.run("fleet", store, "--format", form, "-v")
    assert store in box.written()
    box.search()


def test_errors(box: Box) -> None:
    files = sorted(path for path in box.keys.rglob("*") if path.is_file())
    assert box.run(*files[:12]).returncode == 3
    assert box.run(*captures(), "--keys", box.folder / "nothing").returncode == 3
    (box.folder / "wrong").write_bytes(b"not the passphrase\n" + os.urandom(40))
    box.inputs.add(box.folder / "wrong")
    box.run("keys", box.keys, "--passphrase-file", box.folder / "wrong")
    box.run(captures()[0], "--log", box.keys / "odd" / "device.log", "--log", box.keys / "odd" / "long.log")
    box.run("--log", box.keys / "odd" / "device2.log", "--format", "json")
    box.run("annotate", box.keys / "server.der", "--output", "x.pcapng")
    box.run("redact", box.keys / "server.der", "--output", "x.pcapng")
    box.run("batch", box.keys, "--store", "s.sqlite")
    box.search()


#: The command with every library's log on; `CRASH`: and with an exception that shows every object at hand.
LOGGED = """
import sys, logging
logging.basicConfig(level=logging.DEBUG)
sys.argv[0] = "analyze"
from analyzer.cli import main
main()
"""
CRASH = (
    """
import analyzer.judging as judging
def boom(case, *rest, **more):
    local = case.decryption
    raise RuntimeError(f"{case!r} {rest!r} {more!r} {local!r}"[:2_000_000])
judging.assemble = boom
"""
    + LOGGED
)


@pytest.mark.parametrize("more", [(), ("--verbose",)], ids=["crash", "crash --verbose"])
def test_a_crash_with_everything_in_its_message(box: Box, more: tuple[str, ...]) -> None:
    """The worst exception there can be: it shows every object at hand. (Python shows no local variables.)"""
    for capture in captures():
        done = box.run(capture, *everything(box), *more, code=CRASH)
        assert done.returncode != 0
        assert b"RuntimeError" in done.stderr
        assert (b"Traceback" in done.stderr) is bool(more)


@pytest.mark.tshark
def test_tshark_and_the_log_of_pyshark(box: Box, tshark: str) -> None:
    done = box.run(captures()[0], *everything(box), "--engine", "tshark", code=LOGGED)
    assert b"DEBUG" in done.stderr and b"RuntimeError" not in done.stderr
    shutil.rmtree(box.folder / ".config", ignore_errors=True)


# -- the one way out -----------------------------------------------------------------------------------------------------


def shown(*words: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "analyzer", *map(str, words), "--show-secrets"],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )


def test_show_secrets_is_marked_and_shows_what_decrypts() -> None:
    case = CASES[1]
    text = shown(case / "capture.pcap", "--keys", case / "keys").stdout.decode()
    assert "secrets shown on request" in text
    log = (case / "sslkeys.log").read_text()
    told = json.loads(shown(case / "capture.pcap", "--keys", case / "keys", "--format", "json").stdout)
    assert told["secrets_shown"] is True
    ((line,),) = [[s["value"] for s in session["secrets"]] for session in told["captures"][0]["sessions"]]
    assert line.lower() in log.lower() and line in text
    one = json.loads(shown(case / "capture.pcap", "--keys", case / "keys", "--format", "jsonl").stdout)
    assert one["secrets_shown"] is True and one["secrets"][0]["value"] == line


@pytest.mark.tshark
def test_tshark_decrypts_with_what_is_shown(tshark: str, tmp_path: Path) -> None:
    case = CASES[1]
    told = json.loads(shown(case / "capture.pcap", "--keys", case / "keys", "--format", "json").stdout)
    keylog = tmp_path / "keys.log"
    keylog.write_text(told["captures"][0]["sessions"][0]["secrets"][0]["value"] + "\n")
    done = subprocess.run(
        [tshark, "-r", case / "capture.pcap", "-o", f"tls.keylog_file:{keylog}", "-Y", "dtls && coap"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b"CoAP") > 2


def test_private_keys_are_not_shown_even_so() -> None:
    for case in CASES:
        capture = next(case.glob("capture.pcap*"))
        for form in ("text", "json", "jsonl"):
            done = shown(capture, "--keys", case / "keys", "--format", form)
            keys = [secret for secret in real() if ".der" in secret.name or ".pem" in secret.name]
            assert find_leaks(keys, done.stdout, done.stderr) == []


def test_without_the_option_there_is_no_trace_of_it() -> None:
    case = CASES[0]
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", case / "capture.pcap", "--keys", case / "keys", "--format", "json"],
        capture_output=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert b"secrets_shown" not in done.stdout and b'"secrets"' not in done.stdout


@pytest.mark.parametrize("words", [("--redact",), ("--format", "html"), ("--format", "csv"), ("--format", "markdown")])
def test_show_secrets_goes_with_nothing_that_is_passed_on(words: tuple[str, ...]) -> None:
    assert shown(CASES[0] / "capture.pcap", *words).returncode == 2
