"""The locked set that CI installs is what pyproject.toml asks for, each package with its hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "tests" / "requirements.lock").read_text()
PINNED = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", LOCK, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"])]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: wanted.name)
def test_what_the_project_asks_for_is_locked(wanted: Requirement) -> None:
    assert wanted.specifier.contains(PINNED[canonicalize_name(wanted.name)])


def test_every_package_has_a_hash() -> None:
    for entry in re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry.splitlines()[0]


def test_dependencies_are_bounded_above() -> None:
    for text in PROJECT["dependencies"]:
        operators = {item.operator for item in Requirement(text).specifier}
        assert ">=" in operators and "<" in operators, text
