"""The command tree. Sub-commands live in modules of their own; whatever is heavy is imported when a command runs."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from analyzer import __version__
from analyzer.cli import (
    annotate,
    batch,
    compare,
    default,
    demo,
    explain,
    fleet,
    keys,
    live,
    manual,
    schema,
    watch,
    wireshark,
)
from analyzer.errors import InputError

_NAME = re.compile(r"[a-z][a-z-]*")
#: Words for which there is an option.
_ASKING = {"help": "--help", "usage": "--help", "version": "--version"}
#: How alike a word and a command's name must be for the one to be meant (0 to 1).
_NEAR_MISS = 0.75
_OWN_OPTIONS = frozenset({"-h", "--help", "--version", "--install-completion", "--show-completion"})


class DefaultGroup(TyperGroup):
    """A group whose first word, when it names no sub-command, belongs to the default action.

    typer knows either one command or a group without a default (a second command makes `analyze a.pcap` exit 2,
    "No such command"), so the default's name is put in front.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's context, which typer hides
        """The words, with the default action's name in front where they name no sub-command.

        Raises InputError for a first word that is neither a sub-command nor a file, but nearly the former.
        """
        if args and args[0] == "help" and not Path("help").exists():
            args = [*args[1:2], "--help"]
        if args and args[0] not in self.commands and args[0] not in _OWN_OPTIONS:
            meant = self._meant(args[0])
            if meant is not None and not Path(args[0]).exists():
                raise InputError(args[0], "no such file or folder", f"did you mean `{ctx.command_path} {meant}`?")
            args = [default.NAME, *args]
        return super().parse_args(ctx, args)

    def _meant(self, word: str) -> str | None:
        if word in _ASKING or not _NAME.fullmatch(word):
            return _ASKING.get(word)
        names = [name for name, command in self.commands.items() if not command.hidden]
        return next(iter(get_close_matches(word, names, 1, _NEAR_MISS)), None)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Run the command; a value that is not allowed is told without the words of the library that found out."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            message = getattr(error, "message", None)
            if isinstance(message, str):
                error.message = message.removeprefix("Value error, ")  # type: ignore[attr-defined]  # click's
            raise

    def format_usage(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's, which typer hides
        """Both forms, the default action first."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] PATH...")
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS] ...", prefix="       ")

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """The default action's options and the group's own, then the commands."""
        params = (*self.commands[default.NAME].params, *self.get_params(ctx))
        rows = [param.get_help_record(ctx) for param in params if param.param_type_name == "option"]
        with formatter.section("Options"):
            formatter.write_dl([row for row in rows if row is not None])
        self.format_commands(ctx, formatter)


app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=default.GROUP_HELP,
)


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """The options that need no command."""
    if version:
        print(f"analyze {__version__}")
        raise typer.Exit


default.register(app)
for command in (batch, fleet, watch, live, compare, keys, explain, manual, demo, annotate, wireshark, schema):
    command.register(app)
