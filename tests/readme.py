#!/usr/bin/env python3
"""What in README.md and the manual is made and not written: outputs of commands, and tables drawn from the program's own.

    tests/readme.py            rewrite them
    tests/readme.py --picture  take the picture of the HTML report again (headless Chromium)

`console` blocks are run, line by line behind `$ `, in one folder that holds `captures/`; what follows is their output.
Tables stand between `<!-- made: NAME -->` and `<!-- end -->`. `sh` blocks need a network, a device or rights that a test
has not; the tests only hold their options against the program's.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

README = ROOT / "README.md"
#: README and the pages of the manual, in the order in which a reader would meet them.
PAGES = (README, *sorted((ROOT / "analyzer" / "manual").glob("*.md")))
RESULTS = ROOT / "tests" / "benchmarks" / "RESULTS.md"
PICTURE = ROOT / ".github" / "report.png"
#: The case of the first screen, in words and as a picture.
CASE = "captures/tcp-02a-cloud-wrong-devkey-brewskey"

#: Kinds of blocks that show outputs.
SESSIONS = frozenset({"console", "pycon"})

_BLOCK = re.compile(r"^```(?P<kind>[a-z]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r"(?P<head><!-- made: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<tail><!-- end -->)", re.DOTALL)
#: What tshark says of the user who runs it.
_NOISE = 'Running as user "root"'


class Block(NamedTuple):
    """A fenced block: its language, its text, and where the text stands in the page."""

    kind: str
    body: str
    start: int
    end: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in _BLOCK.finditer(page):
        yield Block(found["kind"], found["body"], found.start("body"), found.end("body"))


def tables(page: str) -> Iterator[tuple[str, str]]:
    """(name, text) of the made tables of a page."""
    for found in _MADE.finditer(page):
        yield found["name"], found["body"]


def commands(body: str) -> Iterator[str]:
    """The commands of a console block; one may go on over lines that end in a backslash."""
    command = ""
    for line in body.splitlines():
        if line.startswith("$ ") or command.endswith("\\"):
            command = f"{command}\n{line}" if command else line[2:]
            if not command.endswith("\\"):
                yield command
                command = ""


class Shell:
    """Runs commands as a reader would type them: `analyze` is this tree's, `captures/` is there, nobody's settings are."""

    def __init__(self, folder: Path) -> None:
        (folder / "captures").symlink_to(ROOT / "captures")
        (folder / "tests").symlink_to(ROOT / "tests")
        program = folder / "bin" / "analyze"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m analyzer "$@"\n')
        program.chmod(0o755)
        self._folder = folder
        kept = {name: os.environ[name] for name in ("LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ}
        self._environment = kept | {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder / "home"),
            "COLUMNS": "100",
            "TZ": "UTC",
        }

    def run(self, command: str) -> str:
        """What the command prints, standard error among it; this machine's folders are left out of it."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        told = "".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith(_NOISE))
        text = told.replace(str(self._folder / "home"), "~").replace(str(ROOT), "SOURCE")
        return text if not text or text.endswith("\n") else f"{text}\n"

    def session(self, body: str) -> str:
        """A console block with its outputs as they are now."""
        return "".join(f"$ {command}\n{self.run(command)}" for command in commands(body))


def python_session(body: str) -> str:
    """A `pycon` block with its outputs as they are now, run in a process of its own: what it imports may change this one."""
    play = "import sys; from tests.readme import played; sys.stdout.write(played(sys.stdin.read()))"
    words, environment = [sys.executable, "-c", play], {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    done = subprocess.run(
        words, input=body, stdout=subprocess.PIPE, text=True, encoding="utf-8", cwd=ROOT, env=environment, check=True
    )
    return done.stdout


def played(body: str) -> str:
    """The same in this process."""
    shown, names = [], {}
    with contextlib.chdir(ROOT):
        for example in doctest.DocTestParser().get_examples(body):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(example.source, "README.md", "single"), names)  # noqa: S102 - our own page
            first, *more = example.source.rstrip("\n").split("\n")
            shown += [f">>> {first}\n", *(f"... {line}\n" for line in more), out.getvalue()]
    return "".join(shown)


def verdicts() -> str:
    """The table of verdicts, from analyzer/firmware/verdicts.toml."""
    from analyzer.firmware.verdicts import verdict_texts
    from analyzer.model import Code

    texts = verdict_texts()
    rows = [
        f"| `{code.value}` | {_where(texts[code].transports)} | {_cell(texts[code].means)} | {_cell(texts[code].proof)} |\n"
        for code in Code
    ]
    return "".join(["| verdict | on | what it means | what settles it |\n|---|---|---|---|\n", *rows])


def findings() -> str:
    """The table of findings, from the same file."""
    from analyzer.firmware.verdicts import finding_texts

    rows = [f"| `{code}` | {_cell(text.means)} |\n" for code, text in finding_texts().items()]
    return "".join(["| finding | what it means |\n|---|---|\n", *rows])


def help_of_commands() -> str:
    """Every command with the first line of its help."""
    rows = ["| `analyze PATH...` | The full report on one capture; on several, a row per session and the totals. |\n"]
    for name, command in walk():
        if not getattr(command, "commands", None) and not command.hidden:
            (line, *_) = (command.help or "").strip().splitlines()
            rows.append(f"| `analyze {name}` | {_cell(line)} |\n")
    return "".join(["| command | what it does |\n|---|---|\n", *rows])


def walk(command: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """(words, click command) of every command and group below the top."""
    import typer

    from analyzer.cli.app import app

    top = typer.main.get_command(app) if command is None else command
    for word, child in getattr(top, "commands", {}).items():
        words = f"{name} {word}".strip()
        yield words, child
        yield from walk(child, words)


def limits() -> str:
    """What the program holds at the most, from the places where it is set."""
    from analyzer import limits as settings
    from analyzer.capture.records import Limits
    from analyzer.conversations import Options
    from analyzer.fleet.work import Limits as Work
    from analyzer.keys.folder import MAX_FILE

    held, work, mebi = Options(), Work(), 1 << 20
    rows = (
        (
            "one TCP session",
            f"{held.tcp_payload // mebi} MiB per direction, {held.tcp_segments:,} segments; the rest is a gap, and says so",
        ),
        ("one UDP session", f"{held.udp_payload // mebi} MiB, {held.udp_datagrams:,} datagrams"),
        (
            "sessions open at a time",
            f"{held.conversations:,}, together {held.held // mebi} MiB; then the one quiet for longest is judged on what it has",
        ),
        (
            "a gzip'ed capture",
            f"{(Limits().expanded or 0) // (1 << 30)} GiB unpacked; an unpacked one has no limit, memory does not grow with it",
        ),
        ("one key file", f"{MAX_FILE // mebi} MiB"),
        (
            "one capture in `batch`",
            f"{work.seconds:.0f} s and {work.megabytes:,} MB (`--time-limit`, `--memory-limit`)",
        ),
    )
    table = ["| what | at the most |\n|---|---|\n", *(f"| {what} | {most} |\n" for what, most in rows)]
    table.append(
        "\nFor one capture, set by variables (K, M, G are powers of 1024). `*`: the report's status is then `partial`, the exit\n"
        "status 3.\n\n| variable | default | in `problems` | what happens |\n|---|---|---|---|\n"
    )
    pattern = r"^(ANALYZE_\w+|\(fixed\)) +(\S+) +([\w-]+(?: \*)?) +(.+)$"
    for name, default, code, text in re.findall(pattern, settings.__doc__ or "", re.MULTILINE):
        mark = "\\*" if code.endswith("*") else ""
        table.append(f"| `{name}` | {default} | `{code.removesuffix(' *')}`{mark} | {text} |\n")
    return "".join(table)


def performance() -> str:
    """The tables of tests/benchmarks/RESULTS.md, without its title."""
    if not RESULTS.is_file():
        return "Not measured on a quiet machine yet; `tests/benchmarks/run.py` prints the table.\n"
    _, _, rest = RESULTS.read_text(encoding="utf-8").partition("\n")
    return re.sub(r"^#", "###", rest.strip("\n"), flags=re.MULTILINE) + "\n"


def pages() -> tuple[Any, ...]:
    """The pages of rules, in the order in which `analyzer.diagnosis.verdict` looks which of them a session is for."""
    from analyzer.diagnosis import unreached
    from analyzer.diagnosis.dtls import rules as dtls
    from analyzer.diagnosis.lightssl import rules as lightssl

    return unreached.PAGE, lightssl.PAGE, dtls.RESUMED, dtls.HANDSHAKE


def rules() -> str:
    """Every page of rules: who is asked when, which codes it can give, what may change the verdict afterwards."""
    table = []
    for page in pages():
        table.append(
            f"**{page.about[0].upper()}{page.about[1:]}**\n\n| where it came to | rule | asks | gives |\n|---|---|---|---|\n"
        )
        for group in page.groups:
            need = f"`{group.needs}`" if group.needs else "anywhere"
            for row in group.rows:
                codes = ", ".join(f"`{code.value}`" for code in row.gives)
                table.append(f"| {need} | `{row.name}` | {_cell(row.asks)} | {codes} |\n")
                need = ""
        if page.afterwards:
            table.append("\nAfterwards:\n\n")
            table += [f"* `{item.name}`: {item.changes}\n" for item in page.afterwards]
        table.append("\n")
    return "".join(table).rstrip("\n") + "\n"


def log_rules() -> str:
    """The rules by which a device's log alone is judged, in their order."""
    from analyzer.firmware.judgements import judgements

    table = ["| what the log shows | gives | or |\n|---|---|---|\n"]
    for rule in judgements():
        lost = (*map(str, rule.lost), *(["any number"] if rule.lost_any else []))
        asked = (
            (rule.outcome is not None, rule.outcome),
            (rule.transport is not None, (rule.transport or "").upper()),
            (
                rule.failed is not None,
                "failed, no stage known" if rule.failed == "any" else f"failed at `{rule.failed}`",
            ),
            (rule.n, f"there {_numbers(rule.n)}"),
            (rule.result, f"in the result line {_numbers(rule.result)}"),
            (lost, f"`Event loop error` with {' or '.join(lost)}"),
            (rule.seen, "the words " + ", ".join(f"`{words}`" for words in rule.seen)),
            (rule.unseen, "not the words " + ", ".join(f"`{words}`" for words in rule.unseen)),
            (rule.resumed, "a stored session was used"),
            (rule.address_lost, "the server address is lost"),
        )
        shows = "; ".join(str(text) for holds, text in asked if holds) or "otherwise"
        others = ", ".join(f"`{code.value}`" for code in rule.alternatives)
        table.append(f"| {_cell(shows)} | `{rule.code.value}` ({rule.certainty.value}) | {others} |\n")
    return "".join(table)


def _numbers(numbers: tuple[int, ...]) -> str:
    """As logs print them: mbedTLS in hexadecimal."""
    return " or ".join(f"-0x{-value:x}" if value <= -0x1000 else str(value) for value in numbers)


def history() -> str:
    """What the letters of a history stand for, protocol by protocol."""
    from analyzer.explain import histories
    from dissectors.events import MORE_SIGNS

    table = []
    for title, signs in histories().items():
        table.append(f"| {title} | it stands for |\n|---|---|\n")
        table += [f"| {' '.join(f'`{letter}`' for letter in sign.written)} | {sign.means} |\n" for sign in signs]
        table.append(f"| `{MORE_SIGNS}` | there were more |\n\n")
    return "".join(table).rstrip("\n") + "\n"


def formats() -> str:
    """What is read directly, through Wireshark, or not: the names are those of the tests that read them."""
    from analyzer.capture import links, packing, wiretap
    from tests.analyzer.capture.test_tunnels import CLOSED
    from tests.analyzer.capture.wrappings import WRAPPINGS

    inside = [name for name, wrapping in WRAPPINGS.items() if wrapping.link == 1]
    wireless = [name for name, wrapping in WRAPPINGS.items() if wrapping.link in (105, 119, 127, 163, 192)]
    rare = {links.name(w.link) for w in WRAPPINGS.values()} | {links.name(number) for number in links.LINKS}
    rare -= {links.name(w.link) for w in (WRAPPINGS[name] for name in wireless)}
    programs = sorted({name.partition(" ")[2] for _, name in wiretap.MAGICS if "damaged" not in name})
    forms = [form.name + (" (extra `compression`)" if form.name in ("zstd", "lz4") else "") for form in packing.FORMS]
    rows = (
        ("directly", "tunnels and mirrors, in each other too", ", ".join(inside)),
        ("directly", "802.11", ", ".join(wireless)),
        ("directly", "other link types", ", ".join(sorted(rare))),
        ("directly", "compressed, archived", ", ".join([*forms, "tar", "zip"]) + "; one in another up to four deep"),
        (
            "directly",
            "text",
            "`tcpdump -x`, `-xx`, `-X`, `-XX`; Wireshark's plain text with bytes; `tshark -x`, `-T json -x`, `-T ek -x`, `-T pdml`; K12; `hexdump -C` of packets; UTF-8 or UTF-16",
        ),
        (
            "with Wireshark installed",
            "other programs' formats, by `editcap`",
            ", ".join(programs) + ", and the others it knows",
        ),
        ("with Wireshark installed", "any other link type, by `tshark`", "Bluetooth, ARCNET, IrDA ...: what holds IP"),
        (
            "with Wireshark's keys",
            "encrypted 802.11, by `--engine tshark`",
            "Preferences, Protocols, IEEE 802.11, Decryption keys",
        ),
        (
            "said, with the number of packets",
            "what stays closed",
            ", ".join(CLOSED) + ", fragments of 802.11, cut packets",
        ),
    )
    lines = ["| read | what | which |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "formats": formats,
    "verdicts": verdicts,
    "findings": findings,
    "rules": rules,
    "log-rules": log_rules,
    "history": history,
    "commands": help_of_commands,
    "limits": limits,
    "performance": performance,
}


def current(page: str, shell: Shell) -> str:
    """The page with everything that is made as it is now."""
    page = _MADE.sub(lambda found: f"{found['head']}{TABLES[found['name']]()}{found['tail']}", page)
    for block in sorted(blocks(page), key=lambda block: block.start):
        if block.kind in SESSIONS:
            page = page.replace(block.body, fresh(block, shell))
    return page


def update(shell: Shell) -> None:
    """Every page with everything that is made as it is now."""
    for path in PAGES:
        path.write_text(current(path.read_text(encoding="utf-8"), shell), encoding="utf-8")


def fresh(block: Block, shell: Shell) -> str:
    """A block that shows outputs, with the outputs of now."""
    return shell.session(block.body) if block.kind == "console" else python_session(block.body)


def take_picture() -> None:
    """The HTML report of `CASE` as a reader sees its top."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed")
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "report.html"
        words = [f"{CASE}/capture.pcap", "--keys", f"{CASE}/keys", "--format", "html", "--output", str(page)]
        subprocess.run([sys.executable, "-m", "analyzer", *words], cwd=ROOT, check=False)
        look = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1100,1300"]
        subprocess.run([chromium, *look, f"--screenshot={PICTURE}", page.as_uri()], check=True, capture_output=True)


def _where(transports: tuple[str, ...]) -> str:
    return "both" if len(transports) > 1 else transports[0].upper()


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def main() -> None:
    """Rewrite README.md and the manual, or its picture."""
    if "--picture" in sys.argv[1:]:
        take_picture()
        return
    with tempfile.TemporaryDirectory() as folder:
        update(Shell(Path(folder)))


if __name__ == "__main__":
    main()
