"""The processes that stay: started, and ended in time when they are told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from types import FrameType

import structlog
import uvicorn

from app.autotask.errors import AutotaskError
from app.db import schema
from app.services import Services, open_services
from app.settings.settings import Settings
from app.web.app import create_app
from app.worker.loop import Worker

EXIT_SECONDS = 18.0
"""A process that was told to stop is gone after this long, whatever hangs."""


async def serve(settings: Settings, url: str) -> None:
    """Run the API, and a worker with it, until it is told to stop."""
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        await _check_tenant(services)
        config = uvicorn.Config(
            create_app(services),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        await _Server(config).serve()


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and do not let a database that hangs prevent it."""
        _exit_soon()
        super().handle_exit(sig, frame)


def _exit_soon() -> None:
    """End the process hard if it has not ended by then; what it held frees itself."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _check_tenant(services: Services) -> None:
    """Refuse to start for another tenant; start anyway while Autotask cannot be asked."""
    try:
        await services.tenancy.api_url()
    except AutotaskError as error:
        structlog.get_logger().warning("autotask_away", error=str(error))


async def work(settings: Settings, url: str) -> None:
    """Run a worker until it is told to stop."""
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        one = Worker(services)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            _exit_soon()
            one.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await one.run()
