"""The HTTP application: its routes, and a worker beside it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from app import __version__
from app.services import Services
from app.web import admin, health, problems, webhooks
from app.web.requests import Requests
from app.worker.loop import Worker

log = structlog.get_logger()


class About(BaseModel):
    """The service, its version, and the URL of the Autotask that it is wired to."""

    name: str
    version: str
    autotask: str
    documentation: str


def create_app(services: Services) -> FastAPI:
    """Return the application around a process's services."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with _working(services):
            yield

    # Its documentation page needs no content delivery network, which a server room may not reach.
    app = FastAPIOffline(
        title="autotask-cc",
        version=__version__,
        description="Adds the people in a mail's Cc to its Autotask ticket.",
        lifespan=lifespan,
    )
    app.state.services = services
    app.state.deactivations = webhooks.DeactivationCounter()
    app.state.large_callouts = asyncio.Semaphore(webhooks.LARGE_AT_ONCE)
    app.include_router(webhooks.router)
    app.include_router(health.router)
    app.include_router(admin.router)
    app.add_middleware(Requests)
    problems.install(app)

    @app.get("/", tags=["health"])
    async def about() -> About:
        """Return the service's name and version, and the Autotask that it is wired to."""
        url = services.tenancy.known or services.settings.autotask_api_url or "not known yet"
        return About(name="autotask-cc", version=__version__, autotask=url, documentation="/docs")

    return app


@asynccontextmanager
async def _working(services: Services) -> AsyncIterator[None]:
    """Run a worker beside the API, if the settings say so; end the process if it dies."""
    if not services.settings.run_worker:
        yield
        return
    worker = Worker(services)
    working = asyncio.create_task(worker.run())

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.critical("worker_died", error=str(error))
            os.kill(os.getpid(), signal.SIGTERM)

    working.add_done_callback(ended)
    try:
        yield
    finally:
        worker.stop()
        await asyncio.gather(working, return_exceptions=True)
