"""Fixtures every test may use: where the golden captures are, and the second implementations when they are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["TZ"] = "UTC"
# How long an example takes says nothing about the code on a machine that does other things too.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of golden captures."""
    return ROOT / "captures"


@pytest.fixture(scope="session")
def tshark() -> str:
    """tshark's path; skips the test when it is not installed."""
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark is not installed")
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """A headless Chromium's path; skips the test when none is installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-expected", action="store_true", help="rewrite the expected reports of the golden captures"
    )
