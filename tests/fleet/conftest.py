"""A small fleet: golden captures of quick cases under one key folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
CASES = ("tcp-02a-cloud-wrong-devkey-brewskey", "synth-healthy-photon", "dtls-01-good", "synth-connect-refused")


@pytest.fixture
def fleet(captures: Path, tmp_path: Path) -> Path:
    """A folder with ``captures/`` (four cases, one of them twice under another name) and ``keys/``."""
    for case in CASES:
        (tmp_path / "captures" / case).mkdir(parents=True)
        shutil.copy(captures / case / "capture.pcap", tmp_path / "captures" / case / "capture.pcap")
        if (captures / case / "keys").exists():
            shutil.copytree(captures / case / "keys", tmp_path / "keys" / case)
    shutil.copy(captures / CASES[0] / "capture.pcap", tmp_path / "captures" / "again.pcap")
    return tmp_path


@pytest.fixture
def analyze() -> Run:
    """Runs the command line in a process of its own."""

    def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "analyzer", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).parents[2],
            **more,  # type: ignore[call-overload]
        )

    return run
