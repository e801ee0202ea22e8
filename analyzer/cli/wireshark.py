"""`analyze wireshark`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_HELP = """The Wireshark dissector for this handshake.

\b
  analyze wireshark install
  tshark -X lua_script:$(analyze wireshark path) -r capture.pcap
"""


def register(app: typer.Typer) -> None:
    """Add the command with its two sub-commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=_HELP)

    @group.command("install")
    def install(
        folder: Annotated[
            Path | None, typer.Option("--folder", metavar="DIR", help="Another folder than Wireshark's personal one.")
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace a file of that name that is not ours.")] = False,
    ) -> None:
        """Put the dissector where Wireshark looks for it.

        \b
          analyze wireshark install
        """
        from analyzer.wireshark import install as put

        print(put(folder, force))

    @group.command("path")
    def path() -> None:
        """Print where the dissector is, for tshark -X lua_script:FILE.

        \b
          tshark -X lua_script:$(analyze wireshark path) -r capture.pcap
        """
        from analyzer.wireshark import lua_path

        print(lua_path())

    app.add_typer(group, name="wireshark")
