"""The HTTP application: its routes, its log line, and a worker beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from app import __version__
from app.db.database import is_outage
from app.services import Services
from app.web import admin, health, problems, webhooks
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
    app.include_router(webhooks.router)
    app.include_router(health.router)
    app.include_router(admin.router)
    app.middleware("http")(_log_request)
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


async def _log_request(
    request: Request, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Log each request by its route's template: paths contain addresses."""
    began = time.monotonic()
    try:
        response = await answer(request)
    except Exception as error:
        # An outage of the database is no defect: the caller is to try again.
        if not is_outage(error):
            log.exception("request_failed")
            response = problems.response(500, "Something went wrong on our side; see the log.")
        else:
            log.warning("database_away", error=type(error).__name__)
            response = problems.response(
                503, "The database does not answer; try again.", {"Retry-After": "30"}
            )
    route = request.scope.get("route")
    log.info(
        "request",
        method=request.method,
        route=getattr(route, "path", "none"),
        status=response.status_code,
        ms=round((time.monotonic() - began) * 1000),
    )
    return response
