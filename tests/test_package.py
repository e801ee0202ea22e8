"""What is shipped: the wheel and the sdist hold what they must and nothing else, and the wheel works where nothing else is."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CASE = "tcp-02a-cloud-wrong-devkey-brewskey"
#: Ends of file names that are the program's: code, tables, the reports' style and script, the dissector.
OURS = {"", ".md", ".pcap", ".der", ".pem", ".py", ".toml", ".css", ".js", ".lua", ".typed"}
#: Never shipped, wherever it lies.
LEFT_OVERS = re.compile(r"__pycache__|\.py[co]$|\.hypothesis|\.venv|_cache|\.sqlite|~$")


def _tracked(*folders: str) -> set[str]:
    """The files git knows and would know below these folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_the_wheel_holds_the_two_packages_whole_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if ".dist-info/" not in name}
    assert shipped == _tracked("analyzer", "dissectors")
    assert {Path(name).suffix for name in shipped} == OURS
    assert {name.split(".dist-info/")[1] for name in names - shipped} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "licenses/LICENSE",
    }


def test_the_sdist_holds_what_a_clone_holds(built: Path) -> None:
    (found,) = built.glob("*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = {"analyzer", "captures", "dissectors", "tests", ".ci", ".github"}
    assert {name.partition("/")[0] for name in names if "/" in name} == folders
    assert {name for name in names if "/" not in name} == {
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }
    assert not [name for name in names if LEFT_OVERS.search(name)]
    assert {name for name in names if "/" in name} == _tracked(*folders)


def test_the_metadata_says_what_the_package_is(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = email.message_from_bytes(archive.read(name))
    assert (told["Name"], told["Version"], told["License-Expression"], told["Requires-Python"]) == (
        project["name"],
        project["version"],
        "GPL-2.0-or-later",
        ">=3.11",
    )
    required = [line for line in told.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert {re.split(r"[<>=]", line)[0] for line in required} == {
        re.split(r"[<>=]", line)[0] for line in project["dependencies"]
    }
    assert told.get_payload().startswith("# analyze: why a Particle device cannot reach its cloud")


def test_every_dependency_stands_with_its_reason() -> None:
    lines = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .split("dependencies = [", 1)[1]
        .split("\n]", 1)[0]
        .strip()
        .splitlines()
    )
    for before, line in zip([""] + lines, lines, strict=False):
        assert line.strip().startswith("#") or before.strip().startswith("#"), line


@pytest.fixture
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in an environment of its own (`venv`), made as the README's first command makes it."""
    try:
        urllib.request.urlopen(
            os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple") + "/typer/", timeout=10
        ).close()
    except (OSError, urllib.error.URLError) as error:
        pytest.skip(f"no package index: {error}")
    folder = tmp_path_factory.mktemp("fresh")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [sys.executable, str(ROOT / ".ci" / "environment.py"), str(folder / "venv"), str(wheel)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(ROOT / "captures" / CASE, folder / "case")
    return folder


def _run(installed: Path, *words: str, status: int = 0) -> str:
    program = installed / "venv" / ("Scripts" if os.name == "nt" else "bin") / words[0]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *words[1:]], cwd=installed, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_works_where_nothing_else_is(installed: Path) -> None:
    """One test, because the installation is what takes the time, and the suite runs in several processes."""
    _does_its_work(installed)
    _finds_its_data(installed)
    _is_two_packages_that_fit(installed)


def _does_its_work(installed: Path) -> None:
    keys = ("case/capture.pcap", "--keys", "case/keys")
    report = json.loads(_run(installed, "analyze", *keys, "--format", "json", status=1))
    assert [item["verdict"]["code"] for item in report["captures"][0]["sessions"]] == ["device-key-mismatch"] * 2
    assert "device-key-mismatch (proven)" in _run(installed, "analyze", *keys, status=1)
    assert "<style" in _run(installed, "analyze", *keys, "--format", "html", status=1)
    assert _run(installed, "python", "-m", "analyzer", *keys, "--quiet", status=1).count("\n") == 2


def _finds_its_data(installed: Path) -> None:
    assert "WICED_CONNECTION_CLOSED" in _run(installed, "analyze", "explain", "-19")
    assert json.loads(_run(installed, "analyze", "schema"))["$schema"]
    lua = Path(_run(installed, "analyze", "wireshark", "path").strip())
    assert lua.is_file() and lua.is_relative_to(installed / "venv")
    assert "300047001147343332373737" in _run(installed, "analyze", "keys", "case/keys", status=1)
    _run(
        installed, "analyze", "annotate", "case/capture.pcap", "--keys", "case/keys", "--output", "out.pcapng", status=1
    )
    _run(installed, "analyze", "redact", "case/capture.pcap", "--output", "public.pcapng")
    _run(
        installed,
        "analyze",
        "batch",
        "case",
        "--keys",
        "case/keys",
        "--store",
        "s.sqlite",
        "--html",
        "fleet.html",
        status=1,
    )


def _is_two_packages_that_fit(installed: Path) -> None:
    program = "import importlib.util as u; print([n for n in ('analyzer', 'dissectors', 'captures', 'tests', 'pytest') if u.find_spec(n)])"
    assert _run(installed, "python", "-c", program).strip() == "['analyzer', 'dissectors']"
    assert "No broken requirements" in _run(installed, "python", "-m", "pip", "check")
