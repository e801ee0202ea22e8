"""README.md and the manual say what the program does: its commands are run, its tables drawn again, its words looked for.

`pytest tests/test_readme.py --update-expected` (or tests/readme.py) rewrites what is made.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests import readme
from tests.readme import README, ROOT, SESSIONS, TABLES, Shell

COMMANDS = dict(readme.walk())


@pytest.fixture(scope="module")
def pages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """README and the pages of the manual."""
    if request.config.getoption("--update-expected"):
        readme.update(Shell(tmp_path_factory.mktemp("update")))
    return {path: path.read_text(encoding="utf-8") for path in readme.PAGES}


@pytest.fixture(scope="module")
def page(pages: dict[Path, str]) -> str:
    """All of them, as one text."""
    return "\n".join(pages.values())


@pytest.fixture(scope="module")
def front(pages: dict[Path, str]) -> str:
    """README.md alone."""
    return pages[README]


def test_the_front_page_is_short(front: str) -> None:
    assert len(front.encode()) <= 14_000


@pytest.mark.tshark
def test_every_command_shown_prints_what_is_shown(page: str, tmp_path: Path) -> None:
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    shell = Shell(tmp_path)
    shown = [block for block in readme.blocks(page) if block.kind in SESSIONS]
    assert len(shown) >= 8
    for block in shown:
        assert block.body == readme.fresh(block, shell)


@pytest.mark.parametrize("name", TABLES)
def test_made_tables_are_up_to_date(page: str, name: str) -> None:
    assert dict(readme.tables(page))[name] == TABLES[name](), "run tests/readme.py"


def test_a_changed_output_and_a_changed_table_are_noticed(tmp_path: Path) -> None:
    stale = "```console\n$ echo one; echo two\none\n```\n<!-- made: limits -->\nold\n<!-- end -->\n```pycon\n>>> print(1 +\n...     1)\n3\n```\n"
    now = readme.current(stale, Shell(tmp_path))
    assert "$ echo one; echo two\none\ntwo\n```" in now
    assert f"<!-- made: limits -->\n{readme.limits()}<!-- end -->" in now
    assert ">>> print(1 +\n...     1)\n2\n```" in now


def test_the_two_commands_are_at_the_top_and_one_line_each(front: str) -> None:
    first, second = (block for block in list(readme.blocks(front))[:2])
    assert [first.kind, second.kind] == ["sh", "sh"]
    assert first.body.count("\n") == second.body.count("\n") == 1
    assert front.index(first.body) < 1000
    assert second.body == "tests/run\n"
    assert os.access(ROOT / "tests" / "run", os.X_OK)


def test_the_first_command_prints_the_report_that_is_shown(front: str, tmp_path: Path) -> None:
    """Without its installation, which tests/test_package.py does."""
    (first, *_) = readme.blocks(front)
    install, run = first.body.strip().split(" && ")
    script, *rest = shlex.split(install)[1:]
    assert (ROOT / script).is_file() and not rest
    report = next(block.body for block in readme.blocks(front) if block.kind == "console")
    command = run.replace(".venv/bin/analyze", "analyze")
    assert report == f"$ {command}\n{Shell(tmp_path).run(command)}"


def test_commands_that_are_not_run_use_options_that_are_there(page: str) -> None:
    found = 0
    for block in readme.blocks(page):
        for line in block.body.splitlines() if block.kind == "sh" else ():
            words = shlex.split(line)
            if words[0] == "analyze":
                found += 1
                command = COMMANDS.get(words[1], COMMANDS["capture"])
                known = {option for parameter in command.params for option in parameter.opts}
                assert {word for word in words if word.startswith("--")} <= known, line
    assert found


def test_every_command_and_option_is_in_the_readme_or_its_help_has_an_example(page: str) -> None:
    for name, command in COMMANDS.items():
        if command.hidden:
            continue
        assert f"analyze {name}" in page, f"{name} is not in README.md"
        example = re.search(rf"^\s+(.*\| )?(tshark .*\$\()?analyze {name}\b", command.help or "", re.MULTILINE)
        assert example or hasattr(command, "commands"), f"analyze {name} --help has no example"
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    for word in set(
        re.findall(
            r"(?<![\w-])--[a-z][a-z-]+",
            " ".join(code for code in re.findall(r"`([^`\n]+)`", prose) if not code.startswith("tests/")),
        )
    ):
        known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
        assert word in known | {"--help", "--install-completion", "--show-completion"}, (
            f"{word} is no option of analyze"
        )


@pytest.mark.parametrize("name", ["", *(name for name, command in COMMANDS.items() if not command.hidden)])
def test_help_fits_80_columns_has_an_example_and_names_what_options_take(name: str) -> None:
    words = [sys.executable, "-m", "analyzer", *name.split(), "--help"]
    text = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"}).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert re.findall(r"^ +(?:-\w, )?--.*<(?:path|str|list|int|float).*", text, re.MULTILINE) == []
    assert re.search(r"^    .*analyze ", text, re.MULTILINE), "no example"


def test_every_variable_that_is_read_is_documented(page: str) -> None:
    read = set()
    for path in (ROOT / "analyzer").rglob("*.py"):
        read |= set(re.findall(r"""environ(?:\.get\(|\[)["'](\w+)["']""", path.read_text(encoding="utf-8")))
        read |= set(re.findall(r"""["'](\w+)["'] in os\.environ""", path.read_text(encoding="utf-8")))
    assert {"NO_COLOR", "COLUMNS"} <= read
    for name in read:
        assert f"`{name}" in page, f"{name} is not in README.md"


def test_exit_statuses_are_those_of_the_program(page: str) -> None:
    from analyzer.cli import exits

    table = dict(re.findall(r"^\| (\d) \| ([^|]+) \|", page, re.MULTILINE))
    assert set(table) == {str(getattr(exits, name)) for name in ("HEALTHY", "FAILING", "USAGE", "UNREADABLE", "EMPTY")}


def test_links_lead_somewhere(pages: dict[Path, str]) -> None:
    anchors = {
        path: {
            re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        for path, text in pages.items()
    }
    found = 0
    for path, text in pages.items():
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("http"):
                continue
            file, _, anchor = target.partition("#")
            place = (path.parent / file).resolve() if file else path
            found += 1
            assert place.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in anchors[place], f"{path.name}: {target}"
    assert found > 30


def test_every_page_of_the_manual_is_on_the_front_page(front: str) -> None:
    for path in readme.PAGES[1:]:
        assert f"(analyzer/manual/{path.name})" in front


def test_the_picture_is_small_enough_to_load() -> None:
    assert readme.PICTURE.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert readme.PICTURE.stat().st_size < 300_000


def test_the_capture_filter_is_one_that_tcpdump_takes(page: str) -> None:
    tcpdump = shutil.which("tcpdump") or shutil.which("tcpdump", path="/usr/sbin:/sbin")
    if tcpdump is None:
        pytest.skip("tcpdump is not installed")
    (line,) = (
        line for block in readme.blocks(page) for line in block.body.splitlines() if line.startswith("sudo tcpdump")
    )
    subprocess.run([tcpdump, "-y", "EN10MB", "-d", shlex.split(line)[-1]], check=True, capture_output=True)


SHELLS = {
    "bash": "complete -o default -F _analyze_completion analyze",
    "zsh": "#compdef analyze",
    "fish": "complete --command analyze",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_can_be_printed_for(shell: str) -> None:
    asked = {**os.environ, "_ANALYZE_COMPLETE": f"source_{shell}"}
    shown = subprocess.run([sys.executable, "-m", "analyzer"], capture_output=True, text=True, check=True, env=asked)
    assert SHELLS[shell] in shown.stdout
    assert f"_ANALYZE_COMPLETE=complete_{shell}" in shown.stdout


def _completions(*words: str) -> set[str]:
    asked = {
        **os.environ,
        "_ANALYZE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("analyze", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run([sys.executable, "-m", "analyzer"], capture_output=True, text=True, check=True, env=asked)
    return set(done.stdout.split())


def test_tab_completes_commands_options_and_their_words() -> None:
    assert {name for name, command in COMMANDS.items() if " " not in name and not command.hidden} <= _completions("")
    assert _completions("ann") == {"annotate"}
    assert {"install", "path"} <= _completions("wireshark", "")
    assert _completions("batch", "--sched") == {"--scheduler"}
    assert _completions("keys", "x", "--format", "j") == {"json"}
    assert {"html", "markdown", "json"} <= _completions("capture.pcap", "--format", "")
    assert "--redact" in _completions("capture.pcap", "--re")
    assert _completions("fleet", "f.sqlite", "--verdict", "server-key") == {"server-key-mismatch", "server-key-erased"}
    assert _completions("fleet", "f.sqlite", "--certainty", "p") == {"proven"}
    assert {"server-fault", "server-address-lost"} <= _completions("explain", "server-")


def test_the_version_is_one_and_the_changelog_knows_it() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    from analyzer import __version__

    assert __version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
