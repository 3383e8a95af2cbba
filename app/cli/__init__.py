"""The command line: `autotask-cc …`, also `python -m app …`.

A new command is a function, or a typer.Typer for a group, in a module of this package, and a line
in COMMANDS. The module is imported when the command runs: `--help` and `--version` start fast.
"""

from __future__ import annotations

import pkgutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app import __version__

COMMANDS = {
    "serve": ("serve", "Receive callouts, serve the admin API, and work on due tickets."),
    "worker": ("serve", "Work on due tickets in a process of its own; several may run."),
    "migrate": ("serve", "Bring the database's schema up to date; safe to run again."),
    "doctor": (
        "doctor",
        "Check the deployment and name the cures; nothing is written to Autotask.",
    ),
    "watch": ("watch", "Follow one test mail live; nothing is changed."),
    "webhook": ("webhook", "Make, check, change and remove the webhook at Autotask."),
    "reconcile": ("reconcile", "Process tickets that no callout told the service about."),
    "backtest": (
        "backtest",
        "Show what a policy would have done with recent tickets; nothing is changed.",
    ),
    "undo": (
        "undo",
        "Remove links and retire contacts that the service made; what people changed stays.",
    ),
    "contacts": ("contacts", "List and retire unused contacts that the service created."),
    "mappings": ("mappings", "Write and read mappings as CSV files."),
    "read": ("read", "Show how a Cc list, a description or an .eml file is read, and why."),
    "demo": ("demo", "Show the product at work on two tickets; needs no configuration."),
    "sandbox": ("sandbox", "Run the doubles of Autotask and Microsoft Graph alone."),
}
"""The module of app.cli that has a function of this name, and the first sentence of its help."""


class _Commands(TyperGroup):
    """The group of all commands, each a stand-in until it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the stand-in by the command itself."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, stand_in and _load(name or ""), rest


def _load(name: str) -> Any:
    module, _ = COMMANDS[name]
    command = pkgutil.resolve_name(f"app.cli.{module}:{name}")
    if not isinstance(command, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        single.command(name)(command)
        command = single
    return typer.main.get_command(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autotask-cc {__version__}")
        raise typer.Exit


cli = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Puts the people in a mail's Cc on its Autotask ticket.",
)


@cli.callback()
def _options(
    context: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help="Read settings from this file, not from .env; the environment still wins.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    context.obj = env_file


for _name, (_, _help) in COMMANDS.items():
    cli.command(_name, short_help=_help)(lambda: None)


def main() -> None:
    """Run a command; an error that comes from outside ends it with a sentence and exit code 1."""
    try:
        cli()
    except Exception as error:
        from app.cli.errors import explain

        text = explain(error)
        if text is None:
            raise
        typer.echo(text, err=True)
        sys.exit(1)
