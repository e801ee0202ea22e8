"""`analyze redact` and `annotate` from outside: what makes a bad salt, and a copy that is not the whole capture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CAPTURE = ROOT / "captures" / "synth-connect-refused" / "capture.pcap"


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analyzer", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "No such file or directory"), (b"", "empty: a salt of no bytes hides nothing")]
)
def test_a_salt_that_is_none_writes_nothing(content: bytes | None, told: str, tmp_path: Path) -> None:
    salt, output = tmp_path / "salt", tmp_path / "out.pcapng"
    if content is not None:
        salt.write_bytes(content)
    done = analyze("redact", CAPTURE, "--salt-file", salt, "--output", output)
    assert done.returncode == 3
    assert done.stderr == f"analyze: {salt}: {told}\n"
    assert not output.exists()


def test_the_same_salt_gives_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"secret")
    for name in ("a", "b"):
        assert analyze("redact", CAPTURE, "--salt-file", tmp_path / "salt", "-o", tmp_path / name).returncode == 0
    analyze("redact", CAPTURE, "-o", tmp_path / "c")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_a_copy_that_is_not_whole_says_so(tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(CAPTURE.read_bytes()[:-3])
    done = analyze("annotate", cut, "--output", tmp_path / "out.pcapng")
    first, second = done.stderr.splitlines()
    assert "packets annotated" in first
    assert second.startswith(f"analyze: {tmp_path / 'out.pcapng'}: ")
    assert "ends in the middle of frame" in second
