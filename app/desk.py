"""What a look works with: one process's database, client, budget and settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from app.autotask.client import Autotask, http_client
from app.budget import Budget
from app.db import Sessions, make_engine, make_sessions
from app.directory import Directory
from app.mailbox import Mailbox
from app.settings import Settings
from app.tenant import Tenancy
from app.work import Lease


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that a process makes once and shares."""

    settings: Settings
    sessions: Sessions
    http: httpx.AsyncClient
    tenancy: Tenancy
    budget: Budget
    directory: Directory
    mailbox: Mailbox

    @property
    def create_settle(self) -> timedelta:
        """How long a write without an answer may still take effect."""
        return timedelta(seconds=self.settings.create_settle)

    async def autotask(self, lease: Lease | None = None, *, calm: bool = False) -> Autotask:
        """Speak to Autotask; with a lease only as long as that is held.

        calm: a right that is missing stops no other call.
        """
        api_url = await self.tenancy.api_url()
        throttle = self.budget.throttle(lease, calm=calm)
        return Autotask(self.http, api_url, self.settings.credentials, throttle)


@asynccontextmanager
async def open_desk(settings: Settings, database_url: str) -> AsyncIterator[Desk]:
    """Make the parts, and close them at the end."""
    engine = make_engine(database_url)
    sessions = make_sessions(engine)
    try:
        async with http_client() as http:
            yield Desk(
                settings=settings,
                sessions=sessions,
                http=http,
                tenancy=Tenancy(settings, sessions, http),
                budget=Budget(sessions, share=settings.budget_share, window=settings.budget_window),
                directory=Directory(),
                mailbox=Mailbox(settings, sessions, http),
            )
    finally:
        await engine.dispose()
