"""Commands that look after a deployment: the webhook, the doctor, and one test mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from app.cli.common import configured, database
from app.cli.doctor import refuse_settings, run_doctor
from app.cli.watch import run_watch
from app.cli.webhook import run_install, run_remove, run_rotate, run_status
from app.settings.environment import SettingsError
from app.settings.settings import Settings

webhook = typer.Typer(no_args_is_help=True, help="Make, check, change and remove our webhook.")


@webhook.command("install")
def install_webhook() -> None:
    """Make our webhook, or mend what differs, and wait until it is ready; safe to run again."""
    _run(run_install)


@webhook.command("status")
def webhook_status() -> None:
    """Show what is there against what should be; exit code 1: something is wrong."""
    _run(run_status)


@webhook.command("rotate")
def rotate_secret() -> None:
    """Let Autotask sign with the first of WEBHOOK_SECRETS, once the receiver knows it."""
    _run(run_rotate)


@webhook.command("remove")
def remove_webhook() -> None:
    """Delete our webhook, and no other."""
    _run(run_remove)


def _run(run: Callable[[Settings, str], int]) -> None:
    settings = configured(quiet=True)
    with database(settings) as url:
        raise typer.Exit(run(settings, url))


def doctor(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Look at the deployment from all sides and name the cures; nothing is written to Autotask.

    Exit code 1: something is wrong.
    """
    try:
        settings = configured(quiet=True)
    except SettingsError as error:
        raise typer.Exit(refuse_settings(error, as_json=as_json)) from None
    with database(settings) as url:
        raise typer.Exit(run_doctor(settings, url, as_json=as_json))


def watch(
    ticket: Annotated[
        int | None, typer.Option(min=0, help="This ticket, not the next one.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long at most.")] = 10,
) -> None:
    """Follow one test mail live, and end with what to look at by eye; nothing is changed."""
    settings = configured(quiet=True)
    with database(settings) as url:
        raise typer.Exit(run_watch(settings, url, ticket, minutes))
