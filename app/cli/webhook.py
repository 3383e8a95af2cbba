"""The commands `webhook install`, `status`, `rotate` and `remove`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import typer

from app.cli.common import configured, group, opened, printable, run
from app.ops.webhook import install, rotate
from app.ops.webhook.common import WebhookError
from app.ops.webhook.compare import WebhookReport
from app.services import Services
from app.settings.settings import Settings

Work = Callable[[Services], Awaitable[int]]
"""Prints what it does, and returns the exit code."""

webhook = group("Make, check, change and remove the webhook at Autotask.")


@webhook.command("install")
def install_webhook(context: typer.Context) -> None:
    """Make the webhook, or repair what differs, and wait until it is ready; safe to run again.

    Exit code 1: something is still wrong.
    """
    _run(context, make)


@webhook.command("status")
def webhook_status(context: typer.Context) -> None:
    """Show the webhook beside what it should be; exit code 1: something is wrong."""
    _run(context, check)


@webhook.command("rotate")
def rotate_secret(context: typer.Context) -> None:
    """Make Autotask sign with the first of WEBHOOK_SECRETS, once the receiver accepts it."""
    _run(context, change_secret)


@webhook.command("remove")
def remove_webhook(context: typer.Context) -> None:
    """Delete the service's own webhook, and no other."""
    _run(context, delete)


def _run(context: typer.Context, work: Work) -> None:
    with configured(context) as (settings, url):
        raise typer.Exit(run_webhook(settings, url, work))


def run_webhook(settings: Settings, url: str, work: Work) -> int:
    """Run one of the functions below; print a WebhookError and return 1 for it."""
    return run(_explained(settings, url, work))


async def _explained(settings: Settings, url: str, work: Work) -> int:
    try:
        async with opened(settings, url) as services:
            return await work(services)
    except WebhookError as error:
        typer.echo(printable(str(error)), err=True)
        return 1


async def make(services: Services) -> int:
    """Make or repair the webhook; return 1 if something is still wrong, else 0."""
    return _show(await install.install(services, _say))


async def check(services: Services) -> int:
    """Compare the webhook with what it should be; return 1 if something is wrong, else 0."""
    return _show(await install.status(services))


async def change_secret(services: Services) -> int:
    """Change the secret at Autotask to the first of WEBHOOK_SECRETS; return 0."""
    webhook_id = await rotate.rotate(services, _say)
    _say(
        f"Webhook {webhook_id} signs with the new secret. The old one is refused in 15 minutes;"
        " take it out of WEBHOOK_SECRETS then."
    )
    return 0


async def delete(services: Services) -> int:
    """Delete the webhook, if there is one; return 0."""
    if not await install.remove(services, _say):
        _say("The service has no webhook at Autotask.")
    return 0


def _show(report: WebhookReport) -> int:
    for line in report.lines:
        mark = "WRONG" if line.code else "ok"
        typer.echo(f"{mark:6}{printable(f'{line.what}: {line.there}')}")
    return 1 if report.wrong else 0


def _say(text: str) -> None:
    typer.echo(printable(text))
