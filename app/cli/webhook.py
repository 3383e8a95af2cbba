"""The commands `webhook install`, `status`, `rotate` and `remove`: what is said of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import typer

from app.autotask.protocol import printable
from app.db import schema
from app.ops.webhook import install, rotate
from app.ops.webhook.common import WebhookError
from app.ops.webhook.compare import WebhookReport
from app.services import Services, open_services
from app.settings.settings import Settings


def run_install(settings: Settings, url: str) -> int:
    """Make or mend the webhook; gives the exit code, 1 if something is still wrong."""

    async def work(services: Services) -> int:
        return _show(await install.install(services, _say))

    return _run(settings, url, work)


def run_status(settings: Settings, url: str) -> int:
    """Show what is there against what should be; gives the exit code, 1 if something is wrong."""

    async def work(services: Services) -> int:
        return _show(await install.status(services))

    return _run(settings, url, work)


def run_rotate(settings: Settings, url: str) -> int:
    """Change the secret at Autotask to the first of WEBHOOK_SECRETS; gives the exit code."""

    async def work(services: Services) -> int:
        webhook_id = await rotate.rotate(services, _say)
        _say(
            f"Webhook {webhook_id} signs with the new secret. The old one is refused in 15 minutes;"
            " take it out of WEBHOOK_SECRETS then."
        )
        return 0

    return _run(settings, url, work)


def run_remove(settings: Settings, url: str) -> int:
    """Delete our webhook; gives the exit code. That there is none is fine."""

    async def work(services: Services) -> int:
        if not await install.remove(services, _say):
            _say("There is no webhook of ours.")
        return 0

    return _run(settings, url, work)


def _show(report: WebhookReport) -> int:
    for line in report.lines:
        mark = "WRONG" if line.code else "ok"
        typer.echo(f"{mark:6}{printable(f'{line.what}: {line.there}')}")
    return 1 if report.wrong else 0


def _say(text: str) -> None:
    typer.echo(printable(text))


def _run(settings: Settings, url: str, do: Callable[[Services], Awaitable[int]]) -> int:
    async def go() -> int:
        async with open_services(settings, url) as services:
            await schema.require_schema(services.sessions)
            return await do(services)

    try:
        return asyncio.run(go())
    except WebhookError as error:
        typer.echo(printable(str(error)), err=True)
        return 1
