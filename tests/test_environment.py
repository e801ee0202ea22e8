"""`.ci/environment.py` on machines that lack what Debian leaves out."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
from email.message import Message
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = "https://index.example/simple/pip/"


@pytest.fixture
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answer(io.BytesIO):
    def __init__(self, body: bytes, url: str, kind: str) -> None:
        super().__init__(body)
        self.url = url
        self.headers = Message()
        self.headers["Content-Type"] = kind


def index(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, body: str, kind: str, files: dict[str, bytes]
) -> list[str]:
    """An index with one page; returns the list of what was asked for."""
    asked: list[str] = []

    def urlopen(request: Any, timeout: float) -> Answer:
        url = request if isinstance(request, str) else request.full_url
        asked.append(url)
        return Answer(body.encode(), PAGE, kind) if url == PAGE else Answer(files[url], url, "application/zip")

    monkeypatch.setattr(environment.urllib.request, "urlopen", urlopen)
    return asked


def test_takes_the_newest_pip_that_is_not_withdrawn(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = b"wheel 24.10"
    sha = hashlib.sha256(wheel).hexdigest()
    names = (
        "pip-24.9-py3-none-any.whl",
        "pip-24.10-py3-none-any.whl",
        "pip-25.0-py3-none-any.whl",
        "pip-26.0b1-py3-none-any.whl",
        "pip-26.0.tar.gz",
    )
    files = [
        {"url": f"../../f/{name}", "hashes": {"sha256": sha}, "yanked": "bad" if "25.0" in name else False}
        for name in names
    ]
    asked = index(
        environment,
        monkeypatch,
        json.dumps({"files": files}),
        "application/vnd.pypi.simple.v1+json",
        {"https://index.example/f/pip-24.10-py3-none-any.whl": wheel},
    )
    assert environment.pip_from("https://index.example/simple") == wheel
    assert asked == [PAGE, "https://index.example/f/pip-24.10-py3-none-any.whl"]


def test_reads_the_older_kind_of_index(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = b"wheel"
    page = f'<a href="https://files.example/pip-9.0.1-py3-none-any.whl">x</a> <a href="/x/pip-24.0-py3-none-any.whl#sha256={hashlib.sha256(wheel).hexdigest()}">y</a>'
    index(environment, monkeypatch, page, "text/html", {"https://index.example/x/pip-24.0-py3-none-any.whl": wheel})
    assert environment.pip_from("https://index.example/simple/") == wheel


def test_refuses_a_wheel_that_is_not_what_the_index_says(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = f'<a href="/x/pip-24.0-py3-none-any.whl#sha256={"0" * 64}">y</a>'
    index(
        environment,
        monkeypatch,
        page,
        "text/html",
        {"https://index.example/x/pip-24.0-py3-none-any.whl": b"changed on the way"},
    )
    with pytest.raises(SystemExit, match="SHA-256 differs"):
        environment.pip_from("https://index.example/simple")


def test_an_index_without_pip_is_one_line_with_the_way_out(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(environment, monkeypatch, "<html>nothing</html>", "text/html", {})
    with pytest.raises(SystemExit, match="Install python3-venv"):
        environment.pip_from("https://index.example/simple")


def test_an_environment_without_ensurepip_gets_pip_from_elsewhere(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        environment.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    python = environment.made(tmp_path / "venv")
    assert environment.runs(python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)")
    assert not environment.runs(python, "-m", "pip", "--version")
    assert environment.made(tmp_path / "venv") == python, "an environment that runs is used again"
    if environment.runs(Path(sys.executable), "-m", "pip", "--python", str(python), "--version"):
        assert environment.pip_for(python, tmp_path) == [sys.executable, "-m", "pip", "--python", str(python)]


def test_an_old_python_is_told_so(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "OLDEST", (4, 0))
    assert environment.main([]) == 2
    assert capsys.readouterr().err.startswith("environment: Python 4.0 or newer is needed, this is ")


def test_a_question_makes_no_folder(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (environment.main(["--help"]), environment.main(["-e", "."])) == (0, 2)
    assert "A virtual environment" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
