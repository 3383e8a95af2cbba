"""The commands `webhook install`, `status`, `rotate` and `remove`: what is said of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import typer

from app import db, webhook_care
from app.autotask.protocol import printable
from app.desk import Desk, open_desk
from app.settings import Settings
from app.webhook_care import Report, WebhookError


def run_install(settings: Settings, url: str) -> int:
    """Make or mend the webhook; gives the exit code, 1 if something is still wrong."""

    async def install(desk: Desk) -> int:
        return _show(await webhook_care.install(desk, _say))

    return _run(settings, url, install)


def run_status(settings: Settings, url: str) -> int:
    """Show what is there against what should be; gives the exit code, 1 if something is wrong."""

    async def status(desk: Desk) -> int:
        return _show(await webhook_care.status(desk))

    return _run(settings, url, status)


def run_rotate(settings: Settings, url: str) -> int:
    """Change the secret at Autotask to the first of WEBHOOK_SECRETS; gives the exit code."""

    async def rotate(desk: Desk) -> int:
        webhook_id = await webhook_care.rotate(desk, _say)
        _say(
            f"Webhook {webhook_id} signs with the new secret. The old one is refused in 15 minutes;"
            " take it out of WEBHOOK_SECRETS then."
        )
        return 0

    return _run(settings, url, rotate)


def run_remove(settings: Settings, url: str) -> int:
    """Delete our webhook; gives the exit code. That there is none is fine."""

    async def remove(desk: Desk) -> int:
        if not await webhook_care.remove(desk, _say):
            _say("There is no webhook of ours.")
        return 0

    return _run(settings, url, remove)


def _show(report: Report) -> int:
    for line in report.lines:
        mark = "WRONG" if line.code else "ok"
        typer.echo(f"{mark:6}{printable(f'{line.what}: {line.there}')}")
    return 1 if report.wrong else 0


def _say(text: str) -> None:
    typer.echo(printable(text))


def _run(settings: Settings, url: str, do: Callable[[Desk], Awaitable[int]]) -> int:
    async def go() -> int:
        async with open_desk(settings, url) as desk:
            await db.require_schema(desk.sessions)
            return await do(desk)

    try:
        return asyncio.run(go())
    except WebhookError as error:
        typer.echo(printable(str(error)), err=True)
        return 1
