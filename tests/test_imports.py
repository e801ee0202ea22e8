"""The arrows of the source tree point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Who may import whom: a package (or module) may import what stands in its list, and itself.
ALLOWED: dict[str, set[str]] = {
    "dissectors": set(),
    "analyzer.errors": set(),
    "analyzer.packet": set(),
    "analyzer.times": set(),
    "analyzer.model": {"dissectors"},
    "analyzer.case": {"dissectors", "analyzer.model"},
    "analyzer.capture": {"analyzer.errors", "analyzer.packet"},
    "analyzer.conversations": {"analyzer.packet", "analyzer.model", "analyzer.capture", "dissectors"},
    "analyzer.keys": {"analyzer.errors", "analyzer.model", "dissectors", "analyzer.times", "analyzer.safe"},
    "analyzer.names": {"analyzer.packet", "dissectors"},
    "analyzer.firmware": {"analyzer.model", "dissectors"},
    "analyzer.decrypt": {"analyzer.keys", "analyzer.model", "dissectors"},
}
#: Packages that only these modules may import: heavy, or tied to a licence.
ONLY_IN = {
    "scapy": {"analyzer/capture/scapy_link.py", "analyzer/live.py", "analyzer/capture/live.py"},
    "pyshark": {"analyzer/capture/tshark_reader.py"},
    "typer": {"analyzer/cli"},
}


def _modules() -> list[Path]:
    return [path for package in ("analyzer", "dissectors") for path in (ROOT / package).rglob("*.py")]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("package", ALLOWED)
def test_arrows_point_one_way(package: str) -> None:
    for path in _modules():
        if not _within(_name(path), package):
            continue
        for imported in _imports(path):
            if not (_within(imported, "analyzer") or _within(imported, "dissectors")):
                continue
            assert any(_within(imported, target) for target in ALLOWED[package] | {package}) or imported in ("analyzer", "dissectors"), f"{path}: {imported}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_packages_stay_behind_their_module(library: str) -> None:
    for path in _modules():
        relative = path.relative_to(ROOT).as_posix()
        if any(_within(imported, library) for imported in _imports(path)):
            assert any(relative.startswith(place) for place in ONLY_IN[library]), relative


def test_reports_and_cli_are_never_imported_from_below() -> None:
    for path in _modules():
        name = _name(path)
        for imported in _imports(path):
            if _within(imported, "analyzer.cli"):
                assert _within(name, "analyzer.cli") or name == "analyzer.__main__", path
