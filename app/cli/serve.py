"""The commands `serve`, `worker` and `migrate`: processes that end in time when told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import FrameType

import structlog
import typer

from app.autotask.errors import AutotaskError
from app.cli.common import configured, opened
from app.db import schema
from app.services import Services
from app.settings.settings import Settings
from app.web.app import create_app
from app.web.server import Server
from app.worker.loop import Worker

EXIT_SECONDS = 18.0
"""A process ends this long after it was told to stop, whatever hangs."""


def serve(context: typer.Context) -> None:
    """Receive callouts, serve the admin API, and work on due tickets.

    With RUN_WORKER=false it leaves the tickets to `worker`.
    """
    with configured(context, quiet=False) as (settings, url):
        asyncio.run(_serve(settings, url))


def worker(context: typer.Context) -> None:
    """Work on due tickets in a process of its own; several may run."""
    with configured(context, quiet=False) as (settings, url):
        asyncio.run(_work(settings, url))


def migrate(context: typer.Context) -> None:
    """Bring the database's schema up to date; safe to run again.

    Several processes may run it at once.
    """
    with configured(context, quiet=False) as (_, url):
        schema.migrate(url)
    typer.echo("The database's schema is up to date.")


async def _serve(settings: Settings, url: str) -> None:
    async with opened(settings, url) as services:
        await _check_tenant(services)
        server = _Server(create_app(services), settings.host, settings.port)
        await server.run_until_told()


class _Server(Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, also if the database hangs."""
        _exit_soon()
        super().handle_exit(sig, frame)


def _exit_soon() -> None:
    """Kill the process if it has not ended by then; its leases run out by themselves."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _check_tenant(services: Services) -> None:
    """Raise WrongTenant for another tenant's database; go on while Autotask cannot be asked."""
    try:
        await services.tenancy.api_url()
    except AutotaskError as error:
        structlog.get_logger().warning("autotask_away", error=str(error))


async def _work(settings: Settings, url: str) -> None:
    async with opened(settings, url) as services:
        worker = Worker(services)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            _exit_soon()
            worker.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await worker.run()
