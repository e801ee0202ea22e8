"""`analyze wireshark`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analyzer.cli import options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from analyzer.wireshark.installation import Standing, State

_HELP = """What Wireshark gets: the dissector, a menu, a profile, a source of packets.

\b
  analyze wireshark install
  tshark -X lua_script:$(analyze wireshark path) -r capture.pcap
"""
#: Columns of a text window in Wireshark, as it opens.
_WINDOW = 70
_AFTERWARDS = (
    "restart Wireshark, or press Ctrl+Shift+L (Lua) and F5 (sources); then Tools > Particle handshake, and"
    " Edit > Configuration Profiles > Particle"
)


def register(app: typer.Typer) -> None:
    """Add the command with its sub-commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_HELP)
    group.command("install")(_install)
    group.command("uninstall")(_uninstall)
    group.command("status")(_status)
    group.command("path")(_path)
    group.command("tell", hidden=True)(_tell)
    group.command(
        "source",
        hidden=True,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
    )(_source)
    app.add_typer(group, name="wireshark")


def _install(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="DIR", help="Only the Lua files, into this folder instead of Wireshark's own."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of these names that are not ours.")] = False,
) -> None:
    """Put dissector, menu, profile and source where Wireshark looks for them; also for Flatpak and Snap.

    \b
      analyze wireshark install
    """
    from analyzer.wireshark import State, install, install_all

    if folder is not None:
        print(install(folder, force))
        return
    found = install_all(force)
    for item in found:
        if item.state in (State.ABSENT, State.OLDER, State.CURRENT) or force:
            print(item.path, flush=True)
    _say(found, {State.CHANGED, State.FOREIGN, State.UNREADABLE} if not force else set(), "left as it is")
    print(f"analyze: {_AFTERWARDS}", file=sys.stderr)


def _uninstall(
    force: Annotated[bool, typer.Option("--force", help="Remove files of ours that were changed, too.")] = False,
) -> None:
    """Remove what `install` put there; what somebody changed or wrote is left.

    \b
      analyze wireshark uninstall
    """
    from analyzer.wireshark import State, uninstall

    gone = {State.CURRENT, State.OLDER, State.NEWER} | ({State.CHANGED} if force else set())
    found = uninstall(force)
    for item in found:
        if item.state in gone:
            print(item.path)
    _say(found, set(State) - gone - {State.ABSENT}, "left as it is")
    if not any(item.state in gone for item in found):
        print("analyze: nothing of ours is there", file=sys.stderr)


def _status() -> None:
    """What of it is there, and whether somebody changed it.

    \b
      analyze wireshark status
    """
    from analyzer.safe import printable
    from analyzer.wireshark import present

    for item in present():
        print(printable(f"{item.wireshark}: {item.what:9}  {item.state:12}  {item.path}"))


def _path() -> None:
    """Print where the dissector is, for tshark -X lua_script:FILE.

    \b
      tshark -X lua_script:$(analyze wireshark path) -r capture.pcap
    """
    from analyzer.wireshark import lua_path

    print(lua_path())


def _tell(capture: options.Capture, keys: options.Keys = None) -> None:
    """For the menu in Wireshark: the report on its open packets, in lines for Lua."""
    from analyzer.cli.keyfolder import load
    from analyzer.exports.menu import menu_lines
    from analyzer.pipeline import analyze_capture, report_of
    from analyzer.reports.writing import Style, chunks, write_out

    ring = load(keys or (), None)
    report = analyze_capture(capture, ring, name="the packets open in Wireshark")
    style = Style(width=_WINDOW, unicode=sys.platform != "win32")
    write_out(menu_lines(report, chunks(report_of([report], ring), "text", style)))


def _source(context: typer.Context) -> None:
    """For Wireshark's interface list: the source of packets (extcap). Also the way by which the menu finds us."""
    words = context.args
    if words and not words[0].startswith("-"):
        from analyzer.cli.app import app

        app(words, prog_name="analyze")
        return
    from analyzer.cli.source import answer

    answer(words)


def _say(found: Iterable[Standing], states: Collection[State], what: str) -> None:
    from analyzer.safe import printable

    for item in found:
        if item.state in states:
            print(printable(f"analyze: {item.path}: {item.state}, {what}"), file=sys.stderr)
