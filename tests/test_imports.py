"""The arrows of the source tree point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: The rooms, from the ground up. What a room may import stands in its list; a list may name lower rooms only (a test
#: sees to it), so no circle can come about. Every module belongs to exactly one room: the one with the longest name that fits.
ROOMS: dict[str, set[str]] = {
    "dissectors": set(),
    "analyzer.errors": set(),
    "analyzer.safe": set(),
    "analyzer.packet": set(),
    "analyzer.times": set(),
    "analyzer.commands": {"dissectors"},
    "analyzer.inputs": {"analyzer.errors"},
    "analyzer.wireshark": {"analyzer.errors"},
    "analyzer.watching": {"analyzer.errors", "analyzer.inputs"},
    "analyzer.model": {"dissectors"},
    "analyzer.case": {"dissectors", "analyzer.model"},
    # From a file to conversations.
    "analyzer.capture": {"analyzer.errors", "analyzer.packet"},
    "analyzer.conversations": {"dissectors", "analyzer.packet", "analyzer.model", "analyzer.capture"},
    "analyzer.names": {"dissectors", "analyzer.packet"},
    "analyzer.limits": {"dissectors", "analyzer.errors", "analyzer.packet", "analyzer.model", "analyzer.case", "analyzer.capture", "analyzer.conversations"},
    # From conversations and keys to attempts.
    "analyzer.keys": {"dissectors", "analyzer.errors", "analyzer.safe", "analyzer.commands", "analyzer.model"},
    "analyzer.decrypt": {"dissectors", "analyzer.model", "analyzer.keys"},
    "analyzer.flows": {"dissectors", "analyzer.model", "analyzer.case", "analyzer.conversations", "analyzer.keys", "analyzer.decrypt"},
    "analyzer.examine": {"dissectors", "analyzer.model", "analyzer.case", "analyzer.conversations", "analyzer.names", "analyzer.keys", "analyzer.decrypt"},
    "analyzer.copies": {"analyzer.packet", "analyzer.case", "analyzer.conversations", "analyzer.keys", "analyzer.examine"},
    "analyzer.examination": {"analyzer.case", "analyzer.conversations", "analyzer.keys", "analyzer.examine"},
    "analyzer.disclosure": {"analyzer.model", "analyzer.case", "analyzer.decrypt"},
    # From attempts to verdicts and stories.
    "analyzer.firmware": {"dissectors", "analyzer.commands", "analyzer.model"},
    "analyzer.unreached": {"dissectors", "analyzer.model", "analyzer.case", "analyzer.names", "analyzer.keys", "analyzer.firmware"},
    "analyzer.diagnosis": {
        "dissectors", "analyzer.model", "analyzer.case", "analyzer.conversations", "analyzer.names", "analyzer.keys", "analyzer.decrypt",
        "analyzer.flows", "analyzer.firmware", "analyzer.unreached",
    },
    "analyzer.incidents": {"analyzer.model", "analyzer.times", "analyzer.case", "analyzer.conversations", "analyzer.flows"},
    "analyzer.stories": {"dissectors", "analyzer.times", "analyzer.model", "analyzer.case", "analyzer.firmware"},
    "analyzer.sessions": {"dissectors", "analyzer.model", "analyzer.times", "analyzer.case", "analyzer.diagnosis", "analyzer.incidents"},
    "analyzer.judging": {"analyzer.examination", "analyzer.model", "analyzer.case", "analyzer.names", "analyzer.keys", "analyzer.flows", "analyzer.examine", "analyzer.diagnosis", "analyzer.sessions"},
    "analyzer.devicelog": {"dissectors", "analyzer.errors", "analyzer.times", "analyzer.model", "analyzer.firmware"},
    "analyzer.serverlog": {"dissectors", "analyzer.times", "analyzer.model", "analyzer.firmware", "analyzer.devicelog"},
    "analyzer.witnesses": {"analyzer.devicelog", "analyzer.serverlog"},
    "analyzer.comparison": {"dissectors", "analyzer.model"},
    "analyzer.explain": {"dissectors", "analyzer.model", "analyzer.firmware", "analyzer.devicelog", "analyzer.serverlog"},
    "analyzer.serverlogged": {"dissectors", "analyzer.times", "analyzer.model", "analyzer.firmware", "analyzer.keys", "analyzer.serverlog"},
    "analyzer.logged": {
        "dissectors", "analyzer.times", "analyzer.model", "analyzer.firmware", "analyzer.keys", "analyzer.stories", "analyzer.devicelog",
        "analyzer.witnesses", "analyzer.serverlogged",
    },
    "analyzer.tickets": {"analyzer.errors", "analyzer.inputs", "analyzer.model", "analyzer.capture", "analyzer.keys", "analyzer.devicelog", "analyzer.witnesses"},
    "analyzer.sides": {
        "analyzer.errors", "analyzer.model", "analyzer.case", "analyzer.conversations", "analyzer.copies", "analyzer.flows", "analyzer.stories",
    },
    # The path itself.
    "analyzer.pipeline": {
        "analyzer.errors", "analyzer.packet", "analyzer.times", "analyzer.model", "analyzer.case", "analyzer.capture", "analyzer.conversations",
        "analyzer.names", "analyzer.limits", "analyzer.keys", "analyzer.flows", "analyzer.examine", "analyzer.examination", "analyzer.copies", "analyzer.disclosure",
        "analyzer.unreached", "analyzer.judging", "analyzer.stories", "analyzer.witnesses", "analyzer.logged", "analyzer.tickets", "analyzer.sides",
    },
    "analyzer.live": {
        "analyzer.errors", "analyzer.packet", "analyzer.model", "analyzer.case", "analyzer.capture", "analyzer.conversations", "analyzer.names",
        "analyzer.keys", "analyzer.flows", "analyzer.examine", "analyzer.copies", "analyzer.unreached", "analyzer.judging", "analyzer.pipeline",
    },
    # What becomes of a report.
    "analyzer.exports": {
        "dissectors", "analyzer.errors", "analyzer.safe", "analyzer.packet", "analyzer.model", "analyzer.case", "analyzer.capture",
        "analyzer.conversations", "analyzer.names",
    },
    "analyzer.reports": {"analyzer.comparison", "dissectors", "analyzer.errors", "analyzer.safe", "analyzer.model", "analyzer.keys", "analyzer.exports"},
    "analyzer.library": {"analyzer.model", "analyzer.keys", "analyzer.pipeline", "analyzer.reports", "analyzer.tickets"},
    "analyzer.fleet": {"analyzer.errors", "analyzer.inputs", "analyzer.model", "analyzer.keys", "analyzer.tickets", "analyzer.pipeline", "analyzer.reports"},
    "analyzer.reports.fleet": {"analyzer.errors", "analyzer.safe", "analyzer.times", "analyzer.model", "analyzer.reports", "analyzer.fleet"},
    "analyzer.cli": {
        "analyzer.errors", "analyzer.safe", "analyzer.wireshark", "analyzer.watching", "analyzer.model", "analyzer.keys",
        "analyzer.comparison", "analyzer.firmware", "analyzer.explain", "analyzer.tickets", "analyzer.pipeline", "analyzer.live", "analyzer.exports", "analyzer.reports", "analyzer.fleet", "analyzer.reports.fleet",
    },
    "analyzer.__main__": {"analyzer.cli"},
    "analyzer": {"analyzer.library", "analyzer.pipeline"},
}  # fmt: skip
#: Packages that only these modules may import: heavy, or tied to a licence.
ONLY_IN = {
    "scapy": {"analyzer/capture/scapy_link.py", "dissectors/scapy_layers.py"},
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


def _room(name: str) -> str | None:
    """The room a module (or a name in one) belongs to; `analyzer` is only the package's own `__init__`."""
    fitting = [room for room in ROOMS if _within(name, room) and (room != "analyzer" or name == room)]
    return max(fitting, key=len, default=None)


def _ours(path: Path) -> set[str]:
    """The rooms a module imports from. The version is the package's own, and everybody's."""
    names = {name for name in _imports(path) if _within(name, "analyzer") or _within(name, "dissectors")}
    rooms = {_room(name) for name in names if name not in ("analyzer", "analyzer.__version__")}
    return {room for room in rooms if room is not None} - {_room(_name(path))}


def test_every_module_has_a_room_and_every_room_a_module() -> None:
    assert {_room(_name(path)) for path in _modules()} == set(ROOMS)


def test_rooms_stand_on_lower_rooms_only() -> None:
    for number, (room, below) in enumerate(ROOMS.items()):
        assert below <= set(list(ROOMS)[:number]), room


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_point_one_way(room: str) -> None:
    used = {path: _ours(path) for path in _modules() if _room(_name(path)) == room}
    for path, rooms in used.items():
        assert rooms <= ROOMS[room], f"{path}: {rooms - ROOMS[room]}"
    assert set().union(*used.values()) == ROOMS[room], "a list is what is needed, not what was needed once"


def test_the_dissectors_know_nothing_but_bytes() -> None:
    """No files, no clock, no network, no logging below the analyzer (style of h11: sans-IO)."""
    for path in (ROOT / "dissectors").rglob("*.py"):
        assert not _imports(path) & {
            "os",
            "io",
            "pathlib",
            "socket",
            "time",
            "random",
            "secrets",
            "logging",
            "subprocess",
            "threading",
            "asyncio",
        }, path


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_packages_stay_behind_their_module(library: str) -> None:
    for path in _modules():
        relative = path.relative_to(ROOT).as_posix()
        if any(_within(imported, library) for imported in _imports(path)):
            assert any(relative.startswith(place) for place in ONLY_IN[library]), relative


@pytest.mark.parametrize(("here", "other"), [("lightssl", "dtls"), ("dtls", "lightssl")])
def test_the_dissectors_know_nothing_of_each_other(here: str, other: str) -> None:
    files = list((ROOT / "dissectors" / here).rglob("*.py"))
    assert len(files) > 5
    assert [path.name for path in files if any(_within(name, f"dissectors.{other}") for name in _imports(path))] == []
